"""What a search wants low and what it bounds: how trials stand in it, and figures in words."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from nas_engine.amounts import amount, broken_text
from nas_engine.front import excess, figures, keeps
from nas_engine.objectives import Objective
from nas_engine.search import SearchSpec
from nas_engine.store.rows import TrialRow

Standing = tuple[float, tuple[float, ...]]
"""By how much a trial breaks the bounds, and its figure for each objective."""

NOTHING = math.inf
"""Excess of what has no figures: everything that has some beats it."""


def names(spec: SearchSpec) -> tuple[Objective, ...]:
    """Return all that a search wants low or bounds, the error first."""
    return tuple(dict.fromkeys((*spec.objectives, *spec.at_most)))


def traded(spec: SearchSpec) -> bool:
    """Tell whether a search looks at more than the error."""
    return len(names(spec)) > 1


def costs(trial: TrialRow, spec: SearchSpec) -> str:
    """Return what a trial costs, and by how much it breaks the bounds, for the end of a phrase."""
    told = [
        amount(name, value)
        for name in names(spec)[1:]
        if (value := getattr(trial, name)) is not None
    ]
    if broken := broken_text(trial, spec.at_most):
        told.append(f"breaks the bounds: {broken}")
    elif spec.at_most and keeps(trial, spec.at_most):
        told.append("within the bounds")
    return "".join(f", {part}" for part in told)


def standing(trial: TrialRow, spec: SearchSpec) -> Standing:
    """Return how a trial stands; one without all figures, or that was pruned, behind all others."""
    point, over = figures(trial, spec.objectives), excess(trial, spec.at_most)
    if point is None or over is None:
        return NOTHING, (math.inf,) * len(spec.objectives)
    return over, point


def beaten_by(those: Sequence[Standing], others: Sequence[Standing]) -> list[int]:
    """Return for each of `those` how many of `others` beat it.

    What keeps the bounds beats what does not, and of two that do not, the one that breaks them less
    wins; otherwise the one that dominates (Deb et al. 2002, NSGA-II, section VI).
    """
    excesses = np.array([over for over, _ in others])
    points = np.array([point for _, point in others])
    counts = []
    for over, point in those:
        better = (points <= point).all(axis=1) & (points < point).any(axis=1)
        counts.append(int(((excesses < over) | ((excesses == over) & better)).sum()))
    return counts
