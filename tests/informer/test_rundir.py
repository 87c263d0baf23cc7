"""Torn and damaged files of a run folder: what was whole stays, and what follows is not harmed."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pytest

from informer.__main__ import serve
from informer.config import RunConfig
from informer.files import KEPT_CHECKPOINTS, checkpoints, is_intact, keep_checkpoint
from informer.records import (
    ColumnForecast,
    Details,
    Environment,
    Epoch,
    Failure,
    Forecasts,
    PartErrors,
    Progress,
    Record,
    UsedData,
    WindowForecast,
)
from informer.rundir import RunDir

CONFIG = RunConfig()
SEED = 7


def epoch(number: int) -> Epoch:
    return Epoch(epoch=number, train_loss=0.1, val_mse=0.5, val_mae=0.6, lr=1e-4, seconds=12.5)


def three_lines() -> list[Progress | Epoch]:
    return [epoch(4), Progress(epoch=5, step=17, steps=268), epoch(5)]


def written(run: RunDir) -> bytes:
    for record in (epoch(3), *three_lines()):
        run.append(record)
    return run.metrics.read_bytes()


def cuts(content: bytes, lines: int = 3) -> Iterator[int]:
    """Return every byte at which the last lines can be cut."""
    start = len(b"".join(content.splitlines(keepends=True)[:-lines]))
    yield from range(start, len(content) + 1)


def test_metrics_cut_at_any_byte_lose_the_torn_line_alone(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    run = RunDir(tmp_path)
    content = written(run)
    tried = 0
    for cut in cuts(content):
        run.metrics.write_bytes(content[:cut])
        whole = [epoch(3), *three_lines()][: content[:cut].count(b"\n")]
        before, offset = run.read_metrics()
        assert before == whole
        run.append(epoch(9))
        run.append(epoch(10))
        assert run.read_metrics()[0] == [*whole, epoch(9), epoch(10)]
        assert run.read_metrics(offset)[0] == [epoch(9), epoch(10)], "the reader lost its place"
        tried += 1
    assert tried > 200
    record_property("faults", tried)


def test_a_log_cut_at_any_byte_goes_on_in_a_line_of_its_own(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """The worker opens it anew for each training, here for one that it refuses."""
    run = RunDir(tmp_path)
    run.config.write_text("{}")
    content = "Goes on after epoch 3.\nepoch 4: 0.25\nvérité 0,3\n".encode()
    tried = list(cuts(content))
    for cut in tried:
        run.log.write_bytes(content[:cut])
        run.config.write_text("broken")
        serve(run, memory_share=1.0)
        result = run.read_result()
        assert isinstance(result, Failure) and result.error_class == "config"
        lines = run.log.read_bytes().splitlines()
        assert lines == content[:cut].splitlines()
        assert run.log.read_bytes()[-1:] in (b"\n", b"")
        run.log_tail()
    record_property("faults", len(tried))


@pytest.fixture
def attempt(tmp_path: Path) -> RunDir:
    """A run of which five epochs are trained, with two checkpoints."""
    run = RunDir(tmp_path / "run")
    run.create(CONFIG)
    for number in range(1, 6):
        run.append(Progress(epoch=number, step=1, steps=9))
        run.append(epoch(number))
        checkpoint(run, number)
    return run


def checkpoint(run: RunDir, number: int) -> None:
    temporary = run.path / ".checkpoint.tmp"
    temporary.write_bytes(random.Random(number).randbytes(5000))
    keep_checkpoint(run.path, number, temporary)


def epochs(run: RunDir) -> list[int]:
    return [record.epoch for record in run.read_metrics()[0] if isinstance(record, Epoch)]


def test_the_two_newest_checkpoints_are_kept(attempt: RunDir) -> None:
    assert [number for number, _ in checkpoints(attempt.path)] == [5, 4]
    assert KEPT_CHECKPOINTS == 2
    assert attempt.create(CONFIG) == 5
    assert epochs(attempt) == [1, 2, 3, 4, 5]


def test_a_damaged_checkpoint_is_never_used_and_the_one_before_is_which_the_log_says(
    attempt: RunDir, record_property: Callable[[str, object], None]
) -> None:
    """50 truncations and 20 flipped bits."""
    dice = random.Random(SEED)
    (_, newest), (_, before) = checkpoints(attempt.path)
    content, kept, records = newest.read_bytes(), before.read_bytes(), attempt.metrics.read_bytes()
    damaged = [content[: dice.randrange(len(content))] for _ in range(50)]
    damaged += [flipped(content, dice.randrange(8 * len(content))) for _ in range(20)]
    for bad in damaged:
        newest.write_bytes(bad)
        before.write_bytes(kept)
        attempt.metrics.write_bytes(records)
        attempt.log.unlink(missing_ok=True)
        assert attempt.create(CONFIG) == 4
        assert attempt.checkpoint() == (4, before)
        assert epochs(attempt) == [1, 2, 3, 4], "the metrics go on from where training does"
        assert not newest.exists()
        said = attempt.log_tail()
        assert newest.name in said and "goes on after epoch 4" in said
    assert len(damaged) == 70
    record_property("faults", len(damaged))


def flipped(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_training_begins_anew_where_both_checkpoints_are_damaged(attempt: RunDir) -> None:
    for _, path in checkpoints(attempt.path):
        path.write_bytes(b"")
    assert attempt.create(CONFIG) == 0
    assert checkpoints(attempt.path) == []
    assert epochs(attempt) == []
    assert "begins anew" in attempt.log_tail()


def test_a_checkpoint_whose_epochs_were_not_all_recorded_is_not_used(attempt: RunDir) -> None:
    lines = attempt.metrics.read_text().splitlines(keepends=True)
    attempt.metrics.write_text("".join(lines[:-1]) + lines[-1][:20])  # a power cut took the rest
    assert attempt.create(CONFIG) == 4
    assert epochs(attempt) == [1, 2, 3, 4]


def test_a_checkpoint_cannot_be_a_link_out_of_the_folder(attempt: RunDir, tmp_path: Path) -> None:
    (_, newest), _ = checkpoints(attempt.path)
    newest.rename(tmp_path / newest.name)
    newest.symlink_to(tmp_path / newest.name)
    assert not is_intact(newest)
    assert attempt.create(CONFIG) == 4


def test_an_attempt_at_another_configuration_leaves_nothing(attempt: RunDir) -> None:
    for path in (attempt.end, attempt.details, attempt.forecasts, attempt.environment):
        path.touch()
    (attempt.path / ".result.json.tmp").write_text("half")
    assert attempt.create(CONFIG.with_changes({"training.seed": 1})) == 0
    assert [path.name for path in attempt.path.iterdir()] == ["config.json"]


# -- what is only for people to look at ---------------------------------------------------------

ERRORS = PartErrors(
    columns=("OT",),
    mse_by_step=(0.5,),
    mae_by_step=(0.5,),
    mse_by_column=(0.5,),
    mae_by_column=(0.5,),
    own_mse_by_column=(0.5,),
    own_mae_by_column=(0.5,),
)
WINDOW = WindowForecast(
    which="worst",
    window=3,
    mse=0.5,
    dates=(datetime(2024, 2, 28), datetime(2024, 2, 29), datetime(2024, 3, 1)),
    columns=(ColumnForecast(name="été", past=(0.5, 1.5), truth=(2.5,), forecast=(3.5,)),),
)
LEFT: dict[str, Record] = {
    "errors.json": Details(val=ERRORS, test=ERRORS),
    "forecasts.json": Forecasts(forecast_columns=1, windows=(WINDOW,)),
    "environment.json": Environment(
        versions={"torch": "2.13"},
        commit=None,
        changed=None,
        platform="Linux",
        device="cpu",
        threads=1,
        seed=7,
        data=UsedData(
            name="mine",
            sha256="0" * 64,
            generated=None,
            rows=100,
            splits={"train": (0, 70), "val": (70, 80), "test": (80, 100)},
        ),
    ),
}


def read(run: RunDir) -> list[Record]:
    found = (run.read_details(), run.read_forecasts(), run.read_environment())
    return [record for record in found if record is not None]


def linked(path: Path) -> None:
    shutil.move(path, path.parent / "canary")
    path.symlink_to(path.parent / "canary")


def piped(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


SPOILED: dict[str, Callable[[Path], object]] = {
    "missing": Path.unlink,
    "huge": lambda path: os.truncate(path, 100 * 2**20),
    "half": lambda path: os.truncate(path, path.stat().st_size // 2),
    "no text": lambda path: path.write_bytes(b"\xff\x00" * 9),
    "deep": lambda path: path.write_bytes(b"[" * 100_000),
    "a list": lambda path: path.write_bytes(b"[]"),
    "a key too many": lambda path: path.write_text('{"more": 1, ' + path.read_text()[1:]),
    "a link": linked,
    "a pipe": piped,
    "a folder": a_folder,
}


@pytest.fixture
def left(tmp_path: Path) -> RunDir:
    """A run folder with all that is only for people to look at."""
    for name, record in LEFT.items():
        (tmp_path / name).write_text(record.model_dump_json(), "utf-8")
    assert read(RunDir(tmp_path)) == list(LEFT.values())
    return RunDir(tmp_path)


@pytest.mark.parametrize("name", LEFT)
@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED)
def test_a_spoiled_file_is_not_read_and_harms_no_other(
    left: RunDir, name: str, spoil: Callable[[Path], object]
) -> None:
    spoil(left.path / name)
    assert read(left) == [record for each, record in LEFT.items() if each != name]


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("errors.json", "[0.5]", "[NaN]"),
        ("errors.json", "[0.5]", '["half"]'),
        ("forecasts.json", "0.5,1.5", "0.5,1e999"),
        ("forecasts.json", "[0.5,", "[null,"),
        ("forecasts.json", "worst", "splendid"),
        ("forecasts.json", "2024-02-29", "2023-02-29"),
        ("forecasts.json", "été", "\\ud800"),
        ("environment.json", '"threads":1', '"threads":1.5'),
        ("environment.json", '"val":[70,80]', '"val":[70]'),
        ("environment.json", '"cpu"', "0"),
    ],
)
def test_a_file_with_another_value_than_its_kind_has_is_not_read(
    left: RunDir, name: str, old: str, new: str
) -> None:
    text = (left.path / name).read_text("utf-8")
    assert old in text
    (left.path / name).write_text(text.replace(old, new), "utf-8")
    assert read(left) == [record for each, record in LEFT.items() if each != name]


@pytest.mark.parametrize(
    ("field", "value"),
    [("dates", WINDOW.dates[:2]), ("columns", ()), ("columns", (WINDOW.columns[0], None))],
)
def test_forecasts_whose_parts_do_not_fit_are_not_read(
    tmp_path: Path, field: str, value: object
) -> None:
    run = RunDir(tmp_path)
    window = WINDOW.model_copy(update={field: value})
    forecasts = Forecasts(forecast_columns=1, windows=()).model_copy(update={"windows": (window,)})
    run.forecasts.write_text(forecasts.model_dump_json(warnings=False))
    assert run.read_forecasts() is None
