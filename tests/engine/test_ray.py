"""Trainings on a real Ray cluster of several nodes, all on this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from data import own
from data.intake import read_bytes
from informer.commit import commit_of
from informer.config import RunConfig
from informer.records import Epoch, Success
from informer.rundir import RunDir
from nas_engine.liveness import same_process
from nas_engine.search import Backend
from nas_engine.settings import load_settings
from nas_engine.store.nodes import nodes
from nas_engine.store.reader import reading
from nas_engine.store.rows import EngineRow
from nas_engine.trainers.base import STOPPED, Ended, TrainerError, Watch
from nas_engine.trainers.local import LocalTrainer
from nas_engine.workspace import PROJECT, Workspace
from tests.data.files import mine
from tests.data.test_own import CHOICES
from tests.engine import test_trainers as contract
from tests.engine.test_trainers import GENEROUS, Log, folder
from tests.fakes.ray_cluster import ray_cluster
from tests.fakes.worker import COMMAND

pytestmark = [
    pytest.mark.long,
    pytest.mark.xdist_group("ray"),
    pytest.mark.filterwarnings("default"),
]

NEWS_SECONDS = 0.2

SLOW = (
    "import time; from informer import checkpoint; from informer.__main__ import main\n"
    "save = checkpoint.save; checkpoint.save = lambda *all: (save(*all), time.sleep(1))\n"
    "main()"
)
"""The worker, with a second after each epoch in which its node can be lost."""

SMALL = {
    "data.dataset": "mine",
    "data.target": "a",
    "data.seq_len": 24,
    "data.label_len": 12,
    "data.pred_len": 12,
    "model.d_model": 16,
    "model.n_heads": 2,
    "model.e_layers": 1,
    "model.d_ff": 64,
    "training.epochs": 6,
    "training.steps_per_epoch": 4,
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head and two nodes, and the connection of an engine to them."""
    from nas_engine.trainers.cluster import Cluster

    with ray_cluster() as started:
        started.connection = Cluster(started.address, load_settings().data_directories)
        yield started
        started.connection.close()


@pytest.fixture
def trainer(cluster: Any) -> Iterator[Callable[..., Any]]:
    """Make trainers on the cluster with the fake worker, and close them."""
    from nas_engine.trainers.ray import RayTrainer

    made: list[RayTrainer] = []

    def make(command: tuple[str, ...] = COMMAND, checkpoints: str = "", **environment: str) -> Any:
        backend = Backend(name="ray", address=cluster.address, checkpoints=checkpoints)
        where = {"PYTHONPATH": str(PROJECT), **environment}
        if "FAKE_EPOCH_SECONDS" in where:  # news come about twice a second
            where["FAKE_EPOCH_SECONDS"] = str(7 * float(where["FAKE_EPOCH_SECONDS"]))
        local = LocalTrainer(dict(os.environ), Path(os.devnull))
        connection = lambda: cluster.connection  # noqa: E731
        made.append(RayTrainer(connection, backend, local, 3, where, command, NEWS_SECONDS))
        return made[-1]

    yield make
    for each in made:
        each.close()


# Of the contract that every trainer keeps, what is not the work of the trainer on the node.
test_pruned = (
    contract.test_a_pruned_training_leaves_the_worker_warm_and_goes_on_later_as_if_nothing_had_been
)
test_memory = contract.test_a_training_that_takes_too_much_memory_fails_alone_and_says_what_to_lower
test_lost = contract.test_a_worker_that_is_lost_is_told_as_such_and_replaced
test_unfollowed = (
    contract.test_a_training_that_nobody_follows_any_more_is_killed_and_the_next_one_is_fine
)


def add_mine() -> None:
    own.add("mine", read_bytes(mine(), CHOICES), "/from/mine.csv", CHOICES)


def errors_of(run: RunDir) -> dict[str, object]:
    """Return what a training came to, without what depends on the pace of the machine."""
    result, details, shown = run.read_result(), run.read_details(), run.read_forecasts()
    assert isinstance(result, Success) and details is not None and shown is not None
    epochs = [r for r in run.read_metrics()[0] if isinstance(r, Epoch)]
    return {
        "result": result.model_dump(exclude={"seconds", "latency_ms", "memory_mb"}),
        "epochs": [epoch.model_dump(exclude={"seconds"}) for epoch in epochs],
        "details": details,
        "forecasts": shown,
        "weights": run.weights.read_bytes(),
    }


