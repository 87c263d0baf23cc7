"""`python -m informer.predict`: the future of a series, forecast by the model of a bundle.

Values go in and come out in the units of the data. Dates are without zone, in UTC where the
choices of the bundle name a time zone; they are written in that zone, with their offset.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from pydantic import ValidationError

from data.finding import shown
from data.splits import Floats
from informer.bundle import Bundle, BundleError
from informer.intervals import Intervals, Level, follow, spread
from informer.lookback import Window, window

if TYPE_CHECKING:
    from informer.forecaster import Forecaster

FOLLOWED = 500
"""Steps before the forecast whose misses the widths of intervals follow, at most."""
_FAR = 20.0  # scales from the centre of the training part; more is told


@dataclass(frozen=True)
class Forecast:
    """A forecast of H steps after the last value, in the units of the data."""

    columns: tuple[str, ...]
    last: pd.Timestamp  # of the last value
    dates: pd.DatetimeIndex  # (H,)
    values: Floats  # (H, C)
    bounds: Mapping[float, tuple[Floats, Floats]]  # level -> lower and upper, (H, C) each
    followed: int  # steps whose misses the widths of intervals followed
    notes: tuple[str, ...] = ()

    def table(self) -> pd.DataFrame:
        """Return a row for each step: of each column the forecast, then its bounds by level."""
        columns = {}
        for number, name in enumerate(self.columns):
            columns[name] = self.values[:, number]
            for level, (low, high) in self.bounds.items():
                columns[f"{name}_low_{100 * level:g}"] = low[:, number]
                columns[f"{name}_high_{100 * level:g}"] = high[:, number]
        return pd.DataFrame(columns, index=self.dates.rename("date"))


def predict(
    bundle: Bundle,
    frame: pd.DataFrame,
    levels: Sequence[float] = (0.8, 0.9),
    device: str = "cpu",
) -> Forecast:
    """Return the forecast that begins one step after the last value.

    Args:
        bundle: with the model.
        frame: (T, columns) in the units of the data, indexed by dates without zone. At its end are
            `seq_len` complete steps or more; columns that are known in advance go on for
            `pred_len` steps, in rows where the others are missing.
        levels: of intervals, each one that the bundle has; none are made if there are none.
        device: on which to forecast.

    Raises:
        DataError: the frame does not suffice.
        BundleError: the bundle has no such intervals.
        DeviceError: the device is not there.
    """
    seq_len, outputs = bundle.config.data.seq_len, bundle.roles.outputs
    intervals, chosen = _levels(bundle, levels)
    seen = window(bundle, frame, FOLLOWED)
    model, last = bundle.model(device), len(seen.values)
    scaled = _forecasts(model, seen, [last], seq_len, device)[0]
    scaler = bundle.scaler.of(outputs)
    bounds: dict[float, tuple[Floats, Floats]] = {}
    followed = 0
    if intervals is not None:
        past = seen.values[last - seq_len :, outputs].astype(np.float64)
        begins = _judged_from(seen, intervals, seq_len)
        followed = last - begins
        sizes, spreads = _misses(model, seen, begins, bundle, device)
        for level in chosen:
            widths = intervals.half_widths(spreads, level)
            factors = follow(sizes, widths, level.level)[-1]
            width = factors * intervals.half_widths(spread(past[None]), level)[0]
            bounds[level.level] = scaler.inverse(scaled - width), scaler.inverse(scaled + width)
    return Forecast(
        columns=bundle.roles.forecast,
        last=seen.dates[last - 1],
        dates=seen.dates[last:],
        values=scaler.inverse(scaled),
        bounds=bounds,
        followed=followed,
        notes=_unusual(seen, bundle),
    )


def _unusual(seen: Window, bundle: Bundle) -> tuple[str, ...]:
    size = np.abs(seen.values[-bundle.config.data.seq_len :]).max(axis=0)
    far = [bundle.roles.inputs[number] for number in np.flatnonzero(size > _FAR)]
    if bundle.data.scaling == "none" or not far:
        return ()
    return (
        f"Values of {', '.join(map(shown, far[:5]))} lie more than {_FAR:g} scales from the centre "
        "of what the model was trained on; see whether they are in the same units.",
    )


# -- forecasts and the errors of earlier ones ---------------------------------------------------


def _forecasts(
    model: Forecaster, seen: Window, origins: Sequence[int], seq_len: int, device: str
) -> Floats:
    """Return the scaled forecasts (N, H, C) that begin at these steps."""
    horizon = len(seen.known) - len(seen.values)
    values = np.stack([seen.values[origin - seq_len : origin] for origin in origins])
    known = np.stack([seen.known[origin - seq_len : origin + horizon] for origin in origins])
    with torch.inference_mode():
        where = torch.device(device)
        made = model(torch.tensor(values, device=where), torch.tensor(known, device=where))
    forecasts: Floats = made.double().cpu().numpy()
    return forecasts


def _levels(bundle: Bundle, levels: Sequence[float]) -> tuple[Intervals | None, tuple[Level, ...]]:
    """Return the intervals of a bundle, None where none are wanted, and those of the levels."""
    if not levels:
        return None, ()
    if bundle.intervals is None:
        raise BundleError("The bundle has no intervals; ask for none.")
    try:
        intervals = Intervals.model_validate_json(bundle.intervals)
    except ValidationError:
        raise BundleError("intervals.json is not valid; fetch the bundle again.") from None
    shape = bundle.config.data.pred_len, len(bundle.roles.forecast)
    found = []
    for wanted in levels:
        level = intervals.find(wanted)
        if level is None:
            has = ", ".join(f"{100 * one.level:g}" for one in intervals.levels) or "none"
            raise BundleError(f"The bundle has no intervals of {100 * wanted:g} %; it has {has}.")
        if (len(level.quantiles), len(intervals.least)) != shape:
            raise BundleError("intervals.json is not of this model; fetch the bundle again.")
        found.append(level)
    return intervals, tuple(found)


def _judged_from(seen: Window, intervals: Intervals, seq_len: int) -> int:
    """Return the first step whose forecast may be judged: training must not have seen it."""
    steps = len(seen.values)
    if intervals.trained_until is None:
        return steps
    unseen = int(seen.dates.searchsorted(pd.Timestamp(intervals.trained_until), "right"))
    return min(steps, max(seq_len, unseen, steps - FOLLOWED))


def _misses(
    model: Forecaster, seen: Window, begins: int, bundle: Bundle, device: str
) -> tuple[Floats, Floats]:
    """Return sizes of errors (N, H, C) and spreads (N, C) of the forecasts from a step on.

    What had not come by the last value is NaN.
    """
    config, outputs = bundle.config.data, bundle.roles.outputs
    steps, horizon, seq_len = len(seen.values), config.pred_len, config.seq_len
    ahead = np.full((horizon, seen.values.shape[1]), np.nan)
    truth = np.concatenate((seen.values.astype(np.float64), ahead))[:, outputs]
    sizes = [np.empty((0, horizon, truth.shape[1]))]
    spreads = [np.empty((0, truth.shape[1]))]
    for first in range(begins, steps, 2 * config.batch_size):
        origins = range(first, min(first + 2 * config.batch_size, steps))
        made = _forecasts(model, seen, origins, seq_len, device)
        sizes.append(np.abs(np.stack([truth[o : o + horizon] for o in origins]) - made))
        spreads.append(spread(np.stack([truth[o - seq_len : o] for o in origins])))
    return np.concatenate(sizes), np.concatenate(spreads)
