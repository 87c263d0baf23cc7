"""Trials that are first trained with their parents' weights, and how far that is believed."""

from __future__ import annotations

import io
import math
import random
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from pydantic import ValidationError

from informer.config import RunConfig
from informer.records import Failure, Success
from informer.rundir import RunDir
from nas_engine.commands import OnTrial, send
from nas_engine.exchange.importing import import_search
from nas_engine.inheritance import (
    ALL_THE_SAME,
    LEAST_PAIRS,
    Expected,
    Pair,
    expected,
    given_up,
    hopeless,
    shortened,
)
from nas_engine.planners.base import View
from nas_engine.planners.tpe import OptunaPlanner
from nas_engine.search import Rules, SearchSpec
from nas_engine.store import inherited, judging
from nas_engine.store.reader import Reader, reading
from nas_engine.store.rows import RunRow, TrialRow
from nas_engine.store.table import results
from nas_engine.trainers.base import Ended, Watch
from nas_engine.workspace import Workspace
from tests.engine.conftest import ONE_SEED, Bench
from tests.engine.exchanged import exported
from tests.fakes.trainer import FakeTrainer, error_of

EPOCHS, SHORT = 6, 2
SHARE = 0.9

# -- what errors with inherited weights say -----------------------------------------------------


def test_nothing_is_expected_from_few_pairs() -> None:
    pairs = [Pair(0.5, 0.4)] * LEAST_PAIRS
    assert expected(0.5, pairs[1:]) is None
    assert expected(0.5, pairs) == Expected(pytest.approx(0.4), pytest.approx(0.4), LEAST_PAIRS)


def test_the_interval_is_students_of_one_more_value() -> None:
    # d = 0.1, 0.2, 0.3, 0.4: mean 0.25, deviation 0.1291; t covers what 2 deviations of a normal
    # variable do, 4.53 / 3.31 for 2 / 3 degrees of freedom.
    outlook = expected(1.0, [Pair(1.0, math.exp(d / 10)) for d in (1, 2, 3, 4)])
    assert outlook is not None
    half = 3.3068 * 0.129099 * math.sqrt(1.25)
    assert math.log(outlook.low) == pytest.approx(0.25 - half, abs=1e-4)
    assert math.log(outlook.high) == pytest.approx(0.25 + half, abs=1e-4)


def test_the_interval_covers_what_it_promises() -> None:
    draw = random.Random(1)
    inside = 0
    for _ in range(2000):
        pairs = [Pair(1.0, math.exp(draw.gauss(-0.2, 0.1))) for _ in range(6)]
        outlook = expected(0.8, pairs)
        assert outlook is not None
        inside += outlook.low <= 0.8 * math.exp(draw.gauss(-0.2, 0.1)) <= outlook.high
    assert 0.94 < inside / 2000 < 0.97


def test_only_an_interval_that_is_a_clear_regression_throughout_leaves_no_hope() -> None:
    rules = Rules(reject_below=-0.05)
    assert hopeless(Expected(1.06, 1.2, 9), 1.0, rules)
    assert not hopeless(Expected(1.04, 9.0, 9), 1.0, rules)
    assert not hopeless(Expected(1.06, 1.2, 9), 0.0, rules)


def test_every_fifth_is_trained_all_the_same() -> None:
    assert [number for number in range(1, 21) if not given_up(number)] == [5, 10, 15, 20]


def test_a_third_of_the_epochs_is_trained_and_never_all() -> None:
    lengths = {}
    for epochs in (1, 2, 3, 8, 9):
        short = shortened(RunConfig().with_changes({"training.epochs": epochs}))
        lengths[epochs] = short and short.training.epochs
    assert lengths == {1: None, 2: 1, 3: 1, 8: 2, 9: 3}


def test_the_warm_up_is_shorter_alike_so_that_the_learning_rate_is_reached() -> None:
    changes = {"training.epochs": 7, "training.warmup_steps": 69, "training.steps_per_epoch": 10}
    short = shortened(RunConfig().with_changes(changes))
    assert short is not None
    assert (short.training.epochs, short.training.warmup_steps) == (2, 19)


def test_it_is_refused_where_more_than_the_error_counts() -> None:
    for beside in ({"objectives": ("val_mse", "parameters")}, {"at_most": {"parameters": 9.0}}):
        with pytest.raises(ValidationError, match="by their error alone"):
            SearchSpec.model_validate({"inherits": True, **beside})


# -- in a search --------------------------------------------------------------------------------


