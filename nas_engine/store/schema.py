"""The tables, as numbered migrations. A released migration is never edited; a change is a new one.

Times are seconds since the epoch (UTC). Errors are on scaled data. Non-finite figures are never
stored: a missing figure is NULL, and a run without a finite result is `failed`.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

from nas_engine.private import make_private, take_back

MIGRATIONS = Migrations("nas_engine")

_INITIAL = (
    # One optimisation. `spec` is the JSON of a SearchSpec; `max_trials` may grow after the start.
    """
    CREATE TABLE searches (
        id INTEGER PRIMARY KEY,
        fingerprint TEXT NOT NULL UNIQUE,
        spec TEXT NOT NULL,
        max_trials INTEGER NOT NULL,
        state TEXT NOT NULL
            CHECK (state IN ('running', 'paused', 'stopping', 'stopped', 'completed')),
        reason TEXT NOT NULL DEFAULT '',
        incumbent INTEGER,
        created_at REAL NOT NULL,
        active_seconds REAL NOT NULL DEFAULT 0
    ) STRICT
    """,
    """
    CREATE TABLE baselines (
        search_id INTEGER NOT NULL REFERENCES searches(id),
        name TEXT NOT NULL,
        split TEXT NOT NULL CHECK (split IN ('val', 'test')),
        mse REAL NOT NULL,
        mae REAL NOT NULL,
        PRIMARY KEY (search_id, name, split)
    ) STRICT
    """,
    # What a planner wants to try, and what became of it. `version` grows with each edit; a decision
    # names the version it was made for. `original` keeps the changes before the first edit.
    """
    CREATE TABLE proposals (
        id INTEGER PRIMARY KEY,
        search_id INTEGER NOT NULL REFERENCES searches(id),
        number INTEGER NOT NULL,
        version INTEGER NOT NULL DEFAULT 1,
        parent INTEGER,
        source TEXT NOT NULL,
        step_type TEXT NOT NULL CHECK (step_type IN ('small', 'medium', 'radical')),
        hypothesis TEXT NOT NULL,
        reasons TEXT NOT NULL,
        changes TEXT NOT NULL,
        original TEXT NOT NULL,
        config TEXT NOT NULL,
        decision TEXT CHECK (decision IN ('auto', 'approved', 'edited', 'rejected')),
        author TEXT NOT NULL DEFAULT '',
        comment TEXT NOT NULL DEFAULT '',
        created_at REAL NOT NULL,
        decided_at REAL,
        UNIQUE (search_id, number)
    ) STRICT
    """,
    """
    CREATE TABLE trials (
        search_id INTEGER NOT NULL REFERENCES searches(id),
        number INTEGER NOT NULL,
        proposal_id INTEGER NOT NULL REFERENCES proposals(id),
        state TEXT NOT NULL CHECK (state IN ('proposed', 'queued', 'running', 'stalled', 'paused',
            'completed', 'pruned', 'stopped', 'failed', 'crashed', 'rejected')),
        val_mse REAL,
        val_mae REAL,
        error_class TEXT NOT NULL DEFAULT '',
        error TEXT NOT NULL DEFAULT '',
        created_at REAL NOT NULL,
        started_at REAL,
        ended_at REAL,
        PRIMARY KEY (search_id, number)
    ) STRICT
    """,
    # One training of a trial's configuration. `attempt` counts how often it was begun.
    """
    CREATE TABLE runs (
        id INTEGER PRIMARY KEY,
        search_id INTEGER NOT NULL,
        number INTEGER NOT NULL,
        seed INTEGER NOT NULL,
        attempt INTEGER NOT NULL DEFAULT 1,
        worker_pid INTEGER,
        epoch INTEGER,
        step INTEGER,
        steps INTEGER,
        val_mse REAL,
        val_mae REAL,
        test_mse REAL,
        test_mae REAL,
        best_epoch INTEGER,
        epochs INTEGER,
        parameters INTEGER,
        seconds REAL,
        device TEXT,
        UNIQUE (search_id, number, seed),
        FOREIGN KEY (search_id, number) REFERENCES trials(search_id, number)
    ) STRICT
    """,
    """
    CREATE TABLE epochs (
        run_id INTEGER NOT NULL REFERENCES runs(id),
        epoch INTEGER NOT NULL,
        train_loss REAL,
        val_mse REAL,
        val_mae REAL,
        lr REAL NOT NULL,
        seconds REAL NOT NULL,
        PRIMARY KEY (run_id, epoch)
    ) STRICT
    """,
    # The evaluator's judgement, the rule that decided and the figures it used.
    """
    CREATE TABLE verdicts (
        search_id INTEGER NOT NULL,
        number INTEGER NOT NULL,
        accepted INTEGER NOT NULL CHECK (accepted IN (0, 1)),
        rule TEXT NOT NULL,
        value REAL,
        incumbent INTEGER,
        incumbent_value REAL,
        improvement REAL,
        sentence TEXT NOT NULL,
        opinion TEXT NOT NULL DEFAULT '',
        created_at REAL NOT NULL,
        PRIMARY KEY (search_id, number),
        FOREIGN KEY (search_id, number) REFERENCES trials(search_id, number)
    ) STRICT
    """,
    # Every exchange with a language model. A row is reserved before the call is made, so that a
    # call that was lost in a crash is still counted.
    """
    CREATE TABLE llm_calls (
        id INTEGER PRIMARY KEY,
        search_id INTEGER NOT NULL REFERENCES searches(id),
        number INTEGER NOT NULL,
        role TEXT NOT NULL CHECK (role IN ('planner', 'evaluator')),
        attempt INTEGER NOT NULL,
        model TEXT NOT NULL,
        messages TEXT NOT NULL,
        reply TEXT NOT NULL DEFAULT '',
        outcome TEXT NOT NULL DEFAULT 'reserved'
            CHECK (outcome IN ('reserved', 'used', 'refused', 'failed')),
        problem TEXT NOT NULL DEFAULT '',
        prompt_tokens INTEGER,
        completion_tokens INTEGER,
        cost_usd REAL,
        seconds REAL,
        created_at REAL NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE events (
        id INTEGER PRIMARY KEY,
        search_id INTEGER NOT NULL REFERENCES searches(id),
        number INTEGER,
        level TEXT NOT NULL CHECK (level IN ('debug', 'info', 'warning', 'error')),
        text TEXT NOT NULL,
        created_at REAL NOT NULL
    ) STRICT
    """,
    # What people ask for. Pages and the command line only insert here; the engine answers.
    """
    CREATE TABLE commands (
        id INTEGER PRIMARY KEY,
        search_id INTEGER,
        kind TEXT NOT NULL,
        payload TEXT NOT NULL,
        author TEXT NOT NULL,
        state TEXT NOT NULL DEFAULT 'pending'
            CHECK (state IN ('pending', 'applied', 'refused')),
        answer TEXT NOT NULL DEFAULT '',
        created_at REAL NOT NULL,
        answered_at REAL
    ) STRICT
    """,
    # The lease: which process runs a search, and when it last showed that it lives.
    """
    CREATE TABLE engines (
        search_id INTEGER PRIMARY KEY REFERENCES searches(id),
        pid INTEGER NOT NULL,
        process_created REAL NOT NULL,
        started_at REAL NOT NULL,
        heartbeat REAL NOT NULL
    ) STRICT
    """,
    "CREATE INDEX events_by_search ON events (search_id, id)",
    "CREATE INDEX calls_by_trial ON llm_calls (search_id, number)",
    "CREATE INDEX commands_pending ON commands (search_id, state)",
    "CREATE INDEX trials_by_value ON trials (search_id, val_mse)",
)


@MIGRATIONS()
def m001_initial(db: Database) -> None:
    """Create the tables."""
    for statement in _INITIAL:
        db.execute(statement)


# Settings that came after the first version, with the values that they had unsaid until then: the
# model was the published Informer, faults and all.
_UNSAID = {
    "data.drop_last": False,
    "model.decomposition": "none",
    "model.kernel": 25,
    "model.skip": False,
    "model.tokens": "step",
    "model.patch_len": 16,
    "model.patch_stride": 8,
    "model.channels": "mixed",
    "model.positional": "sinusoidal",
    "model.padding": "circular",
    "model.sampled_keys": "per_query",
    "model.sparsity": "published",
    "model.lazy": "sum",
    "model.norm": "post",
    "model.ffn": "dense",
    "model.head": "decoder",
    "training.warmup_steps": 0,
    "training.clip_norm": 0.0,
    "training.precision": "auto",
    "training.compile": False,
}
_PUBLISHED = {"model.mix": True, "model.sparsity": "published", "model.lazy": "sum"}


@MIGRATIONS()
def m002_structure(db: Database) -> None:
    """Say in recorded configurations what was unsaid, and name the kind of calendar embedding."""
    for key, *texts in db.execute("SELECT id, changes, original, config FROM proposals").fetchall():
        changes, original, config = (_with_named_calendar(json.loads(text)) for text in texts)
        db.execute(
            "UPDATE proposals SET changes = ?, original = ?, config = ? WHERE id = ?",
            [*(json.dumps(v) for v in (changes, original, _UNSAID | config)), key],
        )
    for key, text in db.execute("SELECT id, spec FROM searches").fetchall():
        spec = json.loads(text)
        spec["settings"] = _with_named_calendar(_PUBLISHED | spec.get("settings", {}))
        db.execute("UPDATE searches SET spec = ? WHERE id = ?", [json.dumps(spec), key])


@MIGRATIONS()
def m003_calls(db: Database) -> None:
    """Book each call at its worst case before it is made, and say how and why it failed.

    `booked_*` is what counts against the limits; the reported figures stay NULL where the service
    named none that can be true.
    """
    for column in (
        "base_url TEXT NOT NULL DEFAULT ''",
        "temperature REAL",
        "max_tokens INTEGER",
        "error_class TEXT NOT NULL DEFAULT ''",
        "booked_tokens INTEGER NOT NULL DEFAULT 0",
        "booked_usd REAL NOT NULL DEFAULT 0",
    ):
        db.execute(f"ALTER TABLE llm_calls ADD COLUMN {column}")
    db.execute(
        """UPDATE llm_calls SET booked_usd = coalesce(cost_usd, 0),
        booked_tokens = coalesce(prompt_tokens, 0) + coalesce(completion_tokens, 0)"""
    )


def _with_named_calendar(values: dict[str, Any]) -> dict[str, Any]:
    if isinstance(given := values.get("model.temporal"), bool):
        return values | {"model.temporal": "linear" if given else "none"}
    return values


_SEEDS = (
    # How each training ended, beside its figures.
    """ALTER TABLE runs ADD COLUMN state TEXT NOT NULL DEFAULT 'running'
    CHECK (state IN ('running', 'completed', 'failed', 'crashed', 'stopped'))""",
    "ALTER TABLE runs ADD COLUMN error_class TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE runs ADD COLUMN error TEXT NOT NULL DEFAULT ''",
    """UPDATE runs SET (state, error_class, error) = (
        SELECT CASE WHEN runs.val_mse IS NOT NULL THEN 'completed'
            WHEN t.state IN ('failed', 'crashed', 'stopped') THEN t.state ELSE 'running' END,
            t.error_class, t.error
        FROM trials t WHERE t.search_id = runs.search_id AND t.number = runs.number)""",
    # A trial's figures are means over its `seeds` finished trainings; `spread` is their sample
    # standard deviation of val_mse, NULL for one.
    "ALTER TABLE trials ADD COLUMN seeds INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE trials ADD COLUMN spread REAL",
    "UPDATE trials SET seeds = 1 WHERE val_mse IS NOT NULL",
    # The figures that a verdict used.
    "ALTER TABLE verdicts ADD COLUMN seeds INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE verdicts ADD COLUMN tried INTEGER NOT NULL DEFAULT 1",
    "ALTER TABLE verdicts ADD COLUMN incumbent_seeds INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE verdicts ADD COLUMN noise REAL",
    "ALTER TABLE verdicts ADD COLUMN noise_degrees INTEGER",
    "ALTER TABLE verdicts ADD COLUMN margin REAL",
    "UPDATE verdicts SET seeds = 1 WHERE value IS NOT NULL",
    "UPDATE verdicts SET incumbent_seeds = 1 WHERE incumbent_value IS NOT NULL",
)


@MIGRATIONS()
def m004_seeds(db: Database) -> None:
    """A trial may be trained with several seeds; searches of before keep to one."""
    for statement in _SEEDS:
        db.execute(statement)
    for key, text in db.execute("SELECT id, spec FROM searches").fetchall():
        spec = json.loads(text)
        spec["rules"] = {"seeds": 1, "extra_seeds": 0} | spec.get("rules", {})
        db.execute("UPDATE searches SET spec = ? WHERE id = ?", [json.dumps(spec), key])


@MIGRATIONS()
def m005_expected(db: Database) -> None:
    """Keep the relative improvement that a proposer expected, as an interval."""
    for column in ("expected_low", "expected_high"):
        db.execute(f"ALTER TABLE proposals ADD COLUMN {column} REAL")


_SLOTS = (
    # `version` grows with every command that a person's wish has changed something by. `verdict`s
    # up to `forgiven` do not count as failures in a row: somebody has resumed the search since.
    "ALTER TABLE searches ADD COLUMN version INTEGER NOT NULL DEFAULT 1",
    "ALTER TABLE searches ADD COLUMN forgiven INTEGER NOT NULL DEFAULT 0",
    # `priority` orders the queue; `round` counts how often a person had the trial trained again;
    # `wanted` is the least number of its trainings; `stopping`: a person has ended its training.
    "ALTER TABLE trials ADD COLUMN version INTEGER NOT NULL DEFAULT 1",
    "ALTER TABLE trials ADD COLUMN priority INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE trials ADD COLUMN round INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE trials ADD COLUMN wanted INTEGER NOT NULL DEFAULT 1",
    "ALTER TABLE trials ADD COLUMN stopping INTEGER NOT NULL DEFAULT 0",
    "CREATE INDEX trials_open ON trials (search_id) WHERE ended_at IS NULL",
    # A training may be pruned, says where and when it ran, and counts the workers that it lost
    # and the seconds for which all its attempts together have held a slot.
    """
    CREATE TABLE runs_with_slots (
        id INTEGER PRIMARY KEY,
        search_id INTEGER NOT NULL,
        number INTEGER NOT NULL,
        seed INTEGER NOT NULL,
        attempt INTEGER NOT NULL DEFAULT 1,
        crashes INTEGER NOT NULL DEFAULT 0,
        state TEXT NOT NULL DEFAULT 'running'
            CHECK (state IN ('running', 'completed', 'pruned', 'stopped', 'failed', 'crashed')),
        error_class TEXT NOT NULL DEFAULT '',
        error TEXT NOT NULL DEFAULT '',
        worker_pid INTEGER,
        worker_start REAL,
        slot INTEGER,
        started_at REAL,
        ended_at REAL,
        epoch INTEGER,
        step INTEGER,
        steps INTEGER,
        val_mse REAL,
        val_mae REAL,
        test_mse REAL,
        test_mae REAL,
        best_epoch INTEGER,
        epochs INTEGER,
        parameters INTEGER,
        seconds REAL,
        spent REAL NOT NULL DEFAULT 0,
        device TEXT,
        UNIQUE (search_id, number, seed),
        FOREIGN KEY (search_id, number) REFERENCES trials(search_id, number)
    ) STRICT
    """,
    """
    INSERT INTO runs_with_slots (id, search_id, number, seed, attempt, state, error_class, error,
        worker_pid, epoch, step, steps, val_mse, val_mae, test_mse, test_mae, best_epoch, epochs,
        parameters, seconds, spent, device)
    SELECT id, search_id, number, seed, attempt, state, error_class, error,
        worker_pid, epoch, step, steps, val_mse, val_mae, test_mse, test_mae, best_epoch, epochs,
        parameters, seconds, coalesce(seconds, 0), device FROM runs
    """,
    "DROP TABLE runs",
    "ALTER TABLE runs_with_slots RENAME TO runs",
    # Verdicts are numbered in the order in which they were reached; a trial that a person had
    # trained again is judged anew, in a later `round`.
    """
    CREATE TABLE verdicts_in_order (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        search_id INTEGER NOT NULL,
        number INTEGER NOT NULL,
        round INTEGER NOT NULL DEFAULT 0,
        accepted INTEGER NOT NULL CHECK (accepted IN (0, 1)),
        rule TEXT NOT NULL,
        value REAL,
        seeds INTEGER NOT NULL DEFAULT 0,
        tried INTEGER NOT NULL DEFAULT 1,
        incumbent INTEGER,
        incumbent_value REAL,
        incumbent_seeds INTEGER NOT NULL DEFAULT 0,
        noise REAL,
        noise_degrees INTEGER,
        improvement REAL,
        margin REAL,
        sentence TEXT NOT NULL,
        opinion TEXT NOT NULL DEFAULT '',
        created_at REAL NOT NULL,
        UNIQUE (search_id, number),
        FOREIGN KEY (search_id, number) REFERENCES trials(search_id, number)
    ) STRICT
    """,
    """
    INSERT INTO verdicts_in_order (search_id, number, accepted, rule, value, seeds, tried,
        incumbent, incumbent_value, incumbent_seeds, noise, noise_degrees, improvement, margin,
        sentence, opinion, created_at)
    SELECT search_id, number, accepted, rule, value, seeds, tried, incumbent, incumbent_value,
        incumbent_seeds, noise, noise_degrees, improvement, margin, sentence, opinion, created_at
    FROM verdicts ORDER BY rowid
    """,
    "DROP TABLE verdicts",
    "ALTER TABLE verdicts_in_order RENAME TO verdicts",
    # The lease: which process runs a search, and when it last showed that it lives, in seconds of
    # the machine's own clock since the start that `boot` names. Each new lease has a higher
    # `token`, and an engine writes only while its token stands here.
    "DROP TABLE engines",
    """
    CREATE TABLE engines (
        search_id INTEGER PRIMARY KEY REFERENCES searches(id),
        token INTEGER NOT NULL,
        boot TEXT NOT NULL,
        pid INTEGER NOT NULL,
        process_start REAL NOT NULL,
        started_at REAL NOT NULL,
        heartbeat REAL NOT NULL,
        released INTEGER NOT NULL DEFAULT 0 CHECK (released IN (0, 1))
    ) STRICT
    """,
)


@MIGRATIONS()
def m006_slots(db: Database) -> None:
    """Several trials at once, pruning, acts of people on trials, leases that cannot be mistaken."""
    for statement in _SLOTS:
        db.execute(statement)


@MIGRATIONS()
def m007_answers(db: Database) -> None:
    """Keep each answer of a language model whole, so that a question is not put twice."""
    db.execute("ALTER TABLE llm_calls ADD COLUMN completion TEXT NOT NULL DEFAULT ''")


_WATCHED = (
    # What people say of a search. `edition` grows with each change of it.
    "ALTER TABLE searches ADD COLUMN name TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE searches ADD COLUMN tags TEXT NOT NULL DEFAULT '[]'",
    "ALTER TABLE searches ADD COLUMN notes TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE searches ADD COLUMN archived INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE searches ADD COLUMN edition INTEGER NOT NULL DEFAULT 1",
    # What a worker takes of its machine: the newest measurement, and the most memory so far.
    "ALTER TABLE runs ADD COLUMN cpu_percent REAL",
    "ALTER TABLE runs ADD COLUMN memory_mb REAL",
    "ALTER TABLE runs ADD COLUMN peak_memory_mb REAL",
    "ALTER TABLE runs ADD COLUMN gpu_percent REAL",
    "ALTER TABLE runs ADD COLUMN gpu_memory_mb REAL",
    # For lists of many trials: how a configuration differs from trial 0's, and a few points of the
    # learning curve. Reading the whole of either for 10,000 trials takes seconds.
    "ALTER TABLE proposals ADD COLUMN differences TEXT NOT NULL DEFAULT '{}'",
    "ALTER TABLE trials ADD COLUMN spark TEXT NOT NULL DEFAULT '[]'",
    "CREATE INDEX runs_running ON runs (search_id) WHERE state = 'running'",
    # A named address of a page: what it shows, and how.
    """
    CREATE TABLE views (
        id INTEGER PRIMARY KEY,
        page TEXT NOT NULL,
        name TEXT NOT NULL,
        address TEXT NOT NULL,
        created_at REAL NOT NULL,
        UNIQUE (page, name)
    ) STRICT
    """,
)


@MIGRATIONS()
def m008_watched(db: Database) -> None:
    """What the pages need to list, name and compare many searches and trials."""
    for statement in _WATCHED:
        db.execute(statement)
    starts: dict[int, dict[str, Any]] = {}
    for search_id, text in db.execute(
        "SELECT search_id, config FROM proposals WHERE number = 0"
    ).fetchall():
        starts[search_id] = json.loads(text)
    for key, search_id, text in db.execute(
        "SELECT id, search_id, config FROM proposals"
    ).fetchall():
        differences = differing(starts.get(search_id, {}), json.loads(text))
        db.execute(
            "UPDATE proposals SET differences = ? WHERE id = ?", [json.dumps(differences), key]
        )
    for search_id, number in db.execute("SELECT search_id, number FROM trials").fetchall():
        curve = [
            value
            for (value,) in db.execute(
                """SELECT val_mse FROM epochs WHERE run_id = (SELECT o.id FROM runs o
                WHERE o.search_id = ? AND o.number = ? ORDER BY o.val_mse IS NULL, o.id LIMIT 1)
                ORDER BY epoch""",
                [search_id, number],
            ).fetchall()
        ]
        db.execute(
            "UPDATE trials SET spark = ? WHERE search_id = ? AND number = ?",
            [json.dumps(sampled(curve)), search_id, number],
        )


@MIGRATIONS()
def m009_sums(db: Database) -> None:
    """Sum what calls came to from an index: their rows hold the prompts, which are long."""
    db.execute("DROP INDEX calls_by_trial")
    db.execute(
        """CREATE INDEX calls_by_trial ON llm_calls (search_id, number, outcome, prompt_tokens,
        completion_tokens, cost_usd, booked_tokens, booked_usd)"""
    )


_AGENT = (
    # What the surrogate expected of a proposal beside its proposer; whether a chat drafted it, in
    # which case nobody waits for it; since when it waits; whether its planner is being asked again,
    # and with which hint; the version of which people were told outside of the dashboard.
    "ALTER TABLE proposals ADD COLUMN surrogate_low REAL",
    "ALTER TABLE proposals ADD COLUMN surrogate_high REAL",
    "ALTER TABLE proposals ADD COLUMN drafted INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE proposals ADD COLUMN waiting_since REAL",
    "ALTER TABLE proposals ADD COLUMN asked_again INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE proposals ADD COLUMN hint TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE proposals ADD COLUMN announced INTEGER NOT NULL DEFAULT 0",
    "UPDATE proposals SET waiting_since = created_at WHERE decision IS NULL",
    # An engine looks for errands many times a second: what wants nothing is not read.
    "CREATE INDEX proposals_asked_again ON proposals (search_id) WHERE asked_again",
    # What a proposal said in a version that was replaced, by whom and why.
    """
    CREATE TABLE revisions (
        id INTEGER PRIMARY KEY,
        proposal_id INTEGER NOT NULL REFERENCES proposals(id),
        version INTEGER NOT NULL,
        source TEXT NOT NULL,
        step_type TEXT NOT NULL,
        hypothesis TEXT NOT NULL,
        reasons TEXT NOT NULL,
        changes TEXT NOT NULL,
        config TEXT NOT NULL,
        expected_low REAL,
        expected_high REAL,
        surrogate_low REAL,
        surrogate_high REAL,
        why TEXT NOT NULL CHECK (why IN ('edited', 'asked again')),
        author TEXT NOT NULL,
        comment TEXT NOT NULL,
        created_at REAL NOT NULL,
        UNIQUE (proposal_id, version)
    ) STRICT
    """,
    # What people tell a search on its way. `constraint_` is the JSON of a guidance.Constraint, or
    # empty: then the words are for the planner. It holds until `ended_at`.
    """
    CREATE TABLE steering (
        id INTEGER PRIMARY KEY,
        search_id INTEGER NOT NULL REFERENCES searches(id),
        words TEXT NOT NULL,
        constraint_ TEXT NOT NULL DEFAULT '',
        author TEXT NOT NULL,
        created_at REAL NOT NULL,
        ended_by TEXT NOT NULL DEFAULT '',
        ended_at REAL
    ) STRICT
    """,
    "CREATE INDEX steering_in_force ON steering (search_id) WHERE ended_at IS NULL",
    # A question about a search, and as much of the answer as there is. `looked_up` has the rows
    # that the language model was given; `drafted` the trial that it proposed.
    """
    CREATE TABLE turns (
        id INTEGER PRIMARY KEY,
        search_id INTEGER NOT NULL REFERENCES searches(id),
        author TEXT NOT NULL,
        question TEXT NOT NULL,
        state TEXT NOT NULL DEFAULT 'asked'
            CHECK (state IN ('asked', 'answering', 'answered', 'stopped', 'failed')),
        stopping INTEGER NOT NULL DEFAULT 0,
        answer TEXT NOT NULL DEFAULT '',
        looked_up TEXT NOT NULL DEFAULT '[]',
        drafted INTEGER,
        problem TEXT NOT NULL DEFAULT '',
        created_at REAL NOT NULL,
        ended_at REAL
    ) STRICT
    """,
    "CREATE INDEX turns_by_search ON turns (search_id, id)",
    "CREATE INDEX turns_open ON turns (search_id) WHERE state IN ('asked', 'answering')",
    # What another planner or model would have proposed as trial `number`; nothing is trained.
    """
    CREATE TABLE replays (
        id INTEGER PRIMARY KEY,
        search_id INTEGER NOT NULL REFERENCES searches(id),
        number INTEGER NOT NULL,
        planner TEXT NOT NULL,
        model TEXT NOT NULL DEFAULT '',
        state TEXT NOT NULL DEFAULT 'asked'
            CHECK (state IN ('asked', 'answered', 'failed')),
        source TEXT NOT NULL DEFAULT '',
        parent INTEGER,
        changes TEXT NOT NULL DEFAULT '{}',
        config TEXT NOT NULL DEFAULT '{}',
        hypothesis TEXT NOT NULL DEFAULT '',
        reasons TEXT NOT NULL DEFAULT '',
        expected_low REAL,
        expected_high REAL,
        surrogate_low REAL,
        surrogate_high REAL,
        problem TEXT NOT NULL DEFAULT '',
        author TEXT NOT NULL,
        created_at REAL NOT NULL,
        ended_at REAL
    ) STRICT
    """,
    "CREATE INDEX replays_by_search ON replays (search_id, number)",
    "CREATE INDEX replays_open ON replays (search_id) WHERE state = 'asked'",
    # Calls may be about no trial, but about a turn of the chat or a replay.
    """
    CREATE TABLE calls_of_all_roles (
        id INTEGER PRIMARY KEY,
        search_id INTEGER NOT NULL REFERENCES searches(id),
        number INTEGER,
        turn_id INTEGER REFERENCES turns(id),
        replay_id INTEGER REFERENCES replays(id),
        role TEXT NOT NULL CHECK (role IN ('planner', 'evaluator', 'chat', 'replay')),
        attempt INTEGER NOT NULL,
        model TEXT NOT NULL,
        messages TEXT NOT NULL,
        reply TEXT NOT NULL DEFAULT '',
        outcome TEXT NOT NULL DEFAULT 'reserved'
            CHECK (outcome IN ('reserved', 'used', 'refused', 'failed')),
        problem TEXT NOT NULL DEFAULT '',
        prompt_tokens INTEGER,
        completion_tokens INTEGER,
        cost_usd REAL,
        seconds REAL,
        created_at REAL NOT NULL,
        base_url TEXT NOT NULL DEFAULT '',
        temperature REAL,
        max_tokens INTEGER,
        error_class TEXT NOT NULL DEFAULT '',
        booked_tokens INTEGER NOT NULL DEFAULT 0,
        booked_usd REAL NOT NULL DEFAULT 0,
        completion TEXT NOT NULL DEFAULT ''
    ) STRICT
    """,
    """
    INSERT INTO calls_of_all_roles (id, search_id, number, role, attempt, model, messages, reply,
        outcome, problem, prompt_tokens, completion_tokens, cost_usd, seconds, created_at, base_url,
        temperature, max_tokens, error_class, booked_tokens, booked_usd, completion)
    SELECT id, search_id, number, role, attempt, model, messages, reply, outcome, problem,
        prompt_tokens, completion_tokens, cost_usd, seconds, created_at, base_url, temperature,
        max_tokens, error_class, booked_tokens, booked_usd, completion FROM llm_calls
    """,
    "DROP TABLE llm_calls",
    "ALTER TABLE calls_of_all_roles RENAME TO llm_calls",
    """CREATE INDEX calls_by_trial ON llm_calls (search_id, number, outcome, prompt_tokens,
    completion_tokens, cost_usd, booked_tokens, booked_usd, role)""",
    # What was said to a planner next after a moment: rows hold prompts, which are long.
    "CREATE INDEX calls_by_role ON llm_calls (search_id, role, created_at)",
)


@MIGRATIONS()
def m010_agent(db: Database) -> None:
    """Guidance on the way, questions and answers, replays, and the versions of a proposal."""
    for statement in _AGENT:
        db.execute(statement)


@MIGRATIONS()
def m011_data(db: Database) -> None:
    """Say which data a search and each training saw, and where a search was imported from.

    `data` is the JSON of an `informer.rundir.UsedData`; '' where it is not known. `origin` is a
    sentence; '' for a search of this workspace.
    """
    for statement in (
        "ALTER TABLE searches ADD COLUMN data TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE searches ADD COLUMN origin TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE runs ADD COLUMN data_sha256 TEXT NOT NULL DEFAULT ''",
    ):
        db.execute(statement)


_RUN_COLUMNS = """id, search_id, number, seed, attempt, crashes, state, error_class, error,
    worker_pid, worker_start, slot, started_at, ended_at, epoch, step, steps, val_mse, val_mae,
    test_mse, test_mae, best_epoch, epochs, parameters, seconds, spent, device, cpu_percent,
    memory_mb, peak_memory_mb, gpu_percent, gpu_memory_mb, data_sha256"""

_MANY = (
    # What the data of a search are like: the JSON of a `data.traits.Traits`, '' where that is not
    # known. What it learns from earlier searches, taken when it began: the JSON of a
    # `nas_engine.lessons.Lessons`, '' where there is none.
    "ALTER TABLE searches ADD COLUMN traits TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE searches ADD COLUMN lessons TEXT NOT NULL DEFAULT ''",
    # A training begins from scratch, or with the weights of the trial `inherited_from`, which then
    # are `inherited_share` of its own. `latency_ms` is of a batch of forecasts, `flops` of one
    # window. `node` is the machine of a cluster; '' is this one.
    """
    CREATE TABLE runs_of_both_kinds (
        id INTEGER PRIMARY KEY,
        search_id INTEGER NOT NULL,
        number INTEGER NOT NULL,
        seed INTEGER NOT NULL,
        attempt INTEGER NOT NULL DEFAULT 1,
        crashes INTEGER NOT NULL DEFAULT 0,
        state TEXT NOT NULL DEFAULT 'running'
            CHECK (state IN ('running', 'completed', 'pruned', 'stopped', 'failed', 'crashed')),
        error_class TEXT NOT NULL DEFAULT '',
        error TEXT NOT NULL DEFAULT '',
        worker_pid INTEGER,
        worker_start REAL,
        slot INTEGER,
        started_at REAL,
        ended_at REAL,
        epoch INTEGER,
        step INTEGER,
        steps INTEGER,
        val_mse REAL,
        val_mae REAL,
        test_mse REAL,
        test_mae REAL,
        best_epoch INTEGER,
        epochs INTEGER,
        parameters INTEGER,
        seconds REAL,
        spent REAL NOT NULL DEFAULT 0,
        device TEXT,
        cpu_percent REAL,
        memory_mb REAL,
        peak_memory_mb REAL,
        gpu_percent REAL,
        gpu_memory_mb REAL,
        data_sha256 TEXT NOT NULL DEFAULT '',
        kind TEXT NOT NULL DEFAULT 'scratch' CHECK (kind IN ('scratch', 'inherited')),
        inherited_from INTEGER,
        inherited_share REAL,
        latency_ms REAL,
        flops REAL,
        node TEXT NOT NULL DEFAULT '',
        UNIQUE (search_id, number, seed, kind),
        FOREIGN KEY (search_id, number) REFERENCES trials(search_id, number)
    ) STRICT
    """,
    f"INSERT INTO runs_of_both_kinds ({_RUN_COLUMNS}) SELECT {_RUN_COLUMNS} FROM runs",  # noqa: S608
    "DROP TABLE runs",
    "ALTER TABLE runs_of_both_kinds RENAME TO runs",
    "CREATE INDEX runs_running ON runs (search_id) WHERE state = 'running'",
    # A verdict where a search has several objectives, or bounds: the JSON of the figures of its
    # trial and of those that it was compared with; '' elsewhere.
    "ALTER TABLE verdicts ADD COLUMN compared TEXT NOT NULL DEFAULT ''",
    # The machines that train a search, as they were last seen, in 10^6 bytes.
    """
    CREATE TABLE nodes (
        search_id INTEGER NOT NULL REFERENCES searches(id),
        node TEXT NOT NULL,
        name TEXT NOT NULL,
        alive INTEGER NOT NULL CHECK (alive IN (0, 1)),
        cpus REAL NOT NULL,
        gpus REAL NOT NULL,
        cpu_percent REAL,
        memory_mb REAL,
        memory_total_mb REAL,
        gpu_percent REAL,
        gpu_memory_mb REAL,
        seen_at REAL NOT NULL,
        PRIMARY KEY (search_id, node)
    ) STRICT
    """,
)


@MIGRATIONS()
def m012_many(db: Database) -> None:
    """Several objectives, lessons of earlier searches, inherited weights, machines of a cluster."""
    for statement in _MANY:
        db.execute(statement)


_CYCLE = {"model.cycle": "none"}


@MIGRATIONS()
def m013_cycle(db: Database) -> None:
    """Say in recorded configurations that no cycle was learned, for which there was no setting."""
    for table in ("proposals", "revisions", "replays"):
        for key, text in db.execute(
            f"SELECT id, config FROM {table} WHERE config <> '{{}}'"  # noqa: S608
        ).fetchall():
            config = json.dumps(_CYCLE | json.loads(text))
            db.execute(f"UPDATE {table} SET config = ? WHERE id = ?", [config, key])  # noqa: S608


_ADDED: Mapping[str, Mapping[str, Any]] = {"m013_cycle": _CYCLE}


def settings_after(version: str | None) -> frozenset[str]:
    """Return the settings that configurations lack which were recorded under a version.

    None is the newest version. Of those of before the first export nothing is said.
    """
    known = known_versions()
    later = known[known.index(version) + 1 :] if version else []
    return frozenset(key for name in later for key in _ADDED.get(name, {}))


SPARK_POINTS = 12


def sampled(curve: Sequence[float | None]) -> list[float | None]:
    """Return at most `SPARK_POINTS` points of a curve, its ends among them, to 4 digits."""
    last, most = len(curve) - 1, SPARK_POINTS - 1
    at = range(len(curve)) if last <= most else [round(k * last / most) for k in range(most + 1)]
    return [None if (value := curve[k]) is None else float(f"{value:.4g}") for k in at]


def differing(start: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of `config` that are not as in `start`; where that is empty, none."""
    if not start:
        return {}
    return {key: value for key, value in config.items() if start.get(key) != value}


LOCK_SECONDS = 30.0
"""That a writer waits for another one to finish."""


class StoreError(RuntimeError):
    """A database that cannot be used; the message is one sentence that says what to do."""


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Say in a sentence what was wrong with the database at `path`; raises StoreError."""
    try:
        yield
    except sqlite3.Error as error:
        raise StoreError(_sentence(path, error)) from error


def _sentence(path: Path, error: sqlite3.Error) -> str:
    name = str(getattr(error, "sqlite_errorname", "")).removeprefix("SQLITE_").partition("_")[0]
    match name:
        case "BUSY" | "LOCKED":
            return (
                f"{path} was held by another program for {LOCK_SECONDS:g} s; try again when that "
                "has ended. Nothing was changed."
            )
        case "FULL" | "IOERR":
            return (
                f"{path} could not be written ({error}); make room on its disk, then try again. "
                "Nothing was changed."
            )
        case "READONLY" | "CANTOPEN" | "PERM":
            return (
                f"{path} cannot be opened or written by this user ({error}); change the rights to "
                "the file and its folder, or name another file with --db or NAS_DB."
            )
    return (
        f"{path} cannot be used as a database ({error}); restore it from a copy, or name another "
        "file with --db or NAS_DB. Nothing was changed."
    )


def open_database(path: Path, durable: bool = True) -> Database:
    """Open a database for writing, made or brought up to this version where needed.

    Commits are synchronous=FULL: a decision that was shown survives a power cut. Those of a
    connection that is not `durable` (NORMAL) may be lost in one, though not in a crash. The
    connection may move between threads, but serves one at a time.

    Raises:
        StoreError: the file cannot be opened, is no database of this project, or a newer version
            wrote it.
    """
    with explained(path):
        make_private(path)
        connection = sqlite3.connect(path, timeout=LOCK_SECONDS, check_same_thread=False)
        refuse_foreign(connection, path)
        _keep_private(path)
        if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
            connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        db = Database(connection)
        if MIGRATIONS.pending(db):  # with foreign keys off, lest a table that is replaced lose rows
            with transaction(connection):
                MIGRATIONS.apply(db)
        connection.execute("PRAGMA foreign_keys = ON")
    return db


def _keep_private(path: Path) -> None:
    """Take from others what they may do with a database of an earlier version, if it is ours."""
    for file in (path, *(path.with_name(path.name + end) for end in ("-wal", "-shm"))):
        with suppress(OSError):  # its owner shares it, or it is not there
            take_back(file)


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Hold the write lock from the start, so that what is read inside is still true when written.

    Inside another transaction it adds nothing: the outer one commits.
    """
    if connection.in_transaction:
        yield
        return
    connection.execute("BEGIN IMMEDIATE")
    with connection:
        yield


def refuse_foreign(connection: sqlite3.Connection, path: Path) -> bool:
    """Return whether the database has all that this version knows; an empty one has not.

    Raises:
        StoreError: this version cannot use it.
    """
    with explained(path):
        tables = {
            name
            for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        }
        applied = (
            [
                name
                for (name,) in connection.execute(
                    "SELECT name FROM _sqlite_migrations WHERE migration_set = ? ORDER BY id",
                    (MIGRATIONS.name,),
                )
            ]
            if "_sqlite_migrations" in tables
            else []
        )
    if tables and not applied:
        raise StoreError(
            f"{path} belongs to another application; name another file with --db or NAS_DB."
        )
    known = known_versions()
    if newer := [name for name in applied if name not in known]:
        raise StoreError(
            f"{path} was written by a newer version of this project (schema {newer[-1]}, this one "
            f"knows up to {known[-1]}); update the project, or name another file with --db or "
            "NAS_DB. Nothing was changed."
        )
    return set(known) <= set(applied)


def known_versions() -> list[str]:
    """Return the names of the migrations that this version knows, oldest first."""
    empty = Database(memory=True)
    try:
        return [migration.name for migration in MIGRATIONS.pending(empty)]
    finally:
        empty.close()
