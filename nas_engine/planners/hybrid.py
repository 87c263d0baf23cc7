"""The optimiser owns the study; a language model proposes candidates on a share of the trials.

After the warm-up the model sees the optimiser's state and names several candidates. Invalid ones
and repeats are dropped, a surrogate ranks the rest, and the best is tried, unless the surrogate
expects it among the worst quarter of the trials. The model's share of the trials follows what they
have earned per second, down to none.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass

from nas_engine.amounts import amount
from nas_engine.front import figures
from nas_engine.llm import LanguageModel, NoAnswer
from nas_engine.planners.aims import beaten_by, names, standing, traded
from nas_engine.planners.base import Results, View
from nas_engine.planners.llm import ask_for_candidates, fallback
from nas_engine.planners.portfolio import PortfolioPlanner
from nas_engine.planners.prospects import Prospect, Prospects
from nas_engine.planners.tpe import startup_trials
from nas_engine.proposals import Proposal
from nas_engine.search import SearchSpec
from nas_engine.store.rows import TrialRow

SHARE = 0.3
"""Share of the trials that the model proposes while it earns per second what the optimiser does."""

LEAST_SHARE = 0.05
"""Below this share the model is not asked any more."""

PLAIN = SearchSpec()
"""A search for the lowest error alone."""

OPTIMISER = frozenset({"forest", "tpe"})
"""Sources of trials that the optimiser would go on with: what others found out comes only once."""

MODEL_TURNS = frozenset({"hybrid", "fallback"})
"""Sources of the trials on which the model was asked, whether its answer was used or not."""


@dataclass(frozen=True)
class Earnings:
    """What the trials of one proposer have earned: a win is a result better than half of all.

    A pruned trial is worse than all that were trained to their end. With several objectives, or
    with bounds, a win is a result that fewer others beat than the middle one, or none.
    """

    trials: int
    wins: int
    seconds: float

    @property
    def rate(self) -> float:
        """Wins per second: the chance of a win under Jeffreys' prior, over the time of a trial."""
        return (self.wins + 0.5) / (self.trials + 1) / max(self.seconds / max(self.trials, 1), 1e-9)


class HybridPlanner:
    """Asks whoever's turn it is."""

    def __init__(self, model: Callable[[int], LanguageModel]) -> None:
        self._model = model
        self._optimiser = PortfolioPlanner()
        self._results = Results()

    def observe(self, result: TrialRow) -> None:
        """Tell the optimiser the result, and book it to whoever proposed it."""
        self._optimiser.observe(result)
        self._results.observe(result)

    def propose(self, view: View) -> Proposal:
        """Return the proposal of whoever's turn it is; raises AccessDenied, SpaceExhausted."""
        model, results = self._model(view.number), self._results.of(view)
        hinted = any(row.comment for row in view.withdrawn)  # which the model alone can read
        its_turn = hinted or model_turn(results, view, startup_trials(view))
        if not its_turn or model.unavailable():
            return self._optimiser.propose(view)
        try:
            candidates = ask_for_candidates(model, view, self._optimiser.study(view))
            if hinted:
                return candidates[0].model_copy(update={"source": "hybrid"})
            return best_of(candidates, results, view)
        except (NoAnswer, Unconvincing) as error:
            proposal = self._optimiser.propose(view)
            unasked = isinstance(error, NoAnswer) and error.error_class in ("limit", "waiting")
            return proposal if unasked else fallback(proposal, str(error))


class Unconvincing(RuntimeError):
    """The surrogate expects nothing of the model's candidates."""


def best_of(candidates: Sequence[Proposal], results: Sequence[TrialRow], view: View) -> Proposal:
    """Return the candidate of which the surrogate expects most; raises Unconvincing."""
    prospects = Prospects(view, results)
    expected = prospects.of([{**view.parent, **c.changes} for c in candidates])
    pairs = zip(candidates, expected, strict=True)
    ranked = sorted(pairs, key=lambda pair: pair[1].worth, reverse=True)
    why = [_poor(hope, prospects.errors.results, results, view.spec) for _, hope in ranked]
    # A slight chance to keep the bounds may be worth most where much is to be gained.
    looked_at = len(ranked) if traded(view.spec) else 1
    for (best, _), poor in zip(ranked[:looked_at], why, strict=False):
        if not poor:
            return best.model_copy(update={"source": "hybrid"})
    raise Unconvincing(
        f"Of the best of its {len(candidates)} valid candidates the surrogate expects {why[0]}."
    )


