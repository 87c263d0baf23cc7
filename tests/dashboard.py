"""The dashboard as a user meets it: `streamlit run app.py` on a free port, in headless Chromium.

Most tests let it be forked from a process that has its libraries loaded, and all share a browser.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Browser, Page, Playwright, expect, sync_playwright

from nas_engine.store.reader import reading
from nas_engine.store.writer import Writer
from nas_engine.workspace import PROJECT, Workspace

expect.set_options(timeout=20_000)  # however busy the machine is; nothing waits longer than it must

CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@functools.cache
def _loaded() -> subprocess.Popen[str]:
    """Return the process that dashboards are forked from; it ends with this one."""
    forks = subprocess.Popen(
        [sys.executable, "-m", "tests.fakes.dashboards"],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    atexit.register(forks.communicate)  # which closes its input, and so ends it
    return forks


def _forked(arguments: list[str], environment: dict[str, str], log: Path) -> psutil.Process:
    """Let a process be forked that is `streamlit ARGUMENTS` from then on."""
    wanted = {"arguments": arguments, "environment": environment, "log": str(log)}
    forks = _loaded()
    assert forks.stdin is not None and forks.stdout is not None
    print(json.dumps(wanted), file=forks.stdin, flush=True)
    return psutil.Process(int(forks.stdout.readline()))


class Dashboard:
    """A Streamlit server on one workspace, which can be stopped and started again."""

    def __init__(
        self, workspace: Workspace, environment: dict[str, str], log: Path, as_typed: bool = False
    ) -> None:
        self.workspace = workspace
        self._as_typed = as_typed
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._environment = {**os.environ, **environment, "NAS_DB": str(workspace.db)}
        self._log = log
        self._server: psutil.Process | None = None

    def start(self) -> None:
        """Start the server and wait until it answers."""
        port = ("--server.port", str(self.port))
        arguments = ["run", "app.py", *port, "--server.headless", "true"]
        if self._as_typed:
            with self._log.open("ab") as log:
                self._server = psutil.Popen(
                    [sys.executable, "-m", "streamlit", *arguments],
                    cwd=PROJECT,
                    env=self._environment,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        else:
            self._server = _forked(arguments, self._environment, self._log)
        deadline = time.monotonic() + 60
        while True:
            assert self._server.is_running(), self._log.read_text()
            assert time.monotonic() < deadline, "the dashboard does not answer"
            try:
                urllib.request.urlopen(f"{self.url}/_stcore/health", timeout=1).close()
                return
            except OSError:
                time.sleep(0.1)

    @property
    def pid(self) -> int:
        """Process of the server."""
        assert self._server is not None, "only a server that runs has a process"
        return self._server.pid

    def stop(self) -> None:
        """Stop the server as Ctrl-C in its terminal does: its whole process group is told.

        Now and then uvicorn waits for a connection that a browser keeps open; Ctrl-C once more
        ends it all the same.
        """
        if self._server is not None:
            os.killpg(self._server.pid, signal.SIGINT)
            with suppress(psutil.TimeoutExpired):
                self._server.wait(timeout=5)
            if self._server.is_running():
                os.killpg(self._server.pid, signal.SIGINT)
                self._server.wait(timeout=15)
            self._server = None

    def kill_engines(self) -> None:
        """End the engines that this workspace's searches still have."""
        with reading(self.workspace) as reader:
            rows = [reader.engine(row.id) for row in reader.searches()] if reader else []
        for row in rows:
            if row is not None and psutil.pid_exists(row.pid):
                psutil.Process(row.pid).kill()


@contextmanager
def serving_dashboard(
    workspace: Workspace, environment: dict[str, str], log: Path, as_typed: bool = False
) -> Iterator[Dashboard]:
    """Serve the dashboard, and end it and its engines afterwards.

    Args:
        workspace: that it shows.
        environment: what differs from that of this process.
        log: where its output goes.
        as_typed: start it by the very command of a user, which takes seconds longer.
    """
    dashboard = Dashboard(workspace, environment, log, as_typed)
    dashboard.start()
    try:
        yield dashboard
    finally:
        dashboard.stop()
        dashboard.kill_engines()


@contextmanager
def living_engine(workspace: Workspace, search_id: int) -> Iterator[None]:
    """Let a search have an engine that beats and does nothing else."""
    idle = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3000)"])
    ended = threading.Event()
    writer = Writer(workspace)
    writer.take_lease(search_id, idle.pid)

    def beat() -> None:
        while not ended.wait(0.5):
            writer.beat(0.5)

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        writer.close()
        idle.kill()
        idle.wait()


_open: list[tuple[Playwright, Browser]] = []


def _browser(chromium: str) -> Browser:
    """Return the browser that tests share, each with a context of its own."""
    if not _open:
        playwright = sync_playwright().start()
        started = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_ARGUMENTS)
        _open.append((playwright, started))
    return _open[0][1]


def close_browser() -> None:
    """Close the browser that tests share; while it is open, this thread has an event loop."""
    while _open:
        playwright, browser = _open.pop()
        browser.close()
        playwright.stop()


@contextmanager
def browsing(screenshot: Path, width: int = 1280, height: int = 900) -> Iterator[Page]:
    """Open a page in headless Chromium; where the test fails, keep a picture of it."""
    chromium = shutil.which("chromium")
    if chromium is None:
        message = "Chromium is missing: apt-get install chromium"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    context = _browser(chromium).new_context(viewport={"width": width, "height": height})
    page = context.new_page()  # in a context of its own, so that a test may open another tab
    try:
        yield page
    except BaseException:
        page.screenshot(path=screenshot, full_page=True)
        raise
    finally:
        context.close()
