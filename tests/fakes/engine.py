"""`python -m tests.fakes.engine`: the real engine with the fake trainer, for tests that kill it.

Each training adds a line to `trainings.txt` beside the database, so that they can be counted.
"""

from __future__ import annotations

import sys
from pathlib import Path

from informer.rundir import RunDir, Success
from nas_engine.engine import serve
from nas_engine.settings import load_settings
from nas_engine.trainers.base import Ended, Watch
from nas_engine.workspace import Workspace
from tests.fakes.trainer import FakeTrainer


class CountingTrainer(FakeTrainer):
    def __init__(self, ledger: Path, epoch_seconds: float) -> None:
        super().__init__(epoch_seconds)
        self._ledger = ledger

    def train(self, run: RunDir, watch: Watch) -> Success | Ended:
        with self._ledger.open("a") as file:
            file.write(f"{run.path.name}\n")
        return super().train(run, watch)


if __name__ == "__main__":
    workspace = Workspace(Path(sys.argv[1]))
    trainer = CountingTrainer(workspace.db.parent / "trainings.txt", float(sys.argv[3]))
    serve(workspace, load_settings(), trainer, int(sys.argv[2]))
