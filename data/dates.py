"""Which column holds the dates, how they are written, and how far apart they are.

Nothing is guessed: where a file can be read in two ways, both are named and one must be chosen.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from pandas.tseries.frequencies import to_offset
from pandas.tseries.offsets import BaseOffset

from data import calendar
from data.choices import Choices
from data.dateformats import OFFSET, formats_of, looks_dated, parsed
from data.daylight import in_winter_time
from data.finding import Finding, option, shown
from data.registry import DataError
from data.table import Table

_CODED = {8: "%Y%m%d", 10: "s", 13: "ms"}  # digits -> what such numbers may be
_CLOCK = re.compile(r"([01]?\d|2[0-3])[:.][0-5]\d([:.][0-5]\d([.,]\d+)?)?( ?[AaPp][Mm])?")
LONGEST_GRID = 1_000_000


class OtherFormat(DataError):
    """No date of a file is written as was chosen."""


@dataclass(frozen=True)
class Dates:
    """The date of each row."""

    column: str
    written: str  # the format
    times: pd.Series  # (T,) without time zone; NaT where a cell holds no date
    done: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Source:
    """Where the dates of a table stand: in a column, or with their times of day in two."""

    table: Table
    column: str
    time: str | None

    @functools.cached_property
    def texts(self) -> pd.Series:
        """The text of each row's date (T,), with a blank before its time of day."""
        texts = self.table.texts(self.column)
        if self.time is None:
            return texts
        return texts.str.cat(self.table.texts(self.time), sep=" ").str.strip()

    def times(self, written: str) -> pd.Series:
        """Return each text as a time, as `parsed` does."""
        key = f"{self.column}\0{self.time}", written
        if key not in self.table.times:
            self.table.times[key] = parsed(self.texts, written)
        return self.table.times[key]

    @property
    def said(self) -> str:
        """How a sentence begins that says what dates the rows."""
        return f"C{str(self)[1:]} {'dates' if self.time is None else 'date'}"

    def __str__(self) -> str:
        if self.time is None:
            return f"column {shown(self.column)}"
        return f"columns {shown(self.column)} and {shown(self.time)}"


def find(table: Table, choices: Choices) -> tuple[Dates | None, list[Finding]]:
    """Return the dates of a table, None where something about them must be chosen first.

    Raises:
        DataError: the chosen format or time zone is none.
    """
    if choices.date is not None:
        column = choices.date
    else:
        other = {*choices.drop, *choices.past_only, *choices.known_future}
        other |= {name for name in (choices.target, choices.time) if name is not None}
        free = [name for name in table.columns if name not in other]
        kept = [name for name in free if table.columns[name].texts is not None]
        candidates = [name for name in kept if looks_dated(table.texts(name))]
        if not candidates:
            return None, [_none_found(table, free)]
        if len(candidates) > 1:
            listed = ", ".join(shown(name) for name in candidates)
            return None, [
                Finding(
                    "choose",
                    f"Columns {listed} hold dates; choose the one that dates the rows, and leave "
                    "out the others.",
                    tuple(option("--date", name) for name in candidates),
                )
            ]
        column = candidates[0]
    source = _Source(table, column, choices.time)
    written, found = _choose_format(source, choices)
    if written is None:
        return None, found
    texts, times = source.texts, source.times(written)
    example = times.first_valid_index()
    if example is None:
        raise OtherFormat(f"No cell of {source} is a date written {written}.")
    found.append(
        Finding(
            "info",
            f"{source.said} the rows, written {written}: "
            f"{texts[example]} is read as {times[example]:%d %B %Y %H:%M:%S}.",
        )
    )
    found += _about_cells(source, written, times)
    return _without_zone(table, Dates(column, written, times), texts, choices, found)


def clocks(table: Table, dates: Dates, names: Sequence[str]) -> list[str]:
    """Return the columns that hold times of day, where the dates have none and repeat.

    Hours as numbers from 0 to 23 are times of day where no date has one of them twice.
    """
    known = dates.times.dropna()
    if known.is_unique or (known != known.dt.normalize()).any():
        return []
    return [name for name in names if _like_clock(table, name) or _hours(table, name, dates.times)]


def _like_clock(table: Table, name: str) -> bool:
    if table.columns[name].texts is None:
        return False
    texts = table.texts(name)
    filled = texts[texts != ""]
    return len(filled) > 0 and bool(filled.str.fullmatch(_CLOCK).all())


