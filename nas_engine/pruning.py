"""Which trainings end early: Optuna's pruners over the epochs of a search.

A trial is compared with the others at the same epoch, by the val_mse of its first seed. Trial 0 and
further seeds take no part. What a pruner decides rests on the epochs alone that it was told, in
their order, so that one that is told those of the database goes on as that of the lost engine would
have: exactly with one slot; with several, trainings that ran side by side are told in turn.
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

WINDOW = 500
"""Newest trials that are compared, so that a decision costs no more in a longer search."""


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
        """Begin with the epochs of the newest trials in the database, in the order of training."""
        search = reader.search(search_id)
        assert search is not None, f"search {search_id} has just been read"
        spec, start = search.spec, search.spec.start()
        begun = [trial for trial in reader.trials(search_id)[1:] if trial.run_id is not None]
        newest = {trial.number: trial for trial in begun[-WINDOW - spec.slots :]}
        rows = reader.epochs(search_id, list(newest), seed=int(start["training.seed"]))
        known = (
            Reached(
                row.number,
                row.epoch,
                int(newest[row.number].config["training.epochs"]),
                row.val_mse,
            )
            for row in sorted(rows, key=lambda row: newest[row.number].run_id or 0)
        )
        return cls(spec.pruning, int(start["training.epochs"]), known)

    def report(self, reached: Reached) -> str | None:
        """Take note of an epoch; return why the trial shall end now, None where it shall go on.

        One that was reported before, as by a resumed training, changes nothing and is answered as
        then. One that is not finite is not compared: such a training fails by itself. The last one
        ends no trial. After the one with which a trial was to end none is reported, nor written to
        the database, unless a person wants it to go on.
        """
        number, epoch, value = reached.number, reached.epoch, reached.val_mse
        with self._lock:
            last = self._last.get(number, 0)
            if epoch == last:
                return self._endings.get(number)
            if value is None or epoch < last:
                return None
            while len(self._trials) <= number:
                self._trials.append(self._study.ask())
            trial, self._last[number] = self._trials[number], epoch
            trial.report(value, epoch)
            if trial.should_prune() and epoch < reached.epochs:
                self._endings[number] = (
                    f"Ended after epoch {epoch} of {reached.epochs}: val_mse {value:.6g} there is "
                    f"not {self._place(number, epoch)}."
                )
            else:
                self._endings.pop(number, None)
            return self._endings.get(number)

    def _place(self, number: int, epoch: int) -> str:
        """Return the place that a trial would have needed at an epoch, for the end of a phrase."""
        if self._pruning.method == "hyperband":
            return f"among the best 1 in {self._pruning.reduction} of its Hyperband bracket"
        others = self._study.get_trials(deepcopy=False)
        compared = 1 + sum(
            epoch in other.intermediate_values for other in others if other.number != number
        )
        places = compared // self._pruning.reduction
        return f"{f'among the best {places}' if places > 1 else 'the best'} of {compared} trials"


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
