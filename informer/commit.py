"""Which commit the project's code is of."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
GIT_SECONDS = 3.0
NOTE = "commit.json"
"""In a copy of the project: what the original was."""


@functools.cache
def commit_of(project: Path) -> tuple[str | None, bool | None]:
    """Return the commit of the project, and whether its files differ from it; asked once.

    (None, None) where there is no git, the project is no clone, or git does not answer in time. A
    copy of the project may have what `note_commit` has noted in it.
    """
    if (project / NOTE).exists():
        return _noted(project / NOTE)
    tool = shutil.which("git")
    if tool is None or not (project / ".git").exists():  # it may lie inside another's clone
        return None, None
    try:
        said = subprocess.run(  # noqa: S603
            [tool, "--no-optional-locks", "status", "--porcelain=v2", "--branch"],
            cwd=project,
            env={name: text for name, text in os.environ.items() if not name.startswith("GIT_")},
            stdin=subprocess.DEVNULL,  # the worker's own names what to train
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=GIT_SECONDS,
            check=True,
        ).stdout.splitlines()
    except (subprocess.SubprocessError, OSError):
        return None, None
    commit = next((line.split()[-1] for line in said if line.startswith("# branch.oid ")), None)
    if commit is None or commit == "(initial)":
        return None, None
    return commit, any(not line.startswith("#") for line in said)


def note_commit(project: Path, copy: Path) -> None:
    """Note in a copy of the project of which commit it is."""
    (copy / NOTE).write_text(json.dumps(commit_of(project)), "utf-8")


def _noted(path: Path) -> tuple[str | None, bool | None]:
    try:
        commit, changed = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, TypeError):
        return None, None
    return commit, changed
