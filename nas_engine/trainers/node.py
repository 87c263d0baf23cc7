"""What runs on a node of a Ray cluster: an actor that trains run folders as this machine would.

The life of a training there: `begin` makes a run folder on the node, with the configuration and the
checkpoint that the engine sends, and a LocalTrainer trains it with the same worker process as on
the engine's machine. The engine asks for `news` again and again: what the files of the folder have
beyond what it has. As the files are the truth, an answer that is lost on its way is asked for
again. `end` ends the training early; `leave` takes the folder away once the engine has everything.
"""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

import psutil
import ray

from data.beside import beside
from informer.files import ProtocolError, append_line, read_file
from informer.orders import Orders
from informer.rundir import (
    FILE_BYTES,
    LOG_BYTES,
    METRICS_BYTES,
    SHOWN_BYTES,
    Epoch,
    Progress,
    RunDir,
    Success,
)
from nas_engine.backends import SENT_CHECKPOINT_BYTES
from nas_engine.settings import without_secrets
from nas_engine.trainers.base import Ended, Load, TrainerError, Watch, Worker
from nas_engine.trainers.kept import Kept, KeptError, newest_checkpoint
from nas_engine.trainers.local import COMMAND, LocalTrainer
from nas_engine.trainers.meter import NVIDIA
from nas_engine.trainers.shipped import Shipment, unpack

NEWS_SECONDS = 1.0
"""That `news` waits for an epoch, or the end, before it tells what there is."""
KEEP_SECONDS = 0.2
"""Between two looks for a new checkpoint that is to be kept."""
SENT_BYTES = 2**16
"""Of a log, with one answer; what is older is left out."""

FILES: Mapping[str, int] = {
    "environment.json": SHOWN_BYTES,
    "errors.json": FILE_BYTES,
    "forecasts.json": SHOWN_BYTES,
    "model.safetensors": 2**31,
    "result.json": FILE_BYTES,
}
"""What the engine gets of a run folder that has ended, and how many bytes of it at most.

The result is the last one: with it a run folder is finished.
"""

CLOSED = Ended("stopped", "stopped", "The engine has closed.")

COMPARED = ("torch", "numpy", "pandas")
"""Libraries that decide results: nodes need the versions of the engine."""


@dataclass(frozen=True)
class About:
    """Where an actor runs, and with what."""

    node: str  # Ray's id of it
    memory: int  # of that machine, in bytes
    versions: Mapping[str, str]


@dataclass(frozen=True)
class Order:
    """A training, as the engine sends it."""

    config: bytes
    orders: bytes
    weights: bytes  # that the orders name; empty: none
    metrics: bytes  # of the epochs that the checkpoint comes after
    checkpoint: tuple[str, bytes] | None  # its name and content
    kept: str  # where checkpoints are kept; empty: they are sent to the engine
    limit_seconds: float
    memory_bytes: int


@dataclass(frozen=True)
class Have:
    """What the engine has of a training: bytes of its records and log, and its checkpoint."""

    metrics: int = 0
    log: int = 0
    checkpoint: int = 0  # its epoch
    files: frozenset[str] = frozenset()
    told: int = 0  # how often this actor has had something to tell


@dataclass(frozen=True)
class Machine:
    """What is in use of a node, whoever uses it. Memory is in bytes."""

    cpu_percent: float  # of all its cores
    memory: int
    memory_total: int
    gpu_percent: float | None
    gpu_memory: int | None


@dataclass(frozen=True)
class News:
    """What a training has beyond what the engine has."""

    folder: str  # on the node, as its sentences name it
    worker: Worker | None
    metrics: bytes
    log: bytes
    have: Have  # when the engine has this too
    load: Load | None
    machine: Machine
    checkpoint: tuple[str, bytes] | None
    files: Mapping[str, bytes]
    ended: Success | Ended | None
    trouble: str  # a sentence, where no training is possible


def versions() -> Mapping[str, str]:
    """Return the versions that decide results, without what names a build."""
    found = {name: metadata.version(name).partition("+")[0] for name in COMPARED}
    return {"Python": ".".join(platform.python_version_tuple()[:2]), **found}


@dataclass
class _Training:
    """A training under way on this node."""

    run: RunDir
    kept: Kept | None
    keeper: threading.Thread | None = None
    worker: Worker | None = None
    load: Load | None = None
    ending: Ended | None = None
    outcome: Future[Success | Ended] = field(default_factory=Future)


