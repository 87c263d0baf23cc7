"""Forged checkpoints, weights and replies: what they hold is data, and nothing of it runs."""

from __future__ import annotations

import io
import json
import os
import pickle
import sqlite3
import tarfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import ormsgpack
import pytest
import torch
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.serde import jsonplus
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite import SqliteSaver
from pydantic import ValidationError

from data.choices import Choices
from data.intake import read_bytes
from data.own import add, own_folder
from data.registry import DATASETS
from data.synthetic import generate
from informer.checkpoint import CheckpointError, load
from informer.files import digest_of, is_intact
from nas_engine import graph
from nas_engine.planners.llm import ProposeChange
from nas_engine.service.strict_json import strict_json
from nas_engine.workspace import Workspace

# -- checkpoints of LangGraph ---------------------------------------------------------------------


class Evil:
    """Runs a command where it is unpickled."""

    def __init__(self, command: str) -> None:
        self._command = command

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (self._command,)


def extension(code: int, *content: Any) -> tuple[str, bytes]:
    return "msgpack", ormsgpack.packb(ormsgpack.Ext(code, ormsgpack.packb(content)))


def stored(*identity: str, lc: int, **more: Any) -> tuple[str, bytes]:
    told = {"lc": lc, "type": "constructor", "id": identity, **more}
    return "json", json.dumps(told).encode()


def forgeries(ran: Path) -> dict[str, tuple[str, bytes]]:
    """Return rows, kind and content, of which each would make the file `ran` if it were obeyed."""
    touch, parts = f"touch {ran}", ["touch", str(ran)]
    return {
        "one argument": extension(jsonplus.EXT_CONSTRUCTOR_SINGLE_ARG, "os", "system", touch),
        "arguments": extension(jsonplus.EXT_CONSTRUCTOR_POS_ARGS, "os", "system", [touch]),
        "named arguments": extension(
            jsonplus.EXT_CONSTRUCTOR_KW_ARGS, "subprocess", "run", {"args": parts}
        ),
        "a method": extension(
            jsonplus.EXT_METHOD_SINGLE_ARG, "subprocess", "Popen", parts, "__call__"
        ),
        "a model of Pydantic 1": extension(
            jsonplus.EXT_PYDANTIC_V1, "subprocess", "run", {"args": parts}
        ),
        "a model of Pydantic 2": extension(
            jsonplus.EXT_PYDANTIC_V2, "subprocess", "run", {"args": parts}
        ),
        "one inside another": (
            "msgpack",
            ormsgpack.packb(
                {"a": [ormsgpack.Ext(0, ormsgpack.packb(["os", "system", touch]))]},
            ),
        ),
        "LangGraph's JSON": stored("os", "system", lc=2, args=[touch]),
        "LangChain's JSON": stored(
            *("langchain", "prompts", "prompt", "PromptTemplate"), lc=1, kwargs={"template": "x"}
        ),
        "a secret in LangChain's JSON": (
            "json",
            json.dumps({"lc": 1, "type": "secret", "id": ["OPENROUTER_API_KEY"]}).encode(),
        ),
        "a pickle": ("pickle", pickle.dumps(Evil(touch))),
    }


NAMES = tuple(forgeries(Path("x")))
THREAD = {"configurable": {"thread_id": "1/0", "checkpoint_ns": ""}}


def plant(path: Path, place: str, forged: tuple[str, bytes]) -> None:
    """Put a forged row into the checkpoints of a thread: the newest checkpoint, or a write."""
    with closing(sqlite3.connect(path)) as connection, connection:
        if place == "checkpoint":
            connection.execute("UPDATE checkpoints SET type = ?, checkpoint = ?", forged)
        else:
            connection.execute(
                "INSERT INTO writes (thread_id, checkpoint_ns, checkpoint_id, task_id, idx, "
                "channel, type, value) SELECT thread_id, checkpoint_ns, checkpoint_id, 'task', 0, "
                "'number', ?, ? FROM checkpoints",
                forged,
            )


@pytest.mark.parametrize("place", ["checkpoint", "write"])
@pytest.mark.parametrize("name", NAMES)
def test_a_forged_checkpoint_runs_nothing(workspace: Workspace, name: str, place: str) -> None:
    workspace.create()
    ran = workspace.runs / "ran"
    checkpoints = graph.checkpoints_of(workspace)
    with closing(checkpoints.conn):
        checkpoints.put(cast(Any, THREAD), empty_checkpoint(), {}, {})
        plant(workspace.checkpoints, place, forgeries(ran)[name])
        compiled = graph.build(cast(Any, None), checkpoints)
        try:
            read = repr(compiled.get_state(cast(Any, THREAD)))
        except Exception as error:  # what is no checkpoint need not be readable as one
            read = repr(error)
        assert not ran.exists() and "PromptTemplate(" not in read


CARELESS = JsonPlusSerializer(
    allowed_msgpack_modules=True, allowed_json_modules=True, pickle_fallback=True
)


def test_the_forgeries_would_run_if_they_were_obeyed(tmp_path: Path) -> None:
    ran, obeyed = tmp_path / "ran", set()
    for name, forged in forgeries(ran).items():
        read = CARELESS.loads_typed(forged)
        if ran.exists() or "PromptTemplate(" in repr(read):
            obeyed.add(name)
            ran.unlink(missing_ok=True)
    assert len(obeyed) >= 7 and "LangChain's JSON" in obeyed, obeyed


