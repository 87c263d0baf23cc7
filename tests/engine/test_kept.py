"""What a training on a node needs beside it: its checkpoints, its data and a place to be."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from data.registry import DataError
from informer.config import RunConfig
from informer.files import keep_checkpoint
from informer.orders import Orders
from informer.records import Epoch, Success
from informer.rundir import RunDir
from nas_engine import backends
from nas_engine.backends import backend_problems
from nas_engine.cli.backend import backend_of
from nas_engine.cli.common import Refused
from nas_engine.commands import Change, changed, started_again
from nas_engine.search import Backend, SearchSpec
from nas_engine.trainers import cluster, messages, node, ray
from nas_engine.trainers.base import Ended
from nas_engine.trainers.cluster import Needs
from nas_engine.trainers.kept import Kept, KeptError
from nas_engine.trainers.messages import FILES, Have, Machine, News, Order
from nas_engine.trainers.shipped import copy_code, shipment_of, unpack
from nas_engine.workspace import PROJECT
from tests.data.test_own import add
from tests.fakes.worker import COMMAND

CONFIG = RunConfig().with_changes({"training.epochs": 9})


def trained_to(path: Path, epochs: int, config: RunConfig = CONFIG) -> RunDir:
    """Return a run folder as a worker leaves it after so many epochs."""
    run = RunDir(path)
    run.create(config)
    for epoch in range(1, epochs + 1):
        figures = {"train_loss": 1.0, "val_mse": 1 / epoch, "val_mae": 1.0, "lr": 1e-3}
        run.append(Epoch(epoch=epoch, seconds=epoch, **figures))
        temporary = path / ".checkpoint.tmp"
        temporary.write_bytes(f"after epoch {epoch}".encode())
        keep_checkpoint(path, epoch, temporary)
    return run


def keep_each(kept: Kept, path: Path, epochs: int) -> RunDir:
    """Keep the checkpoint of each epoch, as it comes."""
    for epoch in range(1, epochs + 1):
        run = trained_to(path / str(epoch), epoch)
        found = run.checkpoint()
        assert found is not None
        kept.keep(run, *found)
    return run


def new_folder(path: Path, config: RunConfig = CONFIG) -> RunDir:
    run = RunDir(path)
    run.create(config)
    return run


@pytest.fixture(params=["file", "memory"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Kept:
    where = f"file://{tmp_path}/kept" if request.param == "file" else f"memory://{tmp_path.name}"
    return Kept(where)


def test_the_newest_checkpoint_comes_back_with_the_records_of_its_epochs(
    kept: Kept, tmp_path: Path
) -> None:
    run = keep_each(kept, tmp_path / "there", 4)
    elsewhere = new_folder(tmp_path / "elsewhere")
    kept.restore(elsewhere)
    assert elsewhere.create(CONFIG) == 4
    assert elsewhere.read_metrics() == run.read_metrics()
    content = elsewhere.checkpoint()
    assert content is not None and content[1].read_bytes() == b"after epoch 4"
    assert [name.rpartition("/")[2] for name in kept._names(".json")] == [
        "epoch-000000003.json",
        "epoch-000000004.json",
    ]
    assert len(kept._names(".checkpoint")) == 2, "older ones are of no use"
    kept.clear()
    begins_anew = new_folder(tmp_path / "anew")
    kept.restore(begins_anew)
    assert begins_anew.create(CONFIG) == 0


@pytest.mark.parametrize("broken", ["manifest", "checkpoint", "no manifest", "no checkpoint"])
def test_what_is_not_whole_is_passed_over_for_the_one_before(tmp_path: Path, broken: str) -> None:
    kept = Kept(f"file://{tmp_path}/kept")
    keep_each(kept, tmp_path / "there", 4)
    newest = {
        "manifest": tmp_path / "kept" / "epoch-000000004.json",
        "checkpoint": next((tmp_path / "kept").glob("epoch-4-*.checkpoint")),
    }
    path = newest[broken.removeprefix("no ")]
    if broken.startswith("no "):
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-9])
    run = new_folder(tmp_path / "elsewhere")
    kept.restore(run)
    assert run.create(CONFIG) == 3


def test_checkpoints_of_another_configuration_or_older_than_the_own_are_left(
    tmp_path: Path,
) -> None:
    kept = Kept(f"file://{tmp_path}/kept")
    keep_each(kept, tmp_path / "there", 2)
    other = CONFIG.with_changes({"training.seed": 7})
    run = new_folder(tmp_path / "other", other)
    kept.restore(run)
    assert run.create(other) == 0
    further = trained_to(tmp_path / "further", 5)
    kept.restore(further)
    assert further.create(CONFIG) == 5


def test_a_folder_that_cannot_be_used_is_told_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(KeptError, match="nosuch"):
        Kept("nosuch://bucket/nas")
    (tmp_path / "file").write_text("in the way")
    kept, run = Kept(f"file://{tmp_path}/file/kept"), trained_to(tmp_path / "run", 1)
    found = run.checkpoint()
    assert found is not None
    with pytest.raises(KeptError, match="checkpoint of epoch 1 was not kept"):
        kept.keep(run, *found)


def test_a_node_gets_a_data_set_of_ones_own_once_and_checks_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add()
    found = shipment_of("mine", ())
    assert found is not None
    shipment, content = found
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(DataError, match="another SHA-256"):
        unpack(shipment, lambda: content + b"x")
    asked: list[int] = []
    for _ in range(2):
        environment = unpack(shipment, lambda: asked.append(1) or content)  # type: ignore[func-returns-value]
    assert asked == [1], "the node has it by now"
    program = "from data.source import load; print(load('mine').shape)"
    said = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **environment},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == "(600, 4)\n"
    assert shipment_of("synthetic", ()) is None


def test_the_code_that_is_sent_is_the_packages_alone(tmp_path: Path) -> None:
    copy_code(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        *("informer", "nas_engine", "data", "pyproject.toml", "commit.json"),
    }
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".py", ".md", ".toml", ".json"}
    assert sum(path.stat().st_size for path in files) < 5_000_000


def news(**facts: Any) -> News:
    machine = Machine(0.0, 0, 0, None, None)
    said = {"folder": "/there", "worker": None, "metrics": b"", "log": b"", "have": Have(told=1)}
    said |= {"load": None, "machine": machine, "checkpoint": None, "files": {}, "ended": None}
    return News(**{**said, "trouble": "", **facts})  # type: ignore[arg-type]


def test_files_from_a_node_are_put_by_our_names_and_within_their_bounds(tmp_path: Path) -> None:
    run = new_folder(tmp_path / "run")
    ray._mirror(run, Have(), news(files={"../../escaped": b"x", "errors.json": b"{}"}))
    assert run.details.read_bytes() == b"{}" and not (tmp_path / "escaped").exists()
    with pytest.raises(ValueError, match=r"environment\.json came from the node with 2,000,000"):
        ray._mirror(run, Have(), news(files={"environment.json": b"x" * 2_000_000}))
    ray._mirror(run, Have(told=1), news(files={"result.json": b'{"status": "completed"}'}))
    result = run.read_result()
    assert result is not None and result.status == "failed" and result.error_class == "protocol"
    assert list(FILES)[-1] == "result.json"


def test_weights_to_begin_with_travel_and_lie_in_the_run_folder_of_the_node(
    tmp_path: Path,
) -> None:
    parent = tmp_path / "parent.safetensors"
    parent.write_bytes(b"weights")
    for path, sent in ((parent, b"weights"), (tmp_path / "gone", b"")):
        run = RunDir(tmp_path / "run")
        run.create(CONFIG, Orders(weights=str(path)))
        order = ray._order(run, _watch(), Backend(name="ray"), 10**9)
        assert order.weights == sent and order.checkpoint is None and order.kept == ""
        there = new_folder(tmp_path / f"there-{len(sent)}")
        orders = node._orders(order, there)
        assert orders is not None and orders.weights == "inherited.safetensors"
        assert (there.path / "inherited.safetensors").exists() == bool(sent)


def _watch() -> Any:
    from tests.engine.test_trainers import Log

    return Log().watch()


def test_a_training_keeps_the_name_of_its_checkpoints_as_long_as_its_folder(
    tmp_path: Path,
) -> None:
    run = new_folder(tmp_path / "run")
    first = ray._kept_at(run, "s3://bucket/nas/")
    run.create(CONFIG)
    assert ray._kept_at(run, "s3://bucket/nas") == first
    assert first.startswith("s3://bucket/nas/") and len(first.rpartition("/")[2]) == 32
    (run.path / "checkpoints.txt").write_text("../../elsewhere")
    assert ".." not in ray._kept_at(run, "s3://bucket/nas")


@pytest.mark.parametrize(
    ("needs", "fits"),
    [
        (Needs(16, 0, 10**9), True),
        (Needs(17, 0, 10**9), False),
        (Needs(1, 2, 10**9), True),
        (Needs(1, 3, 10**9), False),
        (Needs(1, 0, 10**12), False),
    ],
)
def test_a_training_fits_on_a_node_that_has_all_that_it_asks_for(needs: Needs, fits: bool) -> None:
    assert cluster._fits(needs, {"CPU": 16.0, "GPU": 2.0, "memory": 64e9}) is fits


def test_another_version_of_what_decides_results_is_told_and_another_build_is_not() -> None:
    here = messages.versions()
    assert all("+" not in version for version in here.values())
    assert ray._differences(here) == ""
    said = ray._differences({**here, "torch": "1.0.0"})
    assert said == f"torch 1.0.0 and not {here['torch']}"


def test_one_training_after_another_on_a_node_is_told_to_its_end_and_taken_away_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    there = node.Node(0, 1, 1.0, None, [], {"PYTHONPATH": str(PROJECT)}, COMMAND)
    folders = []
    for name in ("first", "second"):
        order = ray._order(new_folder(tmp_path / name), _watch(), Backend(name="ray"), 2**40)
        assert there.begin(order) == 0
        if folders:
            there.leave(folders[0])  # late: the engine does not wait for it
        mirror, have, said = new_folder(tmp_path / f"{name}-here"), Have(), news()
        while said.ended is None:
            said = there.news(have, 0.1)
            ray._mirror(mirror, have, said)
            have = said.have
        folders.append(said.folder)
        result = mirror.read_result()
        assert result == said.ended and isinstance(result, Success)
        assert [r.epoch for r in mirror.read_metrics()[0] if isinstance(r, Epoch)] == [
            *range(1, 10)
        ]
    assert not Path(folders[0]).exists()
    there.leave(folders[1])
    assert not Path(folders[1]).exists()
    there.close()


def test_the_log_of_a_node_is_followed_and_only_its_end_where_it_is_long(tmp_path: Path) -> None:
    run = new_folder(tmp_path / "run")
    assert node._log_beyond(run, Have()) == (b"", 0)
    run.log.write_bytes(b"a" * 100)
    assert node._log_beyond(run, Have()) == (b"a" * 100, 100)
    run.log.write_bytes(b"a" * 100 + b"b" * 10)
    assert node._log_beyond(run, Have(log=100)) == (b"b" * 10, 110)
    run.log.write_bytes(b"c" * 50)  # it was cut
    assert node._log_beyond(run, Have(log=110)) == (b"c" * 50, 50)
    run.log.write_bytes(b"d" * 10**6)
    assert node._log_beyond(run, Have(log=50)) == (b"d" * node.SENT_BYTES, 10**6)


def test_an_epoch_is_told_no_earlier_than_its_checkpoint_is_safe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trained_to(tmp_path / "run", 3)
    lines = run.metrics.read_bytes().splitlines(keepends=True)
    assert node._records_beyond(run, Have(), 2) == b"".join(lines[:2])
    assert node._records_beyond(run, Have(metrics=len(lines[0])), 3) == b"".join(lines[1:])
    safe, checkpoint = node._checkpoint_beyond(run, Have(checkpoint=2))
    assert safe == 3 and checkpoint is not None and checkpoint[1] == b"after epoch 3"
    assert node._checkpoint_beyond(run, Have(checkpoint=3)) == (3, None)
    monkeypatch.setattr(node, "SENT_CHECKPOINT_BYTES", 3)
    assert node._checkpoint_beyond(run, Have()) == (3, None), "it waits for what cannot come"


def test_what_is_kept_of_another_configuration_is_removed_and_does_not_hide_what_is_new(
    tmp_path: Path,
) -> None:
    kept = Kept(f"file://{tmp_path}/kept")
    keep_each(kept, tmp_path / "there", 4)
    other = CONFIG.with_changes({"training.seed": 7})
    run = trained_to(tmp_path / "run", 1, other)
    kept.restore(run)
    found = run.checkpoint()
    assert found is not None
    kept.keep(run, *found)
    assert {path.name for path in (tmp_path / "kept").iterdir()} == {
        "epoch-000000001.json",
        found[1].name,
    }
    again = new_folder(tmp_path / "again", other)
    kept.restore(again)
    assert again.create(other) == 1


def test_the_same_trial_of_two_workspaces_keeps_its_checkpoints_apart(tmp_path: Path) -> None:
    here, there = (new_folder(tmp_path / name / "nas.runs" / "1" / "0") for name in "ab")
    folders = [ray._kept_at(run, f"file://{tmp_path}/kept") for run in (here, there)]
    first, second = (Kept(folder) for folder in folders)
    keep_each(first, tmp_path / "first", 2)
    second.restore(there)
    assert there.create(CONFIG) == 0
    keep_each(second, tmp_path / "second", 3)
    second.clear()
    first.restore(here)
    assert here.create(CONFIG) == 2


# -- the backend of a search --------------------------------------------------------------------


def spec(**backend: Any) -> SearchSpec:
    return SearchSpec(backend=Backend(**backend))


@pytest.mark.parametrize(
    ("backend", "said"),
    [
        ({"name": "ray"}, "Name the address"),
        ({"name": "ray", "address": "ray://head:10001"}, "make this machine part"),
        ({"name": "ray", "address": "head:6379", "checkpoints": "nas"}, "no folder that all nodes"),
        ({"name": "ray", "address": "local"}, "is no address of a Ray cluster"),
        ({"name": "ray", "address": "head:6379; rm -rf ~"}, "is no address of a Ray cluster"),
        ({"name": "ray", "address": "me:key@head:6379"}, "is no address of a Ray cluster"),
        ({"name": "ray", "address": "auto", "checkpoints": "s3://me:key@b/nas"}, "has a password"),
    ],
)
def test_a_backend_that_cannot_train_is_told_before_the_search_starts(
    backend: dict[str, Any], said: str
) -> None:
    (problem,) = backend_problems(spec(**backend))
    assert said in problem


def test_where_nothing_is_wrong_with_the_backend_nothing_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    there = {"name": "ray", "address": "[2001:db8::1]:6379", "checkpoints": "abfs://nas@ours/a"}
    for good in ({}, there, {"name": "ray", "address": "auto", "checkpoints": "s3://bucket/nas"}):
        assert backend_problems(spec(**good)) == []
    monkeypatch.setattr(backends, "has_ray", lambda: False)
    assert backends.INSTALL in backend_problems(spec(name="ray", address="auto"))[0]
    assert backend_problems(spec()) == []


def test_large_checkpoints_need_a_folder_that_all_nodes_reach() -> None:
    large = {"preset": "paper", "backend": Backend(name="ray", address="auto")}
    (problem,) = backend_problems(SearchSpec.model_validate(large))
    assert "name a folder for checkpoints" in problem


def test_a_search_stays_where_it_trains_unless_somebody_says_otherwise() -> None:
    there = spec(name="ray", address="head:6379", cpus=2.0)
    assert started_again(there, spec()).backend == there.backend
    elsewhere = spec(name="ray", address="other:6379")
    assert started_again(there, elsewhere).backend == elsewhere.backend
    assert changed(there, Change(backend=Backend())).backend == Backend()
    assert there.fingerprint() == spec().fingerprint(), "where it trains is no part of a search"


def test_options_say_what_changes_and_the_rest_stays() -> None:
    before = Backend(name="ray", address="head:6379", cpus=2.0)
    assert backend_of({}) == Backend()
    assert backend_of({"gpus": 0.5}) == Backend(name="ray", address="auto", gpus=0.5)
    assert backend_of({"address": "other:6379"}, before).cpus == 2.0
    assert backend_of({"name": "local"}, before) == Backend()
    with pytest.raises(ValidationError):
        backend_of({"cpus": 0.0})
    with pytest.raises(Refused, match=r"^--ray-cpus can be said of a Ray cluster alone"):
        backend_of({"name": "local", "cpus": 2.0})


def test_how_a_training_is_ended_says_where_the_files_of_it_are_here() -> None:
    ended = Ended("crashed", "process lost", "SIGKILL; /there/log.txt has its last lines.")
    trainer = ray.RayTrainer(lambda: None, Backend(name="ray"), None)  # type: ignore[arg-type,return-value]
    outcome = trainer._outcome(RunDir(Path("/here")), news(ended=ended))
    assert isinstance(outcome, Ended)
    assert outcome.message == "A node: SIGKILL; /here/log.txt has its last lines."


def test_an_order_goes_with_what_the_engine_has(tmp_path: Path) -> None:
    run = trained_to(tmp_path / "run", 3)
    order: Order = ray._order(run, _watch(), Backend(name="ray"), 10**9)
    assert order.checkpoint is not None and order.checkpoint[1] == b"after epoch 3"
    assert hashlib.sha256(order.config).digest() == hashlib.sha256(run.config.read_bytes()).digest()
    assert order.metrics == run.metrics.read_bytes()
