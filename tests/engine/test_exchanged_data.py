"""A data set of the user's own comes along with its search, and is never mistaken for another."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import pytest

from data.choices import Choices
from data.own import remove, take_over
from data.registry import Record, find, own_folder, own_names
from informer.config import from_flat
from informer.records import Success
from nas_engine.exchange.archive import DATA_VALUES, ExchangeError
from nas_engine.exchange.exporting import export_search
from nas_engine.exchange.importing import Imported, import_search
from nas_engine.store.reader import reading
from nas_engine.workspace import Workspace
from tests.engine.exchanged import altered, exported, members, packed
from tests.pages import seed


def own(name: str, folder: Path, level: float = 1.0) -> None:
    """Add a data set of two columns."""
    lines = [
        f"2020-01-{1 + at // 24:02d} {at % 24:02d}:00:00,{at * level},{at}" for at in range(720)
    ]
    content = "\n".join(("date,load,price", *lines, "")).encode()
    facts = Record(
        description="Made up",
        columns=("load", "price"),
        target="load",
        past_only=(),
        known_future=(),
        frequency="h",
        season=24,
        split_rows=(480, 120, 120),
        sha256=hashlib.sha256(content).hexdigest(),
        source="load.csv",
        source_sha256="",
        choices=Choices(),
        done=(),
    )
    folder.mkdir(parents=True, exist_ok=True)
    values = folder / "values.csv"
    values.write_bytes(content)
    take_over(name, facts, values)


@pytest.fixture
def content(tmp_path: Path) -> bytes:
    """The file of a search on a data set `mine`, which is then removed."""
    own("mine", tmp_path)
    there = Workspace(tmp_path / "there" / "nas.db")
    settings = {"data.dataset": "mine", "data.target": "load", "data.seq_len": 24,
                "data.label_len": 12, "data.pred_len": 12}  # fmt: skip
    begun = seed.Seed(there, planner="tpe", max_trials=1, settings=settings)
    begun.propose(0, "default")
    folder = there.run_dir(begun.id, 0)
    folder.create(from_flat(begun.config(0)))
    for epoch in seed.curve(0.5, 3):
        folder.append(epoch)
    errors = {"val_mse": 0.5, "val_mae": 0.5, "test_mse": 0.5, "test_mae": 0.5}
    ended = {"best_epoch": 2, "epochs": 3, "parameters": 9, "seconds": 1.0, "device": "cpu"}
    folder.write_result(Success.model_validate(errors | ended))
    assert isinstance(folder.read_result(), Success)
    begun.train(0, 0.5)
    begun.close()
    found = exported(there)
    remove("mine")
    return found


def take(workspace: Workspace, content: bytes) -> Imported:
    return import_search(workspace, io.BytesIO(content), "search.nas.zip")


def named(workspace: Workspace, search_id: int) -> set[object]:
    """Return by which names a search knows its data."""
    with reading(workspace) as reader:
        search = reader.search(search_id) if reader else None
        assert reader is not None and search is not None
        trials = {trial.config["data.dataset"] for trial in reader.trials(search_id)}
    config = json.loads(workspace.run_dir(search_id, 0).config.read_text())
    return {search.spec.start()["data.dataset"], config["data"]["dataset"]} | trials


def test_data_that_is_not_here_comes_with_the_search_and_once(
    workspace: Workspace, content: bytes
) -> None:
    assert own_names() == ()
    assert not take(workspace, content).told and not take(workspace, content).told
    assert own_names() == ("mine",) and find("mine").targets == ("load", "price")
    assert named(workspace, 2) == {"mine"}


def test_other_data_of_that_name_stays_and_the_search_follows_its_own(
    workspace: Workspace, content: bytes, tmp_path: Path
) -> None:
    own("mine", tmp_path / "other", level=3.0)
    before = find("mine").sha256
    told = take(workspace, content).told
    assert "another data set mine here already: the one of the search is called mine-2" in told[0]
    assert own_names() == ("mine", "mine-2") and find("mine").sha256 == before
    assert named(workspace, 1) == {"mine-2"}
    assert isinstance(workspace.run_dir(1, 0).read_result(), Success)  # it follows its digest


def test_data_that_is_left_out_is_not_taken_from_another_set_of_that_name(
    workspace: Workspace, content: bytes, tmp_path: Path
) -> None:
    parts = members(content)
    told = json.loads(parts["manifest.json"])["data"] | {"included": False}
    bare = packed({k: v for k, v in parts.items() if not k.startswith("data/")}, data=told)
    assert "is not on this machine" in take(workspace, bare).told[0]
    own("mine", tmp_path / "other", level=3.0)
    assert "the search names it mine-2" in take(workspace, bare).told[0]
    assert named(workspace, 1) == {"mine"} and named(workspace, 2) == {"mine-2"}
    remove("mine")
    own("mine", tmp_path / "same")
    assert not take(workspace, bare).told


def test_data_that_is_not_as_its_record_says_is_refused_and_nothing_is_left(
    workspace: Workspace, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = members(content)
    for name, change in (
        (DATA_VALUES, lambda text: text + b"x"),
        ("data/dataset.json", lambda text: text.replace(b'"season": 24', b'"season": 9999')),
        ("data/dataset.json", lambda text: text.replace(b'"price"', b'"../../price"')),
    ):
        with pytest.raises(ExchangeError, match="data set in the file"):
            take(workspace, packed({**parts, name: change(parts[name])}))

    def full(*given: Any, **more: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("nas_engine.exchange.importing.take_in", full)
    with pytest.raises(ExchangeError, match="make room on the disk"):
        take(workspace, content)
    assert own_names() == () and not [*own_folder().glob("*")] and not [*workspace.runs.iterdir()]


def test_no_key_leaves_the_workspace_and_a_running_search_is_of_one_moment(
    workspace: Workspace,
) -> None:
    secret = "sk-or-v1-0123456789"
    number = seed.eventful(workspace, alive=True)
    more = seed.Seed(workspace, planner="hybrid", mode="review", max_trials=20)
    more.call(6, "used", f"The key is {secret}.", told=secret)
    more.close()
    run = workspace.run_dir(number, 2)
    run.log.write_text(f"Authorization: {secret}\n")
    parts = members(exported(workspace, number, secrets=[secret]))
    assert not [name for name, text in parts.items() if secret.encode() in text]
    assert b"The key is [key]." in parts["llm_calls.jsonl"]
    take(workspace, packed(parts))

    class Meddling(io.BytesIO):
        """Lets the search go on while it is written."""

        done = False

        def write(self, given: Any) -> int:
            if not self.done and self.tell() > 500:
                self.done = True
                writer = seed.Seed(workspace, planner="hybrid", mode="review", max_trials=20)
                writer.sql("DELETE FROM epochs")
                writer.sql("UPDATE trials SET state = 'failed'")
                writer.close()
            return super().write(given)

    file = Meddling()
    export_search(workspace, number, file, [secret])
    assert file.done
    after = members(file.getvalue())
    for table in ("trials", "epochs", "verdicts"):
        assert after[f"{table}.jsonl"] == parts[f"{table}.jsonl"]


def test_a_built_in_name_is_not_taken_by_data_of_ones_own(
    workspace: Workspace, content: bytes
) -> None:
    def respell(lines: list[dict[str, Any]]) -> None:
        for line in lines:
            for column in ("spec", "config"):
                if column in line:
                    line[column] = line[column].replace('"mine"', '"ETTh1"')

    found = altered(altered(content, "proposals", respell), "searches", respell)
    told = json.loads(members(content)["manifest.json"])["data"] | {"name": "ETTh1"}
    taken = take(workspace, packed(members(found), data=told))
    assert "is called ETTh1-2" in taken.told[0] and own_names() == ("ETTh1-2",)
