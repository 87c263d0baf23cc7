"""Bundles: what comes out is what went in, to the last bit, and nothing that was changed."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import safetensors.torch
import torch

from data.registry import DATASETS
from data.series import series
from data.source import load
from informer import program
from informer.bundle import Bundle, BundleError
from informer.bundle_format import (
    CARD,
    CONFIG,
    DATA,
    FILES,
    MANIFEST,
    WEIGHTS,
    Manifest,
    Mean,
    Noise,
    Verdict,
)
from informer.config import RunConfig, Value
from informer.export import Order, Refused, Written, outcome
from informer.forecaster import Forecaster
from informer.records import Success
from informer.rundir import RunDir
from informer.training import train
from tests.informer.bundle_reader import Found, all_forecasts
from tests.informer.conftest import TINY, tiny_dataset
from tests.test_architecture import PROJECT

LINEAR: dict[str, Value] = {"model.e_layers": 0, "model.skip": True, "model.head": "linear"}
STRUCTURES: dict[str, dict[str, Value]] = {
    "Informer": {"model.attention": "prob", "model.distil": True, "model.e_layers": 2},
    "patches": {
        "model.tokens": "patch",
        "model.channels": "independent",
        "model.head": "linear",
        "model.normalisation": "revin",
        "model.cycle": "week",
        "model.patch_len": 8,
        "model.distil": False,
    },
    "inverted": {"model.tokens": "inverted", "model.head": "linear", "model.distil": False},
    "linear": LINEAR,
    "known future": {"data.dataset": "known", "model.attention": "full"},
    "bfloat16": {"data.features": "MS", "training.precision": "bfloat16"},
}


@pytest.fixture
def datasets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two short data sets; other processes know neither."""
    tiny = tiny_dataset()
    known = dataclasses.replace(
        tiny, name="known", past_only=tiny.columns[:1], known_future=tiny.columns[1:3]
    )
    monkeypatch.setitem(DATASETS, "tiny", tiny)
    monkeypatch.setitem(DATASETS, "known", known)


