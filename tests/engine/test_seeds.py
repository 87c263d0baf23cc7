"""Trials that are trained with several seeds, by the real engine with the fake trainer."""

from __future__ import annotations

import random
import statistics
import threading
import time
from collections.abc import Callable

import pytest

from informer.config import RunConfig
from informer.records import Failure, Success
from informer.rundir import RunDir
from nas_engine.api import AgentState, load_agent_state
from nas_engine.commands import Control, Start, send
from nas_engine.evaluator import Verdict, decide
from nas_engine.search import SearchSpec
from nas_engine.store import judging
from nas_engine.store.reader import Reader, reading
from nas_engine.trainers.base import Ended, Watch
from tests.engine.conftest import Bench
from tests.fakes.trainer import FakeTrainer, error_of

FIRST_SEED = 2021
EQUAL = {0: 0.500, 1: 0.505, 2: 0.495}  # val_mse by seed: a spread of 1 %


def equally_good(config: RunConfig) -> float:
    return EQUAL[config.training.seed - FIRST_SEED]


def noisy(config: RunConfig) -> float:
    return error_of(config) * random.Random(repr(config.flat())).gauss(1, 0.01)


def read(bench: Bench, question: Callable[[Reader], object]) -> object:
    with reading(bench.workspace) as reader:
        assert reader is not None
        return question(reader)


def events(bench: Bench) -> str:
    with reading(bench.workspace) as reader:
        assert reader is not None
        return "\n".join(event.text for event in reader.events(1))


def test_trial_0_is_trained_with_three_seeds_and_has_their_mean(bench: Bench) -> None:
    bench.trainer = FakeTrainer(value=equally_good)
    (trial,) = bench.search(max_trials=1).trials
    assert [run.read_config().training.seed for run in bench.trainer.trained] == [2021, 2022, 2023]
    values = list(EQUAL.values())
    assert (trial.val_mse, trial.seeds) == (statistics.mean(values), 3)
    assert trial.spread == pytest.approx(statistics.stdev(values))
    assert trial.test_mse == pytest.approx(statistics.mean(values))
    noise = read(bench, lambda reader: judging.noise(reader, 1))
    assert noise is not None
    assert noise.relative == pytest.approx(0.01) and noise.degrees == 2  # type: ignore[attr-defined]
    assert "(3 seeds)" in (trial.verdict or "")


def test_the_seed_of_the_configuration_is_the_first(bench: Bench) -> None:
    bench.search(max_trials=1, settings={"training.seed": 7}, rules={"seeds": 2})
    assert [run.read_config().training.seed for run in bench.trainer.trained] == [7, 8]


def test_the_largest_seed_is_followed_by_0(bench: Bench) -> None:
    bench.search(max_trials=1, settings={"training.seed": 2**31 - 1}, rules={"seeds": 2})
    seeds = [run.read_config().training.seed for run in bench.trainer.trained]
    assert seeds == [2**31 - 1, 0]


def test_each_training_has_a_folder_of_its_own(bench: Bench) -> None:
    bench.search(max_trials=1)
    names = [run.path.name for run in bench.trainer.trained]
    assert names == ["trial-0000", "trial-0000-repeat-1", "trial-0000-repeat-2"]
    assert bench.workspace.run_dir(1, 0) == bench.trainer.trained[0]


def test_a_difference_inside_the_spread_costs_seeds_and_is_no_improvement(bench: Bench) -> None:
    bench.trainer = FakeTrainer(value=equally_good)
    state = bench.search(max_trials=2)
    trial = state.trials[1]
    assert (trial.seeds, trial.accepted, trial.rule) == (3, False, "not distinguishable")
    assert state.search.incumbent == 0
    assert "Trial 1 is trained with another seed (2 of at most 3): its difference of" in (
        events(bench)
    )
    assert "is inside the spread of ±" in events(bench)
    names = [run.path.name for run in bench.trainer.trained]
    assert len(names) == len(set(names)) == 6


def test_a_clear_difference_costs_no_further_seed(bench: Bench) -> None:
    better = FakeTrainer(value=lambda c: equally_good(c) * (0.5 if c.model.d_model != 64 else 1))
    bench.trainer = better
    state = bench.search(max_trials=6)
    changed = [t for t in state.trials if t.config["model.d_model"] != 64]
    assert changed and changed[0].rule == "clear improvement"
    assert changed[0].seeds == 1


def test_the_figures_of_a_verdict_are_kept_and_lead_to_it_again(bench: Bench) -> None:
    bench.trainer = FakeTrainer(value=noisy)
    state = bench.search(max_trials=12)
    used = read(bench, lambda reader: judging.judged_by(reader, 1))
    assert isinstance(used, dict) and set(used) == {trial.number for trial in state.trials}
    for trial in state.trials:
        verdict = decide(used[trial.number], state.search.spec.rules)
        assert isinstance(verdict, Verdict)
        assert (verdict.accepted, verdict.rule) == (trial.accepted, trial.rule)
        assert (verdict.sentence, verdict.margin) == (trial.verdict, trial.margin)


def test_epochs_are_those_of_the_first_training_unless_asked(bench: Bench) -> None:
    bench.trainer = FakeTrainer(value=equally_good)
    bench.search(max_trials=1, settings={"training.epochs": 2})
    last = [
        read(bench, lambda reader, seed=seed: reader.epochs(1, [0], seed=seed)[-1].val_mse)  # type: ignore[misc]
        for seed in (None, 2021, 2022, 2023)
    ]
    assert last == [0.500, 0.500, 0.505, 0.495]
    assert read(bench, lambda reader: len(reader.epochs(1))) == 2


