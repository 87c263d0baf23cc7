"""The space and the check of proposals."""

from __future__ import annotations

import random

import pytest

from informer.config import PRESETS, Choices, Interval, Value, fields, from_flat
from nas_engine.proposals import Record, check, differences
from nas_engine.search import TASK_KEYS, SearchSpec
from nas_engine.space import (
    SpaceError,
    contains,
    describe,
    in_order,
    parse,
    parse_all,
    problems_of,
    space,
    step_type,
    written,
)

SPECS = [SearchSpec(preset="small"), SearchSpec(preset="paper")]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.preset)
def test_trial_0_lies_inside_its_space(spec: SearchSpec) -> None:
    start = spec.base().flat()
    for key, dimension in space(spec).items():
        assert contains(dimension, start[key]), key


def test_a_start_outside_the_preset_widens_the_space() -> None:
    spec = SearchSpec(settings={"model.d_model": 96, "training.optimizer_params.lr": 0.05})
    dimensions = space(spec)
    assert dimensions["model.d_model"] == Choices("medium", (32, 64, 96, 128))
    assert contains(dimensions["training.optimizer_params.lr"], 0.05)


def test_the_small_preset_searches_smaller_models() -> None:
    small, paper = space(SPECS[0])["model.d_model"], space(SPECS[1])["model.d_model"]
    assert isinstance(small, Choices) and isinstance(paper, Choices)
    assert max(small.values) == 128 and max(paper.values) == 512


def test_planners_may_not_change_the_task_or_the_training_budget() -> None:
    for key in (*TASK_KEYS, "training.epochs", "training.device", "training.steps_per_epoch"):
        assert key not in space(SPECS[0])
        assert check(Record(SPECS[0], []), SPECS[0].base().flat(), {key: "x"}, by="planner")


def test_every_drawn_value_is_valid_or_refused_with_a_sentence() -> None:
    spec, draw = SPECS[0], random.Random(0)
    parent, valid = spec.base().flat(), 0
    for _ in range(500):
        changes = {
            key: draw.choice(d.values) if isinstance(d, Choices) else draw.uniform(d.low, d.high)
            for key, d in space(spec).items()
        }
        found = check(Record(spec, []), parent, changes, by="planner")
        assert all(sentence.endswith(".") and len(sentence) < 300 for sentence in found)
        if not found:
            from_flat({**parent, **changes})
            valid += 1
    assert valid > 100


def test_a_person_may_leave_the_space_but_not_the_bounds() -> None:
    parent = SPECS[0].base().flat()
    assert check(Record(SPECS[0], []), parent, {"model.d_model": 72}, by="planner")
    assert not check(Record(SPECS[0], []), parent, {"model.d_model": 72}, by="person")
    assert check(Record(SPECS[0], []), parent, {"model.d_model": 5000}, by="person")


def test_the_step_type_is_the_largest_of_the_changes() -> None:
    assert step_type({"model.dropout": 0.1}) == "small"
    assert step_type({"model.dropout": 0.1, "model.d_model": 32}) == "medium"
    assert step_type({"model.d_model": 32, "model.attention": "full"}) == "radical"


def test_differences_are_in_the_order_of_definition() -> None:
    parent = PRESETS["small"].config().flat()
    other = {**parent, "training.epochs": 9, "data.seq_len": 48}
    assert differences(parent, other) == {
        "data.seq_len": (96, 48),
        "training.epochs": (6, 9),
    }


def test_every_searched_field_says_what_it_may_be() -> None:
    for field in fields().values():
        assert field.help, field.key
        if isinstance(field.search, Choices | Interval):
            assert describe(field.search)


