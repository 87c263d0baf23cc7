"""Training in a worker process on this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil
from pydantic import TypeAdapter

from informer.files import ProtocolError
from informer.records import Success
from informer.rundir import RunDir, what_takes_memory
from nas_engine.liveness import process_start
from nas_engine.store.rows import BaselineRow
from nas_engine.trainers.base import BaselinesEnded, Ended, TrainerError, Watch, Worker
from nas_engine.trainers.meter import Meter
from nas_engine.workspace import PROJECT

POLL_SECONDS = 0.05
MEASURE_SECONDS = 0.5
"""Between two looks at what the worker and its children take."""
PATIENCE_SECONDS = 2.0
"""That a worker has to end a training when it is asked to; after that it is killed."""

BASELINES_SECONDS = 3600.0
"""That the forecasts without training may take; on the published data sets they take seconds."""

COMMAND = (sys.executable, "-m", "informer")
BASELINES_COMMAND = (sys.executable, "-m", "informer.baselines")
MARK = "NAS_WORKER"
"""Environment variable by which what a worker has started is known, wherever it hides."""

_SPOILED = ("device", "out_of_memory", "protocol")
"""Failures after which the next training gets a fresh process."""

_BASELINES = TypeAdapter(list[BaselineRow])


class LocalTrainer:
    """One warm worker: `python -m informer`, started once and given one run folder after another.

    To the kernel the worker's parent is the thread that started it, and the worker dies with its
    parent: `train` must always be called from the same, long-lived thread.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        output: Path,
        slot: int = 0,
        threads: int = 1,
        memory_share: float = 1.0,
        command: Sequence[str] = COMMAND,
        gpu: str = "",
    ) -> None:
        """Prepare a worker; none is started before the first training.

        Args:
            environment: All that the worker's environment holds.
            output: File to which goes what it prints outside a training.
            slot: Place of this trainer among those of an engine.
            threads: That the worker computes with on a CPU.
            memory_share: Of the memory of its GPU that it may take.
            command: Starts the worker.
            gpu: Name in CUDA_VISIBLE_DEVICES of the GPU that it trains on; empty: it has none.
        """
        self._mark = uuid.uuid4().hex
        self._environment = {**environment, MARK: self._mark}
        self._output = output
        self._slot = slot
        self._gpu = gpu
        self._command = [
            *command,
            *("--threads", str(threads)),
            *("--memory-share", str(memory_share)),
        ]
        self._worker: subprocess.Popen[bytes] | None = None

    def train(self, run: RunDir, watch: Watch) -> Success | Ended:
        """Train in the worker; one that dies, hangs or is told to end does not harm the next.

        Raises:
            TrainerError: no worker can be started.
        """
        worker = self._running_worker()
        assert worker.stdin is not None
        try:
            start = process_start(worker.pid)
            try:
                worker.stdin.write(f"{run.path.resolve()}\n".encode())
            except BrokenPipeError:
                start = None
            if start is None:
                return self._lost(run, worker)
            watch.started(Worker(worker.pid, start, self._slot))
            return self._follow(run, watch, worker)
        except ProtocolError as error:
            return self._killed(Ended("failed", "protocol", str(error)))
        except BaseException:  # of the watch: nobody follows this training any more
            self.close()
            raise
        finally:
            run.trim_log()
            run.end.unlink(missing_ok=True)

    def _follow(
        self, run: RunDir, watch: Watch, worker: subprocess.Popen[bytes]
    ) -> Success | Ended:
        """Report the records of a training until it has ended, or has to."""
        began, meter = time.monotonic(), Meter(worker.pid, self._gpu)
        next_look, offset = began + MEASURE_SECONDS, 0
        asked: Ended | None = None  # what the worker has been asked to end with
        patience = 0.0
        while True:
            gone = worker.poll() is not None
            has_ended = asked is not None and not run.end.exists()
            result = run.read_result()
            records, offset = run.read_metrics(offset)
            if records:
                watch.report(records)
            if isinstance(result, Success):
                return result
            if result is not None:
                ended = Ended.by(result)
                return self._killed(ended) if result.error_class in _SPOILED else ended
            if gone:
                return self._lost(run, worker)
            now = time.monotonic()
            if asked is not None and (has_ended or now > patience):
                return asked if has_ended else self._killed(asked)
            ending = watch.ending()
            if ending is not None and ending.state != "pruned":
                return self._killed(ending)
            if ending is not None and asked is None:
                try:
                    run.end.touch()
                except OSError:
                    return self._killed(ending)
                asked, patience = ending, now + PATIENCE_SECONDS
            if now - began > watch.limit_seconds:
                minutes = watch.limit_seconds / 60
                message = f"The training was ended at its limit of {minutes:g} minutes."
                return self._killed(Ended("failed", "time", message))
            if now >= next_look and (load := meter.load()) is not None:
                next_look = now + MEASURE_SECONDS
                watch.measured(load)
                if load.memory > watch.memory_bytes:
                    return self._killed(_took_too_much(run, load.memory, watch.memory_bytes))
            if not run.path.is_dir():
                raise ProtocolError(f"{run.path} is no longer there.")
            run.trim_log()
            time.sleep(POLL_SECONDS)

    def baselines(
        self, folder: RunDir, ending: Callable[[], Ended | None] = lambda: None
    ) -> list[BaselineRow]:
        """Compute the baselines in a process of their own; raises TrainerError, BaselinesEnded."""
        output = folder.path / "baselines.json"
        files = ("--config", str(folder.config), "--output", str(output))
        likeness = ("--traits", str(folder.traits))
        process = self._started(
            [*BASELINES_COMMAND, *files, *likeness], folder.log, subprocess.DEVNULL
        )
        limit = time.monotonic() + BASELINES_SECONDS
        try:
            while process.poll() is None:
                if ending() is not None:
                    raise BaselinesEnded
                if time.monotonic() > limit:
                    minutes = BASELINES_SECONDS / 60
                    raise TrainerError(
                        f"The baselines were ended at their limit of {minutes:g} minutes."
                    )
                time.sleep(POLL_SECONDS)
        finally:
            _kill(process)
        if process.returncode != 0:
            last = folder.log_tail().rpartition("\n")[2]
            raise TrainerError(last or f"exit code {process.returncode}")
        return _BASELINES.validate_json(output.read_bytes())

    def close(self) -> None:
        """Kill the worker and all that it has started, at once."""
        worker, self._worker = self._worker, None
        if worker is None:
            return
        _kill(worker)
        assert worker.stdin is not None
        worker.stdin.close()
        for _ in range(2):  # a process shows no environment in the moment in which it is started
            for process in psutil.process_iter():
                with suppress(psutil.Error):
                    if process.environ().get(MARK) == self._mark:
                        process.kill()

    def _killed(self, ended: Ended) -> Ended:
        self.close()
        return ended

    def _running_worker(self) -> subprocess.Popen[bytes]:
        if self._worker is not None and self._worker.poll() is None:
            return self._worker
        self.close()
        self._worker = self._started(self._command, self._output, subprocess.PIPE)
        return self._worker

    def _started(self, command: Sequence[str], output: Path, stdin: int) -> subprocess.Popen[bytes]:
        """Start a process, in a group of its own, that ends with the thread which called this."""
        try:
            with output.open("ab") as file:
                return subprocess.Popen(  # noqa: S603
                    [*command, "--parent", str(os.getpid())],
                    bufsize=0,
                    cwd=PROJECT,
                    env=self._environment,
                    stdin=stdin,
                    stdout=file,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        except OSError as error:
            raise TrainerError(f"No worker can be started ({error}).") from error

    def _lost(self, run: RunDir, worker: subprocess.Popen[bytes]) -> Ended:
        with suppress(subprocess.TimeoutExpired):
            worker.wait(PATIENCE_SECONDS)
        self.close()
        code = worker.returncode
        if code == os.EX_IOERR:
            message = f"The worker could not write to {run.path}; {self._output} says why."
            return Ended("failed", "disk", message)
        cause = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        tail = run.log_tail(5)
        return Ended(
            "crashed",
            "process lost",
            f"The worker process was lost ({cause}); {run.log} has its last lines. {tail}".strip(),
        )


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and its group; one that has ended is left, its id may be another's by now."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _took_too_much(run: RunDir, taken: int, limit: int) -> Ended:
    try:
        advice = what_takes_memory(run.read_config())
    except (FileNotFoundError, ValueError) as error:
        raise ProtocolError(f"{run.config} is no longer a valid configuration.") from error
    message = (
        f"The training took {taken / 1e6:,.0f} MB of memory, more than the {limit / 1e6:,.0f} MB "
        f"that it may; lower {advice}."
    )
    return Ended("failed", "out_of_memory", message)