def _hours(table: Table, name: str, days: pd.Series) -> bool:
    hours = table.number(name)
    if not np.array_equal(np.unique(hours), np.arange(24)):
        return False
    return not (days + pd.to_timedelta(hours, unit="h")).duplicated().any()


# -- how dates are written ----------------------------------------------------------------------


def _choose_format(source: _Source, choices: Choices) -> tuple[str | None, list[Finding]]:
    """Return the one format in which all dates are written, else what must be chosen."""
    if choices.date_format is not None:
        return choices.date_format, []
    texts = source.texts
    filled = texts[texts != ""]
    first = filled.iloc[0] if len(filled) else ""
    possible = formats_of(first)
    if not possible:
        coded = _CODED.get(len(first)) if first.isdecimal() else None
        return None, [
            Finding(
                "choose",
                f"It is not known how the dates in {source} are written "
                f"({shown(first)}); give their format.",
                (option("--date-format", coded),) if coded else (),
            )
        ]
    start = filled.iloc[:1000]  # rules most of them out
    complete = [
        written
        for written in possible
        if parsed(start, written).notna().all()
        and (source.times(written).notna() | (texts == "")).all()
    ]
    if len(complete) > 1:
        one, other = (source.times(written) for written in complete[:2])
        first = next(iter(texts[one != other]), first)  # 01/01 would be the same either way
        readings = " or ".join(f"{datetime.strptime(first, w):%d %B %Y}" for w in complete)
        return None, [
            Finding(
                "choose",
                f"{shown(first)} in {source} may be {readings}, and so it is with all its dates; "
                "choose how they are written.",
                tuple(option("--date-format", written) for written in complete),
            )
        ]
    if complete:
        return complete[0], []
    if parsed(filled, "ISO8601").notna().all():
        other = filled[parsed(filled, possible[0]).isna()].index[0]
        return None, [
            Finding(
                "choose",
                f"Dates are written in several ways, as {shown(first)} and, on "
                f"{source.table.place(other)}, {shown(texts[other])}; all of them can be read as "
                "ISO 8601.",
                (option("--date-format", "ISO8601"),),
            )
        ]
    # The format that fits most cells; what it does not fit is an error of those cells.
    return max(possible, key=lambda written: parsed(filled, written).notna().sum()), []


def _none_found(table: Table, free: list[str]) -> Finding:
    coded = []
    for name in free:
        if table.columns[name].texts is None:
            continue
        texts = table.texts(name)
        width = len(texts.iloc[0])
        if width in _CODED and texts.str.fullmatch(rf"\d{{{width}}}").all():
            coded.append(option("--date", name) + " " + option("--date-format", _CODED[width]))
    if serial := next((name for name in free if _like_workbook(table, name)), None):
        return Finding(
            "error",
            f"No column was found that holds dates, but {shown(serial)} rises as the day numbers "
            "of a workbook do; give its cells a format of dates there, and save it again.",
        )
    return Finding(
        "choose",
        "No column was found that holds dates; name the column and how its dates are written.",
        tuple(coded),
    )


def _like_workbook(table: Table, name: str) -> bool:
    """Tell whether a column may be days since 1900 as workbooks number them, from 1954 to 2064."""
    days = table.number(name)
    return bool(
        len(days) > 1 and days[0] > 20_000 and days[-1] < 60_000 and (np.diff(days) > 0).all()
    )


def _about_cells(source: _Source, written: str, times: pd.Series) -> list[Finding]:
    table = source.table
    bad = times.index[times.isna()]
    if not len(bad):
        return []
    text = source.texts[bad[0]]
    also = f" ({len(bad):,} such lines)" if len(bad) > 1 else ""
    if text == " ".join(filter(None, (source.column, source.time))) and table.lines is not None:
        return [
            Finding(
                "choose",
                f"{table.place(bad[0]).capitalize()} holds the column names again{also}; choose "
                "that it is passed over, or delete it.",
                (option("--skip-line", str(table.lines[bad[0]])),),
            )
        ]
    return [
        Finding(
            "error",
            f"{table.place(bad[0]).capitalize()} has "
            + (f"{shown(text)}, which is no date written {written}," if text else "no date")
            + f" in {source}{also}; mend or remove it in the file.",
        )
    ]