@pytest.fixture
def unexported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the program of torch.export, which takes seconds."""
    monkeypatch.setattr(program, "exported", lambda *_: (None, "There is no program."))


def trained(folder: Path, changes: dict[str, Value], seed: int = 7) -> RunDir:
    config = RunConfig().with_changes(
        TINY | {"training.steps_per_epoch": 2, "training.seed": seed} | changes
    )
    run = RunDir(folder)
    run.create(config)
    assert isinstance(train(config, run), Success)
    return run


def order(output: Path, *runs: RunDir, **changes: Any) -> Order:
    facts = Order(
        runs=tuple(str(run.path) for run in runs),
        output=str(output),
        replace=False,
        search="A search",
        trial=3,
        trials_looked_at=8,
        noise=Noise(relative=0.01, degrees=2),
        verdict=Verdict(accepted=True, rule="improvement", sentence="It is better."),
        exchange="# Transcript\n",
    )
    return facts.model_copy(update=changes)


def made(wanted: Order) -> Bundle:
    written = outcome(wanted.model_dump_json())
    assert isinstance(written, Written), written
    return Bundle.read(Path(wanted.output))


def refused(wanted: Order) -> str:
    said = outcome(wanted.model_dump_json())
    assert isinstance(said, Refused), said
    assert "\n" not in said.message
    return said.message


# -- round trip -----------------------------------------------------------------------------------


def test_a_machine_without_the_data_set_forecasts_the_same_bits(
    datasets: None, unexported: None, tmp_path: Path
) -> None:
    own: list[Found] = []
    for name, changes in STRUCTURES.items():
        run = trained(tmp_path / "runs" / name, changes)
        bundle = made(order(tmp_path / name, run))
        model = Forecaster(bundle.config, torch.device("cpu"))
        model.model.load_state_dict(safetensors.torch.load_file(run.weights))
        data = bundle.config.data
        source = series(data.dataset, data.features, data.target)
        own.append(all_forecasts(model, bundle.config, source))
        result = run.read_result()
        assert isinstance(result, Success)
        assert [own[-1][key] for key in ("val_mse", "test_mse", "test_mae")] == [
            result.val_mse,
            result.test_mse,
            result.test_mae,
        ]
        assert bundle.contents[WEIGHTS] == run.weights.read_bytes()
    table = tmp_path / "values.csv"
    values().to_csv(table)
    command = [sys.executable, "-m", "tests.informer.bundle_reader"]
    folders = [str(tmp_path / name) for name in STRUCTURES]
    said = subprocess.run(
        [*command, *folders, str(table)],
        cwd=PROJECT,
        env={**os.environ, "XDG_DATA_HOME": str(tmp_path / "nobody")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(said.stdout) == own


def values() -> pd.DataFrame:
    """Return the values that both data sets have."""
    return load("tiny")


def test_of_several_seeds_the_weights_are_of_the_best_on_validation(
    datasets: None, unexported: None, tmp_path: Path
) -> None:
    runs = [trained(tmp_path / str(seed), LINEAR, seed) for seed in (1, 2, 3)]
    results = [run.read_result() for run in runs]
    errors = [result.val_mse for result in results if isinstance(result, Success)]
    bundle = made(order(tmp_path / "bundle", *runs))
    metrics, best = bundle.metrics, errors.index(min(errors))
    assert bundle.contents[WEIGHTS] == runs[best].weights.read_bytes()
    assert metrics.weights_seed == bundle.config.training.seed == best + 1
    assert [one.val_mse for one in metrics.seeds] == errors
    assert metrics.val_mse == Mean.of(errors) and metrics.val_mse.spread
    assert {(row.name, row.split) for row in metrics.baselines} >= {("seasonal-naive", "test")}
    card = (tmp_path / "bundle" / CARD).read_text()
    for said in (f"seed {best + 1} (these weights)", "mean of 3 seeds", "8 trained trials"):
        assert said in card


def test_a_bundle_brings_the_scalers_and_choices_to_the_last_bit(
    datasets: None, unexported: None, tmp_path: Path
) -> None:
    bundle = made(order(tmp_path / "bundle", trained(tmp_path / "run", STRUCTURES["known future"])))
    data = bundle.config.data
    source = series(data.dataset, data.features, data.target)
    for read, fitted in (
        (bundle.scaler, source.scaler),
        (bundle.known_scaler, source.known_scaler),
    ):
        assert read.centre.tobytes() == fitted.centre.tobytes()
        assert read.scale.tobytes() == fitted.scale.tobytes()
    assert bundle.roles == source.roles
    assert bundle.choices.known_future == source.dataset.known_future
    assert bundle.choices.date == "date" and bundle.intervals is not None


# -- the program ----------------------------------------------------------------------------------


def test_the_exported_program_forecasts_as_the_model_does(datasets: None, tmp_path: Path) -> None:
    run = trained(tmp_path / "run", LINEAR)
    content, said = program.exported(
        run.read_config(), run.weights.read_bytes(), series("tiny", "M", "OT"), tmp_path
    )
    assert content == (tmp_path / "model.pt2").read_bytes()
    assert "any number of windows" in said and "last bit" in said


def test_what_cannot_be_exported_is_said_in_the_card(
    datasets: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("traced too far")

    monkeypatch.setattr("torch.export.export", fails)
    bundle = made(order(tmp_path / "bundle", trained(tmp_path / "run", LINEAR)))
    assert "model.pt2" not in bundle.manifest.files
    assert "torch.export cannot take this structure" in bundle.contents[CARD].decode()


def test_a_program_that_forecasts_something_else_is_not_handed_out(
    datasets: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Wrong:
        def module(self) -> Callable[..., torch.Tensor]:
            return lambda values, known: torch.zeros(len(values), 6, 7)

    monkeypatch.setattr("torch.export.load", lambda path: Wrong())
    run = trained(tmp_path / "run", LINEAR)
    content, said = program.exported(
        run.read_config(), run.weights.read_bytes(), series("tiny", "M", "OT"), tmp_path
    )
    assert content is None and "would differ by" in said


# -- what is not written --------------------------------------------------------------------------


def test_weights_of_another_training_are_not_bundled(
    datasets: None, unexported: None, tmp_path: Path
) -> None:
    run, other = (trained(tmp_path / str(seed), LINEAR, seed) for seed in (1, 2))
    weights = safetensors.torch.load_file(other.weights)
    safetensors.torch.save_file({k: 3 * v for k, v in weights.items()}, run.weights)
    assert "weights or data are not those of the training" in refused(order(tmp_path / "b", run))
    run.weights.unlink()
    assert "train the trial again" in refused(order(tmp_path / "b", run))
    run.result.unlink()
    assert "holds no finished training" in refused(order(tmp_path / "b", run))
    assert not (tmp_path / "b").exists()


def test_data_that_have_changed_since_the_training_are_refused(
    datasets: None, unexported: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, tiny = trained(tmp_path / "run", LINEAR), DATASETS["tiny"]
    training, validation, test = tiny.split_rows
    changes: list[tuple[dict[str, Any], str]] = [
        ({"sha256": "0" * 64}, "its SHA-256 is 00000000…"),
        ({"split_rows": (training, validation + 1, test - 1)}, "it is split into"),
        ({"scaling": "robust"}, "it is scaled robust, not standard"),
    ]
    for change, said in changes:
        monkeypatch.setitem(DATASETS, "tiny", dataclasses.replace(tiny, **change))
        assert f"has changed since the training: {said}" in refused(order(tmp_path / "b", run))


def test_only_a_bundle_is_replaced_and_only_when_asked(
    datasets: None, unexported: None, tmp_path: Path
) -> None:
    run, place = trained(tmp_path / "run", LINEAR), tmp_path / "place"
    first = made(order(place, run))
    assert "ask to replace it" in refused(order(place, run))
    again = made(order(place, run, replace=True, search="Another"))
    assert again.manifest.sha256 != first.manifest.sha256
    (place / "thesis.tex").write_text("mine")
    assert "is not replaced" in refused(order(place, run, replace=True))
    assert (place / "thesis.tex").read_text() == "mine"
    link = tmp_path / "link"
    link.symlink_to(place)
    assert "is not replaced" in refused(order(link, run, replace=True))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "place", "run"]


# -- what is not read -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A bundle, which tests copy."""
    folder = tmp_path_factory.mktemp("bundles")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(DATASETS, "tiny", tiny_dataset())
        patch.setattr(program, "exported", lambda *_: (b"a program", "A program."))
        made(order(folder / "bundle", trained(folder / "run", LINEAR)))
    yield folder / "bundle"