# -- failures -----------------------------------------------------------------------------------


def failing(*seeds: int, error_class: str = "nonfinite") -> Callable[[RunConfig], Failure | None]:
    def fail(config: RunConfig) -> Failure | None:
        if config.training.seed - FIRST_SEED not in seeds:
            return None
        return Failure.model_validate({"error_class": error_class, "message": "It went wrong."})

    return fail


@pytest.mark.parametrize("lost", [(0,), (1,), (0, 2)])
def test_trial_0_counts_with_the_trainings_that_finished(
    bench: Bench, lost: tuple[int, ...]
) -> None:
    bench.trainer = FakeTrainer(value=equally_good, fail=failing(*lost))
    (trial,) = bench.search(max_trials=1).trials
    values = [value for seed, value in EQUAL.items() if seed not in lost]
    assert (trial.state, trial.accepted, trial.seeds) == ("completed", True, len(values))
    assert trial.val_mse == statistics.mean(values) and trial.best_epoch is not None
    assert f"{len(lost)} more training{'s' * (len(lost) > 1)} gave no result" in str(trial.verdict)
    runs = read(bench, lambda reader: [(run.state, run.error) for run in reader.runs(1, 0)])
    assert isinstance(runs, list) and runs.count(("failed", "It went wrong.")) == len(lost)
    noise = read(bench, lambda reader: judging.noise(reader, 1))
    assert (noise is None) == (len(values) < 2)


def test_without_any_result_of_trial_0_the_spread_is_not_known(bench: Bench) -> None:
    bench.trainer = FakeTrainer(
        value=equally_good,
        fail=lambda config: failing(0, 1, 2)(config) if config.model.dropout == 0.05 else None,
    )
    state = bench.search(max_trials=4, rules={"extra_seeds": 0})
    assert state.trials[0].state == "failed"
    judged = [t for t in state.trials if t.rule not in ("no result", "first")]
    assert judged and all("spread over seeds is not known" in str(t.verdict) for t in judged)


def test_an_error_that_every_seed_would_meet_is_met_once(bench: Bench) -> None:
    bench.trainer = FakeTrainer(fail=failing(0, 1, 2, error_class="out_of_memory"))
    (trial,) = bench.search(max_trials=1).trials
    assert trial.state == "failed" and len(bench.trainer.trained) == 1


def test_an_extra_seed_that_meets_the_limit_of_time_is_the_last(bench: Bench) -> None:
    class Slow(FakeTrainer):
        def train(self, run: RunDir, watch: Watch) -> Success | Ended:
            if run.path.name == "trial-0001-repeat-1":
                self.trained.append(run)
                return Ended("failed", "time", "The training was ended at its limit.")
            return super().train(run, watch)

    bench.trainer = Slow(value=equally_good)
    trial = bench.search(max_trials=2).trials[1]
    assert (trial.state, trial.seeds, trial.rule) == ("completed", 1, "not distinguishable")
    assert "1 more training gave no result" in str(trial.verdict)
    assert len(bench.trainer.trained) == 5


# -- pause, stop and cancel ---------------------------------------------------------------------


def begin(
    bench: Bench, in_background: Callable[[int], threading.Thread], folder: str, max_trials: int
) -> None:
    """Start a search whose training in `folder` is slow, and return when that has begun."""

    class SlowAt(FakeTrainer):
        def train(self, run: RunDir, watch: Watch) -> Success | Ended:
            self.epoch_seconds = 0.5 if run.path.name == folder else 0.0
            return super().train(run, watch)

    bench.trainer = SlowAt(value=equally_good)
    in_background(send(bench.workspace, Start(spec=SearchSpec(max_trials=max_trials))))
    deadline = time.monotonic() + 30
    while not bench.trainer.trained or bench.trainer.trained[-1].path.name != folder:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def ended(bench: Bench, state: str) -> AgentState:
    deadline = time.monotonic() + 30
    while (found := load_agent_state(bench.workspace.db)).search.state != state:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def test_cancelling_an_extra_seed_keeps_what_was_trained(
    bench: Bench, in_background: Callable[[int], threading.Thread]
) -> None:
    begin(bench, in_background, "trial-0001-repeat-1", max_trials=5)
    send(bench.workspace, Control(kind="cancel"), 1)
    trial = ended(bench, "stopped").trials[-1]
    assert (trial.number, trial.state, trial.seeds) == (1, "completed", 1)
    assert (trial.accepted, trial.rule) == (False, "not distinguishable")
    assert "1 more training gave no result" in str(trial.verdict)
    states = read(bench, lambda reader: [run.state for run in reader.runs(1, 1)])
    assert states == ["completed", "stopped"]


def test_cancelling_the_second_seed_of_trial_0_keeps_the_first(
    bench: Bench, in_background: Callable[[int], threading.Thread]
) -> None:
    begin(bench, in_background, "trial-0000-repeat-1", max_trials=5)
    send(bench.workspace, Control(kind="cancel"), 1)
    state = ended(bench, "stopped")
    assert [trial.seeds for trial in state.trials] == [1]
    assert state.search.incumbent == 0 and state.search.best == EQUAL[0]


def test_stopping_lets_the_trial_have_its_seeds_and_begins_no_other(
    bench: Bench, in_background: Callable[[int], threading.Thread]
) -> None:
    begin(bench, in_background, "trial-0001-repeat-1", max_trials=5)
    send(bench.workspace, Control(kind="stop"), 1)
    state = ended(bench, "stopped")
    assert [trial.seeds for trial in state.trials] == [3, 3]
