"""The database: who may open it, what it refuses, how processes share it."""

from __future__ import annotations

import json
import os
import sqlite3
from pathlib import Path

import pytest
from sqlite_utils import Database

from informer.config import PUBLISHED, RunConfig, from_flat
from nas_engine.commands import Control, send
from nas_engine.evaluator import Figures
from nas_engine.liveness import LEASE_SECONDS
from nas_engine.search import Rules, SearchSpec
from nas_engine.store import judging, trainings, wishes
from nas_engine.store.migrations import MIGRATIONS
from nas_engine.store.reader import reading
from nas_engine.store.schema import open_database
from nas_engine.store.writer import LeaseLost, Writer
from nas_engine.workspace import Workspace
from tests.engine.storing import forked

FIRST_VERSION = {
    *("data.dataset", "data.features", "data.target", "data.seq_len", "data.label_len"),
    *("data.pred_len", "data.batch_size", "model.d_model", "model.n_heads", "model.e_layers"),
    *("model.d_layers", "model.d_ff", "model.factor", "model.dropout", "model.attention"),
    *("model.distil", "model.mix", "model.normalisation", "model.activation", "model.temporal"),
    *("training.epochs", "training.patience", "training.steps_per_epoch"),
    *("training.optimizer_class", "training.optimizer_params.lr"),
    *("training.optimizer_params.weight_decay", "training.scheduler_class"),
    *("training.criterion_class", "training.seed", "training.device"),
}


def test_decisions_survive_a_power_cut(workspace: Workspace) -> None:
    db = open_database(workspace_file(workspace))
    assert db.conn.execute("PRAGMA synchronous").fetchone()[0] == 2  # FULL
    assert db.conn.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    db.close()
    writer = Writer(workspace)
    assert writer._db.conn.execute("PRAGMA synchronous").fetchone()[0] == 2
    assert writer._metrics.conn.execute("PRAGMA synchronous").fetchone()[0] == 1  # NORMAL
    writer.close()


def test_a_search_of_the_first_version_keeps_the_model_that_it_had(workspace: Workspace) -> None:
    db = at_version(workspace, "m002_structure")
    first = {k: v for k, v in RunConfig().flat().items() if k in FIRST_VERSION}
    first |= {"model.temporal": True, "model.mix": True}
    spec = {"preset": "paper", "settings": {"model.temporal": False, "model.d_ff": 64}}
    db.execute(
        "INSERT INTO searches (id, fingerprint, spec, max_trials, state, created_at) "
        "VALUES (1, 'f', ?, 5, 'paused', 0)",
        [json.dumps(spec)],
    )
    db.execute(
        "INSERT INTO proposals (id, search_id, number, source, step_type, hypothesis, reasons, "
        "changes, original, config, created_at) "
        "VALUES (1, 1, 0, 'tpe', 'small', '', '', ?, '{}', ?, 0)",
        [json.dumps({"model.temporal": False}), json.dumps(first)],
    )
    db.close()
    db = open_database(workspace_file(workspace))
    changes, config = db.execute("SELECT changes, config FROM proposals").fetchone()
    (upgraded,) = db.execute("SELECT spec FROM searches").fetchone()
    db.close()
    assert json.loads(changes) == {"model.temporal": "none"}
    assert from_flat(json.loads(config)) == RunConfig().with_changes(PUBLISHED)
    base = SearchSpec.model_validate_json(upgraded).base()
    assert base == RunConfig().with_changes(
        {**PUBLISHED, "model.temporal": "none", "model.d_ff": 64}
    )


def at_version(workspace: Workspace, before: str) -> Database:
    """Return a database as it was before the migration `before`."""
    db = Database(workspace_file(workspace))
    MIGRATIONS.apply(db, stop_before=before)
    return db


