"""What runs on a node of a Ray cluster: an actor that trains run folders as this machine would.

The life of a training there: `begin` makes a run folder on the node, with the configuration and the
checkpoint that the engine sends, and a LocalTrainer trains it with the same worker process as on
the engine's machine. The engine asks for `news` again and again: what the files of the folder have
beyond what it has. As the files are the truth, an answer that is lost on its way is asked for
again. `end` ends the training early; `leave` takes the folder away once the engine has everything.

An epoch is told once its checkpoint is where it outlives the node, or goes with it: what the engine
has reported is never trained again.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import ray
from pydantic import ValidationError

from data.beside import beside
from informer.files import ProtocolError, append_line, read_file
from informer.orders import Orders
from informer.records import Epoch, Success
from informer.rundir import LOG_BYTES, METRICS_BYTES, RunDir
from nas_engine.backends import SENT_CHECKPOINT_BYTES
from nas_engine.settings import without_secrets
from nas_engine.trainers.base import Ended, Load, TrainerError, Watch, Worker
from nas_engine.trainers.kept import Kept, KeptError, newest_checkpoint
from nas_engine.trainers.local import COMMAND, LocalTrainer
from nas_engine.trainers.messages import FILES, About, Have, Machine, News, Order, versions
from nas_engine.trainers.meter import NVIDIA
from nas_engine.trainers.shipped import Shipment, unpack

KEEP_SECONDS = 0.2
"""Between two looks for a new checkpoint."""
SENT_BYTES = 2**16
"""Of a log, with one answer; what is older is left out."""

CLOSED = Ended("stopped", "stopped", "The engine has closed.")


@dataclass
class _Training:
    """A training under way on this node."""

    run: RunDir
    kept: Kept | None
    safe: int  # the epoch whose checkpoint is the newest that is kept, or can be sent
    worker: Worker | None = None
    load: Load | None = None
    ending: Ended | None = None
    trained: threading.Event = field(default_factory=threading.Event)
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
        self._turn = threading.Lock()  # a training may begin while the one before is left
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
        with self._turn:
            self._clear_up()
            return self._begun(order)

    def _begun(self, order: Order) -> int:
        """Make a run folder and have it trained."""
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
        training = self._training = _Training(run, kept, epoch)
        watch = Watch(
            started=lambda worker: self._note(training, worker=worker),
            report=lambda records: None,  # the engine reads them itself
            ending=lambda: training.ending,
            limit_seconds=order.limit_seconds,
            memory_bytes=order.memory_bytes,
            measured=lambda load: self._note(training, load=load),
        )
        training.outcome = self._thread.submit(self._train, training, watch)
        training.outcome.add_done_callback(lambda _: self._tell())
        return epoch

    def news(self, have: Have, seconds: float) -> News:
        """Return what there is beyond `have`, after so many seconds or as soon as it matters."""
        training = self._training
        assert training is not None, "news are asked of what has begun"
        with self._changed:
            self._changed.wait_for(lambda: self._told != have.told, seconds)
            told = self._told
        done = training.outcome.done()  # before the files are read: afterwards they stay
        ended, trouble = _outcome(training.outcome) if done else (None, "")
        run, files = training.run, dict[str, bytes]()
        for name, limit in FILES.items():
            if (done or name == "environment.json") and name not in have.files:
                with suppress(FileNotFoundError, ProtocolError):
                    files[name] = read_file(run.path / name, limit)
        safe, checkpoint = training.safe, None
        if training.kept is None and not isinstance(ended, Success):
            safe, checkpoint = _checkpoint_beyond(run, have)
        metrics = _records_beyond(run, have, sys.maxsize if done else safe)
        log, logged = _log_beyond(run, have)
        return News(
            folder=str(run.path),
            worker=training.worker,
            metrics=metrics,
            log=log,
            have=Have(have.metrics + len(metrics), logged, safe, have.files | files.keys(), told),
            load=training.load,
            machine=_machine(),
            checkpoint=checkpoint,
            files=files,
            ended=ended,
            trouble=trouble,
        )

    def end(self, how: Ended) -> None:
        """Have the training end so; the next news say that it has."""
        if self._training is not None:
            self._training.ending = how

    def leave(self, folder: str) -> None:
        """Take away the run folder of a training that has ended, and what is kept of it."""
        with self._turn:
            if self._training is not None and str(self._training.run.path) == folder:
                self._clear_up()

    def _clear_up(self) -> None:
        training, self._training = self._training, None
        if training is None:
            return
        training.ending = training.ending or CLOSED
        ended, _ = _outcome(training.outcome)
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

    def _train(self, training: _Training, watch: Watch) -> Success | Ended:
        """Train, and keep each checkpoint meanwhile: the last of them before this returns."""
        keeper = threading.Thread(target=self._keep, args=(training,), daemon=True)
        keeper.start()
        try:
            return self._trainer.train(training.run, watch)
        finally:
            training.trained.set()
            keeper.join()

    def _keep(self, training: _Training) -> None:
        """Keep each new checkpoint, where there is a folder for that, and tell of it."""
        over = False
        while not over:
            over = training.trained.wait(KEEP_SECONDS)
            found = newest_checkpoint(training.run)
            if found is None or found[0] <= training.safe:
                continue
            try:
                if training.kept is not None:
                    training.kept.keep(training.run, *found)
            except (FileNotFoundError, ProtocolError):
                continue  # a newer one is there by now
            except KeptError as error:
                append_line(training.run.log, str(error))
            training.safe = found[0]
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


def _records_beyond(run: RunDir, have: Have, safe: int) -> bytes:
    """Return whole lines of the records that the engine does not have, up to the epoch `safe`."""
    try:
        block = read_file(run.metrics, METRICS_BYTES, have.metrics)
    except FileNotFoundError:
        return b""
    end = 0
    for line in block[: block.rfind(b"\n") + 1].splitlines(keepends=True):
        with suppress(ValidationError):
            if Epoch.model_validate_json(line).epoch > safe:
                break
        end += len(line)
    return block[:end]


def _log_beyond(run: RunDir, have: Have) -> tuple[bytes, int]:
    """Return the end of the log that the engine does not have, and how long the log is."""
    try:
        size = run.log.lstat().st_size
    except FileNotFoundError:
        return b"", 0
    had = have.log if have.log <= size else 0  # it was cut meanwhile
    begin = max(had, size - SENT_BYTES)
    try:
        return read_file(run.log, LOG_BYTES + SENT_BYTES, begin)[: size - begin], size
    except (FileNotFoundError, ProtocolError):
        return b"", size


def _checkpoint_beyond(run: RunDir, have: Have) -> tuple[int, tuple[str, bytes] | None]:
    """Return the newest checkpoint that the engine does not have, and its epoch.

    One that is too large to be sent is of no use, and holds nothing up.
    """
    found = newest_checkpoint(run)
    if found is None or found[0] <= have.checkpoint:
        return have.checkpoint, None
    epoch, path = found
    try:
        return epoch, (path.name, read_file(path, SENT_CHECKPOINT_BYTES))
    except FileNotFoundError:  # a newer one has taken its place
        return have.checkpoint, None
    except ProtocolError:
        return epoch, None


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