def _poor(
    hope: Prospect, errors: Sequence[float], results: Sequence[TrialRow], spec: SearchSpec
) -> str:
    """Return what is expected if it is as of the worst quarter of the trials, else nothing."""
    if traded(spec):
        known = [standing(t, spec) for t in results if figures(t, names(spec)) is not None]
        (beaten,) = beaten_by([hope.standing(spec)], known)
        usual = statistics.quantiles(beaten_by(known, known), n=4)[-1]
        told = ", ".join(amount(name, value) for name, value in hope.figures.items())
        within = f", within the bounds with a probability of {hope.keeps:.0%}" * bool(spec.at_most)
        why = f"{told}{within}: {beaten} of {len(known)} results beat that, more than beat three "
        return f"{why}quarters of them" if beaten > usual else ""
    poor = statistics.quantiles(errors, n=4)[-1]
    error = hope.figures["val_mse"]
    why = f"val_mse {error:.6g}, as of the worst quarter of the trials (from {poor:.6g} on)"
    return why if error > poor else ""


def model_turn(results: Sequence[TrialRow], view: View, warm_up: int) -> bool:
    """Tell whether the model proposes the trial of `view`.

    Its turns are spread over the trials since the warm-up, at `model_share`.
    """
    known = [trial for trial in results if figures(trial, names(view.spec)) is not None]
    warming = [trial.number for trial in known][:warm_up]
    if len(warming) < warm_up:
        return False
    turns = sum(trial.source in MODEL_TURNS for trial in view.trials)
    return turns < model_share(results, view.spec) * (view.number - max(warming))


def model_share(results: Sequence[TrialRow], spec: SearchSpec = PLAIN) -> float:
    """Return the share of trials that the model's earnings are worth, from 0 to 2 x SHARE.

    What a person turned down or edited counts for neither side.
    """
    judged = [trial for trial in results if trial.decision not in ("edited", "rejected")]
    won = _winners(results, spec)
    model = _earnings([t for t in judged if t.source in MODEL_TURNS], results, won)
    optimiser = _earnings([t for t in judged if t.source in OPTIMISER], results, won)
    if not model.trials or not optimiser.trials:
        return SHARE
    # Cheap trainings alone are no reason to ask more: nothing was won with them yet.
    share = SHARE * min(2.0 if model.wins else 1.0, model.rate / optimiser.rate)
    return share if share >= LEAST_SHARE else 0.0


def _winners(results: Sequence[TrialRow], spec: SearchSpec) -> set[int]:
    """Return the numbers of the results that are better than the middle one."""
    ended = [trial for trial in results if trial.val_mse is not None or trial.state == "pruned"]
    if traded(spec):
        standings = [standing(trial, spec) for trial in ended]
        counts = list(map(float, beaten_by(standings, standings)))
        least = max(statistics.median(counts), 1.0) if counts else 0.0
    else:
        counts = [math.inf if trial.val_mse is None else trial.val_mse for trial in ended]
        least = statistics.median(counts) if counts else 0.0
    return {t.number for t, count in zip(ended, counts, strict=True) if count < least}


def _earnings(
    trials: Sequence[TrialRow], results: Sequence[TrialRow], won: Container[int]
) -> Earnings:
    finished = [trial for trial in results if trial.val_mse is not None]
    usual = statistics.median(trial.seconds or 0.0 for trial in finished) if finished else 0.0
    return Earnings(
        trials=len(trials),
        wins=sum(trial.source != "fallback" and trial.number in won for trial in trials),
        seconds=sum(
            # A training that gave nothing is no bargain, however soon it ended.
            (usual if trial.val_mse is None else trial.seconds or 0.0) + trial.asked_seconds
            for trial in trials
        ),
    )
