"""Training in a worker process on this machine."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from pydantic import TypeAdapter

from informer.rundir import Failure, RunDir, Success
from nas_engine.liveness import process_start
from nas_engine.store.reader import BaselineRow
from nas_engine.trainers.base import Ended, TrainerError, Watch, Worker
from nas_engine.workspace import PROJECT

POLL_SECONDS = 0.1

_BASELINES = TypeAdapter(list[BaselineRow])


class LocalTrainer:
    """One warm worker: `python -m informer`, started once and given one run folder after another.

    To the kernel the worker's parent is the thread that started it, and the worker dies with its
    parent: `train` must always be called from the same, long-lived thread.
    """

    def __init__(self, environment: Mapping[str, str], output: Path, slot: int) -> None:
        """Prepare a worker with `environment`; what it prints outside a run goes to `output`."""
        self._environment = dict(environment)
        self._output = output
        self._slot = slot
        self._worker: subprocess.Popen[bytes] | None = None

    def train(self, run: RunDir, watch: Watch) -> Success | Ended:
        """Train in the worker; one that dies, hangs or is told to stop does not harm the next."""
        worker = self._running_worker()
        assert worker.stdin is not None
        deadline = time.monotonic() + watch.limit_seconds
        offset = 0
        try:
            worker.stdin.write(f"{run.path.resolve()}\n".encode())
            worker.stdin.flush()
        except BrokenPipeError:
            return self._crashed(run, worker)
        watch.started(Worker(worker.pid, process_start(worker.pid) or 0.0, self._slot))
        while True:
            result = run.read_result()
            gone = worker.poll() is not None
            records, offset = run.read_metrics(offset)
            if records:
                watch.report(records)
            if isinstance(result, Failure):
                return Ended("failed", result.error_class, result.message)
            if result is not None:
                return result
            if gone:
                return self._crashed(run, worker)
            if (ended := watch.ending()) is not None:
                self.close()
                return ended
            if time.monotonic() > deadline:
                self.close()
                minutes = watch.limit_seconds / 60
                return Ended(
                    "failed", "time", f"The training was ended at its limit of {minutes:g} minutes."
                )
            time.sleep(POLL_SECONDS)

    def baselines(self, folder: RunDir) -> list[BaselineRow]:
        """Compute the baselines in a process of their own; raises TrainerError."""
        output = folder.path / "baselines.json"
        ended = subprocess.run(  # noqa: S603
            [
                *(sys.executable, "-m", "informer.baselines"),
                *("--config", str(folder.config), "--output", str(output)),
            ],
            cwd=PROJECT,
            env=self._environment,
            capture_output=True,
            text=True,
        )
        if ended.returncode != 0:
            lines = ended.stderr.strip().splitlines()
            raise TrainerError(lines[-1] if lines else f"exit code {ended.returncode}")
        return _BASELINES.validate_json(output.read_bytes())

    def close(self) -> None:
        """Kill the worker."""
        if self._worker is not None:
            self._worker.kill()
            self._worker.wait()
            if self._worker.stdin is not None:
                self._worker.stdin.close()
            self._worker = None

    def _running_worker(self) -> subprocess.Popen[bytes]:
        if self._worker is not None and self._worker.poll() is None:
            return self._worker
        self.close()
        with self._output.open("ab") as output:
            self._worker = subprocess.Popen(
                [sys.executable, "-m", "informer"],
                cwd=PROJECT,
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        return self._worker

    def _crashed(self, run: RunDir, worker: subprocess.Popen[bytes]) -> Ended:
        code = worker.wait()
        self.close()
        cause = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        tail = run.log_tail(5)
        return Ended(
            "crashed",
            "process lost",
            f"The worker process was lost ({cause}); {run.log} has its last lines. {tail}".strip(),
        )
