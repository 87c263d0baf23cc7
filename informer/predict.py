"""`python -m informer.predict`: the future of a series, forecast by the model of a bundle.

Values go in and come out in the units of the data. Dates are without zone, in UTC where the
choices of the bundle name a time zone; they are written in that zone, with their offset.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
import pandas as pd
from pydantic import ValidationError
from tqdm import tqdm

from data.finding import shown
from data.registry import DataError
from data.splits import Floats
from data.spreadsheet import inert
from informer import recent
from informer.bundle import Bundle, BundleError
from informer.configfile import Refusal
from informer.files import replace_text
from informer.intervals import Intervals, Level, follow, spread
from informer.lookback import Window, window, written

if TYPE_CHECKING:
    from informer.forecaster import Forecaster

LEVELS = (0.8, 0.9)
FOLLOWED = 500
"""Steps before the forecast whose misses the widths of intervals follow, at most."""
_FAR = 20.0  # scales from the centre of the training part; more is told


_SHOWN = 24  # rows of a table on the terminal


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
        """Return a row for each step: of each column the forecast, then its bounds by level.

        A bound whose name is that of a column, as in a file that was forecast, gets a longer one.
        """
        columns = {}
        for number, name in enumerate(self.columns):
            columns[name] = self.values[:, number]
            for level, bounds in self.bounds.items():
                for side, bound in zip(("low", "high"), bounds, strict=True):
                    told = f"{name}_{side}_{100 * level:g}"
                    while told in columns or told in self.columns:
                        told += "_"
                    columns[told] = bound[:, number]
        return pd.DataFrame(columns, index=self.dates.rename("date"))


def predict(
    bundle: Bundle,
    frame: pd.DataFrame,
    levels: Sequence[float] | None = None,
    device: str = "cpu",
) -> Forecast:
    """Return the forecast that begins one step after the last value.

    Args:
        bundle: with the model.
        frame: (T, columns) in the units of the data, indexed by dates without zone. At its end are
            `seq_len` complete steps or more; columns that are known in advance go on for
            `pred_len` steps, in rows where the others are missing.
        levels: of intervals; by default those of `LEVELS` that the bundle has.
        device: on which to forecast.

    Raises:
        DataError: the frame does not suffice.
        BundleError: the bundle has no such intervals.
        DeviceError: the device is not there.
    """
    seq_len, outputs = bundle.config.data.seq_len, bundle.roles.outputs
    intervals = intervals_of(bundle)
    chosen = _levels(intervals, levels)
    seen = window(bundle, frame, FOLLOWED)
    model, last = bundle.model(device), seen.steps
    scaled = _forecasts(model, seen, [last], seq_len)[0]
    scaler = bundle.scaler.of(outputs)
    bounds: dict[float, tuple[Floats, Floats]] = {}
    followed = 0
    if intervals is not None and chosen:
        past = seen.values[last - seq_len : last, outputs].astype(np.float64)
        begins = _judged_from(seen, intervals, seq_len)
        followed = last - begins
        sizes, spreads = _misses(model, seen, begins, bundle)
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
    past = seen.values[seen.steps - bundle.config.data.seq_len : seen.steps]
    size = np.abs(past).max(axis=0)
    far = [bundle.roles.inputs[number] for number in np.flatnonzero(size > _FAR)]
    if bundle.data.scaling == "none" or not far:
        return ()
    return (
        f"Values of {', '.join(map(shown, far[:5]))} lie more than {_FAR:g} scales from the centre "
        "of what the model was trained on; see whether they are in the same units.",
    )


# -- forecasts and the errors of earlier ones ---------------------------------------------------


def _forecasts(model: Forecaster, seen: Window, origins: Sequence[int], seq_len: int) -> Floats:
    """Return the scaled forecasts (N, H, C) that begin at these steps."""
    import torch  # only now: it takes seconds, and what is wrong with a file is told before

    where = next(model.parameters()).device
    horizon = len(seen.values) - seen.steps
    # Gathered as `data.windows.Windows` does: in another layout products may round otherwise.
    rows = torch.tensor(list(origins))[:, None] - seq_len + torch.arange(seq_len + horizon)
    values, known = (
        torch.tensor(np.ascontiguousarray(part))[rows].to(where)
        for part in (seen.values, seen.known)
    )
    with torch.inference_mode():
        forecasts: Floats = model(values[:, :seq_len], known).double().cpu().numpy()
    return forecasts


def intervals_of(bundle: Bundle) -> Intervals | None:
    """Return the intervals of a bundle, None where it has none.

    Raises:
        BundleError: they are not of this model.
    """
    if bundle.intervals is None:
        return None
    try:
        intervals = Intervals.model_validate_json(bundle.intervals, strict=True)
    except ValidationError:
        raise BundleError("intervals.json is not valid; fetch the bundle again.") from None
    shape = bundle.config.data.pred_len, len(bundle.roles.forecast)
    if any((len(one.quantiles), len(intervals.least)) != shape for one in intervals.levels):
        raise BundleError("intervals.json is not of this model; fetch the bundle again.")
    return intervals


def _levels(intervals: Intervals | None, wanted: Sequence[float] | None) -> list[Level]:
    has = [] if intervals is None else intervals.levels
    if wanted is None:
        return [level for level in has if level.level in LEVELS]
    found = []
    for level in wanted:
        known = None if intervals is None else intervals.find(level)
        if known is None:
            listed = ", ".join(f"{100 * one.level:g}" for one in has) or "none"
            raise BundleError(f"The bundle has no intervals of {100 * level:g} %; it has {listed}.")
        found.append(known)
    return found


def _judged_from(seen: Window, intervals: Intervals, seq_len: int) -> int:
    """Return the first step whose forecast may be judged: training must not have seen it."""
    steps = seen.steps
    if intervals.trained_until is None:
        return steps
    unseen = int(seen.dates.searchsorted(pd.Timestamp(intervals.trained_until), "right"))
    return min(steps, max(seq_len, unseen, steps - FOLLOWED))


def _misses(model: Forecaster, seen: Window, begins: int, bundle: Bundle) -> tuple[Floats, Floats]:
    """Return sizes of errors (N, H, C) and spreads (N, C) of the forecasts from a step on.

    What had not come by the last value is NaN.
    """
    config, outputs = bundle.config.data, bundle.roles.outputs
    steps, horizon, seq_len = seen.steps, config.pred_len, config.seq_len
    truth = seen.values[:, outputs].astype(np.float64)
    sizes = [np.empty((0, horizon, truth.shape[1]))]
    spreads = [np.empty((0, truth.shape[1]))]
    batches = range(begins, steps, 2 * config.batch_size)
    for first in tqdm(batches, "Misses before", delay=2.0, leave=False, disable=None):
        origins = range(first, min(first + 2 * config.batch_size, steps))
        made = _forecasts(model, seen, origins, seq_len)
        sizes.append(np.abs(np.stack([truth[o : o + horizon] for o in origins]) - made))
        spreads.append(spread(np.stack([truth[o - seq_len : o] for o in origins])))
    return np.concatenate(sizes), np.concatenate(spreads)


# -- the command --------------------------------------------------------------------------------


@click.command()
@click.option(
    "--bundle",
    "folder",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder of the bundle, as `python -m nas_engine bundle` writes it.",
)
@click.option(
    "--input",
    "source",
    type=click.Path(path_type=Path),
    required=True,
    help="The newest rows, as CSV or Parquet.",
)
@click.option("--output", help="CSV file to write; - prints it. By default a table is printed.")
@click.option(
    "--level",
    "levels",
    type=click.FloatRange(0, 100, min_open=True, max_open=True),
    multiple=True,
    help="Intervals that hold this per cent of values; repeatable. By default 80 and 90.",
)
@click.option("--date-format", help="How the dates are written, where that has become unclear.")
@click.option("--replace", is_flag=True, help="Replace an output that is there.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(
    folder: Path,
    source: Path,
    output: str | None,
    levels: tuple[float, ...],
    date_format: str | None,
    replace: bool,
    as_json: bool,
) -> None:
    """Forecast what comes after the last row of a file, with intervals, in the file's units.

    The file has the columns that the model was trained on, in any order, and as many complete
    steps at its end as the model looks back. Earlier ones let intervals follow recent misses.
    Columns known in advance go on in rows where the others are empty.
    """
    try:
        bundle = Bundle.read(folder)
        choices = bundle.choices
        if date_format is not None:
            choices = choices.model_copy(update={"date_format": date_format})
        if output not in (None, "-"):
            _require_place(Path(output), source, replace)
        found = recent.read(source, bundle.dataset, bundle.roles, choices)
        wanted = [level / 100 for level in levels] or None
        forecast = predict(bundle, found.frame, wanted)
        notes = (*found.notes, *forecast.notes, *_about_intervals(forecast, bundle))
        dates = written(forecast.dates, choices)
        if as_json:
            click.echo(json.dumps(_facts(forecast, dates, notes)))
        if output not in (None, "-"):
            replace_text(Path(output), _csv(forecast, dates))
    except (BundleError, DataError) as error:
        raise Refusal(str(error)) from None
    except OSError as error:
        raise Refusal(f"{output} cannot be written ({error.strerror}).") from None
    if output == "-":
        click.echo(_csv(forecast, dates), nl=False)
    elif output is None and not as_json:
        click.echo(_shown(forecast, dates))
    if not as_json:
        for note in notes:
            click.echo(note, err=True)


def _require_place(output: Path, source: Path, replace: bool) -> None:
    if output.exists() and source.exists() and output.samefile(source):
        raise DataError(f"{output} is the input, which is never overwritten; name another file.")
    if output.exists() and not replace:
        raise DataError(f"{output} exists; name another file, or ask to --replace it.")


def _about_intervals(forecast: Forecast, bundle: Bundle) -> Iterator[str]:
    """Yield what is known of how the intervals hold."""
    intervals = intervals_of(bundle)
    if intervals is None or not forecast.bounds:
        yield "There are no intervals: the bundle has none of these levels."
        return
    for value in forecast.bounds:
        level = intervals.find(value)
        if level is not None and level.test is not None:
            held = level.test.followed if forecast.followed else level.test.fixed
            yield f"Intervals of {100 * value:g} % held {held:.1%} of the test part."
    if forecast.followed:
        yield f"Their widths follow the misses of the last {forecast.followed:,} steps."
    else:
        yield (
            "Their widths are those of the validation part: the input has no steps before its last "
            "look-back that training has not seen."
        )


def _facts(forecast: Forecast, dates: Sequence[str], notes: Sequence[str]) -> dict[str, Any]:
    return {
        "dates": dates,
        "columns": forecast.columns,
        "forecast": _by_column(forecast.columns, forecast.values),
        "intervals": {
            f"{100 * level:g}": {
                "low": _by_column(forecast.columns, low),
                "high": _by_column(forecast.columns, high),
            }
            for level, (low, high) in forecast.bounds.items()
        },
        "followed": forecast.followed,
        "notes": notes,
    }


def _by_column(columns: Sequence[str], values: Floats) -> dict[str, list[float]]:
    return dict(zip(columns, values.T.tolist(), strict=True))


def _csv(forecast: Forecast, dates: Sequence[str]) -> str:
    table = forecast.table()
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["date", *map(inert, table.columns)])
    for date, row in zip(dates, table.to_numpy().tolist(), strict=True):
        writer.writerow([date, *row])
    return file.getvalue()


def _shown(forecast: Forecast, dates: Sequence[str]) -> str:
    """Return a table for the terminal: bounds where a single column is forecast."""
    table = (
        forecast.table() if len(forecast.columns) == 1 else forecast.table()[[*forecast.columns]]
    )
    table = table.iloc[:, :8].set_axis(pd.Index(dates, name="date"))
    table.columns = [shown(name)[1:-1] for name in table.columns]
    text = table.head(_SHOWN).to_string(float_format=lambda value: f"{value:.6g}")
    left = [f"{len(table) - _SHOWN:,} more steps"] if len(table) > _SHOWN else []
    more = len(forecast.columns) - len(table.columns)
    left += [f"{more:,} more columns"] if more > 0 else []
    left += ["the bounds of intervals"] if len(forecast.columns) > 1 and forecast.bounds else []
    return "\n".join([text, *([f"With --output: {' and '.join(left)}."] if left else [])])


if __name__ == "__main__":
    main()
