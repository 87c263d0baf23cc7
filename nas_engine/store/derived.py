"""Columns that are computed from others, since reading those for many trials takes seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

SPARK_POINTS = 12


def sampled(curve: Sequence[float | None]) -> list[float | None]:
    """Return at most `SPARK_POINTS` points of a curve, its ends among them, to 4 digits."""
    last, most = len(curve) - 1, SPARK_POINTS - 1
    at = range(len(curve)) if last <= most else [round(k * last / most) for k in range(most + 1)]
    return [None if (value := curve[k]) is None else float(f"{value:.4g}") for k in at]


def differing(start: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of `config` that are not as in `start`; where that is empty, none."""
    if not start:
        return {}
    return {key: value for key, value in config.items() if start.get(key) != value}
