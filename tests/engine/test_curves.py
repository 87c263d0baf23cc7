"""The words for learning curves, by example and for curves of every kind."""

from __future__ import annotations

import itertools
import math
import random
from typing import get_args

import pytest

from nas_engine.curves import Word, analyse
from nas_engine.store.rows import EpochRow


def epochs(val: list[float | None], train: list[float | None] | None = None) -> list[EpochRow]:
    losses = train if train is not None else [1 / (1 + step) for step in range(len(val))]
    pairs = zip(val, losses, strict=True)
    return [EpochRow(0, step, loss, v, v, 1e-4, 1.0) for step, (v, loss) in enumerate(pairs, 1)]


@pytest.mark.parametrize(
    ("word", "val", "train"),
    [
        ("too short", [], []),
        ("too short", [0.5], None),
        ("too short", [0.5, 0.4], None),
        ("still falling", [0.5, 0.4, 0.35], None),
        ("settled", [0.5, 0.4, 0.399], None),
        ("settled", [0.5, 0.4, 0.4 * 1.0049], None),
        ("over-fitting", [0.5, 0.4, 0.4 * 1.0051], None),
        ("over-fitting", [0.5, 0.4, 0.42, 0.45], None),
        ("settled", [0.5, 0.4, 0.41, 0.42], [0.9, 0.5, 0.51, 0.52]),  # no gap opens
        ("noisy", [0.5, 0.4, 0.45, 0.39, 0.44], None),
        ("settled", [0.5, 0.4, 0.4001, 0.4, 0.4001, 0.4], None),
        ("diverging", [0.5, 0.4, None], None),
        ("diverging", [None], [None]),
        ("diverging", [0.5, 0.4, 0.39], [0.5, None, 0.3]),
        ("diverging", [0.5, 0.4, 0.6], [0.5, 0.4, 0.4 * 1.11]),
        ("settled", [0.5, 0.4, 0.4], [0.5, 0.4, 0.4 * 1.09]),
    ],
)
def test_each_word_follows_its_rule(
    word: str, val: list[float | None], train: list[float | None] | None
) -> None:
    curve = analyse(epochs(val, train))
    assert curve.word == word
    assert curve.text.startswith(f"{word}: ")


def test_the_sentence_has_six_significant_digits() -> None:
    text = analyse(epochs([0.51234567, 0.41234567, 0.40234567])).text
    assert text == (
        "still falling: val_mse lowest at epoch 3 of 3 with 0.402346, 0.402346 at the end; "
        "training loss 1 to 0.333333"
    )


def test_an_epoch_without_figures_is_named() -> None:
    assert analyse(epochs([0.5, None, 0.4])).text == (
        "diverging: epoch 2 of 3 had no finite figures"
    )


def drawn(seed: int) -> list[EpochRow]:
    """Draw a curve: of any length, scale, slope and roughness, with gaps at times."""
    luck = random.Random(seed)
    scale, slope = 10 ** luck.uniform(-6, 6), luck.uniform(-0.5, 0.2)
    rough = 10 ** luck.uniform(-4, -0.5)
    val = [
        None
        if luck.random() < 0.03
        else scale * math.exp(slope * step) * (1 + rough * luck.uniform(-1, 1))
        for step in range(luck.randint(0, 40))
    ]
    train = [value and value * luck.uniform(0.8, 1.0) for value in val]
    return epochs(val, train)


def test_every_curve_gets_one_of_the_words_whatever_its_scale() -> None:
    seen = set()
    for seed in range(2000):
        rows = drawn(seed)
        curve = analyse(rows)
        assert curve.word in get_args(Word) and "nan" not in curve.text
        larger = epochs(
            [row.val_mse and row.val_mse * 1024 for row in rows],
            [row.train_loss and row.train_loss * 1024 for row in rows],
        )
        assert analyse(larger).word == curve.word, seed
        seen.add(curve.word)
    assert seen == set(get_args(Word))


def test_a_gap_anywhere_is_divergence() -> None:
    for length in range(1, 6):
        for gap in range(length):
            val: list[float | None] = [0.5 - 0.05 * step for step in range(length)]
            val[gap] = None
            assert analyse(epochs(val)).word == "diverging"


def test_the_order_of_up_and_down_decides_not_their_number() -> None:
    steps = [0.9, 0.9, 1.1, 1.1]
    words = set()
    for order in itertools.permutations(steps):
        val = list(itertools.accumulate(order, lambda a, b: a * b, initial=0.5))
        words.add((sum(a != b for a, b in itertools.pairwise(order)), analyse(epochs(val)).word))
    assert {word for reversals, word in words if reversals >= 2} == {"noisy"}
    assert "noisy" not in {word for reversals, word in words if reversals < 2}