@pytest.mark.parametrize(
    ("text", "dimension"),
    [
        ("model.d_model=32,128", Choices("medium", (32, 128))),
        ("model.d_model=128,48,48", Choices("medium", (48, 128))),
        ("model.attention!=prob,none", Choices("radical", ("full", "auto_correlation"))),
        ("model.e_layers=1..2", Choices("medium", (1, 2))),
        ("training.optimizer_params.lr=1e-4..1e-3", Interval("small", 1e-4, 1e-3, log=True)),
        ("training.optimizer_params.lr=0.001,0.01", Choices("small", (0.001, 0.01))),
        ("training.epochs=2,4", Choices("small", (2, 4))),
        ("model.skip=true,false", Choices("radical", (False, True))),
    ],
)
def test_a_search_narrows_or_widens_any_setting(text: str, dimension: object) -> None:
    key, narrowing = parse(text)
    assert space(SearchSpec(space={key: narrowing}))[key] == dimension


def test_a_pinned_setting_is_not_in_the_space() -> None:
    key, narrowing = parse("model.d_model=64")
    spec = SearchSpec(space={key: narrowing})
    assert problems_of(spec) == []
    assert key not in space(spec)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("model.d_model=32", "model.d_model of trial 0 (64) lies outside the space"),
        ("model.normalisation!=none", "model.normalisation of trial 0 ('none') lies outside"),
        ("model.d_model=5000", "model.d_model must be 4 to 2048, but got 5000"),
        ("model.d_model=wide", "model.d_model must be a whole number, but got 'wide'"),
        ("model.attention=soft", "model.attention must be one of prob, full"),
        ("model.dropout!=0.1", "model.dropout offers no list"),
        ("model.ffn!=dense,gated", "model.ffn would have no value left"),
        ("data.label_len=10..20", "data.label_len has no values to keep from 10 to 20"),
        ("model.dropout=0.1..7", "model.dropout must be 0 to 1, but got 7.0"),
        ("data.pred_len=24,48", "data.pred_len is the same for all trials"),
        ("training.seed=1,2", "training.seed is the same for all trials"),
        ("model.width=3", "'model.width' is not a setting"),
    ],
)
def test_a_narrowing_that_cannot_be_is_refused_with_a_sentence(text: str, sentence: str) -> None:
    key, narrowing = parse(text)
    (found,) = problems_of(SearchSpec(space={key: narrowing}))
    assert sentence in found and len(found) < 200


@pytest.mark.parametrize(
    "text", ["", "model.d_model", "=3", "model.d_model=", "model.dropout=a..b"]
)
def test_a_narrowing_in_another_form_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(SpaceError, match=r"\.$"):
        parse(text)


@pytest.mark.parametrize(
    "text", ["training.clip_norm=NaN", "training.clip_norm=1e999", "model.d_model=5..1"]
)
def test_a_narrowing_without_sensible_numbers_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(SpaceError, match="needs finite numbers"):
        parse(text)


def test_a_setting_that_is_narrowed_twice_is_refused() -> None:
    with pytest.raises(SpaceError, match="narrowed twice"):
        parse_all(["model.d_model!=32", "model.d_model!=128"])


def test_a_whole_number_is_the_same_as_its_float() -> None:
    settings: dict[str, Value] = {"training.clip_norm": 1}
    spec = SearchSpec(settings=settings, space=parse_all(["training.clip_norm=0,1"]))
    assert problems_of(spec) == []
    assert space(spec)["training.clip_norm"] == Choices("small", (0.0, 1.0))
    offered = space(SearchSpec(settings=settings))["training.clip_norm"]
    assert offered == Choices("small", (0.0, 0.5, 1.0, 5.0))


def test_a_setting_comes_after_those_that_give_it_a_part() -> None:
    order = in_order(space(SPECS[0]))
    assert sorted(order) == sorted(space(SPECS[0]))
    for key in order:
        for only in (only for either in fields()[key].only for only in either.of):
            assert only.key not in order or order.index(only.key) < order.index(key)


def test_narrowings_are_written_as_they_are_read() -> None:
    lines = [
        "model.d_model=64",
        "model.d_ff=32,64,128",
        "training.optimizer_params.lr=1e-05..0.001",
        "model.attention!=none,prob",
        "model.mix=true",
    ]
    assert written(parse_all(lines)) == lines
