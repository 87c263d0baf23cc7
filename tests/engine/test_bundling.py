"""A trial as a bundle: what the store adds, and the commands from a search to a training again."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from informer.bundle import Bundle
from informer.config import Value
from informer.records import Success
from informer.training import train
from nas_engine.bundling import BundlingError, order_of, write
from nas_engine.cli.main import main
from nas_engine.settings import Settings, load_settings
from nas_engine.store.rows import TrialRow
from nas_engine.workspace import Workspace
from tests.pages import seed
from tests.pages.seed import Seed

NOISE = pytest.approx(0.01 / 2**0.5 / 0.505)
LINEAR: dict[str, Value] = {
    "data.dataset": "synthetic",
    "model.e_layers": 0,
    "model.skip": True,
    "model.head": "linear",
    "model.distil": False,
    "training.epochs": 1,
    "training.steps_per_epoch": 2,
    "training.device": "cpu",
}


def trial_of(made: Seed, number: int) -> TrialRow:
    trial = made.writer.read.trial(made.id, number)
    assert trial is not None
    return trial


def test_the_store_adds_seeds_verdict_noise_and_exchange_without_keys(
    workspace: Workspace, tmp_path: Path
) -> None:
    made = Seed(workspace)
    made.propose(0, "default")
    made.train(0, 0.50, 0.51)
    made.propose(1, "llm", 0, {"model.dropout": 0.2}, hypothesis="Use sk-very-secret-key-1 here.")
    made.train(1, 0.40)
    made.propose(2, "random", 0, {"model.dropout": 0.3})
    settings = Settings(openrouter_api_key="sk-very-secret-key-1")  # type: ignore[arg-type]
    order = order_of(
        made.writer.read, settings, workspace, trial_of(made, 1), tmp_path / "b", replace=False
    )
    assert order.runs == (str(workspace.run_dir(made.id, 1).path),)
    assert order.trials_looked_at == 2 and order.noise is not None
    assert (order.noise.relative, order.noise.degrees) == (NOISE, 1)
    assert order.verdict is not None and order.verdict.sentence == trial_of(made, 1).verdict
    assert "sk-very" not in order.model_dump_json() and "[key]" in order.exchange
    first = order_of(
        made.writer.read, settings, workspace, trial_of(made, 0), tmp_path / "b", replace=False
    )
    assert first.runs[1] == str(workspace.run_dir(made.id, 0, 1).path)
    with pytest.raises(BundlingError, match="no finished training"):
        order_of(made.writer.read, settings, workspace, trial_of(made, 2), tmp_path, replace=False)
    made.close()


def test_every_end_of_the_process_is_a_sentence(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Seed(workspace)
    made.propose(0, "default")
    made.train(0, 0.5)
    order = order_of(
        made.writer.read, load_settings(), workspace, trial_of(made, 0), tmp_path, replace=False
    )
    made.close()
    with pytest.raises(BundlingError, match=r"ended after 0.01 s"):
        write(order, load_settings(), seconds=0.01)
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(BundlingError, match="exit code 1"):
        write(order, load_settings())
    monkeypatch.setattr("sys.executable", str(tmp_path / "none"))
    with pytest.raises(BundlingError, match="No process could be started"):
        write(order, load_settings())


def test_from_a_search_to_a_bundle_to_the_same_training_again(
    workspace: Workspace, tmp_path: Path
) -> None:
    made = Seed(workspace, settings=LINEAR)
    made.propose(0, "default")
    config = made.spec.base()
    run = workspace.run_dir(made.id, 0)
    run.create(config)
    assert isinstance(train(config, run), Success)
    made.train(0, 0.5)
    made.close()
    db, folder = ("--db", str(workspace.db)), tmp_path / "winner"
    command = ["bundle", "--output", str(folder), "--zip", "--json", *db]
    said = CliRunner().invoke(main, command)
    assert said.exit_code == 0, said.output
    facts = json.loads(said.stdout)
    bundle = Bundle.read(folder)
    assert facts["folder"] == str(folder) and bundle.metrics.verdict is not None
    with zipfile.ZipFile(facts["zip"]) as file:
        assert set(file.namelist()) == {f"winner/{path.name}" for path in folder.iterdir()}
    again = CliRunner().invoke(main, ["bundle", "--output", str(folder), *db])
    assert again.exit_code == 2 and "ask to replace it" in again.output
    replayed = CliRunner().invoke(main, ["replay", "--bundle", str(folder), "--json"])
    assert replayed.exit_code in (0, 1), replayed.output
    found = json.loads(replayed.stdout)
    assert found["exact"] or found["differs"], found
    (folder / "config.json").write_text("{}")
    damaged = CliRunner().invoke(main, ["replay", "--bundle", str(folder)])
    assert damaged.exit_code == 2 and "was changed" in damaged.output


def test_commands_refuse_what_they_cannot_find(workspace: Workspace, tmp_path: Path) -> None:
    seed.untouched(workspace)
    db = ("--db", str(workspace.db))
    for command, sentence in (
        (["bundle"], "has accepted no trial yet"),
        (["bundle", "--trial", "9"], "has no trial 9"),
        (["replay", "--trial", "9"], "has no trial 9"),
        (["replay", "--trial", "0", "--bundle", str(tmp_path)], "not both"),
        (["replay", "--bundle", str(tmp_path)], "has no manifest.json"),
    ):
        said = CliRunner().invoke(main, [*command, *db])
        assert said.exit_code == 2 and sentence in said.output, said.output
