"""What the engine and a node of a cluster tell each other about a training."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata

from informer.records import Success
from informer.rundir import FILE_BYTES, SHOWN_BYTES
from nas_engine.trainers.base import Ended, Load, Worker

FILES: Mapping[str, int] = {
    "environment.json": SHOWN_BYTES,
    "errors.json": FILE_BYTES,
    "forecasts.json": SHOWN_BYTES,
    "model.safetensors": 2**31,
    "result.json": FILE_BYTES,
}
"""What the engine gets of a run folder that has ended, and how many bytes of it at most.

The result is the last one: with it a run folder is finished.
"""


COMPARED = ("torch", "numpy", "pandas")
"""Libraries that decide results: nodes need the versions of the engine."""


@dataclass(frozen=True)
class About:
    """Where an actor runs, and with what."""

    node: str  # Ray's id of it
    memory: int  # of that machine, in bytes
    versions: Mapping[str, str]


def versions() -> Mapping[str, str]:
    """Return the versions that decide results, without what names a build."""
    found = {name: metadata.version(name).partition("+")[0] for name in COMPARED}
    return {"Python": ".".join(platform.python_version_tuple()[:2]), **found}


@dataclass(frozen=True)
class Order:
    """A training, as the engine sends it."""

    config: bytes
    orders: bytes
    weights: bytes  # that the orders name; empty: none
    metrics: bytes  # of the epochs that the checkpoint comes after
    checkpoint: tuple[str, bytes] | None  # its name and content
    kept: str  # where checkpoints are kept; empty: they are sent to the engine
    limit_seconds: float
    memory_bytes: int


@dataclass(frozen=True)
class Have:
    """What the engine has of a training: bytes of its records and log, and its checkpoint."""

    metrics: int = 0
    log: int = 0
    checkpoint: int = 0  # its epoch
    files: frozenset[str] = frozenset()
    told: int = 0  # how often this actor has had something to tell


@dataclass(frozen=True)
class Machine:
    """What is in use of a node, whoever uses it. Memory is in bytes."""

    cpu_percent: float  # of all its cores
    memory: int
    memory_total: int
    gpu_percent: float | None
    gpu_memory: int | None


@dataclass(frozen=True)
class News:
    """What a training has beyond what the engine has."""

    folder: str  # on the node, as its sentences name it
    worker: Worker | None
    metrics: bytes
    log: bytes
    have: Have  # when the engine has this too
    load: Load | None
    machine: Machine
    checkpoint: tuple[str, bytes] | None
    files: Mapping[str, bytes]
    ended: Success | Ended | None
    trouble: str  # a sentence, where no training is possible
