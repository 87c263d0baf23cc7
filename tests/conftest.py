"""What all tests share: an environment of their own."""

from __future__ import annotations

import functools
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nas_engine.settings import Settings
from nas_engine.workspace import Workspace
from tests.chaos.forks import fast_folder

if "TMPDIR" not in os.environ and (memory := fast_folder()):
    os.environ["TMPDIR"] = tempfile.tempdir = str(memory)  # commits there wait for no disk


@pytest.fixture(autouse=True)
def own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keep a developer's keys, `.env`, workspace and data sets out of the tests."""
    for name in Settings.model_fields:
        if name != "nas_data_dirs":
            monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "user-data"))
    monkeypatch.setenv("NAS_DB", str(tmp_path / "workspace" / "nas.db"))
    monkeypatch.setenv("OPENROUTER_API_KEY", "")
    monkeypatch.setenv("VERBOSE", "false")
    monkeypatch.setenv("DEBUG", "false")
    monkeypatch.setenv("NAS_RULES", "")
    monkeypatch.setenv("LANGSMITH_TRACING", "false")
    monkeypatch.setenv("NAS_DATA_DIRS", os.environ.get("NAS_DATA_DIRS", ""))
    monkeypatch.setitem(Settings.model_config, "env_file", None)
    yield


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give one worker all tests of a file that marks them as a group, which share what is costly.

    The group that pytest-xdist 3.8 appends to the names of tests is lost in pytest 9.2.
    """
    from xdist.scheduler import LoadGroupScheduling

    @functools.cache
    def is_grouped(file: str) -> bool:
        return "xdist_group" in (config.rootpath / file).read_text("utf-8")

    class ByGroupedFile(LoadGroupScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return file if is_grouped(file) else nodeid

    return ByGroupedFile(config, log)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(nextitem: pytest.Item | None) -> None:
    """Close the browser after the last of the tests in a row that use it."""
    dashboard = sys.modules.get("tests.dashboard")
    if dashboard and not (nextitem and nextitem.get_closest_marker("browser")):
        dashboard.close_browser()


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A workspace that no other test uses."""
    return Workspace(tmp_path / "workspace" / "nas.db")
