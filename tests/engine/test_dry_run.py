"""One step of a configuration before it is trained: what it takes, or why it cannot be taken."""

from __future__ import annotations

import json
import sys

import pytest
import torch
from click.testing import CliRunner

from informer import dry_run as inside
from informer.config import PRESETS
from informer.cost import parameters
from informer.dry_run import DryRun, result, step
from informer.records import Failure
from nas_engine import dry_run as trying
from nas_engine.cli.main import main
from nas_engine.settings import load_settings
from nas_engine.workspace import Workspace
from tests.pages import seed

SMALL = PRESETS["small"].config({"data.batch_size": 2, "model.d_model": 16, "model.d_ff": 16})


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"data.features": "S", "training.criterion_class": "HuberLoss"},
        {"model.temporal": "learned"},
        {"model.channels": "independent", "model.tokens": "patch", "model.head": "linear"},
        {"training.precision": "bfloat16"},
    ],
)
def test_a_step_has_the_shapes_of_the_task_and_a_loss(changes: dict[str, str]) -> None:
    config = SMALL.with_changes(changes)
    made = step(config, torch.device("cpu"))
    columns = 1 if config.data.features == "S" else 7
    assert made.shape == (2, config.data.pred_len, columns)
    assert made.parameters == parameters(config)
    assert made.loss is not None and made.loss > 0
    assert made.forward_ms > 0 and made.backward_ms > 0 and made.peak_memory_mb > 50
    assert made.bfloat16 == (config.training.precision == "bfloat16")


def test_a_large_model_is_built_without_memory_on_the_meta_device() -> None:
    config = PRESETS["paper"].config()
    made = step(config, torch.device("meta"))
    assert made.parameters == parameters(config) and made.device == "meta"
    assert made.shape == (config.data.batch_size, config.data.pred_len, 7)
    assert made.loss is None


def test_what_cannot_be_trained_is_said_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = result(json.dumps({"model.n_heads": 3}))
    assert isinstance(refused, Failure) and "must divide" in refused.message
    for text in ("", "[1", "[]", '{"model.nonsense": 1}', "[" * 100_000):
        refused = result(text)
        assert isinstance(refused, Failure) and refused.error_class == "config"
    absent = result(json.dumps({**SMALL.flat(), "training.device": "cuda:7"}))
    assert isinstance(absent, Failure) and "training.device is cuda:7" in absent.message

    def no_memory(*arguments: object) -> None:
        raise MemoryError

    monkeypatch.setattr(inside, "step", no_memory)
    starved = result(json.dumps(SMALL.flat()))
    assert isinstance(starved, Failure) and "Memory ran out" in starved.message


def test_a_process_of_its_own_makes_the_step() -> None:
    made = trying.dry_run(SMALL, load_settings())
    assert isinstance(made, DryRun), made
    assert made.parameters == parameters(SMALL)
    found = trying.facts(made)
    assert found["Forecast"] == "2 windows x 24 steps x 7 columns"
    assert found["Device"] == "cpu" and "Not tried" not in found


def test_a_step_that_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    popen = trying.subprocess.Popen

    def slow(command: tuple[str, ...], **options: object) -> object:
        process = popen((sys.executable, "-c", "import time; time.sleep(600)"), **options)  # type: ignore[call-overload]
        started.append(process)
        return process

    monkeypatch.setattr(trying.subprocess, "Popen", slow)
    answer = trying.dry_run(SMALL, load_settings(), seconds=0.2)
    assert isinstance(answer, str) and "ended after 0.2 s" in answer
    assert started[0].returncode is not None, "it still runs"


def test_what_a_lost_process_printed_is_not_believed() -> None:
    assert "exit code -9" in str(trying._read("", -9))
    assert "exit code 0" in str(trying._read('{"status": "stepped", "parameters": "9"}', 0))


def test_a_model_that_cannot_fit_is_not_even_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trying, "memory_needed", lambda config: 10**15)
    answer = trying.dry_run(SMALL, load_settings())
    assert isinstance(answer, str) and "not tried" in answer and "1e+06 GB" in answer


def test_the_command_tries_a_trial_and_changes_to_it(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = str(seed.small(workspace, 2))
    asked = []

    def stand_in(config: object, settings: object) -> str:
        asked.append(config)
        return "The GPU failed."

    monkeypatch.setattr(trying, "dry_run", stand_in)
    ended = CliRunner().invoke(
        main, ["dry-run", search, "--trial", "1", "--set", "model.d_model=32"]
    )
    assert ended.exit_code == 1 and "The GPU failed." in ended.output
    [config] = asked
    assert (config.model.d_model, config.model.dropout) == (32, 0.1)
    for arguments, told in (
        (["--trial", "9"], "has no trial 9"),
        (["--set", "model.n_heads=3"], "must divide"),
        (["--trial", "1", "--parent", "0"], "not both"),
    ):
        refused = CliRunner().invoke(main, ["dry-run", search, *arguments])
        assert refused.exit_code == 2 and told in refused.output, refused.output
