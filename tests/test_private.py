"""Files of a workspace can be read by their owner alone, from the moment in which they are made."""

from __future__ import annotations

import logging
import os
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from nas_engine.commands import Control, send
from nas_engine.graph import checkpoints_of
from nas_engine.private import OTHERS
from nas_engine.settings import Settings, SettingsError, load_settings
from nas_engine.store.schema import StoreError, open_database
from nas_engine.workspace import Workspace


@pytest.fixture(params=[0o022, 0o000], ids=["umask 022", "umask 000"])
def careless(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever the person's umask lets others do."""
    before = os.umask(request.param)
    yield
    os.umask(before)


def open_to_others(folder: Path) -> list[str]:
    """Return what others may do something with in a folder, were they let into it."""
    found = [folder, *folder.rglob("*")]
    return [str(path) for path in found if stat.S_IMODE(path.lstat().st_mode) & OTHERS]


@pytest.mark.usefixtures("careless")
def test_a_database_and_all_that_sqlite_makes_beside_it_are_their_owners(
    workspace: Workspace,
) -> None:
    send(workspace, Control(kind="stop"), 1)
    db, checkpoints = open_database(workspace.db), checkpoints_of(workspace)
    db.execute("UPDATE commands SET answer = 'x'")
    checkpoints.setup()
    made = {path.name for path in workspace.db.parent.iterdir()}
    assert made >= {"nas.db", "nas.db-wal", "nas.db-shm", "nas.checkpoints.db"}
    assert open_to_others(workspace.db.parent) == []
    db.close(), checkpoints.conn.close()


@pytest.mark.usefixtures("careless")
def test_a_database_of_an_earlier_version_is_taken_back_and_keeps_what_it_holds(
    workspace: Workspace,
) -> None:
    send(workspace, Control(kind="stop"), 1)
    writer = open_database(workspace.db)
    writer.execute("UPDATE commands SET answer = 'x'")
    writer.conn.commit()
    for path in workspace.db.parent.glob("nas.db*"):
        path.chmod(0o644)
    open_database(workspace.db).close()
    assert open_to_others(workspace.db.parent) == []
    assert writer.execute("SELECT answer FROM commands").fetchone() == ("x",)
    writer.close()


def test_a_database_of_another_application_keeps_its_rights(tmp_path: Path) -> None:
    path = tmp_path / "theirs.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    path.chmod(0o664)
    with pytest.raises(StoreError, match="belongs to another application"):
        open_database(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o664


# -- .env -----------------------------------------------------------------------------------------


@pytest.fixture
def env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / ".env"
    path.write_text("PLANNER_MODEL=mine\n")
    monkeypatch.setitem(Settings.model_config, "env_file", path)
    return path


@pytest.mark.parametrize("rights", [0o644, 0o640, 0o666, 0o604])
def test_an_env_file_that_others_can_read_is_closed_to_them_and_that_is_said(
    env_file: Path, rights: int, caplog: pytest.LogCaptureFixture
) -> None:
    env_file.chmod(rights)
    with caplog.at_level(logging.WARNING):
        assert load_settings().planner_model == "mine"
    assert stat.S_IMODE(env_file.stat().st_mode) == 0o600
    assert f"Others on this machine could read {env_file}" in caplog.text
    caplog.clear()
    load_settings()
    assert caplog.text == ""


def test_an_env_file_that_cannot_be_closed_to_others_is_refused_with_a_sentence(
    env_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, mode: int) -> None:  # as the kernel does where another owns the file
        raise PermissionError(1, "Operation not permitted")

    env_file.chmod(0o644)
    monkeypatch.setattr(Path, "chmod", refuse)
    with pytest.raises(SettingsError, match="chmod 600"):
        load_settings()
    monkeypatch.setattr(Path, "chmod", lambda path, mode: None)  # a file system without rights
    with pytest.raises(SettingsError, match="Others on this machine can read"):
        load_settings()


def test_a_closed_env_file_and_a_missing_one_are_no_news(
    env_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    env_file.chmod(0o400)
    assert load_settings().planner_model == "mine"
    env_file.unlink()
    assert load_settings().planner_model != "mine"
    assert caplog.text == ""