# -- time zones ---------------------------------------------------------------------------------


def _without_zone(
    table: Table, dates: Dates, texts: pd.Series, choices: Choices, found: list[Finding]
) -> tuple[Dates | None, list[Finding]]:
    """Return dates without a zone: as written, or in UTC where a zone was chosen."""
    zone = choices.timezone
    offsets = set()
    if dates.times.dt.tz is not None:
        matches = texts[dates.times.notna()].str.extract(OFFSET, expand=False)
        offsets = set(matches.fillna("").str.replace(":", "").replace("Z", "+0000"))
    if not offsets - {""}:
        plain = replace(dates, times=dates.times.dt.tz_localize(None))
        return (plain, found) if zone is None else _from_zone(table, plain, zone, found)
    if zone is not None and zone.upper() != "UTC":
        raise DataError(
            "The dates carry their offset from UTC; the time zone that can be chosen is UTC."
        )
    in_utc = dates.times.dt.tz_localize(None)
    if zone is not None:
        done = (*dates.done, "Converted the dates to UTC by their own offsets.")
        return replace(dates, times=in_utc, done=done), found
    if len(offsets) > 1 and "" in offsets:
        row = matches.index[matches.isna()][0]
        found.append(
            Finding(
                "error",
                f"{table.place(row).capitalize()} has {shown(texts[row])}, without the offset from "
                "UTC that other dates carry; write it to all of them, or to none.",
            )
        )
        return None, found
    if len(offsets) > 1:
        listed = " and ".join(offset or "none" for offset in sorted(offsets)[:3])
        found.append(
            Finding(
                "choose",
                f"The dates carry several offsets from UTC ({listed}), as with daylight saving; "
                "choose UTC, in which every hour occurs once.",
                (option("--timezone", "UTC"),),
            )
        )
        return None, found
    [offset] = offsets
    found.append(
        Finding("info", f"All dates have the offset {offset} from UTC and are kept as written.")
    )
    shift = pd.Timedelta(hours=int(offset[:3]), minutes=int(offset[0] + (offset[3:5] or "0")))
    return replace(dates, times=in_utc + shift), found


def _from_zone(
    table: Table, dates: Dates, zone: str, found: list[Finding]
) -> tuple[Dates | None, list[Finding]]:
    try:
        ZoneInfo(zone)
    except (KeyError, ValueError, OSError):
        raise DataError(
            f"{shown(zone)} is no time zone; write one such as Europe/Berlin or UTC."
        ) from None
    summer = _localized(dates.times, zone, summer=True)
    winter = _localized(dates.times, zone, summer=False)
    if (skipped := dates.times.notna() & summer.isna()).any():
        row = int(skipped.to_numpy().argmax())
        found.append(
            Finding(
                "error",
                f"{table.place(row).capitalize()} has {dates.times[row]}, an hour that clocks in "
                f"{zone} skip; choose the zone in which the dates were written, such as "
                f"{in_winter_time(zone)} where clocks stay in winter time, or none, as where each "
                "time marks the end of its hour.",
            )
        )
        return None, found
    twice = dates.times.notna() & (summer != winter)  # the hour that clocks show twice
    known = dates.times.dropna()
    newest_first = known.iloc[0] > known.iloc[-1]
    again = twice & dates.times.where(twice).duplicated("last" if newest_first else "first")
    if (once := twice & ~dates.times.where(twice).duplicated(keep=False)).any():
        row = int(once.to_numpy().argmax())
        found.append(
            Finding(
                "warning",
                f"{table.place(row).capitalize()} has {dates.times[row]}, which clocks in {zone} "
                f"show twice, but no row repeats it (such rows: {once.sum():,}); it is taken as "
                "the first, in summer time, and the second is missing.",
            )
        )
    utc = summer.where(~again, winter)
    done = (*dates.done, f"Converted the dates from {zone} to UTC.")
    return replace(dates, times=utc, done=done), found


def _localized(times: pd.Series, zone: str, *, summer: bool) -> pd.Series:
    """Return local times in UTC, NaT where clocks skip them; an hour shown twice is of one kind."""
    which = np.full(len(times), summer)
    local = times.dt.tz_localize(zone, ambiguous=which, nonexistent="NaT")
    utc: pd.Series = local.dt.tz_convert("UTC").dt.tz_localize(None)
    return utc


