"""What a search wants low and what it bounds, and figures of it in words for prompts."""

from __future__ import annotations

from collections.abc import Iterator

from nas_engine.front import excess
from nas_engine.objectives import MEASURES, Objective
from nas_engine.search import SearchSpec
from nas_engine.store.reader import TrialRow


def names(spec: SearchSpec) -> tuple[Objective, ...]:
    """Return all that a search wants low or bounds, the error first."""
    return tuple(dict.fromkeys((*spec.objectives, *spec.at_most)))


def traded(spec: SearchSpec) -> bool:
    """Tell whether a search looks at more than the error."""
    return len(names(spec)) > 1


def amount(name: Objective, value: float) -> str:
    """Return a figure with the name of its objective; counts are whole."""
    return f"{name} {value:.0f}" if MEASURES[name].exact else f"{name} {value:.6g}"


def costs(trial: TrialRow, spec: SearchSpec) -> str:
    """Return what a trial costs, and by how much it breaks the bounds, for the end of a phrase."""
    known = [
        amount(name, value)
        for name in names(spec)[1:]
        if (value := getattr(trial, name)) is not None
    ]
    broken = list(_broken(trial, spec))
    if broken:
        known.append(f"breaks the bounds: {', '.join(broken)}")
    elif spec.at_most and excess(trial, spec.at_most) == 0:
        known.append("within the bounds")
    return "".join(f", {part}" for part in known)


def _broken(trial: TrialRow, spec: SearchSpec) -> Iterator[str]:
    for name, most in spec.at_most.items():
        value = getattr(trial, name)
        if value is not None and value > most:
            yield f"{name} {value / most - 1:.3%} above {most:.6g}"
