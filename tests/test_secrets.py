"""A planted key is hunted through all that a search writes, starts and sends.

One small search runs as the dashboard would start it, with a model that echoes the key in every way
and all that could send prompts elsewhere switched on. The tests look at what it left.
"""

from __future__ import annotations

import base64
import io
import json
import logging
import os
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from click.testing import CliRunner
from langsmith.utils import get_env_var, tracing_is_enabled

from nas_engine.bundling import order_of
from nas_engine.cli.main import main
from nas_engine.engine import log_handler
from nas_engine.search import SearchSpec
from nas_engine.service.tracing import trace_nothing
from nas_engine.settings import Settings
from nas_engine.store.reader import reading
from nas_engine.workspace import PROJECT, Workspace
from tests.fakes.llm_faults import KEY
from tests.fakes.llm_server import (
    LLMServer,
    Reply,
    Request,
    asked_for,
    failure,
    judgement,
    proposal,
    serving,
    text,
)
from tests.faults.llm import holds_key
from tests.test_private import open_to_others

pytestmark = pytest.mark.xdist_group("secrets")

WATCHED = PROJECT / "tests" / "fakes" / "watched"
ECHOES = f"{KEY} {base64.b64encode(KEY.encode()).decode()} {quote(KEY, safe='')}"
QUICK = {
    "data.dataset": "synthetic",
    "training.epochs": 1,
    "training.steps_per_epoch": 2,
    "model.e_layers": 0,
    "model.skip": True,
    "model.head": "linear",
    "model.distil": False,
}


@dataclass(frozen=True)
class Searched:
    """What a search left: its workspace, what processes told of themselves, what was asked."""

    workspace: Workspace
    processes: list[list[dict[str, Any]]]
    server: LLMServer
    elsewhere: int  # connections to where nobody should connect
    printed: str

    def process(self, module: str) -> list[dict[str, Any]]:
        """Return what the one process that ran a module told."""
        (told,) = [told for told in self.processes if module in told[0]["command"]]
        return told

    def connected(self, told: list[dict[str, Any]]) -> set[str]:
        """Return with what a process connected, and which names it looked up."""
        return {line["address"] for line in told[1:]}


START = """
import sys
from pathlib import Path
from nas_engine.commands import Start
from nas_engine.search import SearchSpec
from nas_engine.supervisor import request
from nas_engine.workspace import Workspace
spec = SearchSpec.model_validate_json(sys.argv[2])
print(request(Workspace(Path(sys.argv[1])), Start(spec=spec), None, wait_seconds=600).text)
"""
"""As the dashboard and the command line do it, with the patience that a busy machine needs."""


def await_end(workspace: Workspace) -> None:
    """Wait until the search has ended and its engine is gone."""
    deadline = time.monotonic() + 900
    while time.monotonic() < deadline:
        with reading(workspace) as reader:
            assert reader is not None
            (search,) = reader.searches()
            engine = reader.engine(search.id)
        if search.state != "running" and engine is not None and engine.released:
            assert search.state == "completed", search.reason
            return
        time.sleep(0.1)
    raise AssertionError("the search did not end")


def script(request: Request, index: int) -> Reply:
    """Fail and answer with the key in it, then propose something."""
    if asked_for(request) == "Judge":
        return judgement(True, f"As {ECHOES} says.")
    good = proposal({"model.normalisation": "standardise"}, f"Since {ECHOES} says so.")
    replies = (failure(500, f"bad key {ECHOES}"), text(f"I cannot, {ECHOES}"), good)
    return replies[min(index, 2)]


