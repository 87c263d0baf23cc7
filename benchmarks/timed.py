"""This project's engine and workers as they are, but that each training notes where its time goes.

`python -m benchmarks.timed engine DB COMMAND` is `python -m nas_engine.engine` with workers that
are `python -m informer`, one thread each, and leave a file `seconds.json` in the run's folder.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from informer.files import replace_text
from informer.records import Success
from informer.rundir import RunDir
from nas_engine.engine import serve
from nas_engine.search import SearchSpec
from nas_engine.settings import load_settings
from nas_engine.trainers.local import LocalTrainer
from nas_engine.workspace import Workspace

if TYPE_CHECKING:
    from data.windows import Windows
    from informer.metrics import Errors

SECONDS = "seconds.json"
THREADS = 1
"""Of a worker, as an engine starts it."""


def command(*arguments: str) -> list[str]:
    """Return the command that starts an engine or a worker, in the project's folder."""
    return [sys.executable, "-m", "benchmarks.timed", *arguments]


def engine(db: Path, number: int) -> None:
    """Carry out a command, and run its search while it has work."""
    workspace, settings = Workspace(db), load_settings()

    def trainer(slot: int, spec: SearchSpec) -> LocalTrainer:
        environment = settings.worker_environment()
        return LocalTrainer(
            environment, workspace.worker_log, slot, threads=THREADS, command=command("worker")
        )

    serve(workspace, settings, trainer, number)


def worker() -> None:
    """Train the folders that stdin names, and note the seconds of each."""
    from informer import training
    from informer.__main__ import main

    class Timed(training.Training):
        def __init__(self, *arguments: Any) -> None:
            self._spent = {"training": 0.0, "judging": 0.0}
            super().__init__(*arguments)

        def _steps(self, epoch: int) -> float:
            began = time.perf_counter()
            loss = super()._steps(epoch)
            self._spent["training"] += time.perf_counter() - began
            return loss

        def _evaluate(self, windows: Windows) -> Errors:
            began = time.perf_counter()
            errors = super()._evaluate(windows)
            self._spent["judging"] += time.perf_counter() - began
            return errors

        def result(self) -> Success:
            began = time.process_time()
            result = super().result()
            self._spent["computed"] = time.process_time() - began
            replace_text(self._run.path / SECONDS, json.dumps(self._spent))
            return result

    training.Training = Timed  # type: ignore[assignment,misc]
    main()


def spent(run: RunDir) -> dict[str, float]:
    """Return the seconds of a training that went into its steps and judging, and of processor."""
    seconds: dict[str, float] = json.loads((run.path / SECONDS).read_bytes())
    return seconds


if __name__ == "__main__":
    if sys.argv[1] == "engine":
        engine(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        del sys.argv[1]
        worker()