def test_trials_of_one_seed_are_read_as_what_they_were(workspace: Workspace) -> None:
    db = at_version(workspace, "m004_seeds")
    spec = {"rules": {"accept_above": 0.03}}
    db.execute(
        "INSERT INTO searches (id, fingerprint, spec, max_trials, state, incumbent, created_at) "
        "VALUES (1, 'f', ?, 5, 'paused', 0, 0)",
        [json.dumps(spec)],
    )
    config = json.dumps(RunConfig().flat())
    for number, state, value, error in (
        (0, "completed", 0.5, ""),
        (1, "failed", None, "Out of memory."),
        (2, "completed", 0.49, ""),
        (3, "running", None, ""),
    ):
        db.execute(
            "INSERT INTO proposals (id, search_id, number, source, step_type, hypothesis, reasons, "
            "changes, original, config, created_at) "
            "VALUES (?, 1, ?, 'tpe', 'small', '', '', '{}', '{}', ?, 0)",
            [number + 1, number, config],
        )
        db.execute(
            "INSERT INTO trials (search_id, number, proposal_id, state, val_mse, val_mae, error, "
            "created_at, ended_at) VALUES (1, ?, ?, ?, ?, ?, ?, 0, ?)",
            [number, number + 1, state, value, value, error, None if state == "running" else 1],
        )
        db.execute(
            "INSERT INTO runs (id, search_id, number, seed, val_mse, val_mae, test_mse, seconds, "
            "best_epoch) VALUES (?, 1, ?, 2021, ?, ?, ?, 9.0, 1)",
            [number + 10, number, value, value, value],
        )
        db.execute("INSERT INTO epochs VALUES (?, 1, 0.4, 0.5, 0.5, 0.001, 1.0)", [number + 10])
    for number, value, best, improvement in (
        (0, 0.5, None, None),
        (1, None, None, None),
        (2, 0.49, 0.5, 0.02),
    ):
        db.execute(
            "INSERT INTO verdicts (search_id, number, accepted, rule, value, incumbent, "
            "incumbent_value, improvement, sentence, created_at) "
            "VALUES (1, ?, ?, 'r', ?, ?, ?, ?, 's', 0)",
            [number, int(number == 0), value, best and 0, best, improvement],
        )
    db.close()
    with reading(workspace) as reader:  # a page brings the file up to date
        assert reader is not None
        search, trials = reader.search(1), reader.trials(1)
        runs = [run for number in range(4) for run in reader.runs(1, number)]
        judged, epochs = judging.judged_by(reader, 1), reader.epochs(1)
        assert judging.noise(reader, 1) is None
    assert search is not None
    assert search.spec.rules == Rules(accept_above=0.03, seeds=1, extra_seeds=0)
    assert (search.finished, search.best) == (3, 0.5)
    assert [trial.seeds for trial in trials] == [1, 0, 1, 0]
    assert [trial.test_mse for trial in trials] == [0.5, None, 0.49, None]
    assert all(trial.spread is None and trial.run_id == trial.number + 10 for trial in trials)
    assert [run.state for run in runs] == ["completed", "failed", "completed", "running"]
    assert runs[1].error == "Out of memory."
    assert judged == {
        0: Figures(0.5, seeds=1, tried=1),
        1: Figures(None, seeds=0, tried=1, failure="Out of memory."),
        2: Figures(0.49, 1, 1, "", 0, 0.5, 1),
    }
    assert [(row.number, row.epoch) for row in epochs] == [(number, 1) for number in range(4)]


def workspace_file(workspace: Workspace) -> Path:
    workspace.create()
    return workspace.db


def test_ten_processes_that_open_a_new_database_together_all_succeed(workspace: Workspace) -> None:
    crowd = [forked(lambda: send(workspace, Control(kind="stop"), 1)) for _ in range(10)]
    assert [os.waitpid(pid, 0)[1] for pid in crowd] == [0] * 10
    with reading(workspace) as reader:
        assert reader is not None
        assert len(wishes.commands(reader, 1)) == 10


def test_nan_cannot_be_stored_as_a_baseline(workspace: Workspace) -> None:
    writer = Writer(workspace)
    search_id = writer.open_search(SearchSpec())
    with pytest.raises(sqlite3.IntegrityError):
        writer.execute(
            "INSERT INTO baselines VALUES (?, 'x', 'val', ?, 1)", (search_id, float("nan"))
        )
    writer.close()


def test_searches_that_differ_only_in_budget_are_the_same(workspace: Workspace) -> None:
    writer = Writer(workspace)
    first = writer.open_search(SearchSpec(max_trials=5))
    assert writer.open_search(SearchSpec(max_trials=9)) == first
    assert writer.open_search(SearchSpec(settings={"model.d_model": 64})) == first
    assert writer.open_search(SearchSpec(settings={"model.d_model": 32})) != first
    writer.close()


def test_a_search_keeps_its_fingerprint_where_a_setting_was_added_since() -> None:
    wide = {"preset": "paper", "planner": "rules", "settings": {"model.d_model": 96}}
    for facts, before in (
        ({}, "bbd9944f293513823fd47e7bd49d8acfd6a4c981de37587d5d5e4b07c72c968f"),
        (wide, "e4044d7305376c65956d4c77fe69c3f484a999f39a552070d1817a6626fc298c"),
    ):
        assert SearchSpec.model_validate(facts).fingerprint() == before
    unsaid, said, other = (
        SearchSpec(settings=settings).fingerprint()
        for settings in ({}, {"model.cycle": "none"}, {"model.cycle": "day"})
    )
    assert unsaid == said != other


def test_a_command_to_an_unknown_search_stays_unanswered(workspace: Workspace) -> None:
    command_id = send(workspace, Control(kind="stop"), 77)
    with reading(workspace) as reader:
        assert reader is not None
        row = wishes.command(reader, command_id)
    assert row is not None and row.state == "pending"


# -- the lease ----------------------------------------------------------------------------------


def test_a_lease_is_given_once_and_its_loss_is_noticed(workspace: Workspace) -> None:
    writer, late = Writer(workspace), Writer(workspace)
    search_id = writer.open_search(SearchSpec())
    assert writer.take_lease(search_id) is None
    with pytest.raises(LeaseLost):
        late.take_lease(search_id)
    writer.beat(1.0)
    writer.execute("UPDATE engines SET heartbeat = heartbeat - 2 * ?", (LEASE_SECONDS,))
    replaced = late.take_lease(search_id)
    assert replaced is not None and replaced.token == 1
    for write in (
        lambda: writer.beat(1.0),
        lambda: writer.log(search_id, "late"),
        lambda: trainings.add_metrics(writer, search_id, 0, 1, []),
        lambda: writer.another().set_search_state(search_id, "paused"),
    ):
        with pytest.raises(LeaseLost):
            write()
    late.beat(1.0)
    writer.release_lease()  # of the lease that it has lost: nothing happens
    late.log(search_id, "newest")
    assert [event.text for event in late.read.events(search_id)] == ["newest"]
    writer.close()
    late.close()