@pytest.mark.parametrize("kept", [False, True], ids=["sent to the engine", "kept by fsspec"])
def test_a_training_whose_node_is_lost_goes_on_elsewhere_and_ends_with_the_very_same_errors(
    cluster: Any, trainer: Callable[..., Any], tmp_path: Path, kept: bool
) -> None:
    add_mine()
    config = RunConfig().with_changes(SMALL)
    here = LocalTrainer(load_settings().worker_environment(), tmp_path / "output.txt")
    whole = folder(tmp_path / "whole", config)
    assert isinstance(here.train(whole, Log().watch()), Success)
    here.close()

    checkpoints = f"file://{tmp_path}/checkpoints" if kept else ""
    there, log = trainer((sys.executable, "-c", SLOW), checkpoints), Log()
    run, lost_at = folder(tmp_path / "run", config), list[float]()

    def node_is_lost_after_two_epochs() -> Ended | None:
        safe = tmp_path.glob("checkpoints/*/*2.json" if kept else "run/epoch-2-*")
        if not lost_at and any(safe):
            lost_at.append(time.monotonic())
            node = next(n for n in cluster.worker_nodes if n.node_id == log.workers[0].node)
            cluster.remove_node(node, allow_graceful=False)
        return None

    noting = (log.workers.append, log.records.extend)
    watch = Watch(*noting, node_is_lost_after_two_epochs, 90, GENEROUS)
    ended = there.train(run, watch)
    seen_after = time.monotonic() - lost_at[0]
    assert isinstance(ended, Ended), "the training was over before its node was lost"
    assert (ended.state, ended.error_class) == ("crashed", "node lost") and "Node " in ended.message
    before = list(log.epochs)
    cluster.add_node(num_cpus=1, object_store_memory=80_000_000)
    run.create(config)
    again = Log()
    assert isinstance(there.train(run, again.watch()), Success)
    assert errors_of(run) == errors_of(whole)
    # What was trained before the loss was not trained again: its records have its own times.
    first = {r.epoch: r for r in log.records if isinstance(r, Epoch)}
    final = [r for r in run.read_metrics()[0] if isinstance(r, Epoch)]
    assert [r.epoch for r in final] == [1, 2, 3, 4, 5, 6]
    carried = [r.epoch for r in final if first.get(r.epoch) == r]
    assert carried[:2] == [1, 2] and carried == before, "what was reported is not trained again"
    assert again.workers[0].after >= before[-1]
    deadline = time.monotonic() + 20
    while list(tmp_path.glob("checkpoints/*/*")):
        assert time.monotonic() < deadline, "what was kept of it is of no use any more"
        time.sleep(0.1)
    print(
        f"\n  lost after {before}, seen after {seen_after:.1f} s, ended "
        f"{time.monotonic() - lost_at[0]:.1f} s after the loss; carried over {carried}"
    )


def test_a_training_that_waits_for_room_can_be_ended(
    cluster: Any, trainer: Callable[..., Any], tmp_path: Path
) -> None:
    """The head has no CPU, and both nodes are taken by warm workers."""
    holding = [trainer(), trainer()]
    for number, each in enumerate(holding):
        each.train(folder(tmp_path / f"holds-{number}"), Log().watch())
    began, log = time.monotonic(), Log()
    log.ending = lambda: STOPPED if time.monotonic() > began + 2 else None  # type: ignore[method-assign]
    assert trainer().train(folder(tmp_path / "waits"), log.watch()) == STOPPED
    assert log.workers == [], "it had no room, and began all the same"


