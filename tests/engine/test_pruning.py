"""Which trainings end early: decided by the epochs of others, alike before and after a restart."""

from __future__ import annotations

import random
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from informer.records import Epoch, Progress, Success
from informer.rundir import RunDir
from nas_engine.api import AgentState, load_agent_state
from nas_engine.commands import Control, OnTrial
from nas_engine.planners.base import View
from nas_engine.planners.tpe import OptunaPlanner
from nas_engine.pruning import WINDOW, Pruner, Reached
from nas_engine.search import Pruning
from nas_engine.store.reader import reading
from nas_engine.store.rows import EpochRow
from nas_engine.trainers.base import Ended, Watch
from nas_engine.workspace import Workspace
from tests.engine.conftest import Bench
from tests.engine.recorded_search import recorded_spec
from tests.fakes.recorded import RecordedTrainer

EPOCHS = 6
METHODS = [
    Pruning(method="successive_halving"),
    Pruning(method="successive_halving", min_epochs=2, reduction=3),
    Pruning(method="hyperband"),
]


def curve(number: int, epochs: int = EPOCHS) -> Iterator[Reached]:
    """Yield the epochs of a training: it falls, from a level of its own."""
    draw = random.Random(number)
    level = draw.uniform(0.3, 0.9)
    for epoch in range(1, epochs + 1):
        yield Reached(number, epoch, epochs, level * (1 + 1 / epoch) * draw.uniform(0.95, 1.05))


def trained(pruner: Pruner, numbers: Iterable[int]) -> list[Reached]:
    """Train one after the other as far as each may go, and return the epochs."""
    told: list[Reached] = []
    for number in numbers:
        for reached in curve(number):
            told.append(reached)
            if pruner.report(reached) is not None:
                break
    return told


def endings(pruner: Pruner, told: Iterable[Reached]) -> dict[int, str]:
    """Return why trials end: a newest epoch that is reported again is answered as before."""
    newest = {reached.number: reached for reached in told}
    found = {number: pruner.report(reached) for number, reached in newest.items()}
    return {number: text for number, text in found.items() if text is not None}


def of_epochs(values: Iterable[float | None], pruner: Pruner) -> list[str | None]:
    """Report one value for each of trials 1, 2, ..., at their first epoch."""
    return [
        pruner.report(Reached(number, 1, EPOCHS, value))
        for number, value in enumerate(values, start=1)
    ]


def test_a_trial_behind_the_better_half_ends_with_its_figures() -> None:
    pruner = Pruner(METHODS[0], EPOCHS)
    *before, last = of_epochs([0.5, 0.4, 0.3, 0.2, 0.25], pruner)
    assert before == [None] * 4
    assert last is None  # the second of five
    assert pruner.report(Reached(6, 1, EPOCHS, 0.52)) == (
        "Ended after epoch 1 of 6: val_mse 0.52 there is not among the best 3 of 6 trials."
    )


def test_few_trials_go_on_only_as_the_best() -> None:
    eager = Pruner(Pruning(method="successive_halving", reduction=4), EPOCHS)
    first, second, third = of_epochs([0.5, 0.6, 0.4], eager)
    assert (first, third) == (None, None)
    assert second == "Ended after epoch 1 of 6: val_mse 0.6 there is not the best of 2 trials."


def test_every_trial_gets_its_least_epochs() -> None:
    patient = Pruner(Pruning(method="successive_halving", min_epochs=3), EPOCHS)
    for number, level in ((1, 0.1), (2, 0.9)):
        ends = [patient.report(Reached(number, epoch, EPOCHS, level)) for epoch in range(1, 4)]
        assert ends[:2] == [None, None]
    assert ends[2] is not None


def test_hyperband_ends_trials_and_lets_some_brackets_wait() -> None:
    pruner = Pruner(METHODS[2], EPOCHS)
    told = trained(pruner, range(1, 200))
    lengths = {reached.number: reached.epoch for reached in told}
    ended = endings(pruner, told)
    assert {lengths[number] for number in ended} == {1, 2, 4}  # one more step in each bracket
    assert {lengths[number] for number in lengths.keys() - ended.keys()} == {EPOCHS}
    assert "of its Hyperband bracket" in ended[min(ended)]


def test_without_a_method_every_trial_is_trained_to_its_end() -> None:
    assert len(trained(Pruner(Pruning(), EPOCHS), range(1, 50))) == 49 * EPOCHS


def test_more_least_epochs_than_epochs_end_nothing() -> None:
    for method in ("successive_halving", "hyperband"):
        pruning = Pruning.model_validate({"method": method, "min_epochs": 10})
        assert len(trained(Pruner(pruning, EPOCHS), range(1, 50))) == 49 * EPOCHS


