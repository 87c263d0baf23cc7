"""`python -m tests.fakes.engine`: the real engine with the fake trainer, as a process."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nas_engine.commands import Start, send
from nas_engine.engine import serve
from nas_engine.search import SearchSpec
from nas_engine.settings import load_settings
from nas_engine.store.reader import reading
from nas_engine.workspace import Workspace
from tests.fakes.trainer import FakeTrainer


@contextmanager
def running(
    workspace: Workspace, spec: SearchSpec, epoch_seconds: float = 60.0
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a search by the real engine with the fake trainer, in a process of its own.

    The search is there once this yields: a page without any search does not look for one.
    """
    command = send(workspace, Start(spec=spec))
    arguments = (str(workspace.db), str(command), str(epoch_seconds))
    with subprocess.Popen([sys.executable, "-m", "tests.fakes.engine", *arguments]) as engine:
        try:
            wait_for_search(workspace)
            yield engine
        finally:
            engine.kill()


def wait_for_search(workspace: Workspace, seconds: float = 60.0) -> None:
    """Wait until a workspace has a search."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with reading(workspace) as reader:
            if reader is not None and reader.any_search():
                return
        time.sleep(0.02)
    raise AssertionError(f"no search was begun within {seconds} s")


if __name__ == "__main__":
    trainer = FakeTrainer(float(sys.argv[3]))
    serve(
        Workspace(Path(sys.argv[1])),
        load_settings(),
        lambda slot, spec: trainer,
        int(sys.argv[2]),
    )
