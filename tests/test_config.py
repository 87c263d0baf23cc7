"""The configuration: what it accepts, and the sentences with which it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from informer.config import PRESETS, RunConfig, fields, from_flat, from_nested, problems


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
        ({"model.attention": "x" * 10_000}, "model.attention must be 'prob' or 'full'"),
        ({"model.n_heads": 7}, "model.n_heads (7) must divide model.d_model (512)"),
        ({"data.label_len": 97}, "data.label_len (97) must not exceed data.seq_len (96)"),
        ({"model.e_layers": 1}, "model.distil needs model.e_layers of 2 or more"),
        ({"data.seq_len": 8, "data.label_len": 8, "model.e_layers": 3}, "fewer than 6"),
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
