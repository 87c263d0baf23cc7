"""Training on a node of a Ray cluster, followed from here.

The engine's run folder is a mirror: what the folder on the node has beyond it is asked for again
and again, appended here, and read as that of a worker on this machine is, with the same suspicion.
It ends with the same files. A training whose node is lost goes on from its newest checkpoint: in
the folder that the backend names, or in the run folder, to which small ones are sent.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import ray
from ray.exceptions import ActorUnavailableError, RayActorError, RayError, RayTaskError

from informer.estimate import process_memory
from informer.files import (
    ProtocolError,
    checkpoints,
    keep_checkpoint,
    put_in_place,
    read_file,
    temporary_of,
)
from informer.records import Success
from informer.rundir import FILE_BYTES, METRICS_BYTES, RunDir
from nas_engine.machine import SHARE
from nas_engine.search import Backend
from nas_engine.store.rows import BaselineRow
from nas_engine.trainers.base import Ended, TrainerError, Watch
from nas_engine.trainers.cluster import Cluster, Needs, first_line
from nas_engine.trainers.local import COMMAND, LocalTrainer
from nas_engine.trainers.messages import FILES, About, Have, News, Order, versions
from nas_engine.trainers.node import SENT_BYTES

POLL_SECONDS = 0.1
"""Between two looks whether a training shall end."""
NEWS_SECONDS = 1.0
"""That a node waits for an epoch, or the end, before it tells what there is."""
REST_SECONDS = 0.25
"""Between two questions for news."""
SILENT_SECONDS = 60.0
"""Without an answer, after which a node counts as lost though Ray still knows it."""
PATIENCE_SECONDS = 10.0
"""That a node has to end a training; after that its actor is killed."""
MEMORY_STEP = 100 * 10**6
"""To which the memory that a training reserves is rounded up, so that actors serve several."""
LARGEST = 2**31
"""Bytes of a file that is sent to a node."""


class _Overdue(Exception):
    """A training that was to end, and of which no end came."""

    def __init__(self, ended: Ended) -> None:
        super().__init__(ended.message)
        self.ended = ended


class RayTrainer:
    """One warm worker on a node of a cluster: an actor, made when it is first needed."""

    def __init__(
        self,
        connect: Callable[[], Cluster],
        backend: Backend,
        local: LocalTrainer,
        slot: int = 0,
        environment: Mapping[str, str] | None = None,
        command: Sequence[str] = COMMAND,
        news_seconds: float = NEWS_SECONDS,
    ) -> None:
        """Prepare to train; nothing is asked of a cluster before the first training.

        Args:
            connect: returns the engine's cluster; raises TrainerError.
            backend: what a training reserves, and where its checkpoints are kept.
            local: computes the baselines: seconds of work, on data that this machine has.
            slot: place of this trainer among those of an engine.
            environment: of the worker, beside that of its node.
            command: starts the worker.
            news_seconds: that a node waits for something to tell.
        """
        self._connect, self._backend, self._local = connect, backend, local
        self._slot, self._environment, self._command = slot, dict(environment or {}), command
        self._news_seconds = news_seconds
        self._cluster: Cluster | None = None
        self._actor: Any = None
        self._about: About | None = None  # None while the actor waits for room
        self._memory = 0  # that the actor has reserved
        self._asked: Ended | None = None  # what the training has been told to end with
        self._patience = 0.0

    def train(self, run: RunDir, watch: Watch) -> Success | Ended:
        """Train on a node; one that is lost, hangs or is told to end does not harm the next.

        Raises:
            TrainerError: the cluster cannot be used, or no node of it can train.
        """
        self._asked = None
        try:
            self._cluster = self._connect()
            about = self._placed(run, watch)
            return self._follow(run, watch, about)
        except _Overdue as late:
            self._drop()
            return late.ended
        except ProtocolError as error:
            self._drop()
            return Ended("failed", "protocol", str(error))
        except RayTaskError as error:  # of our own code on the node
            self.close()
            raise TrainerError(f"{self._where()}: {first_line(error.cause or error)}") from error
        except RayActorError:
            return self._lost()
        except RayError as error:
            self._drop()
            raise TrainerError(f"The cluster cannot train: {first_line(error)}") from error
        except BaseException:  # of the watch: nobody follows this training any more
            self.close()
            raise
        finally:
            run.trim_log()

    def baselines(
        self, folder: RunDir, ending: Callable[[], Ended | None] = lambda: None
    ) -> list[BaselineRow]:
        """Compute the baselines on this machine; raises TrainerError, BaselinesEnded."""
        return self._local.baselines(folder, ending)

    def close(self) -> None:
        """End the worker on its node and free what it has reserved there."""
        if self._actor is not None and self._about is not None and not self._cluster_lost():
            with suppress(RayError, TimeoutError):
                self._actor.close.remote().future().result(PATIENCE_SECONDS)
        self._drop()

    # -- the life of a training -----------------------------------------------------------------

    def _placed(self, run: RunDir, watch: Watch) -> About:
        """Have an actor with room for this training; it may wait for that, as for a slot."""
        assert self._cluster is not None
        config, backend = run.read_config(), self._backend
        asked = process_memory(config) if backend.memory_mb is None else backend.memory_mb * 10**6
        needs = Needs(backend.cpus, backend.gpus, -(-asked // MEMORY_STEP) * MEMORY_STEP)
        if self._about is not None and self._memory >= needs.memory:
            return self._about
        self.close()
        cluster, dataset = self._cluster, config.data.dataset
        cluster.demand_room(needs)
        wanted = (needs, self._slot, dataset, self._environment, self._command)
        self._actor = self._answer(lambda: _apart(partial(cluster.actor, *wanted)), watch)
        self._memory = needs.memory
        try:
            about: About = self._answer(
                _calling(self._actor.about), watch, meanwhile=lambda: cluster.demand_room(needs)
            )
        except RayActorError as error:
            if "creation task" not in str(error):
                raise
            self._drop()
            cause = str(error).strip().rpartition("\n")[2]
            raise TrainerError(
                f"No training can begin on a node ({cause}); every node needs what this machine "
                "has: pip install -r requirements.txt -r requirements-ray.txt, then resume."
            ) from error
        if other := _differences(about.versions):
            self.close()
            raise TrainerError(
                f"Node {cluster.name(about.node)} has {other}: errors would not compare. Install "
                "the same requirements there, then resume."
            )
        self._about = about
        return about

    def _follow(self, run: RunDir, watch: Watch, about: About) -> Success | Ended:
        """Begin a training on the actor's node and mirror it until it has ended."""
        assert self._cluster is not None
        actor, cluster = self._actor, self._cluster
        needs = Needs(self._backend.cpus, self._backend.gpus, self._memory)
        memory = int(SHARE * about.memory * cluster.share(about.node, needs))
        order = _order(run, watch, self._backend, min(memory, watch.memory_bytes))
        epoch = self._answer(_calling(actor.begin, order), watch)
        have, offset, started = Have(checkpoint=epoch), 0, False
        while True:
            ask = _calling(actor.news, have, self._news_seconds)
            news: News = self._answer(ask, watch, SILENT_SECONDS)
            if news.worker is not None and not started:
                started = True
                watch.started(replace(news.worker, node=about.node, after=epoch))
            _mirror(run, have, news)
            have = news.have
            records, offset = run.read_metrics(offset)
            if records:
                watch.report(records)
            if news.load is not None:
                watch.measured(news.load)
            cluster.measured(about.node, news.machine)
            if news.trouble:
                raise TrainerError(f"{self._where()}: {news.trouble}")
            if news.ended is not None:
                break
            run.trim_log()
            time.sleep(REST_SECONDS)
            self._heed(watch)
        outcome = self._outcome(run, news)
        actor.leave.remote(news.folder)
        return outcome

    def _outcome(self, run: RunDir, news: News) -> Success | Ended:
        """Return how a training has ended, by its run folder where that has the result."""
        if isinstance(news.ended, Ended):
            message = news.ended.message.replace(news.folder, str(run.path))
            if news.ended.error_class in ("disk", "process lost"):
                message = f"{self._where()}: {message}"
            return replace(news.ended, message=message)
        result = run.read_result()
        if result is None:
            raise ProtocolError(f"{run.result} has not come from the node.")
        if not isinstance(result, Success):
            return Ended.by(result)
        for _, path in checkpoints(run.path):
            path.unlink()
        return result

    # -- the actor ------------------------------------------------------------------------------

    def _answer(
        self,
        ask: Callable[[], Future[Any]],
        watch: Watch,
        silent: float | None = None,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> Any:
        """Return what is answered, and see to it meanwhile that the training may end.

        Raises:
            RayActorError: the actor is lost, or has been silent for too long.
        """
        future, began = ask(), time.monotonic()
        while True:
            try:
                return future.result(POLL_SECONDS)
            except TimeoutError:
                pass
            except ActorUnavailableError:  # it may be back, or found to be lost
                if time.monotonic() - began > SILENT_SECONDS:
                    raise
                time.sleep(1.0)
                future = ask()
            self._heed(watch)
            meanwhile()
            if silent is not None and time.monotonic() - began > silent:
                raise RayActorError

    def _heed(self, watch: Watch) -> None:
        """Have the training end where that is wanted, or can no longer be waited for."""
        if self._cluster is not None and (lost := self._cluster.lost):
            raise TrainerError(lost)
        if self._asked is None and (ending := watch.ending()) is not None:
            if self._about is None:
                raise _Overdue(ending)
            self._asked, self._patience = ending, time.monotonic() + PATIENCE_SECONDS
            self._actor.end.remote(ending)
        if self._asked is not None and time.monotonic() > self._patience:
            raise _Overdue(self._asked)

    def _lost(self) -> Ended:
        """Return how a training has ended whose node, or whose actor there, is lost."""
        where = self._where()
        self._drop()
        return Ended(
            "crashed",
            "node lost",
            f"{where} was lost; the training goes on elsewhere, from its newest checkpoint.",
        )

    def _where(self) -> str:
        if self._about is None or self._cluster is None:
            return "A node"
        return f"Node {self._cluster.name(self._about.node)}"

    def _cluster_lost(self) -> bool:
        return self._cluster is None or bool(self._cluster.lost)

    def _drop(self) -> None:
        """Let go of the actor at once; its worker dies with it."""
        actor, self._actor, self._about = self._actor, None, None
        if actor is not None and not self._cluster_lost():
            with suppress(RayError, ValueError):
                ray.kill(actor)


def _calling(method: Any, *arguments: object) -> Callable[[], Future[Any]]:
    """Return what calls a method of an actor."""
    return lambda: cast(Future[Any], method.remote(*arguments).future())


def _apart(work: Callable[[], Any]) -> Future[Any]:
    """Do something in a thread of its own: Ray may never return where its head is lost."""
    future = Future[Any]()

    def done() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # it is for whoever waits
            future.set_exception(error)

    threading.Thread(target=done, daemon=True, name="ray").start()
    return future


def _differences(there: Mapping[str, str]) -> str:
    """Return which versions of a node are not those of this machine."""
    here = versions()
    return ", ".join(
        f"{name} {there.get(name, 'missing')} and not {version}"
        for name, version in here.items()
        if there.get(name) != version
    )


def _order(run: RunDir, watch: Watch, backend: Backend, memory: int) -> Order:
    """Return what a node needs for the training of a run folder; raises ProtocolError."""
    weights = b""  # where they are gone, the worker says so
    if named := run.read_orders().weights:
        with suppress(FileNotFoundError, ProtocolError):
            weights = read_file(run.path / named, LARGEST)
    found = run.checkpoint()
    return Order(
        config=read_file(run.config, FILE_BYTES),
        orders=read_file(run.orders, FILE_BYTES) if run.orders.exists() else b"",
        weights=weights,
        metrics=read_file(run.metrics, METRICS_BYTES) if found else b"",
        checkpoint=(found[1].name, read_file(found[1], LARGEST)) if found else None,
        kept=_kept_at(run, backend.checkpoints) if backend.checkpoints else "",
        limit_seconds=watch.limit_seconds,
        memory_bytes=memory,
    )


def _kept_at(run: RunDir, folder: str) -> str:
    """Return where the checkpoints of a training are kept: under a name that it keeps."""
    path = run.path / "checkpoints.txt"
    try:
        name = uuid.UUID(hex=read_file(path, 100).decode("ascii", "replace").strip()).hex
    except (FileNotFoundError, ValueError):
        name = uuid.uuid4().hex
        path.write_text(f"{name}\n", "ascii")
    return f"{folder.rstrip('/')}/{name}"


def _mirror(run: RunDir, had: Have, news: News) -> None:
    """Add to a run folder what the one on the node has beyond it; raises ProtocolError."""
    if had.metrics == 0:  # what a checkpoint came after is among them
        _put(run.metrics, news.metrics)
    elif news.metrics:
        with run.metrics.open("ab") as file:
            file.write(news.metrics)
    if news.log:
        with run.log.open("ab") as file:
            file.write(news.log[-SENT_BYTES:])
    if news.checkpoint is not None:
        temporary = temporary_of(run.path / "checkpoint")
        temporary.write_bytes(news.checkpoint[1])
        keep_checkpoint(run.path, news.have.checkpoint, temporary)
    for name, limit in FILES.items():
        content = news.files.get(name)
        if content is not None:
            if len(content) > limit:
                raise ProtocolError(f"{name} came from the node with {len(content):,} bytes.")
            _put(run.path / name, content)


def _put(path: Path, content: bytes) -> None:
    temporary = temporary_of(path)
    temporary.write_bytes(content)
    put_in_place(temporary, path)