class Inheriting(FakeTrainer):
    """Leaves weights, and ends at an error above the real one where it began with some."""

    def __init__(
        self, fail_inherited: Callable[[RunConfig], Failure | None] = lambda config: None
    ) -> None:
        super().__init__(fail=lambda config: fail_inherited(config) if _short(config) else None)
        self.value = lambda config: error_of(config) * (1.1 if _short(config) else 1.0)
        self.begun_with: list[tuple[str, str | None]] = []

    def train(self, run: RunDir, watch: Watch) -> Success | Ended:
        weights = run.read_orders().weights
        self.begun_with.append((run.path.name, weights))
        outcome = super().train(run, watch)
        if isinstance(outcome, Success):
            share = None if weights is None else SHARE
            outcome = outcome.model_copy(update={"inherited_share": share})
            run.write_result(outcome)
            run.weights.write_bytes(b"weights")
        return outcome


def _short(config: RunConfig) -> bool:
    return config.training.epochs == SHORT


@contextmanager
def store(bench: Bench) -> Iterator[Reader]:
    with reading(bench.workspace) as reader:
        assert reader is not None
        yield reader


def searched(bench: Bench, trials: int = 16, **spec: object) -> list[TrialRow]:
    facts: dict[str, object] = {
        "max_trials": trials,
        "planner": "tpe",
        "rules": ONE_SEED,
        "settings": {"training.epochs": EPOCHS},
        "inherits": True,
    }
    return bench.search(**(facts | spec)).trials


def all_runs(bench: Bench, trials: list[TrialRow]) -> dict[int, list[RunRow]]:
    with store(bench) as reader:
        return {trial.number: reader.runs(1, trial.number, every=True) for trial in trials}


def test_errors_with_inherited_weights_are_never_those_of_a_trial(bench: Bench) -> None:
    bench.trainer = trainer = Inheriting()
    trials = searched(bench, trials=12)
    gone = [trial for trial in trials if trial.state == "pruned"]
    kept = [trial for trial in trials if trial.state == "completed"]
    assert gone and len(kept) + len(gone) == len(trials)
    runs = all_runs(bench, trials)
    for trial in trials[1:]:
        first, *others = runs[trial.number]
        assert (first.kind, first.inherited_from) == ("inherited", trial.parent or 0)
        assert (first.inherited_share, first.epochs, first.state) == (SHARE, SHORT, "completed")
        assert [run.kind for run in others] == ["scratch"] * (trial in kept)
    for trial in kept:
        value = error_of(RunConfig().with_changes(trial.config))
        assert (trial.val_mse, trial.test_mse, trial.seeds) == (value, value, 1)
        assert (trial.epochs, trial.state) == (EPOCHS, "completed")
    with store(bench) as reader:
        assert judging.noise(reader, 1) is None
        assert {row.number for row in reader.epochs(1)} == {trial.number for trial in kept}
        assert len(reader.epochs(1)) == EPOCHS * len(kept)
        table = results(reader, [1])
        for number, epochs in zip(table.number, table.epochs, strict=True):
            assert epochs == (None if trials[number] in gone else EPOCHS)
    for trial in gone:
        ends_with_its_figures(trial, runs[trial.number])
    told_as_pruned(bench, trials, gone)
    trained_from_scratch_when_a_person_asks(bench, trainer, gone[0].number)
    arrives_elsewhere_as_it_is(bench)


def ends_with_its_figures(trial: TrialRow, runs: list[RunRow]) -> None:
    assert trial.number % ALL_THE_SAME and trial.number > LEAST_PAIRS
    verdict = (trial.rule, trial.accepted, trial.val_mse, trial.run_id)
    assert verdict == ("pruned", False, None, None)
    (run,) = runs
    assert re.fullmatch(
        rf"Begun with 90% of the weights of trial {trial.parent or 0} it came to "
        rf"{run.val_mse:.6g} in 2 epochs; from scratch \S+ to \S+ are expected "
        r"\(\d+ trials were trained both ways\), against \S+ of trial \d+\.",
        trial.error,
    )
    assert trial.error in (trial.verdict or "")


def told_as_pruned(bench: Bench, trials: list[TrialRow], gone: list[TrialRow]) -> None:
    planner = OptunaPlanner("tpe")
    with store(bench) as reader:
        view = View.of(reader, 1, len(trials))
        for trial in view.trials:
            planner.observe(trial)
        told = planner.study(view).trials
    states = {trial.user_attrs["number"]: trial.state.name for trial in told}
    assert all(states[trial.number] == "PRUNED" for trial in gone)


