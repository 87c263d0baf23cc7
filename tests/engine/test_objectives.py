"""What a search may want low: bounds as people write them, and what is known beforehand."""

from __future__ import annotations

import random

import pytest

from informer.config import RunConfig
from informer.cost import parameters
from nas_engine.objectives import (
    COSTS,
    MEASURES,
    BoundsError,
    Objective,
    exact_figures,
    parse_bounds,
    written,
)


@pytest.mark.parametrize(
    ("text", "bounds"),
    [
        ("", {}),
        (" \n ", {}),
        ("200k parameters, 5 ms", {"parameters": 200_000, "latency_ms": 5}),
        ("best under 200 k parameters and 5 ms", {"parameters": 200_000, "latency_ms": 5}),
        ("200,000 parameters,5ms", {"parameters": 200_000, "latency_ms": 5}),
        ("<= 1.5M Parameters; at most 3 MFLOPs", {"parameters": 1_500_000, "flops": 3e6}),
        ("up to 2 million weights & ≤500 MB", {"parameters": 2e6, "memory_mb": 500}),
        ("3 G flops\n0.5 GB", {"flops": 3e9, "memory_mb": 500}),
        ("2 minutes", {"seconds": 120}),
        ("no more than 1.5 h, 1e3 FLOPs", {"seconds": 5400, "flops": 1000}),
        ("90 s", {"seconds": 90}),
    ],
)
def test_bounds_are_read_as_people_write_them(text: str, bounds: dict[Objective, float]) -> None:
    assert parse_bounds(text) == bounds


@pytest.mark.parametrize(
    "text",
    [
        "200k",
        "5",
        "small and fast",
        "5 m",
        "1,5 ms",
        "-5 ms",
        "over 5 ms",
        "5 ms 200k parameters",
        "5 ms of latency",
        "500 MiB",
        "nan ms",
        "inf ms",
        "0x10 ms",
        "1_000 parameters",
        "20,00 parameters",
        "![x](http://example.org/x.png)",
    ],
)
def test_what_is_unclear_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(BoundsError, match=r"is not clear.*such as 200k parameters, 5 ms") as found:
        parse_bounds(text)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("text", ["0 ms", "1e999 ms", "5 ms, 0.0 GB"])
def test_a_bound_is_a_figure_above_0(text: str) -> None:
    with pytest.raises(BoundsError, match="is not a figure above 0"):
        parse_bounds(text)


def test_a_measure_is_bounded_once() -> None:
    with pytest.raises(BoundsError, match="Training time is bounded twice"):
        parse_bounds("2 minutes, 1 h")


def test_a_long_text_is_refused_with_a_short_sentence() -> None:
    with pytest.raises(BoundsError) as found:
        parse_bounds("x" * 10_000)
    assert len(str(found.value)) < 250


def test_bounds_are_written_so_that_they_are_read_again_to_the_last_digit() -> None:
    generator = random.Random(9)
    for _ in range(3000):
        names = generator.sample(COSTS, generator.randint(0, len(COSTS)))
        draw = (generator.uniform, lambda low, high: float(generator.randint(1, 5000)))
        bounds = {
            name: generator.choice(draw)(0.001, 1) * 10 ** generator.randint(0, 12)
            for name in names
        }
        assert parse_bounds(written(bounds)) == bounds


def test_round_figures_are_written_short() -> None:
    text = "200k parameters, 5 ms, 3 MFLOPs, 500 MB, 2 min"
    assert written(parse_bounds(text)) == text


def test_what_arithmetic_knows_is_known_of_any_configuration() -> None:
    figures = exact_figures(RunConfig())
    assert figures["parameters"] == parameters(RunConfig())
    assert figures["flops"] > figures["parameters"]
    assert figures.keys() == {name for name, measure in MEASURES.items() if measure.exact}
