"""Folders put in place whole; what a lost process has left of one is removed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from data import beside
from data.beside import put_whole

MAKER = """
import sys
from pathlib import Path
from data.beside import beside
with beside(Path(sys.argv[1])) as made:
    (made / "half").write_text("")
    print(flush=True)
    sys.stdin.read()
"""


def made_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def test_what_a_killed_process_has_left_is_removed_and_nothing_while_it_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beside, "_YOUNG_SECONDS", 0.0)
    process = subprocess.Popen(
        (sys.executable, "-c", MAKER, str(tmp_path)),
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with process:
        assert process.stdout is not None and process.stdout.readline() == b"\n"
        [its] = made_in(tmp_path)
        with beside.beside(tmp_path) as made:
            assert sorted(made_in(tmp_path)) == sorted([its, made.name])
        assert made_in(tmp_path) == [its], "it lives"
        os.kill(process.pid, signal.SIGKILL)
    with beside.beside(tmp_path) as made:
        assert made_in(tmp_path) == [made.name]


@pytest.mark.parametrize("at_once", [True, False])
def test_a_folder_takes_the_place_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: bool
) -> None:
    if not at_once:
        monkeypatch.setattr(beside, "_exchanged", lambda one, other: False)
    place = tmp_path / "place"
    for content in ("first", "second"):
        with beside.beside(tmp_path) as temporary:
            made = temporary / "new"
            made.mkdir()
            (made / "file").write_text(content)
            put_whole(made, place)
        assert (place / "file").read_text() == content and made_in(tmp_path) == ["place"]


@pytest.mark.skipif(sys.platform != "linux", reason="other kernels have no such call")
def test_there_is_no_moment_without_a_folder_that_is_replaced(tmp_path: Path) -> None:
    made, place = tmp_path / "made", tmp_path / "place"
    made.mkdir()
    place.mkdir()
    (made / "new").touch()
    assert beside._exchanged(made, place), "one call puts one there and takes the other away"
    assert made_in(place) == ["new"] and made_in(made) == []