def test_what_is_not_finite_is_not_compared() -> None:
    pruner = Pruner(METHODS[0], EPOCHS)
    assert of_epochs([0.5, None, None, 0.4], pruner) == [None] * 4
    ending = pruner.report(Reached(5, 1, EPOCHS, 0.6))
    assert ending is not None and "the best of 3 trials" in ending


def test_the_last_epoch_ends_no_trial() -> None:
    pruner = Pruner(Pruning(method="successive_halving", min_epochs=2), EPOCHS)
    for number, level in ((1, 0.1), (2, 0.9)):
        for epoch in (1, 2):
            assert pruner.report(Reached(number, epoch, 2, level)) is None


def test_an_epoch_that_is_reported_again_changes_nothing() -> None:
    pruner = Pruner(METHODS[0], EPOCHS)
    of_epochs([0.5, 0.4], pruner)
    assert pruner.report(Reached(2, 1, EPOCHS, 0.9)) is None
    ending = pruner.report(Reached(3, 1, EPOCHS, 0.45))
    assert ending is not None and pruner.report(Reached(3, 1, EPOCHS, 0.1)) == ending


def test_a_trial_that_a_person_has_trained_again_goes_on_and_is_compared() -> None:
    pruner = Pruner(METHODS[0], EPOCHS)
    assert of_epochs([0.4, 0.5], pruner)[1] is not None
    assert pruner.report(Reached(2, 2, EPOCHS, 0.2)) is None
    assert endings(pruner, [Reached(2, 2, EPOCHS, 0.2)]) == {}
    ending = pruner.report(Reached(1, 2, EPOCHS, 0.3))
    assert ending is not None and "the best of 2 trials" in ending


@pytest.mark.parametrize("pruning", METHODS, ids=str)
@pytest.mark.parametrize("lost_after", [1, 7, 40, 97, 98, 99, 100])
def test_a_pruner_that_is_told_the_epochs_decides_as_the_one_that_was_lost(
    pruning: Pruning, lost_after: int
) -> None:
    whole = Pruner(pruning, EPOCHS)
    undisturbed = trained(whole, range(1, 60))
    again = Pruner(pruning, EPOCHS, undisturbed[:lost_after])
    in_training = undisturbed[lost_after - 1]
    expected = endings(whole, undisturbed)
    ended = undisturbed[lost_after].number > in_training.number
    assert again.report(in_training) == (expected.get(in_training.number) if ended else None)
    for reached in undisturbed[lost_after:]:
        again.report(reached)
    assert endings(again, undisturbed) == expected != {}


@pytest.mark.parametrize("pruning", METHODS, ids=str)
def test_a_pruner_that_is_told_the_newest_trials_alone_decides_alike(pruning: Pruning) -> None:
    whole = Pruner(pruning, EPOCHS)
    told = trained(whole, range(1, WINDOW + 300))
    newest = [reached for reached in told if reached.number >= 300]
    again = Pruner(pruning, EPOCHS, newest)
    more = range(WINDOW + 300, WINDOW + 350)
    told = trained(whole, more)
    assert trained(again, more) == told
    assert endings(again, told) == endings(whole, told)


def test_slots_that_report_at_the_same_time_lose_nothing() -> None:
    pruner = Pruner(METHODS[0], EPOCHS)
    with ThreadPoolExecutor(8) as slots:
        told = list(slots.map(lambda number: trained(pruner, [number]), range(1, 200)))
    ended = endings(pruner, (reached for epochs in told for reached in epochs))
    assert ended.keys() == {epochs[-1].number for epochs in told if epochs[-1].epoch < EPOCHS}
    assert 50 < len(ended) < 199


# -- in a search --------------------------------------------------------------------------------


def test_a_pruned_trial_is_neither_result_nor_failure(tmp_path: Path) -> None:
    state = recorded_search(tmp_path, Pruning(method="successive_halving"))
    pruned = [trial for trial in state.trials if trial.state == "pruned"]
    completed = [trial for trial in state.trials if trial.state == "completed"]
    assert len(completed) >= 3 and len(pruned) >= 8
    for trial in pruned:
        assert (trial.rule, trial.accepted, trial.val_mse) == ("pruned", False, None)
        assert trial.error.startswith("Ended after epoch") and trial.error in str(trial.verdict)
        assert trial.number > 0
    with reading(Workspace(tmp_path / "nas.db")) as reader:
        assert reader is not None
        lengths = Counter(row.number for row in reader.epochs(1))
        for trial in pruned:
            assert f"after epoch {lengths[trial.number]} of 4" in trial.error
            assert len(reader.runs(1, trial.number)) == 1  # no further seed
        known = Pruner.of(reader, 1)
        told = [
            Reached(row.number, row.epoch, 4, row.val_mse)
            for row in reader.epochs(1, seed=state.search.spec.start()["training.seed"])
            if row.number > 0
        ]
    assert endings(known, told) == {trial.number: trial.error for trial in pruned}


