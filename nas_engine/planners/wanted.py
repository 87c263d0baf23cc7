"""What a language model is told of a search that looks at more than the error."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from nas_engine.amounts import aims_text, amount, gap_text
from nas_engine.objectives import MEASURES, Objective
from nas_engine.planners.aims import costs, names, traded
from nas_engine.planners.base import View
from nas_engine.proposals import differences
from nas_engine.search import SearchSpec
from nas_engine.store.rows import TrialRow

BOUNDED = {
    True: "known beforehand; code refuses what breaks it",
    False: "known after the training; what breaks it is rejected",
}
"""When a bound is looked at, by whether arithmetic gives the figure."""


def aim(spec: SearchSpec) -> str:
    """Return what a proposal should have a chance of."""
    within = " within the bounds" if spec.at_most else ""
    if len(spec.objectives) == 1:
        return f"a lower val_mse{within}"
    return f"extending the front{within} or filling a gap in it"


def wanted_text(view: View, members: int, gaps: int) -> str:
    """Return the section on objectives and bounds, empty where the error alone counts.

    Args:
        view: the search.
        members: of the front that are told, at most.
        gaps: that are told, at most.
    """
    spec = view.spec
    if not traded(spec):
        return ""
    lines = ["# What is wanted beside a low error", aims_text(spec)]
    lines += [f"- {name}: {_meaning(view, name)}" for name in names(spec)]
    if spec.at_most:
        lines += ["Bounds:", *(f"- {_bound(name, most)}" for name, most in spec.at_most.items())]
    if len(spec.objectives) > 1:
        lines += _front(view, members, gaps)
    elif view.incumbent is not None and not view.front:
        lines.append("No accepted trial keeps the bounds yet; the parent breaks them least.")
    return "\n".join(lines) + "\n\n"


def _meaning(view: View, name: Objective) -> str:
    """Return what a figure is, how it is measured, and how far it is noise."""
    measure = MEASURES[name]
    told = f"{measure.help[0].lower()}{measure.help[1:]}"
    if measure.exact:
        return f"{told}; exact"
    if name == "val_mse":
        return told
    if name not in view.noises:
        return f"{told}; its noise is not measured yet"
    noise = view.noises[name]
    return f"{told}; measured again it differs by {noise.relative:.3%} (standard deviation)"


def _bound(name: Objective, most: float) -> str:
    how = (
        "measured before the first epoch; what is slower is not trained"
        if name == "latency_ms"
        else BOUNDED[MEASURES[name].exact]
    )
    return f"at most {amount(name, most)}: {how}"


def _front(view: View, members: int, gaps: int) -> Iterator[str]:
    if not view.front:
        yield "The front is empty: no accepted trial is within the bounds."
        return
    told = _spread(view.front, members)
    left_out = len(view.front) - len(told)
    yield (
        "The front, by val_mse: accepted trials, none of which another one beats in everything"
        + (f" ({left_out} more between them are left out)" if left_out else "")
    )
    yield from (f"- {_member(view, trial)}" for trial in told)
    yield f"It dominates {view.share:.1%} of the box of all results (hypervolume)."
    if view.gaps:
        yield "Gaps in it, the widest first:"
        yield from (f"- nothing {gap_text(gap)}" for gap in view.gaps[:gaps])
    yield (
        "Propose what extends the front, or fills a gap: any member of it may be the pattern. The "
        "improvement that you expect is of val_mse alone."
    )


def _member(view: View, trial: TrialRow) -> str:
    changed = differences(view.spec.start(), trial.config)
    settings = ", ".join(f"{key}={new!r}" for key, (_, new) in changed.items()) or "start"
    return f"trial {trial.number}: val_mse {trial.val_mse:.6g}{costs(trial, view.spec)}; {settings}"


def _spread(front: Sequence[TrialRow], most: int) -> list[TrialRow]:
    """Return members at equal distances, the ends among them."""
    last = len(front) - 1
    if last < most or most < 2:
        return list(front[: max(most, 1)])
    return [front[round(at * last / (most - 1))] for at in range(most)]
