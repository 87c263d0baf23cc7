"""Configurations that would take all memory or time: refused by arithmetic, whoever proposes."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Callable
from typing import Any

from nas_engine.proposals import Record, check
from nas_engine.search import Limits, SearchSpec

SPEC = SearchSpec(preset="paper", limits=Limits(memory_mb=4000))
PARENT = SPEC.start()
COUNT = 200


def beyond_a_bound(draw: random.Random) -> dict[str, Any]:
    """Return one setting far outside what any configuration may have."""
    keys = (
        *("model.d_model", "model.d_ff", "model.e_layers", "model.d_layers", "model.factor"),
        *("data.batch_size", "data.seq_len", "model.kernel", "training.epochs"),
    )
    return {draw.choice(keys): draw.choice((10**5, 2**31, 2**63, 10**18, 10**400))}


def too_many_parameters(draw: random.Random) -> dict[str, Any]:
    """Return sizes each of which is legal alone."""
    return {
        "model.d_model": draw.choice((1024, 1536, 2048)),
        "model.n_heads": 8,
        "model.d_ff": draw.choice((4096, 8192)),
        "model.e_layers": draw.randint(4, 12),
        "model.d_layers": draw.randint(4, 12),
        "model.distil": False,
    }


def too_much_memory(draw: random.Random) -> dict[str, Any]:
    """Return a small model that keeps too much of each batch."""
    return {
        "data.batch_size": draw.choice((2048, 4096)),
        "data.seq_len": draw.choice((1024, 2048)),
        "model.attention": "full",
        "model.d_model": 256,
        "model.n_heads": 8,
        "model.d_ff": 256,
        "model.e_layers": draw.randint(2, 4),
        "model.distil": False,
    }


BOMBS: tuple[tuple[Callable[[random.Random], dict[str, Any]], tuple[str, ...]], ...] = (
    (beyond_a_bound, ("must be", "is the same for all trials")),
    (too_many_parameters, ("parameters; this search allows 20,000,000.",)),
    (too_much_memory, ("GB of memory; 4 GB are allowed.",)),
)


def test_a_bomb_is_refused_before_anything_is_allocated(
    record_property: Callable[[str, object], None],
) -> None:
    draw, record = random.Random(3), Record(SPEC, [])
    check(record, PARENT, {}, by="person")  # what is loaded on first use is no allocation of a bomb
    tracemalloc.start()
    try:
        for number in range(COUNT):
            make, reasons = BOMBS[number % len(BOMBS)]
            changes = make(draw)
            assert check(record, PARENT, changes, by="planner"), changes
            sentences = check(record, PARENT, changes, by="person")
            assert any(reason in text for text in sentences for reason in reasons), (
                changes,
                sentences,
            )
            assert all(len(text) < 400 for text in sentences)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20_000_000, "something was built"
    record_property("faults", COUNT)
