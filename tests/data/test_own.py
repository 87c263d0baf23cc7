"""Data sets of the user's own: added, found, used and removed."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
import pytest

from data import own, stored
from data.choices import Choices
from data.intake import read_bytes
from data.quality import choose
from data.registry import (
    DATASETS,
    DataError,
    Dataset,
    Features,
    find,
    names,
    own_folder,
    own_names,
    record,
)
from data.series import series
from data.source import load, values_of
from tests.data.files import csv, mine, table

CHOICES = choose(fill="interpolate", past_only=("site",), known_future=("holiday",), target="a")


def add(name: str = "mine", content: bytes | None = None, **options: object) -> Dataset:
    choices = options.pop("choices", CHOICES if content is None else Choices())
    assert isinstance(choices, Choices)
    read = read_bytes(content or mine(), choices)
    return own.add(name, read, "/from/mine.csv", choices, **options)  # type: ignore[arg-type]


def complaint(name: str = "mine", content: bytes | None = None, **options: object) -> str:
    with pytest.raises(DataError) as caught:
        add(name, content, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def record_of(name: str) -> Path:
    return own_folder() / name / "dataset.json"


def test_what_was_added_is_found_with_its_facts() -> None:
    dataset = add()
    assert find("mine") == dataset and names() == (*DATASETS, "mine")
    assert dataset.columns == ("a", "b", "site", "holiday")
    assert dataset.targets == ("a", "b") and dataset.target == "a"
    assert dataset.past_only == ("site",) and dataset.known_future == ("holiday",)
    assert (dataset.frequency, dataset.season) == ("h", 24)
    assert dataset.split_rows == (420, 60, 120)


def test_the_record_says_where_the_values_come_from_and_what_was_done() -> None:
    add()
    facts = json.loads(record_of("mine").read_text())
    assert facts["source"] == "/from/mine.csv"
    assert facts["source_sha256"] == hashlib.sha256(mine()).hexdigest()
    assert facts["choices"]["fill"] == "interpolate"
    assert "Added 6 missing steps of h." in facts["done"]
    assert [path.name for path in own_folder().iterdir()] == ["mine"], "nothing else is left"


@pytest.mark.parametrize(
    ("features", "inputs", "forecast", "known"),
    [("M", 3, ("a", "b"), 5), ("MS", 3, ("a",), 5), ("S", 1, ("a",), 4)],
)
def test_an_own_file_with_gaps_and_a_constant_column_gives_finite_values(
    features: Features, inputs: int, forecast: tuple[str, ...], known: int
) -> None:
    add()
    source = series("mine", features, "a")
    assert source.values.shape == (600, inputs) and source.known.shape == (600, known)
    assert np.isfinite(source.values).all() and np.isfinite(source.known).all()
    assert source.roles.forecast == forecast
    np.testing.assert_allclose(source.values[:420, 0].std(), 1)


def test_the_copy_holds_the_very_values_of_the_file() -> None:
    frame = table()
    add("exact", csv(frame))
    np.testing.assert_array_equal(load("exact").to_numpy(), frame.to_numpy())


def test_values_are_of_the_file_whose_checksum_was_taken_whatever_replaces_it_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before, frame, read = add("mine", csv(table())), table(), stored.read

    def replaced_meanwhile(file: BinaryIO, path: Path) -> pd.DataFrame:
        add("mine", csv(table() + 100), replace=True)
        return read(file, path)

    monkeypatch.setattr(stored, "read", replaced_meanwhile)
    np.testing.assert_array_equal(values_of(before).to_numpy(), frame.to_numpy())
    assert find("mine") != before
    with pytest.raises(DataError, match="was changed"):
        values_of(before)


def test_every_bit_of_a_value_is_kept() -> None:
    frame = table()
    frame.iloc[:5, 0] = [0.1 + 0.2, 1e-308, -0.0, 3.4028234663852886e38, 5e-324]
    add("exact", csv(frame))
    kept = load("exact")["a"].to_numpy()
    assert kept.tobytes() == frame["a"].to_numpy().tobytes()
    assert (load("exact").index == frame.index).all()


def test_a_copy_that_was_stored_as_csv_is_still_read() -> None:
    dataset = add("old", csv(table()))
    folder = own_folder() / "old"
    content = load("old").to_csv().encode()
    (folder / "data.csv").write_bytes(content)
    (folder / "data.parquet").unlink()
    facts = json.loads(record_of("old").read_text())
    del facts["file"]  # it was not recorded then
    facts["sha256"] = hashlib.sha256(content).hexdigest()
    record_of("old").write_text(json.dumps(facts))
    assert find("old").path == folder / "data.csv" and find("old").columns == dataset.columns
    np.testing.assert_array_equal(load("old").to_numpy(), table().to_numpy())


def test_a_copy_that_was_changed_is_refused() -> None:
    add()
    with (own_folder() / "mine" / "data.parquet").open("ab") as file:
        file.write(b"more")
    with pytest.raises(DataError, match="was changed after data set 'mine' was added"):
        load("mine")


def test_a_data_set_is_replaced_on_request_alone() -> None:
    add()
    first = series("mine", "M", "a")
    assert "A data set mine exists" in complaint()
    add("mine", csv(table(500)), replace=True)
    assert find("mine").columns == ("a", "b")
    second = series("mine", "M", "a")
    assert second is not first and second.values.shape == (500, 2), "nothing old is remembered"
    assert [path.name for path in own_folder().iterdir()] == ["mine"]


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "../up", ".hidden", "ä", "a b", "x" * 61, "a\n", "-rf"]
)
def test_a_name_that_could_lead_elsewhere_is_refused(name: str) -> None:
    assert "cannot be the name of a data set" in complaint(name)
    assert not own_folder().exists()
    with pytest.raises(DataError, match="is not known"):
        find(name)


@pytest.mark.parametrize("name", sorted(DATASETS))
def test_built_in_names_cannot_be_taken(name: str) -> None:
    assert "is a built-in data set" in complaint(name, replace=True)


def test_a_file_with_something_left_to_choose_is_not_added() -> None:
    said = complaint(choices=choose(past_only=("site",)))
    assert "cannot be used yet" in said and "missing" in said
    assert names() == tuple(DATASETS)


def test_the_season_can_be_set_and_never_exceeds_the_training_part() -> None:
    assert add("weekly", csv(table()), season=168).season == 168
    assert "cannot be added" in complaint("long", csv(table()), season=10_000)
    minutes = add("minutes", csv(table(400, "min")))
    assert minutes.season == 1
    assert "shorter than a season of 1,440 steps" in record_of("minutes").read_text()


@pytest.mark.parametrize(
    "damage",
    [
        "",
        "no json",
        "[]",
        '{"name": "mine"}',
        ("season", 0),
        ("columns", ["a"]),
        ("target", "holiday"),
        ("surplus", "x"),
        ("split_rows", [1, 2]),
        ("choices", {"fill": "magic"}),
        ("file", "../../other.csv"),
    ],
)
def test_a_damaged_record_is_one_sentence_and_the_others_stay(
    damage: str | tuple[str, object],
) -> None:
    add()
    add("sound", csv(table()))
    path = record_of("mine")
    if isinstance(damage, tuple):
        path.write_text(json.dumps({**json.loads(path.read_text()), damage[0]: damage[1]}))
    else:
        path.write_text(damage)
    assert names() == (*DATASETS, "sound")
    with pytest.raises(DataError, match=r"Data set 'mine' is damaged: [^\n]*; remove it"):
        find("mine")
    assert list(own.damaged()) == ["mine"]
    own.remove("mine")
    assert own.damaged() == {}


def test_a_record_that_is_mended_is_read_again() -> None:
    add()
    path = record_of("mine")
    facts = path.read_text()
    path.write_text("broken")
    assert "mine" in own.damaged()
    path.write_text(facts)
    assert find("mine").season == 24


def test_a_data_set_that_has_the_name_of_a_public_one_is_told_and_back_under_another() -> None:
    add()
    assert own.hidden() == {}
    record_of("mine").parent.rename(own_folder() / "Weather")  # added before there was one
    assert own.hidden().keys() == {"Weather"} and "rename its folder" in own.hidden()["Weather"]
    assert find("Weather") is DATASETS["Weather"]
    (own_folder() / "Weather").rename(own_folder() / "mine")
    assert own.hidden() == {} and find("mine").season == 24


def test_what_was_removed_is_gone_and_nothing_else() -> None:
    add()
    add("other", csv(table()))
    aside = own.remove("mine")
    assert names() == (*DATASETS, "other")
    add()
    with pytest.raises(DataError, match="another data set 'mine'"):
        own.bring_back(aside)
    first, second = aside, own.remove("mine")
    own.bring_back(first)
    assert names() == (*DATASETS, "mine", "other") and find("mine").season == 24
    with pytest.raises(DataError, match="cannot be brought back"):
        own.bring_back(second.with_name("gone"))
    own.remove("mine")
    for name in ("mine", "ETTh1", "..", ""):
        with pytest.raises(DataError, match="could be removed"):
            own.remove(name)


def test_an_unknown_name_lists_the_known_ones() -> None:
    add()
    with pytest.raises(DataError, match=r"take one of ETTh1, .*, synthetic, mine"):
        find("yours")


# -- taken over from elsewhere ------------------------------------------------------------------


@pytest.mark.parametrize("step", ["15min", "ME"])
def test_what_was_added_elsewhere_is_taken_over_as_it_is(tmp_path: Path, step: str) -> None:
    frame = table(200)
    frame.index = pd.date_range("2000-01-31", periods=200, freq=step, name="time")
    there = add("there", csv(frame), seq_len=24, pred_len=12)
    assert there.path is not None
    here = own.take_over("here", record("there"), there.path)
    assert dataclasses.replace(here, name="there", path=there.path) == there
    assert load("here").equals(load("there"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"date": lambda dates: dates[::-1]}, "every step of 'h', in order"),
        ({"date": lambda dates: dates.tz_localize("UTC")}, "every step of 'h', in order"),
        ({"a": lambda dates: np.full(len(dates), np.nan)}, "missing or no finite number"),
        ({"frequency": "1000000000YS"}, "every step of '1000000000YS', in order"),
        ({"split_rows": (6000, 10, 10)}, "too few for its split"),
        ({"file": "data.csv"}, "it is no data.csv"),
        ({"columns": ("a", "../b")}, "its columns are not those of its record"),
        ({"description": "x" * 2000}, "more is said of it"),
    ],
)
def test_what_no_data_set_would_be_is_not_taken_over(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    there = add("there", csv(table()[["a", "b"]]))
    frame, facts = load("there").reset_index(), record("there")
    dates = pd.DatetimeIndex(frame["date"])
    for name, made in change.items():
        if name in frame:
            frame[name] = made(dates)
        else:
            facts = facts.model_copy(update={name: made})
    values = tmp_path / "values"
    frame.to_parquet(values, index=False)
    with pytest.raises(DataError, match=re.escape(said)):
        own.take_over("here", facts, values)
    assert own_names() == ("there",) and there == find("there")