@pytest.mark.parametrize("place", ["checkpoint", "write"])
def test_they_lie_where_langgraph_reads_them(workspace: Workspace, place: str) -> None:
    workspace.create()
    ran = workspace.runs / "ran"
    with closing(graph.checkpoints_of(workspace).conn) as connection:
        careless = SqliteSaver(connection, serde=CARELESS)
        careless.put(cast(Any, THREAD), empty_checkpoint(), {}, {})
        plant(workspace.checkpoints, place, forgeries(ran)["one argument"])
        careless.get_tuple(cast(Any, THREAD))
    assert ran.exists()


def test_checkpoints_are_read_strictly_whenever_langgraph_was_loaded(workspace: Workspace) -> None:
    workspace.create()
    checkpoints = graph.checkpoints_of(workspace)
    serde = checkpoints.serde
    checkpoints.conn.close()
    assert os.environ["LANGGRAPH_STRICT_MSGPACK"] == "true"
    assert isinstance(serde, graph.Inert) and serde._allowed_msgpack_modules is None
    assert isinstance(serde.with_msgpack_allowlist([("os", "system")]), graph.Inert)


# -- names ----------------------------------------------------------------------------------------

LABELS = (
    *("../x.csv", "../../../../etc/passwd", "/etc/passwd", "..", ".", "", "a/b.csv", "~/x.csv"),
    *("C:\\x.csv", "\\\\host\\share\\x.csv", "CON", "NUL.csv", "x.csv\x00.txt", "x\n.csv", "-rf"),
    *("x" * 300, "\u202efdp.csv", "\uff0e\uff0e\u2215x", "%2e%2e%2fx", "$(id).csv", "`id`", "|id"),
    *("file:///etc/passwd", "http://198.51.100.7/x.csv", "=cmd|' /C calc'!A0", "<img src=x>"),
)


@pytest.mark.parametrize("label", LABELS, ids=ascii)
def test_the_name_of_a_file_is_a_label_and_leads_nowhere(label: str, tmp_path: Path) -> None:
    rows = generate(DATASETS["synthetic"]).iloc[:300]
    table = read_bytes(rows.to_csv().encode())
    before = {path for path in tmp_path.rglob("*")}
    added = add("mine", table, label, Choices(date="date", frequency="h"))
    made = {path for path in tmp_path.rglob("*") if path.is_file()} - before
    folder = own_folder().resolve() / "mine"
    assert len(made) == 2 and all(path.resolve().parent == folder for path in made)
    assert added.name == "mine"


# -- weights and replies --------------------------------------------------------------------------


def tarred(content: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name in ("storages", "tensors", "pickle"):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def of_torch(command: str) -> bytes:
    file = io.BytesIO()
    torch.save({"model.x": Evil(command)}, file)
    return file.getvalue()


def of_old_torch(command: str) -> bytes:
    file = io.BytesIO()
    torch.save({"model.x": Evil(command)}, file, _use_new_zipfile_serialization=False)
    return file.getvalue()


WEIGHTS: dict[str, Callable[[str], bytes]] = {
    **{
        f"a pickle, protocol {protocol}": lambda command, protocol=protocol: pickle.dumps(
            Evil(command), protocol
        )
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
    },
    "of torch": of_torch,
    "of torch before 1.6": of_old_torch,
    "a tar of torch before 0.1": lambda command: tarred(pickle.dumps(Evil(command), 2)),
    "a pickle behind a header of safetensors": lambda command: (
        (8).to_bytes(8, "little") + b"{}      " + pickle.dumps(Evil(command))
    ),
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_evil_weights_are_never_unpickled(tmp_path: Path, name: str) -> None:
    ran, evil = tmp_path / "ran", tmp_path / "evil"
    evil.write_bytes(WEIGHTS[name](f"touch {ran}"))
    checkpoint = evil.rename(tmp_path / f"epoch-1-{digest_of(evil)}.checkpoint")
    assert is_intact(checkpoint), "the name says what the file holds, as of one of our own"
    model = torch.nn.Linear(2, 2)
    optimizer, order = torch.optim.Adam(model.parameters()), torch.Generator()
    with pytest.raises(CheckpointError, match="cannot be used"):
        load(checkpoint, model, optimizer, order, torch.device("cpu"))
    assert not ran.exists()


@pytest.mark.parametrize(
    "reply",
    [
        {"lc": 1, "type": "constructor", "id": ["langchain_core", "prompts", "PromptTemplate"]},
        {"lc": 1, "type": "secret", "id": ["OPENROUTER_API_KEY"]},
        {"lc": 2, "type": "constructor", "id": ["os", "system"], "args": ["id"]},
        {"py/object": "os.system", "py/reduce": ["id"]},
        {"__class__": "os.system", "__args__": ["id"]},
    ],
)
def test_an_object_in_a_reply_stays_text_and_is_no_proposal(reply: dict[str, Any]) -> None:
    assert strict_json(json.dumps(reply)) == reply
    with pytest.raises(ValidationError):
        ProposeChange.model_validate(reply)
    whole = {"step_type": "small", "hypothesis": "h", "plan": "p"}
    value = [{"path": "model.dropout", "value": reply}]
    with pytest.raises(ValidationError):
        ProposeChange.model_validate({**whole, "changes": value})
