"""`python -m tests.fakes.light_engine DB COMMAND`: the real engine with real, but light, workers.

Its workers are those of `tests.fakes.worker`, in processes of their own; FAKE_EPOCH_SECONDS,
FAKE_HOLD and FAKE_MODE are handed on to them. Only the baselines, which need torch, are made up.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from informer.rundir import RunDir
from nas_engine.engine import serve
from nas_engine.search import SearchSpec
from nas_engine.settings import load_settings
from nas_engine.store.rows import BaselineRow
from nas_engine.trainers.base import Ended
from nas_engine.trainers.local import LocalTrainer
from nas_engine.workspace import Workspace
from tests.fakes.worker import COMMAND

HANDED_ON = ("FAKE_EPOCH_SECONDS", "FAKE_HOLD", "FAKE_MODE", "FAKE_LEDGER")


class LightTrainer(LocalTrainer):
    def baselines(
        self, folder: RunDir, ending: Callable[[], Ended | None] = lambda: None
    ) -> list[BaselineRow]:
        return [BaselineRow("repeat-last", split, 1.3, 0.7) for split in ("val", "test")]


def main(workspace: Workspace, command_id: int) -> None:
    told_to_end = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: told_to_end.set())
    environment = {name: os.environ[name] for name in HANDED_ON if name in os.environ}

    def make(slot: int, spec: SearchSpec) -> LightTrainer:
        return LightTrainer(environment, workspace.worker_log, slot, command=COMMAND)

    serve(workspace, load_settings(), make, command_id, told_to_end)


if __name__ == "__main__":
    main(Workspace(Path(sys.argv[1])), int(sys.argv[2]))
