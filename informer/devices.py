"""The device that a training has: which it is, what precision suits it, what memory is taken."""

from __future__ import annotations

import ctypes
import gc
import sys
import time
from contextlib import suppress
from pathlib import Path

import torch

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_RESET_PEAK = "5"  # written to `clear_refs`, makes the peak what is resident now


class DeviceError(ValueError):
    """The device that was asked for is not there."""


def choose_device(name: str, setting: str = "training.device") -> torch.device:
    """Return the device that a setting means; raises DeviceError where it is not there."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        name = "cuda" if count else "cpu"
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= count:
        found = f"{count} GPU{'s' * (count > 1)}" if count else "no GPU"
        raise DeviceError(
            f"{setting} is {name}, but this machine has {found} that torch can use; "
            "take auto or cpu."
        )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise DeviceError(f"{setting} is mps, which this machine does not have; take auto or cpu.")
    return device


def device_name(device: torch.device) -> str:
    """Return what a device is called in results."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def uses_bfloat16(precision: str, device: torch.device) -> bool:
    """Tell whether matrix products are made in bfloat16; auto takes it on GPUs that have it.

    bfloat16 has the range of float32, so that no loss scaling is needed; what needs precision
    (norms, softmax, losses, weights, the optimiser) stays in float32.
    """
    if precision == "auto":
        return device.type == "cuda" and torch.cuda.is_bf16_supported()
    return precision == "bfloat16"


def moment(device: torch.device) -> float:
    """Return the time, in seconds, at which a device has done all that it was given."""
    if device.type not in ("cpu", "meta"):
        torch.accelerator.synchronize(device)
    return time.perf_counter()


def limit_memory(device: torch.device, share: float) -> None:
    """Take no more than this share of the memory of `device`, where that is a GPU."""
    if device.type == "cuda" and share < 1:
        torch.cuda.set_per_process_memory_fraction(share, device.index or 0)


def begin_peak(device: torch.device) -> bool:
    """Forget the peak of memory so far, and tell whether `peak_memory` counts from now on.

    What this process has freed goes back to the machine first: the C library keeps it otherwise,
    and the peak of a small training would be that of a larger one before it.
    """
    gc.collect()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return True
    if sys.platform != "linux":
        return False
    library = ctypes.CDLL(None)
    if hasattr(library, "malloc_trim"):  # glibc
        library.malloc_trim(0)
    with suppress(OSError):  # a kernel without it, or a container that forbids it
        _CLEAR.write_text(_RESET_PEAK)
        return True
    return False


def peak_memory(device: torch.device) -> int:
    """Return the most bytes that were taken at once: of all tensors on a GPU, else resident."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    if _STATUS.exists():  # the other figure counts what the process was before it became this one
        lines = _STATUS.read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
