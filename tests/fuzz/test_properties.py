"""What must hold of all that comes from outside, on inputs that Hypothesis makes.

The targets of the fuzzer are judged here by the same functions, on inputs made with a bias: most
proposals are such as a language model might make, and more than a third of them are accepted.
`make fuzz` tries fifty times as many.
"""

from __future__ import annotations

import functools
import json
import math
import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from data.choices import Choices
from data.intake import read_bytes
from data.quality import Report, inspect
from data.registry import DataError
from informer.config import PRESETS, fields
from nas_engine.planners.llm import ProposeChange, faults
from nas_engine.proposals import check
from tests.data.test_round_trip import NAMES, Written
from tests.fuzz import archives, commands, configurations, replies, tables
from tests.fuzz.damage import LAST, OPERATORS, Damaged
from tests.fuzz.depth import thorough
from tests.fuzz.mutation import changed

PLAIN = replies.views()[0]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=12,
)


@functools.cache
def _seeds(target: Any) -> tuple[bytes, ...]:
    return tuple(target.seeds())


@st.composite
def _near(draw: st.DrawFn, target: Any, most: int) -> bytes:
    """Inputs that differ from those to begin with by some changes."""
    data: bytes = draw(st.sampled_from(_seeds(target)))
    chance = draw(st.randoms(use_true_random=False))
    for _ in range(draw(st.integers(0, most))):
        data = target.changed(data, chance)
    return data


# -- proposals ----------------------------------------------------------------------------------


ACTIVE = [key for key in sorted(PLAIN.space) if fields()[key].active(PLAIN.parent)]


@st.composite
def _legal(draw: st.DrawFn, most: int = 3) -> dict[str, Any]:
    """Changes of which each is offered and changes something; together they may still not go."""
    keys = draw(st.lists(st.sampled_from(ACTIVE), min_size=1, max_size=most))
    others = {
        key: [value for value in replies.offered(PLAIN, key) if value != PLAIN.parent[key]]
        for key in keys
    }
    return {key: draw(st.sampled_from(values)) for key, values in others.items()}


CONFLICTS: tuple[dict[str, Any], ...] = (
    {"model.d_model": 100, "model.n_heads": 8},
    {"model.tokens": "inverted", "model.channels": "independent"},
    {"model.tokens": "patch", "model.head": "decoder"},
    {"model.e_layers": 0, "model.skip": False},
    {"model.e_layers": 3, "data.seq_len": 48, "model.distil": True},
    {"model.norm": "none", "model.attention": "prob"},
    {"model.decomposition": "moving_average", "model.kernel": 49, "data.seq_len": 48},
    {"model.attention": "auto_correlation", "model.tokens": "inverted"},
)


@st.composite
def _answers(draw: st.DrawFn) -> bytes:
    kind = draw(st.sampled_from(("legal",) * 16 + ("odd",) * 4 + ("pair",) * 4 + ("json", "bytes")))
    if kind == "bytes":
        return draw(st.binary(max_size=200))
    if kind == "json":
        return json.dumps(draw(JSON)).encode("utf-8", "surrogatepass")
    changes = draw(_legal(draw(st.sampled_from((1, 2, 3)))))
    if kind == "pair":
        changes |= draw(st.sampled_from(CONFLICTS))
    expected = draw(st.none() | st.just({"low": -2.0, "high": 3.5}))
    answer = replies.written(changes, expected=expected)
    if kind == "odd":
        chance = draw(st.randoms(use_true_random=False))
        answer = changed(answer, chance, replies.WORDS)
    text = json.dumps(answer)
    form = draw(st.sampled_from(("{}", "ProposeChange({})", "```json\n{}\n```")))
    return form.replace("{}", text).encode("utf-8", "surrogatepass")


def test_every_answer_is_a_proposal_that_can_be_trained_or_is_refused_in_sentences() -> None:
    outcomes: Counter[str] = Counter()

    @thorough(100)
    @given(_answers())
    def holds(data: bytes) -> None:
        outcome = replies.judge(data)
        event(outcome)
        outcomes[outcome] += 1

    holds()
    assert outcomes["accepted"] >= 0.35 * outcomes.total(), outcomes
    assert outcomes["refused"] and outcomes["malformed"], outcomes


@thorough(40)
@given(_legal(4), st.randoms(use_true_random=False))
def test_a_proposal_is_judged_alike_in_any_order_and_in_any_wider_space(
    changes: dict[str, Any], chance: random.Random
) -> None:
    narrow = replies.views()[1]
    keys = list(changes)
    chance.shuffle(keys)
    answers = [
        ProposeChange.model_validate(replies.written({key: changes[key] for key in order}))
        for order in (changes, keys)
    ]
    one, other = (sorted(faults(PLAIN, answer)) for answer in answers)
    assert [len(one), bool(one)] == [len(other), bool(other)]
    if not check(narrow.record, PLAIN.parent, changes, by="planner"):
        assert check(PLAIN.record, PLAIN.parent, changes, by="planner") == []


