"""What a search may want low beside the error: names, units, bounds, what is known beforehand."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

from informer.config import RunConfig, short

Objective = Literal["val_mse", "latency_ms", "parameters", "flops", "seconds", "memory_mb"]
"""Each names the attribute of a trial, and the column of its table, that holds its figure."""


@dataclass(frozen=True)
class Measure:
    """What an objective means. All are the better the lower."""

    title: str
    unit: str  # empty for an error and for counts
    exact: bool  # known from the configuration alone, by arithmetic
    help: str


MEASURES: Mapping[Objective, Measure] = MappingProxyType(
    {
        "val_mse": Measure(
            "Error", "", False, "Mean squared error on the validation part, on scaled data"
        ),
        "latency_ms": Measure(
            "Latency",
            "ms",
            False,
            "Milliseconds for one batch of forecasts, measured on the device that forecasts",
        ),
        "parameters": Measure("Parameters", "", True, "Weights of the model"),
        "flops": Measure(
            "FLOPs",
            "",
            True,
            "Operations for the forecast of one window, two for a multiply and add",
        ),
        "seconds": Measure("Training time", "s", False, "Seconds of training, all epochs"),
        "memory_mb": Measure(
            "Memory", "MB", False, "Megabytes that a training holds at its peak, measured"
        ),
    }
)
COSTS: tuple[Objective, ...] = get_args(Objective)[1:]
"""What the error may be traded against."""


def exact_figures(config: RunConfig) -> dict[Objective, int]:
    """Return what is known of a configuration before it is trained, by arithmetic."""
    # Imported here because they load numpy, which most of what names an objective can do without.
    from informer.cost import parameters
    from informer.estimate import forecast_flops

    return {"parameters": parameters(config), "flops": forecast_flops(config)}


# -- bounds as people write them ------------------------------------------------------------------

EXAMPLE = "200k parameters, 5 ms, 3 MFLOPs, 500 MB, 2 minutes"

_COUNTS: Mapping[str, float] = {
    "": 1,
    "k": 1e3,
    "m": 1e6,
    "g": 1e9,
    "thousand": 1e3,
    "million": 1e6,
}
"""What may stand before a unit that is counted, in lower case."""

_COUNTED: Mapping[str, Objective] = {
    **dict.fromkeys(("parameter", "parameters", "params", "weights"), "parameters"),
    **dict.fromkeys(("flop", "flops"), "flops"),
}
_UNITS: Mapping[str, tuple[Objective, float]] = {
    **dict.fromkeys(("ms", "millisecond", "milliseconds"), ("latency_ms", 1.0)),
    **dict.fromkeys(("s", "second", "seconds"), ("seconds", 1.0)),
    **dict.fromkeys(("min", "minute", "minutes"), ("seconds", 60.0)),
    **dict.fromkeys(("h", "hour", "hours"), ("seconds", 3600.0)),
    **dict.fromkeys(("mb", "megabytes"), ("memory_mb", 1.0)),
    **dict.fromkeys(("gb", "gigabytes"), ("memory_mb", 1000.0)),
    **{
        f"{count}{gap}{unit}": (name, factor)
        for count, factor in _COUNTS.items()
        for gap in ("", " ")
        for unit, name in _COUNTED.items()
    },
}
"""Units in lower case, what they measure, and their size in that measure's own unit."""

_BOUND = re.compile(
    r"(?:best )?(?:(?:under|below|at most|up to|no more than|less than|<=|≤|<) ?)?"
    r"(?P<number>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?(?:e[+-]?\d+)?)"
    r" ?(?P<unit>[a-z]+(?: [a-z]+)?)"
)
_BETWEEN = re.compile(r"[;&\n]|\band\b|(?<!\d),|,(?!\d{3}(?!\d))")
"""What stands between two bounds: a comma too, unless it parts thousands."""

_WRITTEN: Mapping[Objective, tuple[tuple[float, str], ...]] = {
    "latency_ms": ((1, " ms"),),
    "parameters": ((1e6, "M parameters"), (1e3, "k parameters"), (1, " parameters")),
    "flops": ((1e9, " GFLOPs"), (1e6, " MFLOPs"), (1e3, " kFLOPs"), (1, " FLOPs")),
    "seconds": ((3600, " h"), (60, " min"), (1, " s")),
    "memory_mb": ((1000, " GB"), (1, " MB")),
}


class BoundsError(ValueError):
    """Bounds that cannot be read; the message is one sentence that shows how they are written."""


def parse_bounds(text: str) -> dict[Objective, float]:
    """Return what a model must keep to, such as `under 200k parameters and 5 ms`.

    Latency is in ms, training time in s, min or h. Nothing means no bounds.

    Raises:
        BoundsError: something is unclear, not above 0, or said twice.
    """
    found: dict[Objective, float] = {}
    for part in filter(None, (" ".join(one.split()) for one in _BETWEEN.split(text.lower()))):
        match = _BOUND.fullmatch(part)
        named = _UNITS.get(match["unit"]) if match else None
        if match is None or named is None:
            raise BoundsError(
                f"{short(part)} is not clear: a bound is a number and its unit, such as {EXAMPLE}."
            )
        name, size = named
        value = float(match["number"].replace(",", "")) * size
        if not 0 < value < math.inf:
            raise BoundsError(f"{short(part)} is not a figure above 0, such as {EXAMPLE}.")
        if name in found:
            raise BoundsError(
                f"{MEASURES[name].title} is bounded twice; leave one out of {short(text)}."
            )
        found[name] = value
    return found


def written(bounds: Mapping[Objective, float]) -> str:
    """Return bounds as `parse_bounds` reads them, to the last digit."""
    return ", ".join(_written(name, value) for name, value in bounds.items())


def _written(name: Objective, value: float) -> str:
    for size, unit in _WRITTEN[name]:
        figure = f"{value / size:.6g}"
        if value >= size and float(figure) * size == value:
            return figure + unit
    return f"{value!r}{_WRITTEN[name][-1][1]}"
