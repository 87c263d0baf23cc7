"""What trials come to in all that a search wants low, in words for people."""

from __future__ import annotations

from collections.abc import Mapping

from nas_engine.front import Gap, Measured, keeps
from nas_engine.objectives import MEASURES, Objective
from nas_engine.search import SearchSpec


def amount(name: Objective, value: float | None) -> str:
    """Return a figure with its unit: 12,345 parameters, 1.23 MFLOPs, 4.12 ms."""
    if value is None:
        return "–"
    match name:
        case "val_mse":
            return f"val_mse {value:#.4g}"
        case "parameters":
            return f"{value:,.0f} parameters"
        case "flops":
            return f"{_scaled(value)}FLOPs"
        case "seconds":
            return _duration(value)
        case _:
            return f"{value:.3g} {MEASURES[name].unit}"


def bounds_text(at_most: Mapping[Objective, float]) -> str:
    """Return what a model must keep to, for a sentence; empty where it is nothing."""
    return ", ".join(amount(name, bound) for name, bound in at_most.items())


def aims_text(spec: SearchSpec) -> str:
    """Return what a search wants low beside the error, in sentences; empty where it is nothing."""
    costs = [in_a_sentence(name) for name in spec.objectives[1:]]
    bounds = bounds_text(spec.at_most)
    if not costs and not bounds:
        return ""
    if not costs:
        told = f"It looks for the best under {bounds}."
    else:
        within = f", under {bounds}" if bounds else ""
        told = f"It trades the error against {' and '.join(costs)}{within}."
    if "latency_ms" not in (*spec.objectives, *spec.at_most):
        return told
    timing = spec.timing
    where = "the device that trains" if timing.device == "auto" else timing.device
    windows = f"{timing.batch} window{'s' * (timing.batch != 1)}"
    threads = f"{timing.threads} thread{'s' * (timing.threads != 1)}"
    return f"{told} Latency is that of {windows} at once on {where}, with {threads} of a CPU."


def in_a_sentence(name: Objective) -> str:
    """Return what an objective is called inside a sentence."""
    title = MEASURES[name].title
    return title if name == "flops" else title.lower()


def nearest_text(trial: Measured, at_most: Mapping[Objective, float]) -> str:
    """Return that an incumbent breaks the bounds, as no accepted trial keeps them; else nothing."""
    if not at_most or keeps(trial, at_most):
        return ""
    by = broken_text(trial, at_most) or "not all of its figures are known"
    return f"No accepted trial keeps the bounds yet. Trial {trial.number} comes nearest: {by}."


def broken_text(trial: Measured, at_most: Mapping[Objective, float]) -> str:
    """Return which bounds a trial breaks and by how much; empty where none is known to be."""
    return ", ".join(
        f"{amount(name, value)}, {value / bound - 1:.0%} beyond the bound"
        for name, bound in at_most.items()
        if (value := getattr(trial, name)) is not None and value > bound
    )


def gap_text(gap: Gap) -> str:
    """Return between which figures a front has nothing."""
    low, high = amount(gap.cost, gap.low), amount(gap.cost, gap.high)
    if gap.right is None:
        return f"between {low} (trial {gap.left}) and the bound of {high}"
    return f"between {low} and {high} (trials {gap.left} and {gap.right})"


def _scaled(value: float) -> str:
    for power, prefix in ((12, "T"), (9, "G"), (6, "M"), (3, "k")):
        if value >= 10**power:
            return f"{value / 10**power:.3g} {prefix}"
    return f"{value:.3g} "


def _duration(seconds: float) -> str:
    for length, unit in ((3600, "h"), (60, "min")):
        if seconds >= 2 * length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.3g} s"
