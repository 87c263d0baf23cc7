"""What a training runs on, for the record: versions, code, device and data."""

from __future__ import annotations

import functools
import os
import platform
import shutil
import subprocess
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from data import synthetic
from data.registry import Dataset
from data.series import Series
from informer.rundir import Environment, Generated, UsedData

PROJECT = Path(__file__).resolve().parents[1]
GIT_SECONDS = 3.0


def environment(source: Series, device: str, seed: int) -> Environment:
    """Return what a training in this process runs on.

    Args:
        source: the data that it was given, whose file has been checked against its SHA-256.
        device: the name of the device that trains.
        seed: of the training.
    """
    commit, changed = commit_of(PROJECT)
    return Environment(
        versions={
            "Python": platform.python_version(),
            **_project_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
            "pandas": pd.__version__,
        },
        commit=commit,
        changed=changed,
        platform=platform.platform(),
        device=device,
        threads=torch.get_num_threads(),
        seed=seed,
        data=_data(source.dataset, len(source.values)),
    )


def _data(dataset: Dataset, count: int) -> UsedData:
    generated = dataset.url is None and dataset.path is None
    parameters = Generated(rows=synthetic.ROWS, start=synthetic.START, seed=synthetic.SEED)
    return UsedData.of(dataset, count, parameters if generated else None)


def _project_version() -> dict[str, str]:
    try:
        facts = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))["project"]
        return {str(facts["name"]): str(facts["version"])}
    except (OSError, ValueError, KeyError):
        return {}


@functools.cache
def commit_of(project: Path) -> tuple[str | None, bool | None]:
    """Return the commit of the project, and whether its files differ from it; asked once.

    (None, None) where there is no git, the project is no clone, or git does not answer in time.
    """
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
