"""The learning rate as a function of the step: nothing to save, nothing to restore. No torch."""

from __future__ import annotations

import math

from informer.config import TrainingConfig

# Of OneCycleLR, as torch has them: share of steps going up, first and last factor of the peak.
_RISING, _FIRST, _LAST = 0.3, 1 / 25, 1 / 25 / 1e4


def learning_rate(training: TrainingConfig, step: int, steps_per_epoch: int) -> float:
    """Return the learning rate of optimiser step `step`, counted from 0 over the whole run."""
    epoch, epochs = step // steps_per_epoch, training.epochs
    match training.scheduler_class:
        case "Halving":
            factor = 0.5 ** max(0, epoch - 1)
        case "StepLR":
            factor = 0.1 ** (epoch // math.ceil(epochs / 3))
        case "CosineAnnealingLR":
            factor = (1 + math.cos(math.pi * epoch / epochs)) / 2
        case "OneCycleLR":
            factor = _one_cycle(step, steps_per_epoch * epochs)
        case "Constant":
            factor = 1.0
    if step < training.warmup_steps and training.scheduler_class != "OneCycleLR":
        factor *= (step + 1) / training.warmup_steps
    return training.optimizer_params.lr * factor


def _one_cycle(step: int, steps: int) -> float:
    """Return the factor of the 1cycle policy (Smith and Topin 2018), with cosine flanks."""
    peak = max(_RISING * steps - 1, 1e-9)
    if step <= peak:
        return _cosine(_FIRST, 1.0, step / peak)
    return _cosine(1.0, _LAST, (step - peak) / (steps - 1 - peak))


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * share))
