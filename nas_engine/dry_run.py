"""One step of a configuration before anybody decides on it, in a process of its own.

The model is built and goes forward and backward once, on random numbers: seconds that tell whether
a training can be begun at all, and what a step of it takes on this machine.
"""

from __future__ import annotations

import json
import subprocess

from pydantic import TypeAdapter, ValidationError

from data import actors
from informer.config import RunConfig
from informer.dry_run import DryRun, Outcome
from nas_engine.apart import ask
from nas_engine.machine import memory_allowed, memory_needed
from nas_engine.settings import Settings

SECONDS = 60.0
"""That a dry run may take; importing torch is most of it."""

_OUTCOME: TypeAdapter[Outcome] = TypeAdapter(Outcome)


def dry_run(config: RunConfig, settings: Settings, seconds: float = SECONDS) -> DryRun | str:
    """Return what one step of a configuration comes to, or a sentence that says why there is none.

    Args:
        config: what would be trained.
        settings: give the environment that a training would have.
        seconds: after which the process is killed.
    """
    if refusal := actors.current().refusal:
        return refusal
    if (needed := memory_needed(config)) > (allowed := memory_allowed(config, slots=1)):
        return (
            f"It was not tried: training would take about {needed / 1e9:.2g} GB of memory, and "
            f"this machine can give {allowed / 1e9:.2g} GB."
        )
    try:
        answer, code = ask("informer.dry_run", json.dumps(config.flat()), settings, seconds)
    except OSError as error:
        return f"No process could be started for it ({error.strerror}); try again."
    except subprocess.TimeoutExpired:
        return (
            f"It was ended after {seconds:g} s without a result: the model is too slow for "
            "this machine, or the machine is busy; try again when less runs."
        )
    return _read(answer, code)


def facts(run: DryRun) -> dict[str, str]:
    """Return what a dry run came to in names and values."""
    windows, steps, columns = run.shape
    found = {
        "Parameters": f"{run.parameters:,}",
        "Forecast": f"{windows} windows x {steps} steps x {columns} columns",
        "Loss on random numbers": "not finite" if run.loss is None else f"{run.loss:.4g}",
        "Forward": f"{run.forward_ms:.3g} ms",
        "Backward": f"{run.backward_ms:.3g} ms",
        "Peak memory": f"{run.peak_memory_mb:,.0f} MB",
        "Device": run.device + (", in bfloat16" if run.bfloat16 else ""),
    }
    return found | ({"Not tried": "training.compile"} if run.compiles else {})


def _read(answer: str, code: int) -> DryRun | str:
    """Return the result of a dry run."""
    try:
        outcome = _OUTCOME.validate_json(answer, strict=True)
    except ValidationError:
        return (
            f"The dry run ended without a result (exit code {code}); its memory may have run out."
        )
    return outcome if isinstance(outcome, DryRun) else outcome.message
