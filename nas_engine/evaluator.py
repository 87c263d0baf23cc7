"""Accept or reject a trial: rules first, a language model's opinion where they leave it open."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from nas_engine.search import Rules


@dataclass(frozen=True)
class Verdict:
    """What was decided on a trial, by which rule, with which figures."""

    accepted: bool
    rule: str
    sentence: str
    value: float | None = None
    incumbent: int | None = None
    incumbent_value: float | None = None
    improvement: float | None = None
    opinion: str = ""


@dataclass(frozen=True)
class Opinion:
    """A language model's advice on a borderline trial."""

    accept: bool
    reason: str


def decide(
    value: float | None,
    failure: str,
    incumbent: tuple[int, float] | None,
    rules: Rules,
) -> Verdict:
    """Judge a trial by the rules alone. `rule` is `borderline` where they leave it open.

    Args:
        value: val_mse of the trial, None where there is none.
        failure: why there is none.
        incumbent: number and val_mse of the best accepted trial so far.
        rules: thresholds on the relative improvement (incumbent - value) / incumbent.
    """
    if value is None or not math.isfinite(value):
        return Verdict(False, "no result", f"Rejected: {failure or 'no finite val_mse'}")
    if incumbent is None:
        return Verdict(
            True, "first", f"Accepted: the first result, val_mse {value:.4g}.", value=value
        )
    number, best = incumbent
    improvement = (best - value) / best if best > 0 else float(best > value) - float(best < value)
    change = (
        f"val_mse {value:.4g} is {abs(improvement):.2%} "
        f"{'better' if improvement >= 0 else 'worse'} than trial {number} ({best:.4g})"
    )
    figures = Verdict(False, "borderline", "", value, number, best, improvement)
    if improvement > rules.accept_above:
        return replace(
            figures,
            accepted=True,
            rule="clear improvement",
            sentence=f"Accepted: {change}, more than {rules.accept_above:.2%}.",
        )
    if improvement < rules.reject_below:
        return replace(
            figures,
            rule="clear regression",
            sentence=f"Rejected: {change}, beyond {rules.reject_below:.2%}.",
        )
    return replace(
        figures,
        accepted=improvement > 0,
        sentence=f"{'Accepted' if improvement > 0 else 'Rejected'}: {change}; between "
        f"{rules.reject_below:.2%} and {rules.accept_above:.2%} the sign decides.",
    )


def evaluate(
    value: float | None,
    failure: str,
    incumbent: tuple[int, float] | None,
    rules: Rules,
    consult: Callable[[Verdict], Opinion | None],
) -> Verdict:
    """Judge a trial; ask `consult` for an opinion where the rules leave it open.

    `consult` returns None where there is nobody to ask or no usable answer came; then the rules'
    own tie-break stands, and the verdict says so.
    """
    verdict = decide(value, failure, incumbent, rules)
    if verdict.rule != "borderline":
        return verdict
    opinion = consult(verdict)
    if opinion is None:
        return verdict
    advice = "accept" if opinion.accept else "reject"
    return replace(
        verdict,
        accepted=opinion.accept,
        rule="opinion",
        sentence=f"{'Accepted' if opinion.accept else 'Rejected'}: the improvement of "
        f"{verdict.improvement:.2%} is borderline, and the language model advised to {advice}.",
        opinion=opinion.reason,
    )


@dataclass(frozen=True)
class Noise:
    """How far trainings of one configuration lie apart: relative deviation, degrees of freedom."""

    relative: float
    degrees: int
