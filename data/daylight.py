"""Hours that are missing or repeated because clocks change: which time zones would explain them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from data.finding import option

_ZONES = (
    *("Europe/Berlin", "Europe/London", "Europe/Athens"),
    *("America/New_York", "America/Chicago", "America/Los_Angeles", "America/Santiago"),
    *("Australia/Sydney", "Pacific/Auckland"),
)
_NONE, _HOUR = timedelta(0), timedelta(hours=1)


@dataclass(frozen=True)
class Daylight:
    """Zones whose clocks change where hours are missing or repeated."""

    zones: tuple[str, ...]  # for times that mark the beginning of a step, as most do
    ending: tuple[str, ...]  # for times that mark its end: no zone can be chosen for those

    @property
    def hint(self) -> str:
        """How the sentence about missing or repeated hours goes on."""
        said = " They lie where clocks change"
        if self.zones:
            said += f" in {self.zones[0]}: if the times are of there, name the time zone instead"
        if self.zones and self.ending:
            said += ". So they do"
        if self.ending:
            said += (
                f" in {self.ending[0]} for times that mark the end of an hour: such times stay "
                "local, so choose here"
            )
        return f"{said}."

    @property
    def offers(self) -> tuple[str, ...]:
        """The options that settle it."""
        return tuple(option("--timezone", zone) for zone in self.zones)


def changes(times: pd.DatetimeIndex, steps: pd.DatetimeIndex) -> Daylight | None:
    """Return which zones explain the hours that are missing or repeated; None where none does.

    A zone does where every hour that its clocks skip is missing beside hours that are there, and
    most repeated times are of an hour that its clocks show twice.

    Args:
        times: local times (T,), repeated ones among them.
        steps: every step from the first to the last.
    """
    if len(steps) < 3 or steps[1] - steps[0] > pd.Timedelta(hours=1) or times.hour.nunique() < 24:
        return None
    repeated = times[times.duplicated()].unique()
    if not len(repeated) and len(times) == len(steps):
        return None  # none is missing either
    step = steps[1] - steps[0]
    begins, ending = (
        tuple(zone for zone in _ZONES if _fits(times, steps, repeated, zone, later))
        for later in (pd.Timedelta(0), step)
    )
    return Daylight(begins, ending) if begins or ending else None


def _fits(
    times: pd.DatetimeIndex,
    steps: pd.DatetimeIndex,
    repeated: pd.DatetimeIndex,
    zone: str,
    later: pd.Timedelta,
) -> bool:
    step = steps[1] - steps[0]
    of_one_kind = np.full(len(steps), True)
    local = steps.tz_localize(zone, ambiguous=of_one_kind, nonexistent="NaT")
    skipped = steps[local.isna()] + later
    if skipped.isin(times).any() or not (len(skipped) or len(repeated)):
        return False
    beside = (skipped - pd.Timedelta(hours=1)).isin(times) | (skipped + step).isin(times)
    if len(skipped) and not beside.any():
        return False
    if not len(repeated):
        return True
    shown = (repeated - later).tz_localize(zone, ambiguous="NaT", nonexistent="shift_forward")
    return bool(np.mean(shown.isna()) > 0.5)


def in_winter_time(zone: str) -> str:
    """Return the name of the zone whose clocks stay at the winter time of another."""
    january = datetime(2024, 1, 1)
    known = ZoneInfo(zone)
    hours = ((known.utcoffset(january) or _NONE) - (known.dst(january) or _NONE)) / _HOUR
    return f"Etc/GMT{-hours:+g}" if hours % 1 == 0 else "UTC"