def test_what_no_node_can_have_and_a_cluster_that_is_not_there_are_told_at_once(
    cluster: Any, tmp_path: Path
) -> None:
    from nas_engine.trainers.cluster import Cluster
    from nas_engine.trainers.ray import RayTrainer

    local = LocalTrainer(dict(os.environ), Path(os.devnull))
    wide = Backend(name="ray", address=cluster.address, cpus=64, gpus=1)
    large = RayTrainer(lambda: cluster.connection, wide, local)
    with pytest.raises(TrainerError, match=r"64 CPUs, 1 GPU, .* no node of the cluster has that"):
        large.train(folder(tmp_path / "run"), Log().watch())
    with pytest.raises(TrainerError, match=r"127\.0\.0\.1:1 cannot be reached"):
        Cluster("127.0.0.1:1")


SEARCH = (
    *("--dataset", "mine", "--planner", "random", "--max-iterations", "3", "--slots", "2"),
    *("--rule", "seeds=1", "--rule", "extra_seeds=0", "--space", "model.d_model=16,32"),
    *("--space", "data.seq_len=24", "--space", "model.e_layers=0,1", "--preset", "small"),
    *(f"--set={key}={value}" for key, value in SMALL.items() if key != "data.dataset"),
)


@pytest.fixture
def search() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start searches; what is left of them, such as after a failure, is ended."""
    begun: list[tuple[Workspace, subprocess.Popen[bytes]]] = []

    def start(workspace: Workspace, *options: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "nas_engine", "search", "--db", str(workspace.db)]
        process = subprocess.Popen(
            [*command, *SEARCH, *options], cwd=PROJECT, stdout=subprocess.DEVNULL
        )
        begun.append((workspace, process))
        return process

    yield start
    for workspace, process in begun:
        process.kill()
        process.wait()
        engine = engine_of(workspace)
        if engine is not None and same_process(engine.pid, engine.process_start):
            os.kill(engine.pid, signal.SIGKILL)


def engine_of(workspace: Workspace) -> EngineRow | None:
    with reading(workspace) as reader:
        return None if reader is None else reader.engine(1)


def trained(workspace: Workspace) -> list[tuple[object, ...]]:
    with reading(workspace) as reader:
        assert reader is not None
        return [(t.number, t.state, t.val_mse, t.test_mse, t.config) for t in reader.trials(1)]


def actors(cluster: Any) -> list[psutil.Process]:
    """Return the actors of trainings that live on the nodes of the cluster."""
    found = []
    for node in cluster.worker_nodes:
        (raylet,) = node.all_processes["raylet"]
        for process in psutil.Process(raylet.process.pid).children(recursive=True):
            with suppress(psutil.Error):
                if "ray::Node" in " ".join(process.cmdline()):
                    found.append(process)
    return found


def test_a_search_on_a_cluster_whose_engine_is_killed_ends_like_one_on_this_machine(
    cluster: Any, search: Callable[..., subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    add_mine()
    here, there = Workspace(tmp_path / "here" / "nas.db"), Workspace(tmp_path / "there" / "nas.db")
    assert search(here).wait(300) == 0
    where = ("--backend", "ray", "--ray-address", cluster.address)
    begun = search(there, *where)
    deadline = time.monotonic() + 120
    while not actors(cluster):
        assert time.monotonic() < deadline and begun.poll() is None
        time.sleep(0.1)
    engine = engine_of(there)
    assert engine is not None
    os.kill(engine.pid, signal.SIGKILL)
    killed = time.monotonic()
    while actors(cluster):
        assert time.monotonic() < killed + 30, "actors outlive their engine"
        time.sleep(0.1)
    print(f"\n  actors gone {time.monotonic() - killed:.1f} s after their engine")
    begun.wait(60)
    assert search(there, *where).wait(300) == 0
    assert trained(there) == trained(here)
    with reading(there) as reader:
        assert reader is not None
        seen = nodes(reader, 1, 0.0)
        runs = [run for number in range(3) for run in reader.runs(1, number)]
    assert {run.node for run in runs} <= {node.node for node in seen}
    assert all(run.state == "completed" and run.node for run in runs)
    assert sum(node.cpus for node in seen if node.alive) == 2
    record = json.loads((there.run_dir(1, 0).environment).read_text())
    assert record["data"]["name"] == "mine"
    assert record["commit"] == commit_of(PROJECT)[0]
