"""What people and planners tell each other beside the trials."""

from __future__ import annotations

from sqlite_utils import Database


def m005_expected(db: Database) -> None:
    """Keep the relative improvement that a proposer expected, as an interval."""
    for column in ("expected_low", "expected_high"):
        db.execute(f"ALTER TABLE proposals ADD COLUMN {column} REAL")


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


def m010_agent(db: Database) -> None:
    """Guidance on the way, questions and answers, replays, and the versions of a proposal."""
    for statement in _AGENT:
        db.execute(statement)
