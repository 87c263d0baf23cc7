"""Checks a file before it is used: what its columns are, what is wrong, what can be chosen.

Nothing is changed or guessed in silence: what is not clear is a finding that asks for a choice, and
what a choice changed is told. Where values are missing, infinite or have no scale, the file is not
usable: they would poison the scaling or the loss.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import ValidationError

from data import dates, daylight, markers
from data.choices import Choices
from data.cleaning import Cleaned, clean
from data.daylight import Daylight
from data.finding import LEVELS, Finding, option, shown
from data.parts import Parts, about_parts, about_scaling
from data.registry import DataError
from data.splits import Scaler
from data.table import Floats, Odd, Table

_CLOCKS_CHANGE = (1900, 2200)  # years; pandas knows no time zones much beyond
_MISSING_APART = 3  # columns with missing values that are told one by one
_FLAT_AT_LEAST = 12  # equal values in a row; shorter runs are common in rounded measurements


@dataclass(frozen=True)
class Column:
    """What is known about a column after cleaning."""

    name: str
    role: str  # date, time, target, past-only, known-future, left out
    kind: str  # date, number, constant, text, empty
    missing: int = 0
    minimum: float | None = None
    mean: float | None = None
    maximum: float | None = None
    longest_flat: int = 0  # equal values in a row
    flat_from: str = ""  # date of the first of them


@dataclass(frozen=True)
class Report:
    """What a check found."""

    rows: int  # after cleaning
    columns: tuple[Column, ...]  # in file order
    target: str | None
    frequency: str | None
    first: str | None
    last: str | None
    findings: tuple[Finding, ...]  # the gravest first
    done: tuple[str, ...]  # what the choices changed, a sentence each
    frame: pd.DataFrame | None  # (T, C) of float64 by date, as far as it could be read
    date_format: str | None = None  # as chosen or found
    split_rows: Parts | None = None  # of training, validation and test, where dates allow a split

    @property
    def usable(self) -> bool:
        """Whether nothing is left that must be mended or chosen."""
        return not any(finding.blocks for finding in self.findings)

    def facts(self) -> dict[str, Any]:
        """Return the report as plain data, without the values."""
        found = asdict(Report(**{**self.__dict__, "frame": None}))
        del found["frame"]
        return {"usable": self.usable, **found}


def choose(**values: object) -> Choices:
    """Return choices made outside, of which absent ones are None or empty; raises DataError."""
    try:
        return Choices.model_validate({name: value for name, value in values.items() if value})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = f"{first['loc'][0]}: " if first["loc"] else ""
        said = str(first["msg"]).removeprefix("Value error, ")
        raise DataError(f"The choices do not go together: {where}{said}.") from None


def inspect(
    table: Table, choices: Choices | None = None, seq_len: int = 96, pred_len: int = 24
) -> Report:
    """Return what is wrong with a file, and its values as the choices leave them.

    Args:
        table: what was read of the file, with choices that read it so, see `intake.reading`.
        choices: how it is read and mended; by default nothing is.
        seq_len: look-back in time steps.
        pred_len: horizon in time steps.

    Raises:
        DataError: a choice does not fit the file.
    """
    choices = choices or Choices()
    _require_known(table, choices)
    dated, about_dates = dates.find(table, choices)
    findings = [*table.findings, *about_dates]
    dating = {choices.time} if dated is None else {dated.column, choices.time}
    findings += [
        found
        for labels, found in table.unnamed
        if not (labels.intersection(choices.drop) or labels <= dating)
    ]
    names = [name for name in table.columns if name not in choices.drop and name not in dating]
    times = [] if dated is None or choices.time else dates.clocks(table, dated, names)
    values = table.frame(names)
    kinds, about_cells = _about_cells(table, names, times)
    suspects = markers.suspects(table, names)
    if dated is None:
        return _report(
            table, choices, kinds, findings, Cleaned(values, (), values), None, None, None
        )
    findings += about_cells
    if "date" in names:
        findings.append(
            Finding(
                "error",
                f"Column 'date' holds no dates of the rows, those are in {shown(dated.column)}; "
                "rename it in the file, or leave it out.",
                (option("--drop", "date"),),
            )
        )
    rows = np.flatnonzero(dated.times.notna())
    frame = values if len(rows) == len(values) else values.iloc[rows]
    frame = frame.set_axis(pd.DatetimeIndex(dated.times.iloc[rows]))
    places = Places(table, rows)
    findings += _about_order(frame, places)
    index = pd.DatetimeIndex(frame.index.sort_values())
    step, about_step = dates.frequency(index.unique(), choices)
    summer = _daylight(index, step, choices)
    findings += _about_times(table, times) or _about_repeats(frame, places, choices, summer)
    findings += about_step
    cleaned = clean(frame, choices, step)
    done = [f"Left out column {name}." for name in choices.drop]
    done += markers.done(table, names, choices)
    cleaned = replace(cleaned, done=(*done, *dated.done, *cleaned.done))
    target, about_target = _target([n for n in names if n not in times], choices)
    findings += about_target
    season = 1
    if step is not None:
        findings += _about_grid(cleaned.frame, step, summer)
        season = dates.season(step)
    # What is missing or constant where cells are no numbers shows once those are settled.
    sound = cleaned.frame[[n for n in names if table.columns[n].bad is None]]
    findings += _about_missing(sound)
    findings += _about_filled(cleaned.measured[list(sound.columns)], choices)
    index = pd.DatetimeIndex(cleaned.frame.index)
    parts, about_split = about_parts(index, choices, seq_len, pred_len, season)
    if parts is not None:
        findings += _about_constants(sound, choices, parts[0])
        findings += about_scaling(cleaned.frame, parts, choices)
    # A calendar keeps its flags, and what was filled in may well stand still.
    measured = cleaned.measured.drop(columns=list(choices.known_future))
    findings += _about_flats(measured, season, set(suspects))
    findings += [*markers.about(suspects), *about_split]
    report = _report(table, choices, kinds, findings, cleaned, dated.column, step, target)
    return replace(report, split_rows=parts, date_format=dated.written)


@dataclass(frozen=True)
class Places:
    """Where the rows of a table that were kept stand in the file."""

    table: Table
    rows: NDArray[np.int64]

    def __getitem__(self, row: int) -> str:
        return self.table.place(int(self.rows[row]))


# -- cells --------------------------------------------------------------------------------------


def _require_known(table: Table, choices: Choices) -> None:
    known = list(table.columns)
    named = (*choices.drop, *choices.past_only, *choices.known_future)
    for name in (*named, choices.date, choices.time, choices.target):
        if name is not None and name not in known:
            raise DataError(
                f"The file has no column {shown(name)}; it has "
                f"{', '.join(shown(other) for other in known[:20])}."
            )


def _about_cells(
    table: Table, names: Sequence[str], times: Sequence[str]
) -> tuple[dict[str, str], list[Finding]]:
    """Return what each column is, and what to do about cells that are no finite number.

    Nothing is said of columns that hold times of day.
    """
    kinds: dict[str, str] = {}
    found: list[Finding] = []
    commas = 0  # columns of which the first tells of all
    for name in names:
        cells, filled = table.columns[name], int(np.isfinite(table.number(name)).sum())
        kinds[name] = "number"
        if cells.bad is not None:
            with_comma = _COMMA.fullmatch(cells.bad.text)
            if name not in times and not (with_comma and commas):
                found.append(_no_number(table, name, cells.bad))
            commas += bool(with_comma)
            kinds[name] = "text" if cells.bad.count == table.rows else "number"
        elif not filled and cells.infinite is None:
            kinds[name] = "empty"
        if cells.infinite is not None:
            found.append(_infinite(table, name, cells.infinite))
    return kinds, found


def _infinite(table: Table, name: str, beyond: Odd) -> Finding:
    finite = np.isfinite(float(beyond.text.replace(",", ".")))
    return Finding(
        "error",
        f"{table.place(beyond.row).capitalize()} has {shown(beyond.text)} in column {shown(name)}, "
        f"which is {'larger than models can compute with' if finite else 'infinite'} "
        f"({_count(beyond.count, 'such cell')}); mend the file, or leave the column out.",
        (option("--drop", name),),
    )


_COMMA = re.compile(r"[+-]?\d+,\d+")
_GROUPED = re.compile(r"[+-]?\d{1,3}([,.' ]\d{3})+([.,]\d+)?")


def _no_number(table: Table, name: str, bad: Odd) -> Finding:
    text, said = bad.text, f"{table.place(bad.row).capitalize()} has {shown(bad.text)} in column "
    said += f"{shown(name)}, which is no number ({_count(bad.count, 'such cell')}); "
    left_out = option("--drop", name)
    if _COMMA.fullmatch(text):
        hint = f"if its comma is for decimals, choose so, and {text} is read as "
        hint += f"{text.replace(',', '.')}; if it is for thousands, save the file without it"
        return Finding("choose", f"{said}{hint}.", (option("--decimal", ","), left_out))
    hint = "mend the file, or leave the column out"
    if text == name and table.lines is not None:
        hint = "the column names stand there again: pass over that line"
        passed_over = option("--skip-line", str(table.lines[bad.row]))
        return Finding("choose", f"{said}{hint}.", (passed_over, left_out))
    if _GROUPED.fullmatch(text):
        hint = "save the file without signs between thousands"
    return Finding("error", f"{said}{hint}.", (left_out,))


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number > 1)}"


# -- rows ---------------------------------------------------------------------------------------


def _about_order(frame: pd.DataFrame, places: Places) -> list[Finding]:
    if frame.index.is_monotonic_increasing:
        return []
    times = frame.index.to_numpy()
    at = int(np.flatnonzero(times[1:] < times[:-1])[0]) + 1
    return [
        Finding(
            "warning",
            f"The rows are not in order of time: {places[at]} ({frame.index[at]}) is earlier "
            "than the row before it; the copy is sorted.",
        )
    ]


def _about_repeats(
    frame: pd.DataFrame, places: Places, choices: Choices, summer: Daylight | None
) -> list[Finding]:
    if frame.index.is_unique or choices.duplicates is not None:
        return []
    again = np.flatnonzero(frame.index.duplicated())
    whole = frame.reset_index()
    equal = int(whole.duplicated().sum())
    ways: tuple[str, ...] = ("first", "last", "mean")
    if equal == len(again):
        text, ways = "with the same values; keep one of each", ("first",)
    elif equal == 0:
        text = "with other values; choose which count"
    else:
        text = f"{equal:,} of them with the same values, the others not; choose which count"
    return [
        Finding(
            "choose",
            f"{_count(len(again), 'row')} repeat{'s' * (len(again) == 1)} a date, first on "
            f"{places[again[0]]} ({frame.index[again[0]]}), {text}.{summer.hint if summer else ''}",
            (
                *(summer.offers if summer else ()),
                *(option("--duplicates", way) for way in ways),
            ),
        )
    ]


def _about_times(table: Table, times: Sequence[str]) -> list[Finding]:
    if not times:
        return []
    return [
        Finding(
            "choose",
            f"The dates repeat and have no times of day, which stand in column {shown(times[0])}; "
            "choose that they are joined, or leave that column out.",
            (
                *(option("--time", name) for name in times),
                *(option("--drop", name) for name in times[:1]),
            ),
        )
    ]


def _about_grid(frame: pd.DataFrame, step: str, summer: Daylight | None) -> list[Finding]:
    """Say where dates lie between the steps, and which steps are missing."""
    index = pd.DatetimeIndex(frame.index).unique()
    steps = dates.grid(index, step)
    between = index.difference(steps)
    if len(between):
        return [
            Finding(
                "choose",
                f"{len(between):,} of {len(index):,} rows lie between steps of {step}, first "
                f"{between[0]}; choose what becomes of the rows of a step.",
                tuple(option("--resample", way) for way in ("mean", "last", "sum")),
            )
        ]
    absent = steps.difference(index)
    if not len(absent):
        return []
    numbers = steps.get_indexer(absent)
    gaps = np.split(numbers, np.flatnonzero(np.diff(numbers) > 1) + 1)
    longest = max(gaps, key=len)
    return [
        Finding(
            "choose",
            f"{_count(len(absent), 'step')} of {step} {'is' if len(absent) == 1 else 'are'} "
            f"missing in {len(gaps):,} "
            f"gap{'s' * (len(gaps) > 1)}, the longest of {len(longest):,} from {steps[longest[0]]} "
            f"on; choose how they are filled.{summer.hint if summer else ''}",
            (
                *(summer.offers if summer else ()),
                *(option("--fill", way) for way in ("interpolate", "forward", "zero")),
            ),
        )
    ]


def _daylight(index: pd.DatetimeIndex, step: str | None, choices: Choices) -> Daylight | None:
    """Return the zones whose clocks explain what is missing or repeated, if none was chosen."""
    if step is None or choices.timezone is not None or not len(index):
        return None
    if index[0].year < _CLOCKS_CHANGE[0] or index[-1].year > _CLOCKS_CHANGE[1]:
        return None
    return daylight.changes(index, dates.grid(index, step))


# -- columns ------------------------------------------------------------------------------------


def _target(names: list[str], choices: Choices) -> tuple[str | None, list[Finding]]:
    targets = [n for n in names if n not in (*choices.past_only, *choices.known_future)]
    if choices.target is not None or len(targets) == 1:
        return choices.target or targets[0], []
    if not targets:
        return None, [Finding("error", "No column is left that could be forecast; keep one.")]
    return targets[-1], [
        Finding(
            "info",
            f"Where one column alone is forecast, it is the last, {shown(targets[-1])}.",
            tuple(option("--target", name) for name in targets[:3]),
        )
    ]


def _about_missing(frame: pd.DataFrame) -> list[Finding]:
    """Say where values are missing: of many columns in one sentence, with the worst of them."""
    missing = frame.isna().sum().sort_values(ascending=False, kind="stable")
    partly = missing[(missing > 0) & (missing < len(frame))]
    if len(partly) > _MISSING_APART:
        without = list(missing.index[missing == len(frame)])
        worst = ", ".join(f"{shown(str(n))} ({count:,})" for n, count in partly[:3].items())
        half = [str(name) for name in partly.index[partly > len(frame) / 2]]
        text = (
            f"Values are missing in {len(partly):,} columns, of {len(frame):,} rows most in "
            f"{worst}; choose how they are filled, or leave columns out."
        )
        offers = [option("--fill", way) for way in ("interpolate", "forward", "zero")]
        offers += [option("--drop", name) for name in half]
        return [Finding("choose", text, tuple(offers)), *_about_missing(frame[without])]
    found = []
    ways: tuple[str, ...]
    for name in frame.columns:
        holes = np.flatnonzero(frame[name].isna())
        if len(holes) == len(frame):
            text, ways = f"Column {shown(name)} has no values; leave it out.", ()
        elif len(holes):
            text = (
                f"{_count(len(holes), 'value')} of column {shown(name)} "
                f"{'is' if len(holes) == 1 else 'are'} missing, first at "
                f"{frame.index[holes[0]]}; choose how they are filled, or leave it out."
            )
            ways = ("interpolate", "forward", "zero")
        else:
            continue
        offers = [option("--fill", way) for way in ways]
        found.append(Finding("choose", text, (*offers, option("--drop", name))))
    return found


def _about_filled(frame: pd.DataFrame, choices: Choices) -> list[Finding]:
    """Warn of columns that are filled more than they are measured."""
    if choices.fill is None:
        return []
    missing = frame.isna().sum()
    return [
        Finding(
            "warning",
            f"{missing[name]:,} of {len(frame):,} values of column {shown(name)} are missing and "
            "filled, more than were measured; a model would learn the filling.",
            (option("--drop", name),),
        )
        for name in frame.columns
        if len(frame) / 2 < missing[name] < len(frame)
    ]


def _about_constants(frame: pd.DataFrame, choices: Choices, training: int) -> list[Finding]:
    """Say which columns have no scale over the training rows; see `data.splits.Scaler`."""
    if training < 2:
        return []
    values = frame.to_numpy(np.float64)
    constant = _constant(values[:training])
    found = []
    for name in frame.columns[constant]:
        column = frame[name].dropna()
        if column.empty or np.isinf(column).any():
            continue  # said elsewhere
        whole = column.nunique() == 1
        where = "" if whole else f" over the training part, the first {training:,} rows"
        if name in (*choices.past_only, *choices.known_future):
            text = f"Column {shown(name)} is constant{where}; it is held at 0 and tells nothing."
            found.append(Finding("warning", text, (option("--drop", name),)))
        else:
            text = (
                f"Column {shown(name)} is constant{where}, so that it has no scale and cannot be "
                "forecast; leave it out, or make it past-only."
            )
            offers = (option("--drop", name), option("--past-only", name))
            found.append(Finding("choose", text, offers))
    return found


def _constant(values: Floats) -> NDArray[np.bool_]:
    """Return which columns of (T, C) have no scale, (C,); only the doubtful ones are fitted."""
    found = np.zeros(values.shape[1], bool)
    for at, column in enumerate(values.T):
        low, high = np.fmin.reduce(column), np.fmax.reduce(column)
        if np.isinf([low, high]).any():  # which is told of its cells
            continue
        largest = max(abs(low), abs(high))
        # The deviation is at least this: half the range, divided among all rows.
        if not (high - low) / np.sqrt(2 * len(column)) > largest * 1e-15 * len(column):
            found[at] = Scaler.fit(column[:, None]).constant[0]
    return found


def _about_flats(frame: pd.DataFrame, season: int, suspects: set[float]) -> list[Finding]:
    """Say which columns stand still, but at a value of which it is said that it may be none."""
    found = []
    for name in frame.columns:
        longest, start = longest_flat(frame[name].to_numpy(np.float64))
        if longest and frame[name].iloc[start] in suspects:
            continue
        if longest >= max(_FLAT_AT_LEAST, season) and frame[name].nunique() > 2:
            found.append(
                Finding(
                    "warning",
                    f"Column {shown(name)} keeps one value ({frame[name].iloc[start]:g}) for "
                    f"{longest:,} steps from {frame.index[start]} on; see whether a sensor stood "
                    "still.",
                )
            )
    return found


def longest_flat(values: NDArray[np.float64]) -> tuple[int, int]:
    """Return length and first row of the longest run of equal numbers in (T,); (0, 0) if none."""
    if not len(values) or np.isnan(values).all():
        return 0, 0
    changed = np.flatnonzero(np.concatenate(([True], values[1:] != values[:-1])))
    lengths = np.diff(np.append(changed, len(values)))
    best = int(np.argmax(lengths))
    return int(lengths[best]), int(changed[best])


# -- report -------------------------------------------------------------------------------------


def _report(
    table: Table,
    choices: Choices,
    kinds: dict[str, str],
    findings: Iterable[Finding],
    cleaned: Cleaned,
    date: str | None,
    frequency: str | None,
    target: str | None,
) -> Report:
    frame = cleaned.frame
    order = list(LEVELS)
    columns = []
    for name in table.columns:
        if name == date or name == choices.time:
            columns.append(Column(name, "date" if name == date else "time", "date"))
        elif name not in frame:
            columns.append(Column(name, "left out", ""))
        else:
            columns.append(
                _column(frame[name], _role(name, choices), kinds[name], date is not None)
            )
    dated = date is not None and len(frame) > 0
    return Report(
        rows=len(frame),
        columns=tuple(columns),
        target=target,
        frequency=frequency,
        first=str(frame.index[0]) if dated else None,
        last=str(frame.index[-1]) if dated else None,
        findings=tuple(sorted(findings, key=lambda finding: order.index(finding.level))),
        done=cleaned.done,
        frame=frame if dated else None,
    )


def _role(name: str, choices: Choices) -> str:
    if name in choices.past_only:
        return "past-only"
    return "known-future" if name in choices.known_future else "target"


def _column(values: pd.Series, role: str, kind: str, dated: bool) -> Column:
    numbers = values.to_numpy(np.float64)
    missing = int(np.isnan(numbers).sum())
    finite = numbers[np.isfinite(numbers)]
    if not len(finite):
        return Column(str(values.name), role, kind, missing)
    longest, start = longest_flat(numbers)
    return Column(
        name=str(values.name),
        role=role,
        kind="constant" if kind == "number" and finite.min() == finite.max() else kind,
        missing=missing,
        minimum=float(finite.min()),
        mean=float(finite.mean()),
        maximum=float(finite.max()),
        longest_flat=longest,
        flat_from=str(values.index[start]) if dated else "",
    )