@contextmanager
def trap() -> Iterator[tuple[int, list[object]]]:
    """Listen where nobody should connect; yields the port and who did."""
    came: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def accept() -> None:
            while True:
                try:
                    connection, who = listening.accept()
                except OSError:
                    return
                came.append(who)
                connection.close()

        threading.Thread(target=accept, daemon=True).start()
        yield listening.getsockname()[1], came
        listening.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Searched]:
    """Run a search of two trials with the real engine and a real worker, under umask 000."""
    folder = tmp_path_factory.mktemp("secrets")
    notes = folder / "notes"
    notes.mkdir()
    workspace = Workspace(folder / "workspace" / "nas.db")
    rules = {"seeds": 1, "extra_seeds": 0}
    spec = SearchSpec.model_validate(
        {"planner": "llm", "max_trials": 2, "settings": QUICK, "rules": rules}
    )
    with serving(script) as server, trap() as (port, came):
        elsewhere = f"http://127.0.0.1:{port}"
        environment = {
            **{name: text for name, text in os.environ.items() if "PROXY" not in name.upper()},
            "OPENROUTER_API_KEY": KEY,
            "OPENAI_BASE_URL": server.url,
            "LLM_RETRIES": "1",
            "LLM_RETRY_SECONDS": "0",
            "DEBUG": "true",
            "HARMLESS_BY_NAME": f"Bearer {KEY}",
            "PYTHONPATH": str(WATCHED),
            "NAS_WATCHED": str(notes),
            "XDG_DATA_HOME": str(folder / "user-data"),
            "LANGSMITH_API_KEY": "lsv2-planted",
            "LANGSMITH_ENDPOINT": elsewhere,
            "HTTP_PROXY": elsewhere,
            "HTTPS_PROXY": elsewhere,
            **dict.fromkeys(("LANGSMITH_TRACING", "LANGSMITH_TRACING_V2"), "true"),
            **dict.fromkeys(("LANGCHAIN_TRACING", "LANGCHAIN_TRACING_V2"), "true"),
        }
        started = subprocess.run(
            [sys.executable, "-c", START, str(workspace.db), spec.model_dump_json()],
            cwd=PROJECT,
            env=environment,
            capture_output=True,
            text=True,
            umask=0,
        )
        assert "has started" in started.stdout, started.stdout + started.stderr
        await_end(workspace)
        processes = [
            [json.loads(line) for line in path.read_text().splitlines()] for path in notes.iterdir()
        ]
        yield Searched(workspace, processes, server, len(came), started.stdout + started.stderr)


def texts(path: Path, content: bytes) -> Iterator[tuple[str, str]]:
    """Yield what a file holds as texts with their names: archives and databases taken apart."""
    yield path.name, content.decode("utf-8", "replace")
    if zipfile.is_zipfile(io.BytesIO(content)):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for name in archive.namelist():
                yield f"{path.name}/{name}", archive.read(name).decode("utf-8", "replace")
    elif content.startswith(b"SQLite format 3"):  # a long text lies in pieces
        with closing(sqlite3.connect(path)) as database:
            yield f"{path.name}, dumped", "\n".join(database.iterdump())
    elif content.startswith(b"PAR1"):
        import pandas as pd

        yield f"{path.name}, read", pd.read_parquet(path).to_csv()


