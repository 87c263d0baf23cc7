"""Forecasts of all windows are computed once, by a process that may be lost, and kept."""

from __future__ import annotations

import dataclasses
import fcntl
import io
import os
import time
from pathlib import Path

import numpy as np
import pytest

from informer.config import RunConfig
from informer.hindcast import Facts, carry_out, write_status
from informer.records import Failure
from informer.rundir import RunDir
from nas_engine import hindcasts
from nas_engine.hindcasts import Hindcast, Wanted, Working, begin, of_baseline, of_run, standing
from nas_engine.settings import load_settings

CONFIG = RunConfig().with_changes({"data.dataset": "synthetic", "data.pred_len": 4})


def wanted(config: RunConfig = CONFIG) -> Wanted:
    found = of_baseline(config, "repeat-last", "val")
    assert isinstance(found, Wanted)
    return found


def computed(folder: Path, asked: Wanted) -> Hindcast:
    """Compute in this process."""
    carry_out(hindcasts.order(folder, asked))
    found = standing(folder, asked)
    assert isinstance(found, Hindcast), found
    return found


def test_a_process_of_its_own_computes_them_and_only_one(tmp_path: Path) -> None:
    folder, asked = tmp_path / "forecasts", wanted()
    assert standing(folder, asked) is None
    assert begin(folder, asked, load_settings()) is None
    assert isinstance(standing(folder, asked), Working | Hindcast)
    assert begin(folder, asked, load_settings()) is None, "another is under way"
    deadline = time.monotonic() + 120
    while isinstance(found := standing(folder, asked), Working):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert isinstance(found, Hindcast), found
    first = found.rows(5).start
    assert (found.forecast[5] == found.values[first - 1]).all(), "the last value is repeated"
    np.testing.assert_array_equal(found.truth[5], found.values[found.rows(5)])
    assert found.facts.mse == pytest.approx(
        float(((found.forecast - found.truth) ** 2).mean()), rel=1e-4
    )
    assert found.begins()[5] == found.dates[first]
    assert len(found.begins()) == found.facts.windows == len(found.truth)


def test_who_holds_the_lock_is_at_work_and_who_let_go_without_a_result_was_lost(
    tmp_path: Path,
) -> None:
    asked = wanted()
    write_status(tmp_path / f"{asked.key}.json", Working(done=3, of=9))
    with (tmp_path / f"{asked.key}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert standing(tmp_path, asked) == Working(done=3, of=9)
        assert begin(tmp_path, asked, load_settings()) is None
        assert standing(tmp_path, asked) == Working(done=3, of=9), "a second one was begun"
    assert "was lost, perhaps because memory ran out" in str(standing(tmp_path, asked))
    write_status(
        tmp_path / f"{asked.key}.json", Failure(error_class="data", message="No such file.")
    )
    assert standing(tmp_path, asked) == "No such file."


def test_nothing_is_unpickled_and_what_is_damaged_counts_as_not_there(tmp_path: Path) -> None:
    asked = wanted()
    made = computed(tmp_path, asked)
    place = tmp_path / asked.key
    whole = (place / "dates.npy").read_bytes()

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, (f"touch {tmp_path / 'ran'}",)

    pickled = io.BytesIO()
    np.save(pickled, np.array([Evil()], object), allow_pickle=True)
    archive = io.BytesIO()
    np.savez(archive, dates=np.zeros(3))
    cut = (whole[:-8], b"", whole.replace(b"M8[us]", b"M8[ns]"))
    for content in (pickled.getvalue(), archive.getvalue(), b"PK\x03\x04", *cut):
        (place / "dates.npy").write_bytes(content)
        assert standing(tmp_path, asked) is None
    assert not (tmp_path / "ran").exists()
    (place / "dates.npy").unlink()
    os.mkfifo(place / "dates.npy")
    assert standing(tmp_path, asked) is None, "nobody waits for a pipe"
    (place / "dates.npy").unlink()
    (place / "dates.npy").write_bytes(whole)
    for change in ({"scale": ()}, {"seq_len": 10**9}, {"horizon": 10**9}):
        facts = made.facts.model_copy(update=change)
        (place / "facts.json").write_text(facts.model_dump_json())
        assert standing(tmp_path, asked) is None
    assert Facts.model_validate_json((place / "facts.json").read_text()).horizon == 10**9


def test_the_oldest_are_removed_where_they_take_too_much(tmp_path: Path) -> None:
    places = []
    for age in (3, 2, 1):
        place = tmp_path / f"key-{age}"
        place.mkdir()
        (place / "forecast.npy").write_bytes(bytes(100))
        (tmp_path / f"key-{age}.lock").touch()
        os.utime(place, (time.time() - 1000 * age,) * 2)
        places.append(place)
    hindcasts._make_room(tmp_path, keep={"key-3"}, limit=250)
    assert [place.exists() for place in places] == [True, False, True]
    assert not (tmp_path / "key-2.lock").exists()


def test_what_decides_the_forecasts_names_them() -> None:
    keys = {wanted().key, wanted(CONFIG.with_changes({"data.pred_len": 5})).key}
    for name in ("seasonal-naive", "closed-form linear"):
        for part in ("val", "test"):
            found = of_baseline(CONFIG, name, part)  # type: ignore[arg-type]
            assert isinstance(found, Wanted)
            keys.add(found.key)
    assert len(keys) == 6
    assert wanted(CONFIG.with_changes({"model.d_model": 8, "model.n_heads": 2})).key == wanted().key


def test_a_run_without_weights_is_a_sentence(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "run")
    assert "is not on this machine" in str(of_run(run, "val"))
    run.create(CONFIG)
    assert "has not come to a result" in str(of_run(run, "val"))
    run.write_result(Failure(error_class="error", message="It failed."))
    assert "has not come to a result" in str(of_run(run, "val"))


def test_nothing_is_downloaded_for_a_forecast(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nas_engine.hindcasts.on_this_machine", lambda name: None)
    weather = CONFIG.with_changes({"data.dataset": "Weather", "data.target": "OT"})
    asked = dataclasses.replace(wanted(), config=weather)
    said = begin(tmp_path / "forecasts", asked, load_settings())
    assert said == "Data set Weather is not on this machine: download it on the page Data first."
    assert not (tmp_path / "forecasts").exists()


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "forecasts").touch()
    assert "could not be begun" in str(begin(tmp_path / "forecasts", wanted(), load_settings()))
