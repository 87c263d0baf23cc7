"""What a learning curve says, in one set of words for evaluator, planners and pages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Literal

from nas_engine.store.rows import EpochRow

Word = Literal["too short", "diverging", "noisy", "over-fitting", "still falling", "settled"]

COUNTS = 0.005
"""A change of val_mse smaller than this share says nothing."""
SHORTEST = 3
"""Epochs below which a curve has no shape."""
BLOWN_UP = 1.1
"""A training loss above this multiple of its lowest has left where it was."""
REVERSALS = 2
"""Changes of direction from which a curve goes up and down."""


@dataclass(frozen=True)
class Curve:
    """The shape of one training, as a word and as a sentence with its figures."""

    word: Word
    text: str


def curves_of(epochs: Iterable[EpochRow]) -> dict[int, Curve]:
    """Return the curves of trials by number, from their epochs by trial and epoch."""
    return {number: analyse(list(rows)) for number, rows in groupby(epochs, lambda row: row.number)}


def analyse(epochs: Sequence[EpochRow]) -> Curve:
    """Name the shape of a training by its epochs, in order. The first rule that holds decides.

    - `diverging`: a figure was not finite, or the training loss ended above 1.1 x its lowest.
    - `too short`: fewer than 3 epochs.
    - `noisy`: val_mse changed direction at least twice, counting changes of more than 0.5 % only.
    - `over-fitting`: val_mse ended more than 0.5 % above its lowest, and the training loss fell
      meanwhile.
    - `still falling`: the last epoch has the lowest val_mse, more than 0.5 % below that before it.
    - `settled`: none of these.
    """
    if not epochs:
        return Curve("too short", "too short: no epoch has ended")
    if broken := [row.epoch for row in epochs if row.val_mse is None or row.train_loss is None]:
        return Curve(
            "diverging", f"diverging: epoch {broken[0]} of {len(epochs)} had no finite figures"
        )
    val = [row.val_mse for row in epochs if row.val_mse is not None]
    train = [row.train_loss for row in epochs if row.train_loss is not None]
    best = min(range(len(val)), key=val.__getitem__)
    word = _word(val, train, best)
    return Curve(
        word,
        f"{word}: val_mse lowest at epoch {epochs[best].epoch} of {epochs[-1].epoch} with "
        f"{val[best]:.6g}, {val[-1]:.6g} at the end; training loss {train[0]:.6g} to "
        f"{train[-1]:.6g}",
    )


def _word(val: Sequence[float], train: Sequence[float], best: int) -> Word:
    if train[-1] > BLOWN_UP * min(train):
        return "diverging"
    if len(val) < SHORTEST:
        return "too short"
    rises = list(_rises(val))
    if sum(before != after for before, after in pairwise(rises)) >= REVERSALS:
        return "noisy"
    if val[-1] > (1 + COUNTS) * val[best] and train[-1] < train[best]:
        return "over-fitting"
    if best == len(val) - 1 and val[-1] < (1 - COUNTS) * val[-2]:
        return "still falling"
    return "settled"


def _rises(val: Sequence[float]) -> Iterator[bool]:
    """Yield for each change that counts, measured from the last one that did, if it was a rise."""
    level = val[0]
    for value in val[1:]:
        if abs(value - level) > COUNTS * level:
            yield value > level
            level = value