def found_in(folder: Path) -> list[str]:
    """Return the names of the texts below a folder that hold the key in any form."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [
        name
        for path in files
        for name, content in texts(path, path.read_bytes())
        if holds_key(content)
    ]


def test_a_planted_key_is_in_nothing_that_is_written(searched: Searched, tmp_path: Path) -> None:
    workspace, db = searched.workspace, ("--db", str(searched.workspace.db))
    for name, command in (
        ("t.csv", ("export",)),
        ("t.json", ("export", "--format", "json")),
        ("t.parquet", ("export", "--format", "parquet")),
        ("t.md", ("transcript",)),
        ("t.jsonl", ("transcript", "--format", "jsonl")),
        ("t.nas.zip", ("export-search", "1", "--weights", "all")),
    ):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("OPENROUTER_API_KEY", KEY)
            ended = CliRunner().invoke(main, [*command, "--output", str(tmp_path / name), *db])
        assert ended.exit_code == 0, ended.output
    settings = Settings(openrouter_api_key=KEY)  # type: ignore[arg-type]
    with reading(workspace) as reader:
        assert reader is not None
        assert [trial.source for trial in reader.trials(1)] == ["default", "llm"]
        (trial,) = [trial for trial in reader.trials(1) if trial.number == 1]
        order = order_of(reader, settings, workspace, trial, tmp_path / "b", replace=False)
    (tmp_path / "bundle.json").write_text(order.model_dump_json())
    assert "[key]" in (tmp_path / "t.md").read_text(), "what the model said is kept, without it"

    assert found_in(workspace.db.parent) == [] and found_in(tmp_path) == []
    asked = json.dumps(searched.server.requests)
    assert len(searched.server.requests) >= 3 and not holds_key(asked)
    assert all(KEY in headers["authorization"] for headers in searched.server.headers)
    assert not holds_key(searched.printed)


@pytest.mark.parametrize("form", [KEY, *ECHOES.split()[1:]])
def test_a_planted_control_is_found(form: str, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "a.db")) as database, database:
        database.execute("CREATE TABLE t (x)")
        database.execute("INSERT INTO t VALUES (?)", ("x" * 4000 + form + "x" * 9000,))
    with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("member", form)
    (tmp_path / "log.txt").write_text(f"before {form} after")
    found = {name.split(",")[0] for name in found_in(tmp_path)}
    assert found == {"a.db", "b.zip/member", "log.txt"}


def test_no_other_process_is_given_a_key(searched: Searched) -> None:
    assert not any(holds_key(json.dumps(told[0]["command"])) for told in searched.processes)
    starter, engine = searched.process("-c"), searched.process("nas_engine.engine")
    assert holds_key(json.dumps(engine)), "the engine needs it, and a planted one is found"
    others = [told for told in searched.processes if told not in (starter, engine)]
    assert {"informer", "informer.baselines"} <= {told[0]["command"][2] for told in others}
    for told in others:
        assert not holds_key(json.dumps(told[0]["environment"]))
        assert "LANGSMITH_API_KEY" not in told[0]["environment"]
        assert told[0]["environment"]["NAS_WATCHED"], "the rest of the environment is there"


def test_only_the_engine_connects_and_only_to_the_language_model(searched: Searched) -> None:
    engine = searched.process("nas_engine.engine")
    port = searched.server.url.rpartition(":")[2].removesuffix("/v1")
    assert searched.connected(engine) - {"'127.0.0.1'"} == {f"('127.0.0.1', {port})"}
    for told in searched.processes:
        if told is not engine:
            assert searched.connected(told) == set(), told[0]["command"]
    assert searched.elsewhere == 0


def test_tracing_is_off_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LANGSMITH_TRACING", "LANGCHAIN_TRACING"):
        monkeypatch.setenv(name, "true")
        monkeypatch.setenv(f"{name}_V2", "true")
    get_env_var.cache_clear()
    assert tracing_is_enabled(), "it would be on"
    trace_nothing()
    get_env_var.cache_clear()
    assert not tracing_is_enabled()


def test_all_that_a_search_writes_is_its_owners_whatever_the_umask(searched: Searched) -> None:
    made = {path.name for path in searched.workspace.db.parent.rglob("*")}
    assert made >= {"nas.db", "nas.checkpoints.db", "engines.log", "config.json", "result.json"}
    assert open_to_others(searched.workspace.db.parent) == []


# -- the log --------------------------------------------------------------------------------------

FORGED = "2026-11-30 12:00:00,000 7 nas_engine.engine ERROR All is well"
BREAKS = ("\n", "\r", "\r\n", "\v", "\f", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029")
SIGNS = ("\x1b[2J", "\x1b]0;x\x07", "\x9b2J", "\x00", "\x08" * 40, "\u202e", "\ufeff", "\u200b")


@pytest.mark.parametrize("between", [*BREAKS, *SIGNS], ids=ascii)
def test_an_event_is_one_line_of_the_log(between: str) -> None:
    written = io.StringIO()
    logger = logging.Logger("library")
    logger.addHandler(log_handler(Settings(), written))
    logger.error("A proposal says: x%s%s", between, FORGED)
    try:
        raise ValueError(f"x{between}{FORGED}")
    except ValueError:
        logger.exception("It failed")
    lines = written.getvalue().split("\n")
    events = [line for line in lines if line and not line.startswith("    ")]
    assert len(events) == 2 and not any(line.startswith("2026-11-30 12") for line in lines)
    assert all(sign.isprintable() for line in lines for sign in line)


def test_a_line_of_a_megabyte_is_cut_after_the_key_is_out_of_it() -> None:
    written = io.StringIO()
    logger = logging.Logger("library")
    logger.addHandler(log_handler(Settings(openrouter_api_key=KEY), written))  # type: ignore[arg-type]
    for before in range(19_940, 20_000, 20):
        logger.error("%s", "x" * before + KEY + "x" * 1_000_000)
    assert max(map(len, written.getvalue().splitlines())) < 21_000
    assert not holds_key(written.getvalue())
