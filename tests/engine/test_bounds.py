"""What a search asks of its trainings beside their configuration, and what becomes of bounds."""

from __future__ import annotations

from typing import Any

import pytest
from click.testing import CliRunner

from informer.config import RunConfig
from informer.cost import parameters
from informer.estimate import forecast_flops
from informer.orders import Orders, Timing
from informer.records import Failure
from nas_engine.api import AgentState
from nas_engine.cli import searching
from nas_engine.commands import Enqueue, OnTrial
from nas_engine.machine import GPU
from nas_engine.proposals import Record, beyond_bounds, check, untimeable
from nas_engine.search import SearchSpec
from nas_engine.store.reader import reading
from nas_engine.supervisor import Answer
from nas_engine.trainers.base import Ended
from nas_engine.workspace import Workspace
from tests.engine.conftest import ONE_SEED, Bench
from tests.fakes.trainer import FakeTrainer

SETTINGS = {"data.dataset": "synthetic", "training.epochs": 2}


def bounded(**bounds: float) -> SearchSpec:
    return SearchSpec(settings=dict(SETTINGS), at_most=bounds)  # type: ignore[arg-type]


# -- orders ---------------------------------------------------------------------------------------


def test_a_search_without_latency_asks_nothing_beside_the_configuration() -> None:
    assert SearchSpec().orders(wanted=False) is None
    assert bounded(parameters=1e6).orders(wanted=False) is None


def test_latency_is_measured_where_it_counts_and_held_to_its_bound_unless_a_person_asked() -> None:
    timing = Timing(batch=8, device="cpu", threads=2)
    traded = SearchSpec(objectives=("val_mse", "latency_ms"), timing=timing)
    assert traded.orders(wanted=False) == Orders(timing=timing)
    held = SearchSpec(at_most={"latency_ms": 5}, timing=timing)
    assert held.orders(wanted=False) == Orders(timing=timing, latency_at_most=5)
    assert held.orders(wanted=True) == Orders(timing=timing)


def test_a_model_that_is_too_slow_is_nobodys_fault_and_other_failures_are() -> None:
    slow = Failure(error_class="infeasible", message="Slow.", latency_ms=7.0)
    assert Ended.by(slow) == Ended("pruned", "infeasible", "Slow.", 7.0)
    assert Ended.by(Failure(error_class="disk", message="Full.")).state == "failed"


# -- a whole search -------------------------------------------------------------------------------


def wide_is_slow(config: RunConfig) -> float:
    return 2.0 if config.model.d_model <= 32 else 9.0


def run(bench: Bench, trials: int, **spec: Any) -> AgentState:
    bench.trainer = FakeTrainer(latency=wide_is_slow)
    space = {"model.d_model": {"values": (32, 64, 128)}}
    return bench.search(
        settings=SETTINGS, max_trials=trials, space=space, rules=ONE_SEED, planner="random", **spec
    )


def test_what_is_too_slow_ends_before_it_is_trained_and_is_no_failure(bench: Bench) -> None:
    limits = {"failures": 1}
    state = run(bench, 8, at_most={"latency_ms": 5}, limits=limits)
    assert state.search.state == "completed", state.search.reason
    slow = [trial for trial in state.trials[1:] if trial.config["model.d_model"] != 32]
    quick = [trial for trial in state.trials if trial.config["model.d_model"] == 32]
    assert slow and quick, "random draws both"
    with reading(bench.workspace) as reader:
        assert reader is not None
        for trial in slow:
            (training,) = reader.runs(1, trial.number)
            assert (training.state, training.error_class) == ("pruned", "infeasible")
            assert (training.latency_ms, training.epochs) == (9.0, None)
            assert trial.state == "pruned" and trial.accepted is False
            assert trial.verdict is not None and "A forecast takes 9 ms" in trial.verdict
    assert {trial.latency_ms for trial in quick} == {2.0}
    assert {trial.state for trial in quick} == {"completed"}


def test_trial_0_is_trained_however_slow_it_is(bench: Bench) -> None:
    state = run(bench, 1, at_most={"latency_ms": 1})
    assert state.trials[0].state == "completed"
    assert state.trials[0].latency_ms == wide_is_slow(state.search.spec.base())


def test_what_a_person_asks_for_is_trained_however_slow_and_told_what_it_breaks(
    bench: Bench,
) -> None:
    most = parameters(SearchSpec(settings=dict(SETTINGS)).base()) + 1
    run(bench, 1, at_most={"latency_ms": 5, "parameters": most})
    answer = bench.give(Enqueue(parent=0, changes={"model.d_model": 128}, comment=""), 1)
    assert answer.state == "applied"
    assert answer.answer.startswith("Trial 1 is queued. The model would have ")
    assert f"this search looks for at most {most:,} parameters. It is trained" in answer.answer
    with reading(bench.workspace) as reader:
        assert reader is not None
        trial = reader.trial(1, 1)
    assert trial is not None and trial.state == "completed" and trial.latency_ms == 9.0


