"""The space and the check of proposals."""

from __future__ import annotations

import random

import pytest

from informer.config import PRESETS, Choices, Interval, fields, from_flat
from nas_engine.proposals import check, differences
from nas_engine.search import TASK_KEYS, SearchSpec
from nas_engine.space import contains, describe, space, step_type

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
        assert check(SPECS[0], SPECS[0].base().flat(), {key: "x"}, {}, by="planner")


def test_every_drawn_value_is_valid_or_refused_with_a_sentence() -> None:
    spec, draw = SPECS[0], random.Random(0)
    parent, valid = spec.base().flat(), 0
    for _ in range(500):
        changes = {
            key: draw.choice(d.values) if isinstance(d, Choices) else draw.uniform(d.low, d.high)
            for key, d in space(spec).items()
        }
        found = check(spec, parent, changes, {}, by="planner")
        assert all(sentence.endswith(".") and len(sentence) < 300 for sentence in found)
        if not found:
            from_flat({**parent, **changes})
            valid += 1
    assert valid > 100


def test_a_repeated_configuration_is_named_by_its_trial() -> None:
    parent = SPECS[0].base().flat()
    earlier = {4: {**parent, "model.dropout": 0.2}}
    (sentence,) = check(SPECS[0], parent, {"model.dropout": 0.2}, earlier, by="planner")
    assert "trial 4" in sentence


def test_a_person_may_leave_the_space_but_not_the_bounds() -> None:
    parent = SPECS[0].base().flat()
    assert check(SPECS[0], parent, {"model.d_model": 72}, {}, by="planner")
    assert not check(SPECS[0], parent, {"model.d_model": 72}, {}, by="person")
    assert check(SPECS[0], parent, {"model.d_model": 5000}, {}, by="person")


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