# -- configurations -----------------------------------------------------------------------------


@st.composite
def _settings(draw: st.DrawFn) -> dict[str, Any]:
    values = draw(st.sampled_from([dict(preset.config().flat()) for preset in PRESETS.values()]))
    for key in draw(st.lists(st.sampled_from(sorted(fields())), max_size=3)):
        field = fields()[key]
        bounds = [b for b in (field.low, field.high) if b is not None and field.type is not bool]
        near = [math.nextafter(bound, to) for bound in bounds for to in (-math.inf, math.inf)]
        typed = [field.type(bound) for bound in bounds]
        values[key] = draw(
            st.sampled_from([field.default, *(field.options or ()), *bounds, *near, *typed])
        )
    return values


@st.composite
def _configurations(draw: st.DrawFn) -> bytes:
    values: Any = draw(_settings())
    if draw(st.booleans()):
        chance = draw(st.randoms(use_true_random=False))
        values = changed(values, chance, configurations.WORDS)
    return json.dumps(values).encode("utf-8", "surrogatepass")


def test_every_configuration_survives_being_written_or_is_refused_in_sentences() -> None:
    outcomes: Counter[str] = Counter()

    @thorough(100)
    @given(_configurations())
    def holds(data: bytes) -> None:
        outcomes[configurations.judge(data)] += 1

    holds()
    assert outcomes["valid"] >= 0.2 * outcomes.total() and outcomes["refused"], outcomes


_VALUES = st.one_of(
    st.sampled_from(["0", "1", "32", "64,128", "relu", "true", "0.1..0.3", "1e-5..1e-2", "full"]),
    st.floats().map(repr),
    st.lists(st.integers().map(str), min_size=1, max_size=3).map(",".join),
    st.tuples(st.floats(), st.floats()).map(lambda pair: f"{pair[0]!r}..{pair[1]!r}"),
    st.text(max_size=8),
)
_LINE = st.tuples(st.sampled_from(sorted(fields())), st.sampled_from(["=", "!="]), _VALUES)


@thorough(100)
@given(st.lists(_LINE.map("".join), min_size=1, max_size=3))
def test_every_narrowing_is_a_space_to_choose_from_or_is_refused(lines: list[str]) -> None:
    outcome = configurations.judge("\n".join(lines).encode("utf-8", "surrogatepass"))
    assert outcome in configurations.OUTCOMES


# -- tables -------------------------------------------------------------------------------------


def _report(content: bytes, choices: Choices) -> Report | str:
    try:
        return inspect(read_bytes(content, choices), choices, tables.SEQ_LEN, tables.PRED_LEN)
    except DataError as error:
        return str(error)


@pytest.mark.parametrize("operator", OPERATORS)
def test_a_damaged_table_is_told_at_its_place_and_a_sound_one_reads_back_exactly(
    operator: str,
) -> None:
    @thorough(6)
    @given(st.integers(0, 2**32), st.integers(3, 25), st.integers(1, LAST))
    def holds(seed: int, at: int, column: int) -> None:
        made = Written(seed)
        it = Damaged(made, at, column)
        expected = OPERATORS[operator](it)
        report = _report(it.content(), made.choices)
        if expected is None:
            assert isinstance(report, Report) and report.usable and report.frame is not None, report
            assert tuple(report.frame.columns) == NAMES[1:]
            assert report.frame.to_numpy().tolist() == made.values
            return
        said = [report] if isinstance(report, str) else [one.text for one in report.findings]
        assert any(text.startswith(expected) for text in said), (expected, said)

    holds()


@thorough(60)
@given(_near(tables, 3))
def test_every_file_is_read_or_refused_in_sentences(data: bytes) -> None:
    assert tables.judge(data) in tables.OUTCOMES


# -- archives and commands ----------------------------------------------------------------------


def test_every_file_of_a_search_or_bundle_is_taken_whole_or_changes_nothing() -> None:
    outcomes: Counter[str] = Counter({archives.judge(b"[]"): 1})

    @thorough(30)
    @given(_near(archives, 2))
    def holds(data: bytes) -> None:
        outcomes[archives.judge(data)] += 1

    holds()
    assert outcomes["taken"] and outcomes["refused"], outcomes


def test_every_row_of_a_command_is_answered_and_leaves_a_search_that_can_be_read() -> None:
    outcomes: Counter[str] = Counter()

    @thorough(50)
    @given(_near(commands, 2))
    def holds(data: bytes) -> None:
        outcomes[commands.judge(data)] += 1

    holds()
    assert outcomes["applied"] and outcomes["refused"], outcomes