def trained_from_scratch_when_a_person_asks(bench: Bench, trainer: Inheriting, number: int) -> None:
    before = len(trainer.begun_with)
    answer = bench.give(OnTrial(kind="retry", number=number), 1)
    assert answer.state == "applied", answer.answer
    assert trainer.begun_with[before:] == [(f"trial-{number:04d}", None)]
    with store(bench) as reader:
        trial = reader.trial(1, number)
        assert trial is not None and trial.state == "completed"
        added = [pair for pair in inherited.pairs(reader, 1) if pair.scratch == trial.val_mse]
    assert added[0].inherited == pytest.approx(1.1 * added[0].scratch)


def arrives_elsewhere_as_it_is(bench: Bench) -> None:
    other = Workspace(bench.workspace.db.parent / "other" / "nas.db")
    import_search(other, io.BytesIO(exported(bench.workspace)), "search.nas.zip")
    with store(bench) as mine, reading(other) as theirs:
        assert theirs is not None
        assert inherited.pairs(theirs, 1) == inherited.pairs(mine, 1)
        begun = [[run.begun for run in reader.runs(1, 1, every=True)] for reader in (mine, theirs)]
    assert begun == [["with 90% of the weights of trial 0", "from scratch"]] * 2


def test_what_is_begun_with_is_the_parents(bench: Bench) -> None:
    bench.trainer = trainer = Inheriting()
    trials = searched(bench, trials=4)
    for name, weights in trainer.begun_with:
        number = int(name[6:10])
        parent = bench.workspace.run_dir(1, trials[number].parent or 0).weights
        assert weights == (str(parent.resolve()) if name.endswith("-inherited") else None)
    assert len(trainer.begun_with) == 7


def failing(error_class: str) -> Callable[[RunConfig], Failure]:
    return lambda config: Failure.model_validate({"error_class": error_class, "message": "No."})


@pytest.mark.parametrize(
    ("error_class", "state"), [("weights", "stopped"), ("nonfinite", "failed")]
)
def test_whatever_inherited_weights_fail_at_the_trial_is_trained_from_scratch(
    bench: Bench, error_class: str, state: str
) -> None:
    bench.trainer = Inheriting(failing(error_class))
    trials = searched(bench, trials=3)
    assert [trial.state for trial in trials] == ["completed"] * 3
    assert all(trial.error == "" for trial in trials)
    (first, second) = all_runs(bench, trials)[1]
    assert (first.kind, first.state, first.error_class) == ("inherited", state, error_class)
    assert (second.kind, second.state) == ("scratch", "completed")


def test_without_weights_of_the_parent_it_begins_from_scratch(bench: Bench) -> None:
    trials = searched(bench, trials=2)  # by a trainer that leaves none
    assert [run.kind for run in all_runs(bench, trials)[1]] == ["scratch"]
    with store(bench) as reader:
        texts = [event.text for event in reader.events(1)]
    assert "Trial 1 begins from scratch: the trial it changes has no weights." in texts


def test_pruners_are_told_of_epochs_from_scratch_alone(bench: Bench) -> None:
    bench.trainer = Inheriting()
    trials = searched(bench, trials=8, pruning={"method": "successive_halving"})
    ended = [trial for trial in trials if "Ended after epoch" in trial.error]
    assert ended
    for runs in all_runs(bench, trials).values():
        assert all(run.state == "completed" for run in runs if run.kind == "inherited")


def test_a_search_without_it_trains_from_scratch_alone(bench: Bench) -> None:
    bench.trainer = trainer = Inheriting()
    trials = searched(bench, trials=4, inherits=False)
    assert len(trainer.begun_with) == 4
    assert {run.kind for runs in all_runs(bench, trials).values() for run in runs} == {"scratch"}


class Stopped(Inheriting):
    """Has a person stop trial 1 while it trains with inherited weights."""

    workspace: Workspace

    def train(self, run: RunDir, watch: Watch) -> Success | Ended:
        if run.path.name == "trial-0001-inherited":
            send(self.workspace, OnTrial(kind="stop_trial", number=1), 1)
            self.epoch_seconds = 60.0
        else:
            self.epoch_seconds = 0.0
        return super().train(run, watch)


def test_a_trial_that_is_stopped_with_inherited_weights_is_not_begun_from_scratch(
    bench: Bench,
) -> None:
    bench.trainer = trainer = Stopped()
    trainer.workspace = bench.workspace
    trials = searched(bench, trials=3)
    assert [trial.state for trial in trials] == ["completed", "stopped", "completed"]
    assert (trials[1].rule, trials[1].val_mse) == ("no result", None)
    (run,) = all_runs(bench, trials)[1]
    assert (run.kind, run.state) == ("inherited", "stopped")
