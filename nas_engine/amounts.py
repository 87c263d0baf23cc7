"""What trials come to in all that a search wants low, in words for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nas_engine.front import Gap, Measured, box, figures, front, hypervolume, keeps
from nas_engine.objectives import MEASURES, Objective, written
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


def aims_text(spec: SearchSpec) -> str:
    """Return what a search wants low beside the error, in sentences; empty where it is nothing."""
    costs = [in_a_sentence(name) for name in spec.objectives[1:]]
    bounds = written(spec.at_most)
    if not costs and not bounds:
        return ""
    if not costs:
        told = f"It looks for the best under {bounds}."
    else:
        within = f", under {bounds}" if bounds else ""
        told = f"It trades the error against {' and '.join(costs)}{within}."
    if not spec.timed:
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
    return _broken({name: getattr(trial, name) for name in at_most}, at_most)


def beforehand_text(exact: Mapping[Objective, float], spec: SearchSpec) -> str:
    """Return what is known of a configuration before it is trained, and whether it is in bounds.

    Args:
        exact: the figures that arithmetic gives.
        spec: of the search; empty where it wants nothing low but the error.
    """
    if not spec.objectives[1:] and not spec.at_most:
        return ""
    told = f"By arithmetic it comes to {' and '.join(amount(*each) for each in exact.items())}"
    bounds = {name: bound for name, bound in spec.at_most.items() if name in exact}
    if broken := _broken(exact, bounds):
        return f"{told}: beyond the bounds by {broken}."
    if bounds:
        told += f", within the bounds of {written(bounds)}"
    later = [in_a_sentence(name) for name in spec.at_most if name not in exact]
    measured = f" Whether it keeps the bound of {' and '.join(later)} is measured." if later else ""
    return f"{told}.{measured}"


def _broken(figures: Mapping[Objective, float | None], at_most: Mapping[Objective, float]) -> str:
    return ", ".join(
        f"{amount(name, value)} (+{_percent(value / bound - 1)} %)"
        for name, bound in at_most.items()
        if (value := figures[name]) is not None and value > bound
    )


def gap_text(gap: Gap) -> str:
    """Return between which figures a front has nothing."""
    low, high = amount(gap.cost, gap.low), amount(gap.cost, gap.high)
    if gap.right is None:
        return f"between {low} (trial {gap.left}) and the bound of {high}"
    number, _, unit = low.partition(" ")
    low = number if high.endswith(f" {unit}") else low
    return f"between {low} and {high} (trials {gap.left} and {gap.right})"


def standing_text(trials: Sequence[Measured], spec: SearchSpec) -> str:
    """Return how far a search with costs or bounds is; empty where it is after the error alone."""
    if not spec.objectives[1:] and not spec.at_most:
        return ""
    members, within = front(trials, spec), box(trials, spec)
    if not spec.objectives[1:]:
        return f"{'best' if members else 'none yet'} under {written(spec.at_most)}"
    points = [point for row in members if (point := figures(row, spec.objectives)) is not None]
    share = hypervolume(points, within) if within else 0.0
    return f"front of {len(members)}, hypervolume {100 * share:.0f} %"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}" if share < 0.1 else f"{100 * share:,.0f}"


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
