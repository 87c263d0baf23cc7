"""`python -m tests.fuzz.commands`: rows of commands in the database, as anybody may write them.

An input is the payload of one row, or a JSON list of rows: each a command, or `{"row": {...}}` with
columns of its own. A real engine takes them, and then pages read all that there is.
"""

from __future__ import annotations

import functools
import json
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr

from informer.config import fields, from_flat
from nas_engine.audit import asked
from nas_engine.commands import (
    COMMAND,
    Ask,
    AskAgain,
    Change,
    Control,
    Decide,
    Describe,
    Enqueue,
    Guide,
    Lift,
    OnTrial,
    Replay,
    Start,
    StopAnswer,
)
from nas_engine.engine import Engine, _addressed
from nas_engine.search import SearchSpec
from nas_engine.settings import Settings, load_settings
from nas_engine.store import wishes
from nas_engine.store.reader import SearchRow, TrialRow, reading
from nas_engine.store.writer import Writer
from nas_engine.trainers.base import Trainer
from nas_engine.workspace import Workspace
from tests.engine.exchanged import Lines, dump, read_all
from tests.fakes.trainer import FakeTrainer
from tests.fuzz.mutation import changed as changed_value
from tests.fuzz.mutation import changed_json
from tests.fuzz.scratch import scratch
from tests.pages import seed

OUTCOMES = ("applied", "refused", "unstorable")  # the first of several counts
LONGEST = 20_000
"""Characters of an answer: words of people are repeated in it, 4,000 of them at most."""


@dataclass(frozen=True)
class Bench:
    """A workspace with two searches, which begins anew for each input."""

    workspace: Workspace
    settings: Settings
    pristine: sqlite3.Connection
    search: SearchRow
    trials: list[TrialRow]
    other: dict[str, Lines]


@functools.cache
def bench() -> Bench:
    """Return the workspace, made once."""
    workspace = Workspace(scratch() / "nas.db")
    seed.eventful(workspace)
    seed.small(workspace, 2)
    pristine = sqlite3.connect(":memory:")
    with closing(sqlite3.connect(workspace.db)) as connection:
        connection.backup(pristine)
    with reading(workspace) as reader:
        assert reader is not None
        search, trials = reader.search(1), reader.trials(1)
    assert search is not None
    key = {"openrouter_api_key": SecretStr("sk-or-of-no-use")}
    settings = load_settings().model_copy(update=key)
    return Bench(workspace, settings, pristine, search, trials, dump(workspace, 2))


def judge(data: bytes) -> str:
    """Return what becomes of rows; each is answered, and the database stays fit to be read."""
    place = bench()
    with closing(sqlite3.connect(place.workspace.db)) as connection:
        place.pristine.backup(connection)
        known = {number for (number,) in connection.execute("SELECT id FROM commands")}
        stored = sum(_insert(connection, row) for row in rows_of(data))
        connection.commit()
    if not stored:
        return "unstorable"
    _engine(place)
    return _require_sound(place, known)


def rows_of(data: bytes) -> list[dict[str, Any]]:
    """Return the columns of the rows that an input stands for."""
    try:
        listed = json.loads(data)
    except (ValueError, RecursionError):
        listed = None
    if not isinstance(listed, list):
        return [{"payload": data}]
    rows = []
    for item in listed[:8]:
        if isinstance(item, dict) and isinstance(item.get("row"), dict):
            rows.append(item["row"])
        else:
            text = item if isinstance(item, str) else json.dumps(item)
            rows.append({"payload": text.encode("utf-8", "surrogatepass")})
    return rows


def _insert(connection: sqlite3.Connection, row: dict[str, Any]) -> bool:
    """Write a row as it is, and tell whether the schema takes it."""
    plain = {"search_id": 1, "kind": "pause", "payload": "{}", "author": "me", "created_at": 1e9}
    cells = plain | {name: row[name] for name in plain if name in row}
    cells = {
        name: value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
        for name, value in cells.items()
    }
    as_text = ("kind", "payload", "author")  # bytes that are no UTF-8 among them
    places = ", ".join(f"CAST(:{n} AS TEXT)" if n in as_text else f":{n}" for n in cells)
    try:
        connection.execute(f"INSERT INTO commands ({', '.join(cells)}) VALUES ({places})", cells)
    except (sqlite3.Error, OverflowError):
        return False
    return True


def _engine(place: Bench) -> None:
    writer = Writer(place.workspace)
    try:
        with closing(sqlite3.connect(place.workspace.db)) as connection:
            unaddressed = connection.execute(
                "SELECT id FROM commands WHERE search_id IS NULL AND state = 'pending'"
            ).fetchall()
        for (number,) in unaddressed:
            _addressed(writer, number, place.settings)
        writer.take_lease(1)
        Engine(place.workspace, place.settings, writer, _trainer, 1)._apply_commands()
        writer.release_lease()
    finally:
        writer.close()


def _trainer(slot: int, spec: SearchSpec) -> Trainer:
    return FakeTrainer()


