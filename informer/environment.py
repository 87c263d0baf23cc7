"""What a training runs on, for the record: versions, code, device and data."""

from __future__ import annotations

import contextlib
import platform
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from data import synthetic
from data.registry import Dataset
from data.series import Series
from informer.commit import PROJECT, commit_of
from informer.records import Environment, Generated, UsedData


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
        cpu=_cpu(),
        device=device,
        threads=torch.get_num_threads(),
        seed=seed,
        data=_data(source.dataset, len(source.values)),
    )


def _data(dataset: Dataset, count: int) -> UsedData:
    generated = dataset.url is None and dataset.path is None
    parameters = Generated(rows=synthetic.ROWS, start=synthetic.START, seed=synthetic.SEED)
    return UsedData.of(dataset, count, parameters if generated else None)


def _cpu() -> str:
    """Return what decides how a CPU rounds: its model, and the instructions that torch uses."""
    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
        name = next(line for line in lines if line.startswith("model name")).partition(":")[2]
    return f"{name.strip()}, {torch.backends.cpu.get_cpu_capability()}"


def _project_version() -> dict[str, str]:
    try:
        facts = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))["project"]
        return {str(facts["name"]): str(facts["version"])}
    except (OSError, ValueError, KeyError):
        return {}
