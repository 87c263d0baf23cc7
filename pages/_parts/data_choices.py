"""The choices that a file is read, mended, parted and scaled by, in folds that open when asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

import pandas as pd
import streamlit as st

from data.choices import Choices, Duplicates, Fill, Resample, Scaling
from data.parts import SHARES, split_rows
from data.quality import Report, choose
from pages._parts.data_figures import moment_text
from pages._parts.data_file import choice_key, meaning
from pages._parts.text import readable

FORMATS = ("%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y %H:%M", "ISO8601", "%Y%m%d", "s", "ms")
FREQUENCIES = ("min", "15min", "30min", "h", "D", "B", "W", "MS")
ZONES = ("UTC", "Europe/Berlin", "Europe/London", "America/New_York", "Asia/Shanghai")
SCALINGS: dict[Scaling, str] = {
    "standard": "Standard: mean and deviation",
    "robust": "Robust: median and quartiles",
    "minmax": "Min–max: smallest value and range",
    "none": "None: values as they are",
}
BY_SHARE, BY_DATE = "By share", "By date"


@dataclass(frozen=True)
class Made:
    """What was chosen: how a file is used, and for which task."""

    choices: Choices
    seq_len: int
    pred_len: int
    season: int | None


def make_choices(columns: Sequence[str], reading: dict[str, Any], unmended: Report) -> Made:
    """Let everything be chosen that a check asks for.

    Args:
        columns: of the file.
        reading: how the file is written, which was chosen before.
        unmended: what a check without choices found; folds that it asks for are open.

    Raises:
        DataError: the choices do not go together.
    """
    asked = {offer.split(" ")[0] for finding in unmended.findings for offer in finding.options}
    unclear = {
        offer.split(" ")[0]
        for finding in unmended.findings
        if finding.blocks
        for offer in finding.options
    }
    made = dict(reading)
    with st.expander(
        "Dates", bool(unclear & _DATED) or unmended.frequency is None, key="data-fold-dates"
    ):
        made |= _about_dates(columns)
    with st.expander("Repeated and missing", bool(asked & _MENDED), key="data-fold-mend"):
        made |= _about_mending()
    with st.expander("Columns and task", True, key="data-fold-columns"):
        made |= _about_columns(columns, {made["date"], made["time"]})
        left, middle, right = st.columns(3)
        for name, usual in (("seq_len", 96), ("pred_len", 24)):
            st.session_state.setdefault(choice_key(name), usual)  # a finding's button may set it
        seq_len = left.number_input("Look-back", 1, 4096, key=choice_key("seq_len"))
        pred_len = middle.number_input("Horizon", 1, 2048, key=choice_key("pred_len"))
        season = right.number_input(
            "Season",
            min_value=1,
            value=None,
            key=choice_key("season"),
            placeholder="by step",
            help="Steps of the main season: by default a day, a week or a year, by the frequency. "
            "Seasonal-naive repeats it.",
        )
    with st.expander("Split and scaling", key="data-fold-split"):
        made |= _about_parts(unmended)
        made["scaling"] = st.selectbox(
            "Scaling",
            get_args(Scaling),
            key=choice_key("scaling"),
            format_func=SCALINGS.__getitem__,
            help=meaning("scaling") + ". Errors are on this scale, and in own units beside it.",
        )
    return Made(choose(**made), seq_len, pred_len, season)


_DATED = {"--date", "--time", "--date-format", "--timezone", "--frequency"}
_MENDED = {"--duplicates", "--resample", "--fill"}


def _about_dates(columns: Sequence[str]) -> dict[str, Any]:
    with st.grid(2, min_column_width=120, vertical_alignment="bottom"):
        return {
            "date": _one("date", "Column of dates", columns, "find it"),
            "time": _one("time", "Column of times of day", columns, "none: dates have them"),
            "date_format": _one("date_format", "Written as", FORMATS, "find it", new=True),
            "frequency": _one("frequency", "Frequency", FREQUENCIES, "find it", new=True),
            "timezone": _one("timezone", "Time zone", ZONES, "as written", new=True),
        }


def _about_mending() -> dict[str, Any]:
    made: dict[str, Any] = {}
    with st.grid(2, min_column_width=120, vertical_alignment="bottom"):
        made["duplicates"] = _one("duplicates", "Repeated dates", get_args(Duplicates), "leave")
        made["resample"] = _one("resample", "Resample by", get_args(Resample), "leave")
        made["fill"] = _one("fill", "Fill missing", get_args(Fill), "leave")
        if made["fill"] is not None:
            made["limit"] = st.number_input(
                "Longest run to fill",
                min_value=1,
                value=None,
                key=choice_key("limit"),
                placeholder="any",
            )
    return made


def _about_columns(columns: Sequence[str], dated: set[str | None]) -> dict[str, Any]:
    made: dict[str, Any] = {
        "drop": _several("drop", "Leave out", columns),
        "past_only": _several("past_only", "Past only: help, but are not forecast", columns),
        "known_future": _several("known_future", "Known in advance", columns),
    }
    parts = {*dated, *(name for names in made.values() for name in names)}
    rest = [name for name in columns if name not in parts]
    return made | {
        "target": _one("target", "Target, where one alone is forecast", rest, "the last")
    }


def _about_parts(unmended: Report) -> dict[str, Any]:
    way = st.segmented_control(
        "Training, validation and test",
        (BY_SHARE, BY_DATE),
        default=BY_SHARE,
        required=True,
        key=choice_key("split"),
    )
    if way == BY_DATE:
        begins = _borders(unmended)
        with st.grid(2, min_column_width=120):
            return {
                name: st.text_input(
                    label,
                    begins[at],
                    key=choice_key(name),
                    placeholder="2024-05-31 or 2024-05-31 18:00",
                    help=meaning(name),
                )
                for at, (name, label) in enumerate(
                    (("validate_from", "Validation from"), ("test_from", "Test from"))
                )
            }
    with st.grid(3, min_column_width=90, vertical_alignment="bottom"):
        training = st.number_input(
            "Training %", 1.0, 98.0, 100 * SHARES[0], 5.0, "%g", key=choice_key("share-training")
        )
        validation = st.number_input(
            "Validation %",
            0.5,
            98.0,
            100 * SHARES[1],
            5.0,
            "%g",
            key=choice_key("share-validation"),
        )
        test = round(100 - training - validation, 6)
        st.metric("Test", f"{test:g} %")
    shares = (training / 100, validation / 100, test / 100)
    usual = max(abs(one - other) for one, other in zip(shares, SHARES, strict=True)) < 1e-9
    return {} if usual else {"shares": shares}


def _borders(unmended: Report) -> tuple[str, str]:
    """Return where validation and test begin by the usual shares, for a person to move."""
    if unmended.frame is None or len(unmended.frame) < 3:
        return "", ""
    dates = pd.DatetimeIndex(unmended.frame.index)
    training, validation, _ = split_rows(len(dates))
    return moment_text(dates[training]), moment_text(dates[training + validation])


def _one(name: str, label: str, options: Sequence[str], none: str, new: bool = False) -> str | None:
    return st.selectbox(
        label,
        options,
        index=None,
        key=choice_key(name),
        placeholder=none,
        format_func=readable,
        accept_new_options=new,
        help=meaning(name),
    )


def _several(name: str, label: str, options: Sequence[str]) -> list[str]:
    return st.multiselect(
        label,
        options,
        key=choice_key(name),
        placeholder="none",
        format_func=readable,
        help=meaning(name),
    )