def _require_sound(place: Bench, known: set[int]) -> str:
    with reading(place.workspace) as reader:
        assert reader is not None
        search, trials = reader.search(1), reader.trials(1)
        answered = [row for row in wishes.commands(reader, 1) if row.id not in known]
    assert search is not None and search.incumbent == place.search.incumbent
    assert SearchSpec.model_validate_json(search.spec.model_dump_json()) == search.spec
    for row in answered:
        assert row.state in ("applied", "refused"), row
        assert 0 < len(row.answer) <= LONGEST and row.answer.encode("utf-8")
        assert asked(row)
    before = {trial.number: trial for trial in place.trials}
    assert {trial.number for trial in trials} >= before.keys()
    assert len(trials) <= len(before) + len(answered)
    for trial in trials:
        from_flat(trial.config)
        if trial.number in before:
            assert trial.val_mse == before[trial.number].val_mse
            assert trial.accepted == before[trial.number].accepted or trial.ended_at is None
    read_all(place.workspace, 1)
    assert {**dump(place.workspace, 2), "commands": []} == {**place.other, "commands": []}
    states = {row.state for row in answered}
    return next((outcome for outcome in OUTCOMES if outcome in states), "refused")


# -- commands -----------------------------------------------------------------------------------

GIVEN = (
    *(Control(kind=kind) for kind in ("pause", "resume", "stop", "cancel")),
    Start(spec=SearchSpec(planner="random", settings={"data.pred_len": 12})),
    Change(max_trials=40, slots=2, mode="auto", limits={"hours": 3.0, "usd": None}),
    Change(timer="none"),
    Enqueue(changes={"model.dropout": 0.2}, comment="A try."),
    Enqueue(parent=0, changes={"model.d_model": 128, "model.n_heads": 8}, expected=(0.0, 0.1)),
    *(OnTrial(kind=kind, number=1) for kind in ("stop_trial", "skip", "retry")),
    *(OnTrial(kind=kind, number=2) for kind in ("another_seed", "to_front")),
    *(Decide(proposal_id=9, version=1, decision=kind) for kind in ("approved", "rejected")),
    Decide(proposal_id=9, version=1, decision="edited", changes={"model.dropout": 0.25}),
    AskAgain(proposal_id=9, version=1, hint="Smaller."),
    Guide(words="Keep d_model below 128, and dropout above 0.1. Think of seasons."),
    Lift(steering_id=1),
    Ask(question="Why is trial 2 better?"),
    StopAnswer(turn_id=1),
    Replay(number=1, planner="tpe"),
    Describe(edition=1, name="Mine", tags=("a", "b"), notes="x"),
)
PROPOSALS = range(1, 12)


def seeds() -> Iterator[bytes]:
    """Yield every command, and some on each proposal and trial."""
    for command in GIVEN:
        yield command.model_dump_json().encode()
    for number in PROPOSALS:
        listed = [
            Decide(proposal_id=number, version=1, decision="approved").model_dump(),
            AskAgain(proposal_id=number, version=1, hint="Smaller.").model_dump(),
            OnTrial(kind="retry", number=number).model_dump(),
        ]
        yield json.dumps(listed).encode()
    row = {"search_id": None, "payload": GIVEN[4].model_dump_json(), "author": "you"}
    yield json.dumps([{"row": row}]).encode()


WORDS = (
    *COMMAND.json_schema()["discriminator"]["mapping"],
    *(
        "kind",
        "spec",
        "version",
        "number",
        "proposal_id",
        "decision",
        "changes",
        "comment",
        "words",
    ),
    *("approved", "edited", "rejected", "limits", "hours", "training_hours", "usd", "tokens"),
    *(
        "calls",
        "failures",
        "slots",
        "mode",
        "auto",
        "radical",
        "review",
        "timer",
        "minutes",
        "then",
    ),
    *("approve", "reject", "backend", "name", "ray", "address", "auto", "max_trials", "none"),
    *("row", "search_id", "payload", "author", "created_at", "steering_id", "turn_id", "planner"),
    *("d_model at most 64", "only full attention", "dropout between 0.1 and 0.2", "no more words"),
    *("parameters below 1 million", "stays", "never", "settings", "space", "values", "low", "high"),
    *(0, 1, 2, 3, 4, 5, 8, 9, 10, 20, 1024, 100_000, 0.1, 0.2, 64, 128, "tpe", "llm", "hybrid"),
    *fields(),
)


def changed(data: bytes, draw: random.Random) -> bytes:
    """Return rows that differ in something; more often than not, a sound command is among them."""
    if draw.random() < 0.4:
        return changed_json(data, draw, WORDS)
    command = json.loads(draw.choice(GIVEN).model_dump_json())
    for name in ("number", "proposal_id", "parent", "steering_id", "turn_id"):
        if name in command and draw.random() < 0.7:
            command[name] = draw.randrange(14)
    if draw.random() < 0.5:
        command = changed_value(command, draw, WORDS)
    try:
        before = json.loads(data)
    except (ValueError, RecursionError):
        before = []
    listed = before[:4] if isinstance(before, list) else [before]
    listed.insert(draw.randrange(len(listed) + 1), command)
    return json.dumps(listed).encode()


if __name__ == "__main__":
    from tests.fuzz.guided import main

    main("commands")
