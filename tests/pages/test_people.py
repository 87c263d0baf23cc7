"""Who may look and who may act: the rule, the doors it stands at, and the pages of a viewer."""

from __future__ import annotations

import ast
import hashlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection

from data import actors, own, source
from data.actors import Actor
from data.choices import Choices
from data.intake import read
from data.registry import DATASETS, DataError
from informer.config import PRESETS
from informer.export import Order
from nas_engine import bundling, dry_run, hindcasts, labels, supervisor
from nas_engine.commands import COMMAND, Command, Describe, send
from nas_engine.exchange.archive import ExchangeError
from nas_engine.exchange.importing import import_search
from nas_engine.search import SearchSpec
from nas_engine.settings import Settings, load_settings
from nas_engine.similarity import Task, with_traits
from nas_engine.store import wishes
from nas_engine.store.reader import reading
from nas_engine.store.schema import StoreError
from nas_engine.workspace import PROJECT, Workspace
from pages._parts import people, serving
from pages._parts.people import Person, person
from tests.pages import seed
from tests.pages.conftest import PAGES, Engine, Open

REFUSAL = "vera@lab.example may look, not act."
VIEWER = Actor("vera@lab.example", REFUSAL)
LISTS = Settings(nas_operators="ada@lab.example, BOB@lab.example", nas_viewers="@lab.example")

READ_ONLY = {  # buttons that change what this tab shows, or lead elsewhere
    *("Draw it anew", "Start a search", "Begin with a preset instead", "Put this away"),
    *("Back to the rules of the search", "Show what is new", "Make it a constraint"),
    *("Add to the guidance", "Narrow the space to them", "Best 4", "None", "These rows"),
}


