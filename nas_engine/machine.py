"""What this machine has: GPUs, cores and memory. Asked once, without torch."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from dataclasses import dataclass, replace

import psutil

from informer.config import RunConfig
from informer.estimate import process_memory, training_memory

SHARE = 0.85
"""Of its memory that a training may take: the rest is for what else runs."""
MOST_SLOTS = 8
"""Trainings at once that are proposed on CPUs: more wait for memory rather than for cores."""
MOST_ON_GPU = 4
"""Trainings at once that are proposed on one GPU: they take turns there, and small models leave
most of each turn unused."""
ROOM = 4
"""Times the memory of the configuration that each of several has on a GPU: planners try larger."""
CONTEXT = 10**9
"""Bytes of its GPU that a process takes beside its tensors; a guess on the safe side."""
BESIDE_GPU = 3 * 10**9
"""Bytes of main memory for each process with a GPU, CUDA's libraries among them; a guess too."""


@dataclass(frozen=True)
class GPU:
    """An NVIDIA GPU, its memory in bytes, and its name in CUDA_VISIBLE_DEVICES."""

    name: str
    memory: int
    cuda: str


def gpus(device: str = "auto") -> tuple[GPU, ...]:
    """Return the GPUs that trainings on `device` may have, in the order in which CUDA counts them.

    Args:
        device: the setting `training.device`.
    """
    kind, _, number = device.partition(":")
    if kind not in ("auto", "cuda"):
        return ()
    visible = _visible(os.environ.get("CUDA_VISIBLE_DEVICES"))
    return visible[int(number) :][:1] if number else visible


def cuda_devices(device: str) -> list[str]:
    """Return the GPUs, as CUDA names them, over which a search on `device` spreads its slots.

    Args:
        device: the setting `training.device`. One that names a GPU leaves nothing to choose from.
    """
    return [] if ":" in device else [gpu.cuda for gpu in gpus(device)]


def _visible(listed: str | None) -> tuple[GPU, ...]:
    """Return the GPUs that CUDA_VISIBLE_DEVICES lists; None: it is not set.

    The list counts up to the first entry that names none, as CUDA has it: a number, or the
    beginning of a UUID. A part of a GPU (MIG) is not known here and counts as none.
    """
    present = _present()
    if listed is None:
        return tuple(replace(gpu, cuda=str(number)) for number, gpu in enumerate(present))
    found: list[GPU] = []
    for entry in map(str.strip, listed.split(",")):
        if entry.isdecimal() and int(entry) < len(present):
            gpu = present[int(entry)]
        elif entry.startswith("GPU-") and (
            named := [gpu for gpu in present if gpu.cuda.startswith(entry)]
        ):
            gpu = named[0]
        else:
            break
        found.append(replace(gpu, cuda=entry))
    return tuple(found)


@functools.cache
def _present() -> tuple[GPU, ...]:
    """Return all GPUs of this machine, as `nvidia-smi` counts them, named by their UUIDs."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ()
    query = [tool, "--query-gpu=uuid,memory.total,name", "--format=csv,noheader,nounits"]
    try:
        found = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True)  # noqa: S603
        return tuple(_gpu(line) for line in found.stdout.splitlines() if line.strip())
    except (subprocess.SubprocessError, OSError, ValueError):
        return ()


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
    """Return how many trainings of `config` this machine does well at once.

    One for each core, or on each GPU as many as have room: on the smallest for `ROOM` times its
    memory, in main memory for its process, a core each, and `MOST_ON_GPU` at most.
    """
    if found := gpus(config.training.device):
        smallest = min(gpu.memory for gpu in found)
        fitting = (
            int(SHARE * smallest) // (CONTEXT + ROOM * training_memory(config)),
            int(SHARE * main_memory()) // BESIDE_GPU // len(found),
            cores() // len(found),
            MOST_ON_GPU,
        )
        return len(found) * max(1, min(fitting))
    fitting_cpu = memory_allowed(config, slots=1) // memory_needed(config)
    return max(1, min(cores(), MOST_SLOTS, fitting_cpu))


def memory_needed(config: RunConfig) -> int:
    """Return the bytes that a training takes at its peak, on the device that it will have."""
    on_gpu = gpus(config.training.device)
    return training_memory(config) if on_gpu else process_memory(config)


def memory_allowed(config: RunConfig, slots: int) -> int:
    """Return the bytes that a training may take, on the device that it shares with `slots`."""
    if found := gpus(config.training.device):
        on_one = -(-slots // len(found))
        return int(SHARE * min(gpu.memory for gpu in found) / on_one)
    return int(SHARE * main_memory() / slots)


def process_allowed(config: RunConfig, slots: int, memory_mb: int | None) -> int:
    """Return the bytes of main memory at which the process of a training is ended."""
    if memory_mb is not None and not gpus(config.training.device):
        return memory_mb * 10**6
    return int(SHARE * main_memory() / slots)


def _gpu(line: str) -> GPU:
    uuid, mebibytes, name = line.split(",", 2)
    return GPU(name.strip(), int(mebibytes) * 2**20, uuid.strip())