def rewritten(folder: Path, name: str, content: bytes) -> None:
    """Change a file together with the manifest, as somebody would who knows the format."""
    (folder / name).write_bytes(content)
    before = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    manifest = Manifest.of(before.created, before.commit, {**before.files, name: content})
    (folder / MANIFEST).write_text(manifest.text())


def edited(name: str, old: str, new: str) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        text = (folder / name).read_text()
        assert old in text
        rewritten(folder, name, text.replace(old, new).encode())

    return edit


def big_weights(folder: Path) -> None:
    with (folder / WEIGHTS).open("r+b") as file:
        file.truncate(2**31)


def other_weights(folder: Path) -> None:
    tensors = {"weight": torch.zeros(4)}
    rewritten(folder, WEIGHTS, safetensors.torch.save(tensors))


def outside_link(folder: Path) -> None:
    secret = folder.parent / "elsewhere"
    shutil.move(folder / CONFIG, secret)
    (folder / CONFIG).symlink_to(secret)


def listed_elsewhere(folder: Path) -> None:
    before = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    files = {**before.files, "../elsewhere": next(iter(before.files.values()))}
    manifest = Manifest.of(before.created, before.commit, files)
    (folder / MANIFEST).write_text(manifest.text())


TAMPERED: dict[str, tuple[Callable[[Path], object], str]] = {
    "a missing file": (lambda b: (b / DATA).unlink(), "has lost its file data.json"),
    "an extra file": (lambda b: (b / "run.sh").write_text("x"), "holds 'run.sh', which is not"),
    "a link out": (outside_link, "is a link"),
    "a huge file": (big_weights, "no more than 1,073,741,824 are read"),
    "no manifest": (lambda b: (b / MANIFEST).unlink(), "has no manifest.json"),
    "a later format": (lambda b: (b / MANIFEST).write_text('{"format": 2}'), "of format '2'"),
    "nonsense": (lambda b: (b / MANIFEST).write_text("[" * 9999), "manifest.json was changed"),
    "a path outside": (listed_elsewhere, "names '../elsewhere', which is no file of a bundle"),
    "another data set": (
        edited(CONFIG, '"dataset": "tiny"', '"dataset": "ETTh1"'),
        "config.json is of data set 'ETTh1', and data.json of 'tiny'",
    ),
    "a setting that is none": (edited(CONFIG, '"kernel"', '"kernels"'), "model.kernels"),
    "another model": (edited(CONFIG, '"pred_len": 6', '"pred_len": 12'), "model"),
    "other weights": (other_weights, "has not the weights of config.json: there are 4 of them"),
    "a number that is none": (edited("metrics.json", '"trial": 3', '"trial": NaN'), "metrics.json"),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_what_was_tampered_with_is_one_sentence(pristine: Path, tmp_path: Path, name: str) -> None:
    tamper, sentence = TAMPERED[name]
    folder = shutil.copytree(pristine, tmp_path / "bundle")
    tamper(folder)
    with pytest.raises(BundleError) as caught:
        Bundle.read(folder).model()
    assert sentence in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [*FILES, MANIFEST])