@pytest.fixture
def viewer(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let somebody act who may only look, on pages too."""
    monkeypatch.setattr(people, "actor", lambda: VIEWER)
    actors.name_by(lambda: VIEWER)
    yield
    actors.name_by(actors.of_process)


# -- the rule -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("claims", "found"),
    [
        ({}, "Log in first."),
        ({"email": "ada@lab.example"}, "Log in first."),
        ({"is_logged_in": "yes", "email": "ada@lab.example"}, "Log in first."),
        ({"is_logged_in": True}, "no e-mail address"),
        ({"is_logged_in": True, "email": None}, "no e-mail address"),
        (
            {"is_logged_in": True, "email": "ada@lab.example", "email_verified": False},
            "has not verified",
        ),
        ({"is_logged_in": True, "email": "eve@elsewhere.example"}, "may not look"),
        ({"is_logged_in": True, "email": "eve@lab.example.elsewhere.example"}, "may not look"),
        ({"is_logged_in": True, "email": "lab.example"}, "no e-mail address"),
        ({"is_logged_in": True, "email": "ada@lab.example@elsewhere.example"}, "may not look"),
    ],
)
def test_who_is_not_let_in_is_told_why(claims: dict[str, object], found: str) -> None:
    refusal = person(claims, LISTS)
    assert isinstance(refusal, str) and found in refusal


@pytest.mark.parametrize(
    ("email", "settings", "role"),
    [
        ("Ada@Lab.example", LISTS, "operator"),
        ("bob@lab.example", LISTS, "operator"),
        ("vera@lab.example", LISTS, "viewer"),
        ("anybody@elsewhere.example", Settings(), "viewer"),
        ("anybody@elsewhere.example", Settings(nas_operators="ada@lab.example"), "viewer"),
        ("vera@lab.example", Settings(nas_operators="@lab.example"), "operator"),
    ],
)
def test_roles_are_by_address(email: str, settings: Settings, role: str) -> None:
    found = person({"is_logged_in": True, "email": email, "email_verified": True}, settings)
    assert found == Person(email.lower(), role)  # type: ignore[arg-type]  # one of two


def test_without_a_login_the_user_of_this_machine_acts() -> None:
    assert people.actor() == actors.of_process() and not people.actor().refusal


def test_with_a_login_nobody_acts_outside_of_a_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(people, "login_needed", lambda: True)
    assert people.actor() == Actor("", people.NOT_LOGGED_IN)


def test_a_file_of_secrets_that_cannot_be_read_lets_nobody_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "secrets.toml"
    monkeypatch.setattr(people.config, "get_option", lambda name: [str(file)])
    monkeypatch.setattr(type(st.secrets), "load_if_toml_exists", lambda self: False)
    assert not people.secrets_unreadable()
    file.write_text("[auth")
    assert people.secrets_unreadable() and people.login_needed()


# -- the doors ----------------------------------------------------------------------------------


def an_example(kind: str) -> Command:
    """Return a command of a kind, filled in as its schema needs."""
    given: dict[str, Any] = {
        "start": {"spec": SearchSpec().model_dump()},
        "enqueue": {"changes": {"model.dropout": 0.2}},
        "decide": {"proposal_id": 1, "version": 1, "decision": "approved"},
        "ask_again": {"proposal_id": 1, "version": 1},
        "guide": {"words": "dropout at most 0.2"},
        "lift": {"steering_id": 1},
        "ask": {"question": "Which is best?"},
        "stop_answer": {"turn_id": 1},
        "replay": {"number": 1, "planner": "tpe"},
        "describe": {"edition": 0, "name": "Mine"},
        **{act: {"number": 1} for act in ("stop_trial", "skip", "retry", "another_seed")},
        "to_front": {"number": 1},
    }
    return COMMAND.validate_python({"kind": kind, **given.get(kind, {})})


KINDS = sorted(COMMAND.json_schema()["discriminator"]["mapping"])


def all_files(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith(("-shm", "-wal"))
    }


def rows(workspace: Workspace) -> dict[str, int]:
    """Return how many rows each table has."""
    with reading(workspace) as reader:
        assert reader is not None
        ask = reader._connection.execute
        tables = ask("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        return {name: ask(f"SELECT count(*) FROM [{name}]").fetchone()[0] for (name,) in tables}


@pytest.mark.parametrize("kind", KINDS)
def test_a_viewer_gives_no_command_of_any_kind(
    kind: str, workspace: Workspace, viewer: None
) -> None:
    with pytest.raises(StoreError, match="may look, not act"):
        send(workspace, an_example(kind), 1)
    assert not workspace.db.exists()


def test_a_viewer_passes_no_other_door(
    workspace: Workspace, viewer: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    actors.name_by(actors.of_process)
    search_id = seed.small(workspace)
    file = tmp_path / "mine.csv"
    lines = [f"2020-01-{1 + hour // 24:02} {hour % 24:02}:00:00,{hour}" for hour in range(600)]
    file.write_text("\n".join(["date,OT", *lines]) + "\n")
    table = read(file, Choices())
    own.add("kept", table, "mine.csv", Choices(), season=24)
    actors.name_by(lambda: VIEWER)
    before, files = rows(workspace), all_files(tmp_path)

    refused: list[tuple[type[Exception], Callable[[], object]]] = [
        (StoreError, lambda: supervisor.start_search(workspace, SearchSpec())),
        (StoreError, lambda: supervisor.resume_search(workspace, search_id)),
        (StoreError, lambda: labels.describe(workspace, search_id, Describe(edition=0, name="x"))),
        (StoreError, lambda: labels.save_view(workspace, "compare", "mine", "a=b")),
        (StoreError, lambda: labels.remove_view(workspace, "compare", "mine")),
        (ExchangeError, lambda: import_search(workspace, io.BytesIO(b"PK"), "x.nas.zip")),
        (DataError, lambda: own.add("new", table, "mine.csv", Choices(), season=24)),
        (DataError, lambda: own.remove("kept")),
        (DataError, lambda: source._download(DATASETS["ETTm1"], None)),
        (bundling.BundlingError, lambda: bundling.write(an_order(tmp_path), load_settings())),
    ]
    for error, act in refused:
        with pytest.raises(error, match="may look, not act"):
            act()
    config = PRESETS["small"].config()
    assert dry_run.dry_run(config, load_settings()) == REFUSAL
    wanted = hindcasts.Wanted("k", "val", config, "data", None, "repeat last value", None)
    assert hindcasts.begin(workspace.forecasts, wanted, load_settings()) == REFUSAL
    task = Task("synthetic", None, "M", "OT", 24, 96, None)
    assert with_traits([task], load_settings()) == [task]
    assert (rows(workspace), all_files(tmp_path)) == (before, files)


def an_order(folder: Path) -> Order:
    return Order.model_construct(output=str(folder / "bundle"))


def test_the_database_is_written_where_it_is_known_to_be() -> None:
    """A writer that is new must ask who acts, unless it is the engine's, and go on the list."""
    engine = {"store/writer.py", "store/reader.py"}
    asking = {"commands.py", "labels.py", "exchange/importing.py"}
    found = {
        path.relative_to(PROJECT / "nas_engine").as_posix()
        for path in (PROJECT / "nas_engine").rglob("*.py")
        if "open_database" in called(path)
    }
    assert found == engine | asking
    for name in asking:
        assert "require" in called(PROJECT / "nas_engine" / name), name


def called(path: Path) -> set[str]:
    tree = ast.parse(path.read_text("utf-8"))
    functions = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    return {
        function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        for function in functions
    }


def test_who_acts_is_kept_with_what_they_do(workspace: Workspace) -> None:
    actors.name_by(lambda: Actor("ada@lab.example"))
    try:
        search_id = seed.small(workspace)
        number = send(workspace, an_example("guide"), search_id)
        labels.describe(workspace, search_id, Describe(edition=0, name="Mine"))
    finally:
        actors.name_by(actors.of_process)
    with reading(workspace) as reader:
        assert reader is not None
        given, described = wishes.command(reader, number), wishes.command(reader, number + 1)
    assert given is not None and described is not None
    assert {given.author, described.author} == {"ada@lab.example"}


# -- the pages of a viewer ----------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES)
def test_a_viewer_is_offered_nothing_that_writes(
    page: str, workspace: Workspace, viewer: None, open_page: Open, engine: Engine
) -> None:
    actors.name_by(actors.of_process)
    search_id = seed.eventful(workspace)
    app = open_page(page, search=str(search_id))
    offered = {button.label for button in app.button if not button.disabled}
    assert offered <= READ_ONLY, offered - READ_ONLY
    barred = [button for button in app.button if button.disabled]
    if page in ("live", "review", "start", "overview"):
        assert any(button.help == REFUSAL for button in barred), [b.help for b in barred]
    assert not engine.given


# -- which addresses are this computer's ----------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "hosts", "server", "found"),
    [
        ("127.0.0.1", ["127.0.0.1", "localhost", "::1"], ("127.0.0.1", 8501), False),
        ("::1", ["::1"], ("::1", 8501), False),
        ("localhost", ["localhost"], ("/run/nas.sock", None), False),
        ("0.0.0.0", ["localhost"], ("127.0.0.1", 8501), True),
        ("::", ["localhost"], ("127.0.0.1", 8501), True),
        (None, ["localhost"], ("127.0.0.1", 8501), True),
        ("127.0.0.1", ["localhost", "nas.lab.example"], ("127.0.0.1", 8501), True),
        ("127.0.0.1", ["*"], ("127.0.0.1", 8501), True),
        ("127.0.0.1", [], ("127.0.0.1", 8501), True),
        ("127.0.0.1", ["localhost"], ("192.0.2.7", 8501), True),  # uvicorn app:app --host
        ("192.0.2.7", ["192.0.2.7"], ("192.0.2.7", 8501), True),
    ],
)
def test_it_is_known_whether_other_computers_can_reach_it(
    address: str | None,
    hosts: list[str],
    server: tuple[str, int | None],
    found: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options = {"server.address": address, "server.allowedHosts": hosts}
    monkeypatch.setattr(serving.config, "get_option", options.__getitem__)
    asked = HTTPConnection({"type": "http", "server": server, "headers": [], "path": "/"})
    assert serving.reachable(asked) == found


@pytest.mark.parametrize("root", ["", "/nas"])
def test_data_need_a_login_below_whatever_address(
    root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "login_needed", lambda: True)
    monkeypatch.setattr(serving, "is_host_allowed", lambda host: True)
    for path, answered in (("/media/x", False), ("/_stcore/upload_file/0/0", False), ("/", True)):
        asked = HTTPConnection(
            {"type": "http", "headers": [], "path": f"{root}{path}", "root_path": root}
        )
        assert (serving.refused(asked, "GET") == "") == answered, path


@pytest.mark.parametrize(
    ("address", "warned"),
    [
        ("https://nas.lab.example/oauth2callback", False),
        ("http://localhost:8501/oauth2callback", False),
        ("http://nas.lab.example/oauth2callback", True),
        ("", False),
    ],
)
def test_a_login_that_others_can_read_is_warned_of(
    address: str, warned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(people, "login_address", lambda: address)
    for module in (people, serving):
        monkeypatch.setattr(module, "login_needed", lambda: True)
        monkeypatch.setattr(module, "secrets_unreadable", lambda: False)
    assert people.unencrypted() == warned
    assert list(serving.cautions()) == ([people.NO_TLS] if warned else [])


def test_cookies_are_secure_where_people_log_in_over_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    for address in ("https://nas.lab.example/oauth2callback", "http://localhost:8501/x"):
        monkeypatch.setattr(serving, "login_address", lambda address=address: address)
        headers = MutableHeaders(raw=[(b"set-cookie", b"a=b; HttpOnly"), (b"x", b"y")])
        serving._add_headers(headers)
        assert headers["set-cookie"].endswith("; Secure") == address.startswith("https")
        assert headers["x"] == "y" and headers["x-frame-options"] == "DENY"