def test_pruned_trials_are_told_to_the_optimiser_as_such(tmp_path: Path) -> None:
    state = recorded_search(tmp_path, Pruning(method="successive_halving"))
    planner = OptunaPlanner("tpe")
    with reading(Workspace(tmp_path / "nas.db")) as reader:
        assert reader is not None
        view = View.of(reader, 1, len(state.trials))
        for trial in view.trials:
            planner.observe(trial)
        told = planner.study(view).trials
        last = {row.number: row for row in reader.epochs(1)}
    for row, trial in zip(told, state.trials, strict=True):
        assert row.state.name == {"pruned": "PRUNED", "completed": "COMPLETE"}[trial.state]
        end = last[trial.number]
        expected = {end.epoch: end.val_mse} if trial.state == "pruned" else {}
        assert row.intermediate_values == expected


class Hasty(RecordedTrainer):
    """Has always ended a training before it is asked to."""

    def train(self, run: RunDir, watch: Watch) -> Success | Ended:
        records: list[Progress | Epoch] = []
        outcome = super().train(run, replace(watch, report=records.extend, ending=lambda: None))
        watch.report(records)
        return outcome


def test_a_worker_that_is_faster_than_its_pruner_makes_no_difference(tmp_path: Path) -> None:
    found = []
    for trainer in (RecordedTrainer(), Hasty()):
        folder = tmp_path / type(trainer).__name__
        recorded_search(folder, Pruning(method="hyperband"), trainer=trainer)
        found.append(told_of(folder))
    assert found[0] == found[1]


def test_a_search_whose_engine_began_anew_prunes_as_the_undisturbed_one(tmp_path: Path) -> None:
    pruning = Pruning(method="successive_halving")
    recorded_search(tmp_path / "whole", pruning, max_trials=16)
    for max_trials in (4, 9, 10, 16):
        recorded_search(tmp_path / "parts", pruning, max_trials=max_trials)
    assert told_of(tmp_path / "parts") == told_of(tmp_path / "whole")


def test_a_trial_that_was_to_end_is_not_trained_on_by_the_next_engine(tmp_path: Path) -> None:
    pruning = Pruning(method="successive_halving")
    state = recorded_search(tmp_path, pruning)
    last = max(trial.number for trial in state.trials if trial.state == "pruned")
    before = told_of(tmp_path)
    database = sqlite3.connect(tmp_path / "nas.db")
    with database:  # as an engine leaves it that is lost between the epoch and the end
        database.execute("UPDATE searches SET state = 'paused'")
        database.execute("DELETE FROM verdicts WHERE number = ?", (last,))
        database.execute(
            "UPDATE trials SET state = 'running', ended_at = NULL, error = '' WHERE number = ?",
            (last,),
        )
        database.execute("UPDATE runs SET state = 'running', error = '' WHERE number = ?", (last,))
    database.close()
    checkpoints = sqlite3.connect(Workspace(tmp_path / "nas.db").checkpoints)
    with checkpoints:
        for table in ("checkpoints", "writes"):
            checkpoints.execute(f"DELETE FROM {table} WHERE thread_id = ?", (f"1/{last}",))
    checkpoints.close()
    bench = Bench(Workspace(tmp_path / "nas.db"), RecordedTrainer())
    bench.give(Control(kind="resume"), 1)
    assert told_of(tmp_path) == before
    assert len(bench.trainer.trained) == 1


def test_a_person_may_have_a_pruned_trial_trained_to_its_end(tmp_path: Path) -> None:
    state = recorded_search(tmp_path, Pruning(method="successive_halving"))
    number = next(trial.number for trial in state.trials if trial.state == "pruned")
    bench = Bench(Workspace(tmp_path / "nas.db"), RecordedTrainer())
    answer = bench.give(OnTrial(kind="retry", number=number), 1)
    assert answer.state == "applied", answer.answer
    trial = load_agent_state(bench.workspace.db).trials[number]
    assert (trial.state, trial.epochs) == ("completed", 4)
    assert trial.rule not in ("pruned", "no result")


def recorded_search(
    folder: Path,
    pruning: Pruning,
    max_trials: int = 20,
    trainer: RecordedTrainer | None = None,
) -> AgentState:
    bench = Bench(Workspace(folder / "nas.db"), trainer or RecordedTrainer())
    spec = recorded_spec(planner="random", max_trials=max_trials, pruning=pruning)
    return bench.search(**spec.model_dump())


def told_of(folder: Path) -> tuple[list[object], list[EpochRow]]:
    """Return what became of the trials of a search, and all epochs that were recorded."""
    with reading(Workspace(folder / "nas.db")) as reader:
        assert reader is not None
        trials = reader.trials(1)
        outcomes = [(t.config, t.state, t.val_mse, t.rule, t.error, t.accepted) for t in trials]
        return [*outcomes], reader.epochs(1)
