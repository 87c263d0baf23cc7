"""What this machine has: GPUs, cores and memory. Asked once, without torch."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from dataclasses import dataclass

import psutil

from informer.config import RunConfig
from informer.estimate import process_memory, training_memory

SHARE = 0.85
"""Of its memory that a training may take: the rest is for what else runs."""
MOST_SLOTS = 8
"""Trainings at once that are proposed on CPUs: more wait for memory rather than for cores."""


@dataclass(frozen=True)
class GPU:
    """An NVIDIA GPU and its memory in bytes."""

    name: str
    memory: int


@functools.cache
def gpus() -> tuple[GPU, ...]:
    """Return the NVIDIA GPUs of this machine, as `nvidia-smi` names them."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ()
    query = [tool, "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        found = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True)  # noqa: S603
        return tuple(_gpu(line) for line in found.stdout.splitlines() if line.strip())
    except (subprocess.SubprocessError, OSError, ValueError):
        return ()


def cuda_devices(device: str) -> list[str]:
    """Return the GPUs, as CUDA names them, over which a search on `device` spreads its slots.

    Args:
        device: the setting `training.device`. One that names a GPU leaves nothing to choose from.
    """
    if device not in ("auto", "cuda"):
        return []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    named = map(str, range(len(gpus()))) if visible is None else visible.split(",")
    return [name for name in named if name] if gpus() else []


@functools.cache
def main_memory() -> int:
    """Return the main memory in bytes."""
    return int(psutil.virtual_memory().total)


@functools.cache
def cores() -> int:
    """Return the CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def default_slots(config: RunConfig) -> int:
    """Return how many trainings of `config` this machine does well at once: one a GPU or core."""
    if _on_gpu(config):
        return len(gpus())
    fitting = memory_allowed(config, slots=1) // memory_needed(config)
    return max(1, min(cores(), MOST_SLOTS, fitting))


def memory_needed(config: RunConfig) -> int:
    """Return the bytes that a training takes at its peak, on the device that it will have."""
    return training_memory(config) if _on_gpu(config) else process_memory(config)


def memory_allowed(config: RunConfig, slots: int) -> int:
    """Return the bytes that a training may take, on the device that it shares with `slots`."""
    if _on_gpu(config):
        on_one = -(-slots // len(gpus()))
        return int(SHARE * min(gpu.memory for gpu in gpus()) / on_one)
    return int(SHARE * main_memory() / slots)


def process_allowed(config: RunConfig, slots: int, memory_mb: int | None) -> int:
    """Return the bytes of main memory at which the process of a training is ended."""
    if memory_mb is not None and not _on_gpu(config):
        return memory_mb * 10**6
    return int(SHARE * main_memory() / slots)


def _on_gpu(config: RunConfig) -> bool:
    return bool(gpus()) and config.training.device != "cpu"


def _gpu(line: str) -> GPU:
    name, mebibytes = line.rsplit(",", 1)
    return GPU(name.strip(), int(mebibytes) * 2**20)
