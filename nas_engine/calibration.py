"""Who was right: predictions beside what came of them, and what each source cost and gained."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean
from typing import Literal

from nas_engine.evaluator import AnotherSeed, Figures, Noise, decide
from nas_engine.proposals import LEVEL
from nas_engine.search import Rules
from nas_engine.store.hindsight import Effort, Judged, Outcome

Predictor = Literal["model", "surrogate", "person"]
"""Who predicts: the language model that proposes, the forest over all results, or a person."""

ASKED = frozenset({"llm", "hybrid"})
"""Sources whose expectation is a language model's."""


@dataclass(frozen=True)
class Prediction:
    """Between which improvements a trial was expected, and what it was."""

    number: int
    by: Predictor
    low: float  # of the improvement over the parent, relative to that; negative is worse
    high: float
    actual: float
    margin: float | None  # up to which size it may be noise; None where that is not known

    @property
    def inside(self) -> bool:
        """Whether the interval holds the improvement."""
        return self.low <= self.actual <= self.high

    @property
    def score(self) -> float:
        """The interval score at `LEVEL`, lower is better: Gneiting and Raftery 2007, eq. 43.

        It is the width, and 2/alpha times what the improvement lies outside, alpha being what the
        interval may miss: honest intervals that are narrow score best.
        """
        outside = max(self.low - self.actual, 0.0) + max(self.actual - self.high, 0.0)
        return self.high - self.low + 2 / (1 - LEVEL) * outside


@dataclass(frozen=True)
class Score:
    """How good the predictions of one source were, on some trials."""

    count: int
    inside: int
    share_low: float  # 95 % interval of the share that lies inside, as Wilson has it
    share_high: float
    bias: float  # mean of the intervals' middles less what came: above 0 too much was hoped for
    score: float  # mean interval score

    @property
    def share(self) -> float:
        """How many of the intervals held the improvement."""
        return self.inside / self.count


def predictions(
    outcomes: Iterable[Outcome], noise: Noise | None, multiple: float
) -> list[Prediction]:
    """Return who predicted what of each trial, and what it was, by trial.

    An edited proposal is predicted by the person who edited it; by the model that had proposed it
    only where the configuration stayed the same.

    Args:
        outcomes: trials beside their parents.
        noise: of the search; None while it is not known.
        multiple: standard deviations up to which a difference may be noise, `Rules.noise_multiple`.
    """
    found = []
    for row in outcomes:
        figures = Figures(
            value=row.value,
            seeds=row.seeds,
            incumbent_value=row.parent_value,
            incumbent_seeds=row.parent_seeds,
            noise=noise,
        )
        actual, margin = figures.improvement, figures.margin(multiple)
        if actual is None or not math.isfinite(actual):
            continue
        expected = row.expected_low, row.expected_high
        original = row.original_low, row.original_high
        person = row.edited or row.source == "human"
        told: dict[Predictor, tuple[float | None, float | None]] = {
            "surrogate": (row.surrogate_low, row.surrogate_high)
        }
        if person:
            told["person"] = expected
            if row.original_source in ASKED:
                told["model"] = original
        elif row.source in ASKED:
            told["model"] = expected
        found += [
            Prediction(row.number, by, low, high, actual, margin)
            for by, (low, high) in told.items()
            if low is not None and high is not None
        ]
    return found


def score(found: Sequence[Prediction]) -> Score | None:
    """Return how good predictions were; None where there are none."""
    if not found:
        return None
    inside = sum(each.inside for each in found)
    low, high = wilson(inside, len(found))
    return Score(
        count=len(found),
        inside=inside,
        share_low=low,
        share_high=high,
        bias=fmean((each.low + each.high) / 2 - each.actual for each in found),
        score=fmean(each.score for each in found),
    )


def of(found: Iterable[Prediction], by: Predictor) -> list[Prediction]:
    """Return the predictions of one source."""
    return [each for each in found if each.by == by]


def shared(found: Sequence[Prediction], sources: Collection[Predictor]) -> set[int]:
    """Return the trials that all of these sources have predicted."""
    numbers = [{each.number for each in found if each.by == source} for source in sources]
    return set.intersection(*numbers) if numbers else set()


def wilson(hits: int, count: int, level: float = 0.95) -> tuple[float, float]:
    """Return the interval of a share of which `hits` of `count` were seen (Wilson 1927)."""
    z = NormalDist().inv_cdf((1 + level) / 2)
    share = hits / count
    middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    reach = z / (1 + z**2 / count) * math.sqrt(share * (1 - share) / count + (z / count / 2) ** 2)
    return max(0.0, middle - reach), min(1.0, middle + reach)


# -- what each source cost and gained -----------------------------------------------------------


@dataclass(frozen=True)
class Worth:
    """What the trials of one source came to and took. Improvements are over the incumbents."""

    source: str  # a proposal's, or "edited": by a person
    trials: int
    accepted: int
    failed: int  # raised an error, or lost their process
    turned_down: int
    best: float | None  # of the improvements that were accepted; None for none
    gained: float  # their sum
    usd: float  # booked for planning, as are the tokens
    tokens: int
    planning_seconds: float  # in which a language model was asked
    training_seconds: float

    @property
    def per_hour(self) -> float | None:
        """What was gained in an hour of training; None where there was none."""
        return 3600 * self.gained / self.training_seconds if self.training_seconds else None

    @property
    def per_usd(self) -> float | None:
        """What was gained for a US dollar; None where none was spent."""
        return self.gained / self.usd if self.usd else None


def worth(efforts: Iterable[Effort]) -> list[Worth]:
    """Return what the trials of each source came to, the source with most trials first.

    An edited proposal is the person's, and so is what its planning cost.
    """
    groups: dict[str, list[Effort]] = defaultdict(list)
    for row in efforts:
        groups["edited" if row.edited else row.source].append(row)
    found = [_worth(source, rows) for source, rows in groups.items()]
    return sorted(found, key=lambda each: (-each.trials, each.source))


def _worth(source: str, rows: Sequence[Effort]) -> Worth:
    gains = [row.improvement for row in rows if row.accepted and row.improvement is not None]
    return Worth(
        source=source,
        trials=len(rows),
        accepted=sum(bool(row.accepted) for row in rows),
        failed=sum(row.state in ("failed", "crashed") for row in rows),
        turned_down=sum(row.state == "rejected" for row in rows),
        best=max(gains, default=None),
        gained=sum(gains),
        usd=sum(row.usd for row in rows),
        tokens=sum(row.tokens for row in rows),
        planning_seconds=sum(row.asked_seconds for row in rows),
        training_seconds=sum(row.training_seconds for row in rows),
    )


@dataclass(frozen=True)
class Opinions:
    """How often a language model's opinion decided, and how often it changed the verdict."""

    given: int
    changed: int


def opinions(history: Iterable[Judged], rules: Rules) -> Opinions:
    """Return what opinions did: a verdict is changed where the rules alone give another one."""
    alone, given, changed = rules.model_copy(update={"extra_seeds": 0}), 0, 0
    for judged in history:
        if judged.rule == "opinion":
            decision = decide(judged.figures, alone)
            assert not isinstance(decision, AnotherSeed), "no more seeds are asked for"
            given += 1
            changed += decision.accepted != judged.accepted
    return Opinions(given, changed)
