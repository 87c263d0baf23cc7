"""Buttons below a finding: each makes one of the choices that settle it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence

import streamlit as st

from data.finding import Finding
from pages._parts.data_file import choice_key
from pages._parts.text import plain, readable

SHOWN = 5

_SAID: Mapping[str, Callable[[str], str]] = {
    "encoding": lambda value: f"Encoding {value}",
    "decimal": lambda value: "Decimals follow a comma" if value == "," else "… a point",
    "skip_lines": lambda value: f"Pass over line {value}",
    "missing": lambda value: f"{value} stands for missing",
    "date": lambda value: f"Dates in {value}",
    "time": lambda value: f"Times of day in {value}",
    "date_format": lambda value: f"Written {value}",
    "timezone": lambda value: f"Time zone {value}",
    "frequency": lambda value: f"Every {value}",
    "duplicates": lambda value: f"Keep the {value}" if value != "mean" else "Their mean",
    "resample": lambda value: f"Take the {value}",
    "fill": {
        "interpolate": "Interpolate",
        "forward": "Last value before",
        "zero": "Fill with 0",
    }.__getitem__,
    "drop": lambda value: f"Leave out {value}",
    "past_only": lambda value: f"Past only: {value}",
    "target": lambda value: f"Target {value}",
    "scaling": lambda value: f"Scaling {value}",
    "seq_len": lambda value: f"Look-back {value}",
    "pred_len": lambda value: f"Horizon {value}",
}
_COUNTS = ("seq_len", "pred_len")
_NAMES = {"skip_line": "skip_lines"}
_SEVERAL = ("drop", "past_only")
_WRITTEN = ("missing", "skip_lines")  # as text, with commas between


def show_offers(finding: Finding, key: str) -> None:
    """Draw a button for each of the first options of a finding, which makes that choice."""
    offers = [chosen_by(offer) for offer in finding.options]
    offers = [made for made in offers if all(name in _SAID for name, _ in made)]
    if not offers:
        return
    with st.container(horizontal=True, gap="small"):
        for number, made in enumerate(offers[:SHOWN]):
            label = ", ".join(_SAID[name](readable(value)) for name, value in made)
            st.button(
                plain(label[:60]),
                key=f"{key}-{number}",
                on_click=_choose,
                args=(made,),
            )
    if len(offers) > SHOWN:
        st.caption(f"{len(offers) - SHOWN} more can be chosen under Choices.")


def chosen_by(offer: str) -> list[tuple[str, str]]:
    """Return the choices that options of the command line make, by name and in order."""
    words = shlex.split(offer)
    names = [word.removeprefix("--").replace("-", "_") for word in words[::2]]
    return [(_NAMES.get(n, n), value) for n, value in zip(names, words[1::2], strict=True)]


def _choose(made: Sequence[tuple[str, str]]) -> None:
    for name, value in made:
        key = choice_key(name)
        held = st.session_state.get(key)
        if name in _SEVERAL:
            st.session_state[key] = [*(held or []), value]
        elif name in _WRITTEN:
            st.session_state[key] = ", ".join(filter(None, (held, value)))
        else:
            st.session_state[key] = int(value) if name in _COUNTS else value
