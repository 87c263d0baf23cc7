"""`python -m tests.fakes.engine`: the real engine with the fake trainer, as a process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nas_engine.commands import Start, send
from nas_engine.engine import serve
from nas_engine.search import SearchSpec
from nas_engine.settings import load_settings
from nas_engine.workspace import Workspace
from tests.fakes.trainer import FakeTrainer


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
    trainer = FakeTrainer(float(sys.argv[3]))
    serve(
        Workspace(Path(sys.argv[1])),
        load_settings(),
        lambda slot, spec: trainer,
        int(sys.argv[2]),
    )
