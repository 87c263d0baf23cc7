"""The trials of an Optuna study as rows of a search."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from optuna.trial import FrozenTrial, TrialState

from informer.config import Value
from nas_engine.evaluator import Figures, Verdict, decide
from nas_engine.exchange.archive import ExchangeError
from nas_engine.exchange.importing import Placed
from nas_engine.exchange.rows import RowError, checked_row
from nas_engine.search import Rules, SearchSpec
from nas_engine.space import step_type
from nas_engine.store import copying
from nas_engine.store.derived import sampled

ENDED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


@dataclass(frozen=True)
class StudyTrial:
    """A trial of a study that has ended, in terms of ours."""

    theirs: FrozenTrial
    values: dict[str, Value]  # of the settings that it names
    config: dict[str, Value]

    @property
    def value(self) -> float | None:
        """The error of a trial that was trained to its end."""
        if self.theirs.state is not TrialState.COMPLETE or not self.theirs.values:
            return None
        value = float(self.theirs.values[0])
        return value if math.isfinite(value) else None

    @property
    def state(self) -> str:
        """The state of the trial here."""
        if self.theirs.state is TrialState.PRUNED:
            return "pruned"
        return "failed" if self.value is None else "completed"


def rows(
    spec: SearchSpec, rules: Rules, found: Sequence[StudyTrial], study: str
) -> Iterator[Placed]:
    """Return the rows of a search with these trials, checked as those of a file are.

    Args:
        spec: the search.
        rules: by which its trials are judged, one after another; they ask for no further seed.
        found: its trials, the first of which has a result.
        study: name of the study.

    Raises:
        ExchangeError: something in the study cannot be kept.
    """
    for table, row in _rows(spec, rules, found, study[:100]):
        try:
            yield Placed(table, f"a row of {table}", checked_row(table, row))
        except RowError as error:
            raise ExchangeError(f"The study cannot be taken: a row of {table} {error}.") from None


def _rows(
    spec: SearchSpec, rules: Rules, found: Sequence[StudyTrial], study: str
) -> Iterator[tuple[str, copying.Row]]:
    """Return the rows of the search, each after those that it names."""
    verdicts, incumbent = _judged(found, rules)
    yield (
        "searches",
        copying.row_of(
            "searches",
            id=1,
            fingerprint="",
            spec=spec.model_dump_json(),
            max_trials=len(found),
            state="completed",
            reason="Imported from an Optuna study.",
            incumbent=incumbent,
            created_at=_moment(found[0], "start"),
            active_seconds=0.0,
        ),
    )
    for number, trial in enumerate(found):
        yield "proposals", _proposal(number, trial, found[0], study)
    for number, trial in enumerate(found):
        yield "trials", _trial(number, trial)
    for number, trial in enumerate(found):
        yield "runs", _run(number, trial)
    for number, trial in enumerate(found):
        for epoch, value in enumerate(_curve(trial), 1):
            cells = {"run_id": number + 1, "epoch": epoch, "lr": 0.0, "seconds": 0.0}
            yield "epochs", copying.row_of("epochs", val_mse=value, **cells)
    for number, verdict in enumerate(verdicts):
        yield "verdicts", _verdict(number, found[number], verdict)


def _judged(found: Sequence[StudyTrial], rules: Rules) -> tuple[list[Verdict], int | None]:
    """Return verdicts and the incumbent."""
    verdicts: list[Verdict] = []
    best: int | None = None
    for number, trial in enumerate(found):
        figures = Figures(
            value=trial.value,
            seeds=int(trial.value is not None),
            tried=1,
            failure="" if trial.value is not None else _failure(trial),
            pruned=trial.theirs.state is TrialState.PRUNED,
            incumbent=best,
            incumbent_value=None if best is None else found[best].value,
            incumbent_seeds=int(best is not None),
        )
        verdict = decide(figures, rules)
        assert isinstance(verdict, Verdict), "these rules ask for no further seed"
        verdicts.append(verdict)
        if verdict.accepted:
            best = number
    return verdicts, best


def _failure(trial: StudyTrial) -> str:
    pruned = trial.theirs.state is TrialState.PRUNED
    return "It was pruned in the study." if pruned else "It has no result in the study."


def _moment(trial: StudyTrial, which: str) -> float:
    given = trial.theirs.datetime_start if which == "start" else trial.theirs.datetime_complete
    given = given or trial.theirs.datetime_start or trial.theirs.datetime_complete
    try:
        return 0.0 if given is None else max(0.0, given.timestamp())
    except (ValueError, OverflowError, OSError):
        return 0.0


def _curve(trial: StudyTrial) -> list[float | None]:
    """Return the intermediate values in order; None for those that are not finite."""
    values = [value for _, value in sorted(trial.theirs.intermediate_values.items())]
    return [float(value) if math.isfinite(value) else None for value in values]


def _proposal(number: int, trial: StudyTrial, first: StudyTrial, study: str) -> copying.Row:
    changes = {key: value for key, value in trial.config.items() if first.config[key] != value}
    made = _moment(trial, "start")
    return copying.row_of(
        "proposals",
        id=number + 1,
        search_id=1,
        number=number,
        parent=0 if number else None,
        source="imported",
        step_type=step_type(changes),
        hypothesis=f"Trial {trial.theirs.number} of the Optuna study {study}.",
        reasons="",
        changes=json.dumps(changes),
        original=json.dumps(changes),
        config=json.dumps(trial.config),
        decision="auto",
        created_at=made,
        decided_at=made,
    )


def _trial(number: int, trial: StudyTrial) -> copying.Row:
    return copying.row_of(
        "trials",
        search_id=1,
        number=number,
        proposal_id=number + 1,
        state=trial.state,
        val_mse=trial.value,
        seeds=int(trial.value is not None),
        error="" if trial.value is not None else _failure(trial),
        created_at=_moment(trial, "start"),
        started_at=_moment(trial, "start"),
        ended_at=_moment(trial, "end"),
        spark=json.dumps(sampled(_curve(trial))),
    )


def _run(number: int, trial: StudyTrial) -> copying.Row:
    curve = _curve(trial)
    return copying.row_of(
        "runs",
        id=number + 1,
        search_id=1,
        number=number,
        seed=int(trial.config["training.seed"]),
        state=trial.state,
        val_mse=trial.value,
        epochs=len(curve) or None,
        started_at=_moment(trial, "start"),
        ended_at=_moment(trial, "end"),
        device="an Optuna study",
    )


def _verdict(number: int, trial: StudyTrial, verdict: Verdict) -> copying.Row:
    figures = dataclasses.asdict(verdict.figures)
    kept = ("value", "seeds", "tried", "incumbent", "incumbent_value", "incumbent_seeds")
    return copying.row_of(
        "verdicts",
        id=number + 1,
        search_id=1,
        number=number,
        accepted=int(verdict.accepted),
        rule=verdict.rule,
        improvement=verdict.figures.improvement,
        sentence=verdict.sentence,
        created_at=_moment(trial, "end"),
        **{name: figures[name] for name in kept},
    )
