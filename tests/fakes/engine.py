"""`python -m tests.fakes.engine`: the real engine with the fake trainer, for tests that kill it.

Each training adds a line to `trainings.txt` beside the database, so that they can be counted. Its
val_mse depends on the seed. The process kills itself before the training in the folder that
KILL_BEFORE names, or after that in KILL_AFTER, before the engine hears of the result.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from informer.config import RunConfig
from informer.rundir import RunDir, Success
from nas_engine.commands import Start, send
from nas_engine.engine import serve
from nas_engine.search import SearchSpec
from nas_engine.settings import load_settings
from nas_engine.trainers.base import Ended, Watch
from nas_engine.workspace import Workspace
from tests.fakes.trainer import FakeTrainer, error_of


def noisy(config: RunConfig) -> float:
    return error_of(config) * random.Random(repr(config.flat())).gauss(1, 0.01)


class CountingTrainer(FakeTrainer):
    def __init__(self, ledger: Path, epoch_seconds: float) -> None:
        super().__init__(epoch_seconds, value=noisy)
        self._ledger = ledger

    def train(self, run: RunDir, watch: Watch) -> Success | Ended:
        self._die_if_told_to("KILL_BEFORE", run)
        with self._ledger.open("a") as file:
            file.write(f"{run.path.name}\n")
        result = super().train(run, watch)
        self._die_if_told_to("KILL_AFTER", run)
        return result

    def _die_if_told_to(self, moment: str, run: RunDir) -> None:
        if os.environ.get(moment) == run.path.name:
            os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def running(
    workspace: Workspace, spec: SearchSpec, epoch_seconds: float = 60.0
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a search by the real engine with the fake trainer, in a process of its own."""
    command = send(workspace, Start(spec=spec))
    arguments = (str(workspace.db), str(command), str(epoch_seconds))
    with subprocess.Popen([sys.executable, "-m", "tests.fakes.engine", *arguments]) as engine:
        try:
            yield engine
        finally:
            engine.kill()


if __name__ == "__main__":
    workspace = Workspace(Path(sys.argv[1]))
    trainer = CountingTrainer(workspace.db.parent / "trainings.txt", float(sys.argv[3]))
    serve(workspace, load_settings(), lambda slot, spec: trainer, int(sys.argv[2]))