def test_a_changed_byte_anywhere_is_noticed(pristine: Path, tmp_path: Path, name: str) -> None:
    folder = shutil.copytree(pristine, tmp_path / "bundle")
    content = bytearray((folder / name).read_bytes())
    for place in {0, len(content) // 3, len(content) // 2, len(content) - 1}:
        changed = content.copy()
        changed[place] ^= 1
        (folder / name).write_bytes(changed)
        with pytest.raises(BundleError, match=r"was changed|of format|manifest"):
            Bundle.read(folder)
    (folder / name).write_bytes(content)
    assert Bundle.read(folder).data.name == "tiny"


def test_no_folder_and_a_zip_file_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "bundle.zip").write_bytes(b"PK")
    for name, sentence in (("bundle.zip", "unpack it"), ("none", "There is no folder")):
        with pytest.raises(BundleError, match=sentence):
            Bundle.read(tmp_path / name)


def test_the_name_of_a_data_set_cannot_lead_out_of_its_folder(pristine: Path) -> None:
    data = Bundle.read(pristine).data
    facts = data.model_dump(mode="json")
    for name in ("../x", "/etc/passwd", "..", "a/b", ""):
        with pytest.raises(ValueError, match="cannot be the name"):
            type(data).model_validate_json(json.dumps(facts | {"name": name}))


def test_what_people_named_cannot_be_read_as_markdown(
    datasets: None, unexported: None, tmp_path: Path
) -> None:
    evil = "![x](http://198.51.100.7/a) `b` <img src=x>\n# Heading"
    run = trained(tmp_path / "run", LINEAR)
    ran_on = run.read_environment()
    assert ran_on is not None  # it comes from a file where a search was imported
    versions = {"torch": evil}
    run.environment.write_text(ran_on.model_copy(update={"versions": versions}).model_dump_json())
    lines = made(order(tmp_path / "b", run, search=evil)).contents[CARD].decode().splitlines()
    shown = "![x](http://198.51.100.7/a) 'b' <img src=x> # Heading`"
    assert lines[0].endswith(f"`{shown}")
    assert [line for line in lines if "![x]" in line][1].startswith(
        f"- Trained with `torch {shown}"
    )


def test_the_script_prints_what_the_model_forecasts(
    datasets: None, pristine: Path, tmp_path: Path
) -> None:
    bundle, frame = Bundle.read(pristine), values()
    frame.iloc[-40:].to_csv(tmp_path / "recent.csv")
    said = subprocess.run(
        [sys.executable, str(pristine / "predict.py"), str(tmp_path / "recent.csv")],
        env={**os.environ, "PYTHONPATH": str(PROJECT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    rows = [line.split(",") for line in said.stdout.splitlines()]
    assert rows[0] == ["date", *frame.columns] and len(rows) == 1 + bundle.config.data.pred_len
    assert rows[1][0] > str(frame.index[-1])
    past = torch.tensor(bundle.scaler.transform(frame.to_numpy()[-24:]), dtype=torch.float32)
    with torch.inference_mode():
        scaled = bundle.model()(past[None], torch.zeros(1, 30, 4))[0]
    expected = bundle.scaler.inverse(scaled.double().numpy())
    assert [float(cell) for cell in rows[1][1:]] == pytest.approx(expected[0].tolist(), rel=1e-5)
