"""The configuration: what it accepts, and the sentences with which it refuses."""

from __future__ import annotations

import re
from typing import Any

import pytest

from informer.config import PRESETS, RunConfig, fields, from_flat, from_nested, problems

LINEAR = {"model.head": "linear", "model.distil": False}
INVERTED = {**LINEAR, "model.tokens": "inverted"}
AVERAGE = {"model.decomposition": "moving_average"}


def test_the_presets_are_valid_and_round_trip() -> None:
    for preset in PRESETS.values():
        config = preset.config()
        assert from_flat(config.flat()) == config
        assert from_nested(config.model_dump()) == config


def test_every_field_is_listed_once_with_its_default() -> None:
    assert {key: field.default for key, field in fields().items()} == RunConfig().flat()


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"model.d_model": 5000}, "model.d_model must be less than or equal to 2048"),
        ({"model.d_model": True}, "model.d_model must be a valid integer"),
        ({"model.d_model": 10**5000}, "a number of about 5000 digits"),
        ({"model.dropout": float("nan")}, "model.dropout must be a finite number"),
        ({"model.attention": "x" * 10_000}, "model.attention must be 'prob', 'full', 'auto"),
        ({"model.n_heads": 7}, "model.n_heads (7) must divide model.d_model (512)"),
        ({"data.label_len": 97}, "data.label_len (97) must not exceed data.seq_len (96)"),
        (
            {"data.batch_size": 4096, "data.seq_len": 4096, "data.pred_len": 1000},
            "batch_size (4096)",
        ),
        ({"training.warmup_steps": 100_000}, "training.warmup_steps (100000) must be fewer than"),
        ({"data.seq_len": 8, "data.label_len": 8, "model.e_layers": 3}, "fewer than 6"),
        ({"model.attention": "prob", "model.tokens": "patch"}, "model.head decoder does not go"),
        ({**LINEAR, "model.tokens": "patch", "model.patch_len": 100}, "must not exceed data.seq"),
        ({**LINEAR, "model.tokens": "patch", "model.patch_stride": 17}, "model.patch_len (16)"),
        ({**INVERTED, "model.channels": "independent"}, "model.tokens inverted needs"),
        ({**INVERTED, "model.temporal": "learned"}, "model.temporal learned does not go"),
        ({**INVERTED, "model.attention": "auto_correlation"}, "does not go with model.tokens"),
        ({"model.norm": "none"}, "model.norm none needs model.attention none and no decoder"),
        ({**INVERTED, "model.head": "step_linear"}, "model.head step_linear does not go with"),
        ({**AVERAGE, "model.kernel": 4}, "model.kernel (4) must be odd for model.decomposition"),
        ({**AVERAGE, "model.kernel": 99}, "model.kernel (99) must not exceed data.seq_len (96)"),
        ({**LINEAR, "model.e_layers": 0}, "model.e_layers 0 needs model.skip true"),
        ({"model.distil": False, "model.e_layers": 0, "model.skip": True}, "model.head decoder"),
        ({"model.cycle": "day", "data.dataset": "Exchange"}, "model.cycle day needs time steps"),
        ({"model.cycle": "week", "data.dataset": "ILI"}, "model.cycle week needs time steps"),
        ({"data.dataset": "ETTh9"}, "data.dataset must be one of ETTh1"),
        ({"data.target": "XX"}, "data.target must be a column of ETTh1"),
        ({"data.pred_len": 2048, "data.dataset": "ETTh1", "data.seq_len": 4096}, ""),
        ({"__class__": 1}, "is not a setting"),
        ({"model": {"d_model": 1}}, "is not a setting"),
    ],
)
def test_a_bad_value_is_refused_with_a_short_sentence(
    values: dict[str, Any], sentence: str
) -> None:
    found = problems(values)
    if sentence:
        assert found and sentence in found[0]
    assert all(len(text) < 300 for text in found)


def test_all_faults_are_told_at_once() -> None:
    assert len(problems({"data.label_len": 97, "model.n_heads": 7, "data.target": "XX"})) == 3


def test_a_cycle_is_refused_only_where_the_data_have_none() -> None:
    for values in ({"model.cycle": "week", "data.dataset": "Exchange"}, {"model.cycle": "day"}):
        assert not problems(values)


def test_every_conflict_names_both_fields() -> None:
    for values in (
        LINEAR | {"model.e_layers": 0},
        INVERTED | {"model.temporal": "learned"},
        {"model.cycle": "day", "data.dataset": "ILI"},
    ):
        for sentence in problems(values):
            assert len(set(re.findall(r"(?:data|model)\.[a-z_]+", sentence))) >= 2, sentence


def test_settings_without_a_part_to_play_are_inactive() -> None:
    base = RunConfig()
    assert base.inactive() == {"model.kernel", "model.patch_len", "model.patch_stride"}
    assert "model.distil" in base.with_changes({"model.e_layers": 1}).inactive()
    assert "model.distil" in base.with_changes({**INVERTED, "model.distil": True}).inactive()
    assert "training.warmup_steps" in (
        base.with_changes({"training.scheduler_class": "OneCycleLR"}).inactive()
    )
    apart = base.with_changes({**INVERTED, "model.attention": "none"})
    assert {"model.n_heads", "model.mix", "model.padding"} <= apart.inactive()
    decoded = apart.with_changes({"model.tokens": "step", "model.head": "decoder"})
    assert not {"model.n_heads", "model.padding"} & decoded.inactive()
    linear = base.with_changes({**LINEAR, "model.e_layers": 0, "model.skip": True})
    assert {"model.d_model", "model.attention", "model.mix", "data.label_len"} <= linear.inactive()
    assert not {"model.skip", "model.normalisation", "data.seq_len"} & linear.inactive()