class Node:
    """An actor: a run folder at a time, and a warm worker."""

    def __init__(
        self,
        slot: int,
        threads: int,
        gpu_share: float,
        shipment: Shipment | None,
        content: Sequence[ray.ObjectRef[bytes]],
        environment: Mapping[str, str],
        command: Sequence[str] = COMMAND,
    ) -> None:
        """Prepare to train.

        Args:
            slot: of the engine that this actor is.
            threads: that the worker computes with on a CPU.
            gpu_share: of the memory of its GPU that it may take.
            shipment: the data set; None: it is generated.
            content: refers to its bytes, which are fetched where this node lacks them.
            environment: of the worker, beside that of the node.
            command: starts the worker.
        """
        if shipment is not None:
            # For this process too: a configuration is read with the facts of its data set.
            os.environ.update(unpack(shipment, lambda: ray.get(content[0])))
        self._open = ExitStack()
        root = Path(tempfile.gettempdir()) / f"informer-nas-{os.getuid()}"
        root.mkdir(mode=0o700, exist_ok=True)
        self._folder = self._open.enter_context(beside(root))
        self._trainer = LocalTrainer(
            {**without_secrets(os.environ), **environment},
            self._folder / "output.txt",
            slot,
            threads,
            gpu_share,
            command,
            os.environ.get("CUDA_VISIBLE_DEVICES", "").partition(",")[0],
        )
        # A worker ends with the thread that has started it.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="training")
        self._changed = threading.Condition()
        self._told = 0
        self._count = 0
        self._training: _Training | None = None
        psutil.cpu_percent()  # the first answer says nothing: it begins to measure

    def about(self) -> About:
        """Return where this is."""
        node = ray.get_runtime_context().get_node_id()
        return About(node, psutil.virtual_memory().total, versions())

    def begin(self, order: Order) -> int:
        """Begin a training and return after which epoch it goes on.

        Raises:
            KeptError: the folder of the checkpoints cannot be read.
        """
        self.leave()
        self._count += 1
        run = RunDir(self._folder / f"training-{self._count}")
        run.path.mkdir()
        kept = Kept(order.kept) if order.kept else None
        run.config.write_bytes(order.config)
        config, orders = run.read_config(), _orders(order, run)
        if order.checkpoint is not None:
            name, content = order.checkpoint
            run.metrics.write_bytes(order.metrics)
            (run.path / Path(name).name).write_bytes(content)
        if kept is not None:
            kept.restore(run)
        epoch = run.create(config, orders)
        run.config.write_bytes(order.config)  # to the byte: its digest goes with the result
        training = self._training = _Training(run, kept)
        watch = Watch(
            started=lambda worker: self._note(training, worker=worker),
            report=self._reported,
            ending=lambda: training.ending,
            limit_seconds=order.limit_seconds,
            memory_bytes=order.memory_bytes,
            measured=lambda load: self._note(training, load=load),
        )
        training.outcome = self._thread.submit(self._trainer.train, run, watch)
        training.outcome.add_done_callback(lambda _: self._tell())
        if kept is not None:
            training.keeper = threading.Thread(target=_keep, args=(training, kept), daemon=True)
            training.keeper.start()
        return epoch

    def news(self, have: Have) -> News:
        """Return what there is beyond `have`, after a while or as soon as it matters."""
        training = self._training
        assert training is not None, "news are asked of what has begun"
        with self._changed:
            self._changed.wait_for(lambda: self._told != have.told, NEWS_SECONDS)
            told = self._told
        done = training.outcome.done()  # before the files are read: afterwards they stay
        ended, trouble = _outcome(training.outcome) if done else (None, "")
        run, files = training.run, dict[str, bytes]()
        for name, limit in FILES.items():
            if (done or name == "environment.json") and name not in have.files:
                with suppress(FileNotFoundError, ProtocolError):
                    files[name] = read_file(run.path / name, limit)
        # Before the records: those of its epochs must be there too.
        useless = training.kept is not None or isinstance(ended, Success)
        checkpoint = None if useless else _small_checkpoint(run, have.checkpoint)
        metrics, log = _beyond(run, have)
        return News(
            folder=str(run.path),
            worker=training.worker,
            metrics=metrics,
            log=log,
            have=Have(
                have.metrics + len(metrics),
                _size(run.log),
                checkpoint[0] if checkpoint else have.checkpoint,
                have.files | files.keys(),
                told,
            ),
            load=training.load,
            machine=_machine(),
            checkpoint=checkpoint[1:] if checkpoint else None,
            files=files,
            ended=ended,
            trouble=trouble,
        )

    def end(self, how: Ended) -> None:
        """Have the training end so; the next news say that it has."""
        if self._training is not None:
            self._training.ending = how

    def leave(self, folder: str | None = None) -> None:
        """Take away the run folder of a training that has ended, and what is kept of it.

        Args:
            folder: of that training, where the next one may have begun meanwhile: an actor answers
                several calls at once.
        """
        training = self._training
        if training is None or folder not in (None, str(training.run.path)):
            return
        self._training = None
        training.ending = training.ending or CLOSED
        ended, _ = _outcome(training.outcome)
        if training.keeper is not None:
            training.keeper.join()
        if training.kept is not None and isinstance(ended, Success):
            training.kept.clear()
        shutil.rmtree(training.run.path, ignore_errors=True)

    def close(self) -> None:
        """Kill the worker with all that it has started, and take the folder away."""
        self.end(CLOSED)
        self._thread.submit(self._trainer.close).result()
        self._open.close()

    def _note(
        self, training: _Training, worker: Worker | None = None, load: Load | None = None
    ) -> None:
        training.worker, training.load = worker or training.worker, load or training.load

    def _reported(self, records: Sequence[Progress | Epoch]) -> None:
        if any(isinstance(record, Epoch) for record in records):
            self._tell()

    def _tell(self) -> None:
        with self._changed:
            self._told += 1
            self._changed.notify_all()