# -- how far apart dates are --------------------------------------------------------------------


def frequency(times: pd.DatetimeIndex, choices: Choices) -> tuple[str | None, list[Finding]]:
    """Return the step between dates, (T,) in order and each once, as a pandas alias.

    Raises:
        DataError: the chosen frequency is none.
    """
    if choices.frequency is not None:
        return offset(choices.frequency).freqstr, []
    if len(times) < 3:
        return None, [
            Finding("error", "Fewer than 3 dates have no frequency; add the rows that are missing.")
        ]
    with pd.option_context("future.infer_freq_returns_offset", True):
        inferred = pd.infer_freq(times)
    if inferred is not None:
        alias = str(getattr(inferred, "freqstr", inferred))
        return alias, [Finding("info", f"Every step is {alias}.")]
    common = (times[1:] - times[:-1]).value_counts().index[0]
    alias = _calendar_step(times, common)
    share = float((times[:-1] + offset(alias) == times[1:]).mean())
    if share < 0.5:
        return None, [
            Finding(
                "choose",
                f"The dates have no common step (the most common, {common}, makes up {share:.1%}); "
                "choose a frequency and how rows are brought to it.",
                (option("--frequency", alias) + " " + option("--resample", "mean"),),
            )
        ]
    return alias, [
        Finding(
            "warning",
            f"The dates have no one step; the most common is {alias} ({min(share, 0.999):.1%} of "
            f"all steps{' and more' if share > 0.999 else ''}), which is taken as the frequency.",
            (option("--frequency", alias),),
        )
    ]


def _calendar_step(times: pd.DatetimeIndex, step: pd.Timedelta) -> str:
    """Return the alias of a step; those of the calendar where all dates lie on it."""
    candidates = {1: ("B",), 28: ("MS", "ME"), 90: ("QS",), 365: ("YS",)}
    days = step / pd.Timedelta(days=1)
    for least, aliases in candidates.items():
        if least <= days < 1.15 * least + 0.1:
            for alias in aliases:
                if all(to_offset(alias).is_on_offset(time) for time in times):
                    return offset(alias).freqstr
    if days % 7 == 0:
        return offset(f"{days / 7:.0f}W-{times[0]:%a}".upper()).freqstr
    return offset(f"{days:.0f}D" if days % 1 == 0 else step).freqstr


def offset(frequency: str | pd.Timedelta) -> BaseOffset:
    """Return a frequency that the calendar knows; raises DataError."""
    try:
        found = to_offset(frequency)
    except ValueError:
        raise DataError(
            f"{shown(str(frequency))} is no pandas frequency; take one such as 'h' or '15min'."
        ) from None
    if found.n < 1:
        raise DataError(f"The frequency {shown(str(frequency))} does not go forward; write a step.")
    calendar.names(found.freqstr)
    return found


def grid(times: pd.DatetimeIndex, frequency: str) -> pd.DatetimeIndex:
    """Return every step from the first date to the last; raises DataError where they are too many.

    Args:
        times: dates in order.
        frequency: pandas alias.
    """
    step = offset(frequency)
    first_steps = pd.date_range(times[0], periods=2, freq=step)
    count = (times[-1] - times[0]) / (first_steps[1] - first_steps[0])
    if count > max(LONGEST_GRID, 2 * len(times)):
        raise DataError(
            f"From {times[0]} to {times[-1]} there are {count:,.0f} steps of {frequency}; choose "
            "a longer frequency and resample, or mend the dates."
        )
    return pd.date_range(times[0], times[-1], freq=step)


def season(frequency: str) -> int:
    """Return the steps of the main season: a day, a week for daily data, a year above that."""
    unit = re.sub(r"^\d+", "", frequency.split("-")[0])
    yearly = {"W": 52, "SMS": 24, "SME": 24, "MS": 12, "ME": 12, "BMS": 12, "BME": 12}
    yearly |= {"QS": 4, "QE": 4, "BQS": 4, "BQE": 4, "YS": 1, "YE": 1}
    per_season = {"D": 7, "B": 5, "C": 5, **yearly}
    step = offset(frequency)
    if unit in per_season:
        return max(1, per_season[unit] // step.n)
    first = pd.date_range("2024-01-01", periods=2, freq=step)
    return max(1, round(pd.Timedelta(days=1) / (first[1] - first[0])))
