from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from data.registry import DATASETS, DataError
from informer.config import RunConfig, Value
from informer.records import Success
from informer.rundir import RunDir
from informer.train import main
from informer.training import train
from tests.informer.conftest import interrupt_in_epoch


def invoke(tmp_path: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["--output", str(tmp_path / "runs"), *arguments])


def config_file(tmp_path: Path, config: RunConfig) -> str:
    path = tmp_path / "given.json"
    path.write_text(config.model_dump_json())
    return str(path)


def test_it_trains_and_prints_a_table(tmp_path: Path, tiny: RunConfig) -> None:
    given = config_file(tmp_path, tiny)
    done = invoke(tmp_path, "--config", given, "--tag", "a.b-1", "--set", "training.seed=7")
    assert done.exit_code == 0, done.output
    run = RunDir(tmp_path / "runs" / "a.b-1")
    assert isinstance(run.read_result(), Success)
    assert run.read_config().training.seed == 7
    lines = done.stdout.splitlines()
    assert lines[0].split()[:2] == ["epoch", "train"]
    assert [line.split()[0] for line in lines[1:3]] == ["1", "2"]
    assert [line.split()[0] for line in lines[-11:-9]] == ["val", "test"]
    assert [line.split()[0] for line in lines[-7:]] == list(DATASETS["tiny"].columns)


def test_a_finished_tag_is_kept_unless_told_otherwise(tmp_path: Path, tiny: RunConfig) -> None:
    given = config_file(tmp_path, tiny.with_changes({"training.epochs": 1}))
    assert invoke(tmp_path, "--config", given, "--tag", "t").exit_code == 0
    again = invoke(tmp_path, "--config", given, "--tag", "t")
    assert again.exit_code == 2 and "--overwrite" in again.stderr
    assert invoke(tmp_path, "--config", given, "--tag", "t", "--overwrite").exit_code == 0


def test_an_unfinished_run_goes_on_and_another_configuration_begins_anew(
    tmp_path: Path, tiny: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = config_file(tmp_path, tiny)
    run = RunDir(tmp_path / "runs" / "t")
    run.create(tiny)
    with pytest.raises(KeyboardInterrupt):
        train(tiny, run, interrupt_in_epoch(2))
    assert run.checkpoint() is not None
    begun = invoke(tmp_path, "--config", given, "--tag", "t", "--set", "training.seed=1")
    assert begun.exit_code == 0 and "goes on" not in begun.output
    run.create(tiny)
    with pytest.raises(KeyboardInterrupt):
        train(tiny, run, interrupt_in_epoch(2))
    resumed = invoke(tmp_path, "--config", given, "--tag", "t")
    assert resumed.exit_code == 0 and "training goes on after epoch 1" in resumed.output


def test_a_data_set_that_cannot_be_had_is_one_sentence(
    tmp_path: Path, tiny: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise DataError("The file is broken; replace it.")

    monkeypatch.setattr("informer.training.series", broken)
    done = invoke(tmp_path, "--config", config_file(tmp_path, tiny), "--tag", "t")
    assert done.exit_code == 2
    assert done.stderr == "The file is broken; replace it.\n"
    assert "Traceback" in (tmp_path / "runs" / "t" / "log.txt").read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--tag", "../up"], "--tag"),
        (["--tag", ".."], "--tag"),
        (["--tag", ""], "--tag"),
        (["--tag", "a b"], "--tag"),
        (["--tag", "t", "--set", "model.d_model=many"], "model.d_model"),
        (["--tag", "t", "--set", "model.distil=perhaps"], "model.distil"),
        (["--tag", "t", "--set", "model.depth=3"], "model.depth"),
        (["--tag", "t", "--set", "model.d_model"], "KEY=VALUE"),
        (["--tag", "t", "--set", "model.n_heads=3"], "must divide"),
        (["--tag", "t", "--set", "training.optimizer_params.lr=nan"], "lr"),
        (["--tag", "t", "--config", "nowhere.json"], "nowhere.json"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path: Path, arguments: list[str], said: str) -> None:
    done = invoke(tmp_path, *arguments)
    assert done.exit_code == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("text", ["{", "[]", "3", '{"model": 1}', '{"model": {"d_model": "x"}}'])
def test_a_bad_file_is_one_sentence_from_the_real_command(tmp_path: Path, text: str) -> None:
    (tmp_path / "bad.json").write_text(text)
    done = invoke(tmp_path, "--tag", "t", "--config", str(tmp_path / "bad.json"))
    assert done.exit_code == 2
    assert len(done.stderr.splitlines()) == 1


def test_the_module_runs_as_a_command(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "informer.train", "--tag", "t/../x", "--output", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1 and "Traceback" not in done.stderr


def test_a_partial_file_takes_the_defaults(tmp_path: Path, tiny: RunConfig) -> None:
    partial = {"data": tiny.data.model_dump(), "model": {"d_model": 16, "n_heads": 2}}
    partial["training"] = {"epochs": 1, "steps_per_epoch": 1}
    (tmp_path / "partial.json").write_text(json.dumps(partial))
    done = invoke(tmp_path, "--tag", "t", "--config", str(tmp_path / "partial.json"))
    assert done.exit_code == 0, done.output
    assert RunDir(tmp_path / "runs" / "t").read_config().model.d_ff == 2048


@pytest.mark.usefixtures("diverging")
def test_a_diverged_training_ends_with_its_sentence(tmp_path: Path, tiny: RunConfig) -> None:
    sgd: dict[str, Value] = {"training.optimizer_class": "SGD", "training.optimizer_params.lr": 0.5}
    given = config_file(tmp_path, tiny.with_changes(sgd))
    done = invoke(tmp_path, "--tag", "t", "--config", given)
    assert done.exit_code == 1
    assert "is most likely too high" in done.stderr


@pytest.mark.long
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_a_compiled_model_gives_the_same_errors(tmp_path: Path, tiny: RunConfig) -> None:
    """In a process of its own, for the compiler warns of much that would be an error here."""
    changes: dict[str, Value] = {
        "data.dataset": "synthetic",
        "model.e_layers": 1,
        "model.distil": False,
        "model.head": "linear",
        "model.dropout": 0.0,
        "training.epochs": 1,
        "training.steps_per_epoch": 2,
    }
    eager = RunDir(tmp_path / "eager")
    eager.create(tiny.with_changes(changes))
    expected = train(tiny.with_changes(changes), eager)
    given = config_file(tmp_path, tiny.with_changes(changes))
    command = [sys.executable, "-m", "informer.train", "--tag", "t", "--output", str(tmp_path)]
    done = subprocess.run(
        [*command, "--config", given, "--set", "training.compile=true"],
        env={**os.environ, "TORCHINDUCTOR_COMPILE_THREADS": "1"},  # a pool takes longer to begin
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    result = RunDir(tmp_path / "t").read_result()
    assert isinstance(result, Success) and isinstance(expected, Success)
    assert result.test_mse == pytest.approx(expected.test_mse, rel=1e-4)