def _orders(order: Order, run: RunDir) -> Orders | None:
    """Return the orders of a training, whose weights come to lie in its run folder."""
    if not order.orders:
        return None
    orders = Orders.model_validate_json(order.orders)
    if orders.weights is None:
        return orders
    path = run.path / "inherited.safetensors"
    if order.weights:
        path.write_bytes(order.weights)
    return orders.model_copy(update={"weights": path.name})


def _outcome(future: Future[Success | Ended]) -> tuple[Success | Ended | None, str]:
    """Return how a training has ended, or why none is possible on this node."""
    try:
        return future.result(), ""
    except (TrainerError, OSError) as error:
        return None, str(error)


def _beyond(run: RunDir, have: Have) -> tuple[bytes, bytes]:
    """Return whole lines of the records, and the end of the log, that the engine does not have."""
    try:
        block = read_file(run.metrics, METRICS_BYTES, have.metrics)
    except FileNotFoundError:
        block = b""
    size = _size(run.log)
    begin = have.log if have.log <= size else 0  # it was cut meanwhile
    try:
        log = read_file(run.log, LOG_BYTES + SENT_BYTES, max(begin, size - SENT_BYTES))
    except (FileNotFoundError, ProtocolError):
        log = b""
    return block[: block.rfind(b"\n") + 1], log[: size - max(begin, size - SENT_BYTES)]


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except FileNotFoundError:
        return 0


def _small_checkpoint(run: RunDir, newer_than: int) -> tuple[int, str, bytes] | None:
    found = newest_checkpoint(run)
    if found is None or found[0] <= newer_than:
        return None
    try:
        return found[0], found[1].name, read_file(found[1], SENT_CHECKPOINT_BYTES)
    except (FileNotFoundError, ProtocolError):  # it is too large, or has been replaced
        return None


def _keep(training: _Training, kept: Kept) -> None:
    """Keep each new checkpoint until the training has ended."""
    last, told = 0, False
    while not training.outcome.done():
        found = newest_checkpoint(training.run)
        if found is not None and found[0] > last:
            try:
                kept.keep(training.run, *found)
                last = found[0]
            except (FileNotFoundError, ProtocolError):
                pass  # a newer one is there by now
            except KeptError as error:
                if not told:
                    append_line(training.run.log, str(error))
                told, last = True, found[0]
        time.sleep(KEEP_SECONDS)


def _machine() -> Machine:
    memory = psutil.virtual_memory()
    gpus = [load for name, load in NVIDIA.newest().items() if name.isdecimal()]
    percents = [load.percent for load in gpus if load.percent is not None]
    return Machine(
        cpu_percent=psutil.cpu_percent(),
        memory=memory.total - memory.available,
        memory_total=memory.total,
        gpu_percent=sum(percents) / len(percents) if percents else None,
        gpu_memory=sum(sum(load.memory.values()) for load in gpus) if gpus else None,
    )