def test_what_was_too_slow_is_trained_where_a_person_wants_it_again(bench: Bench) -> None:
    state = run(bench, 8, at_most={"latency_ms": 5})
    slow = next(trial.number for trial in state.trials if trial.state == "pruned")
    assert bench.give(OnTrial(kind="retry", number=slow), 1).state == "applied"
    with reading(bench.workspace) as reader:
        assert reader is not None
        trial = reader.trial(1, slow)
    assert trial is not None and trial.state == "completed" and trial.latency_ms == 9.0


def test_flops_and_memory_are_kept_with_each_result(bench: Bench) -> None:
    state = run(bench, 2)
    for trial in state.trials:
        config = state.search.spec.base().with_changes(trial.changes)
        assert trial.flops == forecast_flops(config)
        assert trial.memory_mb == 50
        assert trial.latency_ms is None


# -- proposals ------------------------------------------------------------------------------------


def test_a_planner_may_not_break_what_arithmetic_knows_and_a_person_may() -> None:
    spec = SearchSpec(settings=dict(SETTINGS))
    config = spec.base()
    spec = spec.model_copy(
        update={"at_most": {"parameters": parameters(config), "flops": forecast_flops(config)}}
    )
    record = Record(spec, ())
    assert beyond_bounds(spec, config) == []
    wider = {"model.d_model": 128}
    refused = check(record, config.flat(), wider, by="planner")
    assert [one.split(";")[0].split(" would ")[0] for one in refused] == [
        "model.d_model: the model",
        "model.d_model: a forecast",
    ]
    assert refused[0].endswith(f"at most {parameters(config):,} parameters.")
    assert check(record, config.flat(), wider, by="person") == []


def test_what_is_measured_is_no_reason_to_refuse_beforehand() -> None:
    spec = bounded(latency_ms=1e-9, seconds=1e-9, memory_mb=1e-9)
    assert beyond_bounds(spec, spec.base()) == []


@pytest.mark.parametrize(
    ("device", "trains_on", "gpus", "possible"),
    [
        ("auto", "auto", 0, True),
        ("cpu", "auto", 0, True),
        ("cuda", "auto", 0, False),
        ("cuda", "cpu", 1, True),
        ("cuda:1", "cpu", 2, True),
        ("cuda:2", "cpu", 2, False),
        ("cuda:1", "auto", 2, False),  # each training sees its own alone
    ],
)
def test_latency_is_measured_on_a_device_that_a_training_has(
    monkeypatch: pytest.MonkeyPatch, device: str, trains_on: str, gpus: int, possible: bool
) -> None:
    found = [GPU(f"GPU {number}", 10**10, str(number)) for number in range(gpus)]
    monkeypatch.setattr("nas_engine.machine._present", lambda: tuple(found))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    settings = {**SETTINGS, "training.device": trains_on}
    spec = SearchSpec(settings=settings, at_most={"latency_ms": 5}, timing=Timing(device=device))
    assert (untimeable(spec) == []) is possible
    assert all(f"on {device}, which" in sentence for sentence in untimeable(spec))
    assert untimeable(spec.model_copy(update={"at_most": {}})) == []


# -- command line ---------------------------------------------------------------------------------


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[SearchSpec]:
    """The searches that the command line starts; none is."""
    found: list[SearchSpec] = []

    def start(workspace: Workspace, spec: SearchSpec) -> Answer:
        found.append(spec)
        return Answer(False, "Not here.", None)

    monkeypatch.setattr(searching, "start_search", start)
    return found


def ask(workspace: Workspace, *options: str) -> str:
    settings = ("--set", "data.dataset=synthetic", "--db", str(workspace.db))
    return CliRunner().invoke(searching.search, [*settings, *options]).output


def test_options_say_what_is_wanted_low(workspace: Workspace, started: list[SearchSpec]) -> None:
    traded = ("--objective", "parameters", "--objective", "latency_ms")
    timing = ("--latency-batch", "8", "--latency-device", "cpu", "--latency-threads", "2")
    ask(workspace, *traded, *timing, "--under", "200k parameters, 5 ms")
    (spec,) = started
    assert spec.objectives == ("val_mse", "parameters", "latency_ms")
    assert spec.at_most == {"parameters": 200_000, "latency_ms": 5}
    assert spec.timing == Timing(batch=8, device="cpu", threads=2)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--under", "fast"), "--under: 'fast' is not clear: a bound is a number and its unit"),
        (("--objective", "speed"), "'speed' is not one of 'latency_ms', 'parameters'"),
        (("--objective", "flops", "--latency-batch", "0"), "timing.batch: "),
        (("--objective", "flops", "--pruning", "hyperband"), "Error: pruning compares errors"),
    ],
)
def test_options_that_cannot_be_are_refused_in_a_sentence(
    workspace: Workspace, started: list[SearchSpec], options: tuple[str, ...], told: str
) -> None:
    said = ask(workspace, *options)
    assert told in said and "Traceback" not in said
    assert started == []
