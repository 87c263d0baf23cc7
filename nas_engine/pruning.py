"""Which trainings end early: Optuna's pruners over the epochs of a search.

A trial is compared with the others at the same epoch, by the val_mse of its first seed. Trial 0 and
further seeds take no part. What a pruner decides rests on the epochs alone that it was told, so one
that is told those of the database in the order of the trials goes on as the engine that was lost.
"""

from __future__ import annotations

import threading
from collections.abc import Container, Iterable
from dataclasses import dataclass

import optuna
from optuna.pruners import BasePruner, HyperbandPruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import RandomSampler
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, Trial, TrialState

from nas_engine.search import Pruning
from nas_engine.store.reader import Reader

optuna.logging.set_verbosity(optuna.logging.WARNING)

WINDOW = 1000
"""Trials back to which one is compared; a decision costs no more in a longer search."""

SHARES = {2: "half", 3: "third", 4: "quarter"}


@dataclass(frozen=True)
class Reached:
    """An epoch that the first training of a trial has ended; val_mse None: not finite."""

    number: int
    epoch: int
    epochs: int  # that the training has at most
    val_mse: float | None


class Pruner:
    """Decides after each epoch whether a trial shall end. Several threads may report to it."""

    def __init__(self, pruning: Pruning, epochs: int, known: Iterable[Reached] = ()) -> None:
        """Begin with what is known.

        Args:
            pruning: the method and how eager it is.
            epochs: of the search's trial 0, from which Hyperband derives its brackets.
            known: earlier epochs, by trial and epoch.
        """
        self._pruning = pruning
        self._study = optuna.create_study(
            study_name="pruning",  # Hyperband draws a trial's bracket from this and its number
            storage=_Newest(),
            sampler=RandomSampler(seed=0),
            pruner=_optuna_pruner(pruning, epochs),
        )
        self._trials: list[Trial] = []  # by number; those that were never reported have no epochs
        self._last: dict[int, int] = {}  # epoch
        self._endings: dict[int, str] = {}
        self._lock = threading.Lock()
        for reached in known:
            self.report(reached)

    @classmethod
    def of(cls, reader: Reader, search_id: int) -> Pruner:
        """Begin with the epochs of the newest trials in the database."""
        search = reader.search(search_id)
        assert search is not None, f"search {search_id} has just been read"
        raise NotImplementedError

    def report(self, reached: Reached) -> str | None:
        """Take note of an epoch; return why the trial shall end now, None where it shall go on.

        An epoch that was reported before, as after a resumed training, changes nothing. One that is
        not finite is not compared: such a training fails by itself. The last one ends no trial.
        """
        raise NotImplementedError

    def ending(self, number: int) -> str | None:
        """Return why a trial was to end, None where it was not: asked before one is resumed."""
        with self._lock:
            return self._endings.get(number)


class _Newest(InMemoryStorage):
    """Shows the pruners the newest trials only, by number."""

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        return super().get_all_trials(study_id, deepcopy=False, states=states)[-WINDOW:]


def _optuna_pruner(pruning: Pruning, epochs: int) -> BasePruner:
    match pruning.method:
        case "none":
            return NopPruner()
        case "successive_halving":
            return SuccessiveHalvingPruner(
                min_resource=pruning.min_epochs, reduction_factor=pruning.reduction
            )
        case "hyperband":
            return HyperbandPruner(
                min_resource=pruning.min_epochs,
                max_resource=max(pruning.min_epochs, epochs),
                reduction_factor=pruning.reduction,
            )
