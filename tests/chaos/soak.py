"""`python -m tests.chaos.soak --histories 200 --steps 30`: all that can happen, in random order.

A history is a search in which a person steers, edits and decides, now and then on what is no longer
there, while its engine is killed, told to end, suspended, held up by a lock or a full disk, started
on a clock that is wrong or with a service that does not answer. After every step all must hold that
always holds; in the end the search is left alone, and must come to its end.
"""

from __future__ import annotations

import os
import random
import resource
import signal
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import click

from informer.config import from_flat
from nas_engine.api import AgentState, SearchError, load_agent_state
from nas_engine.commands import Change, Command, Control, Decide, Enqueue, OnTrial, Start, send
from nas_engine.liveness import same_process
from nas_engine.search import Limits
from nas_engine.store import trainings, wishes
from nas_engine.store.reader import reading
from nas_engine.store.rows import SearchRow, TrialRow
from nas_engine.workspace import Workspace
from tests.chaos.forks import end, ended_within, fast_folder, fork
from tests.chaos.play import import_all, run_engine
from tests.chaos.searches import ONE_SEED, Kind, kind, noisy
from tests.chaos.service import charged, service

USD = 1.0
NOBODY = "http://127.0.0.1:9/v1"
PATIENCE_SECONDS = 120.0
"""Without any progress, after which a search counts as hung."""
ORPHAN_SECONDS = 5.0


def drawn_kind(chance: random.Random) -> Kind:
    """Return a search of a random sort, each of whose trials is trained once."""
    return kind(
        5,
        epochs=2,
        workers=chance.random() < 0.3,
        epoch_seconds=0.02,
        planner=chance.choice(("tpe", "llm", "hybrid")),
        mode=chance.choice(("auto", "review")),
        slots=chance.choice((1, 2)),
        rules=ONE_SEED,
        limits=Limits(usd=USD),
    )


class History:
    """A search, the engine that it has at the moment, and what was seen of it so far."""

    def __init__(self, folder: Path, url: str, ledgers: Path, chance: random.Random) -> None:
        folder.mkdir()
        self.workspace = Workspace(folder / "nas.db")
        self.log = folder / "engine.log"
        self.key = f"sk-soak-{folder.name}"
        self.told: list[str] = []
        self.faults = 0
        self._url, self._ledgers, self._chance = url, ledgers, chance
        self._kind = drawn_kind(chance)
        self._engine: int | None = None
        self._judged: dict[int, tuple[object, ...]] = {}
        self._answered: dict[int, tuple[str, str]] = {}
        self._stale: list[int] = []
        self._workers: set[tuple[int, float]] = set()

    def play(self, steps: int) -> Iterator[str]:
        """Yield a sentence for each thing that should have held and did not."""
        self.start()
        for _ in range(steps):
            step = self._chance.choice(STEPS)
            self.told.append(step.__name__)
            self.faults += bool(step(self))
            time.sleep(self._chance.uniform(0, 0.05))
            yield from self._violations()
        yield from self._finish()
        if self._engine is not None:
            end(self._engine)
        yield from self._orphans()

    # -- what is done; each returns how many faults that were -----------------------------------

    def start(self, sound: bool = False) -> int:
        """Start an engine where there is none, as a person would; `sound`: on a good day."""
        if self._living() is not None:
            return 0
        hours = 0 if sound else self._chance.choice((0, 0, 0, 1, -1, 24 * 365))
        url = self._url if sound or self._chance.random() < 0.8 else NOBODY
        self.told += ["wrong clock"] * bool(hours) + ["nobody"] * (url == NOBODY)
        if self._state() is None:
            command_id = send(self.workspace, Start(spec=self._kind.spec))
        else:
            command_id = send(self.workspace, Control(kind="resume"), 1)
        self._engine = fork(partial(self._be_engine, command_id, url, hours), self.log)
        return bool(hours) + (url == NOBODY)

    def _be_engine(self, command_id: int, url: str, hours: int) -> None:
        os.environ |= {"OPENROUTER_API_KEY": self.key, "OPENAI_BASE_URL": url}
        os.environ["LLM_RETRY_SECONDS"] = "0"
        clock = time.time
        time.time = lambda: clock() + 3600 * hours
        run_engine(self.workspace, self._kind, command_id)

    def kill(self) -> int:
        return self._signal(signal.SIGKILL)

    def term(self) -> int:
        return self._signal(signal.SIGTERM)

    def suspend(self) -> int:
        suspended = self._signal(signal.SIGSTOP)
        time.sleep(self._chance.uniform(0, 0.2))
        self._signal(signal.SIGCONT)
        return suspended

    def lock(self) -> int:
        """Hold the database for a moment."""
        connection = sqlite3.connect(self.workspace.db, timeout=30, isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        time.sleep(self._chance.uniform(0, 0.2))
        connection.execute("ROLLBACK")
        connection.close()
        return self._living() is not None

    def fill(self) -> int:
        """Let no file of the engine grow for a moment, as on a full disk."""
        if (pid := self._living()) is None:
            return 0
        largest = max(path.stat().st_size for path in self.workspace.db.parent.glob("nas.db*"))
        _, most = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (largest, most))
        time.sleep(self._chance.uniform(0, 0.3))
        if self._living() is not None:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (most, most))
        return 1

    def steer(self) -> int:
        """Give a command, whether it makes sense or not."""
        number = self._chance.randrange(6)
        commands: list[Command] = [
            *(Control(kind=what) for what in ("pause", "resume", "stop", "cancel")),
            *(OnTrial(kind=what, number=number) for what in ("stop_trial", "skip", "retry")),
            OnTrial(kind="to_front", number=number),
            Change(slots=self._chance.choice((1, 2, 3))),
            Enqueue(changes={"model.d_ff": self._chance.choice((40, 48, 56, 80))}),
        ]
        if self._state() is not None:
            send(self.workspace, self._chance.choice(commands), 1)
        return 0

    def decide(self, stale: bool = False) -> int:
        """Decide on what waits, or on the version of it before that."""
        state = self._state()
        waiting = [t for t in state.trials if t.state == "proposed"] if state else []
        for trial in waiting[:1]:
            decision = self._chance.choice(("approved", "approved", "edited", "rejected"))
            command = Decide(
                proposal_id=trial.proposal_id,
                version=trial.version - stale,
                decision=decision,
                changes={"model.dropout": round(self._chance.uniform(0, 0.5), 3)}
                if decision == "edited"
                else {},
                comment="So I think.",
            )
            sent = send(self.workspace, command, 1)
            self._stale += [sent] * stale
        return stale * len(waiting[:1])

    def decide_on_what_was(self) -> int:
        return self.decide(stale=True)

    def _signal(self, number: signal.Signals) -> int:
        if (pid := self._living()) is None:
            return 0
        os.kill(pid, number)
        return 1

    def _living(self) -> int | None:
        """Return the engine's process, if it has not ended; it must have ended well or by us."""
        if self._engine is not None and (code := ended_within(self._engine, 0)) is not None:
            self._engine = None
            if code not in (0, -signal.SIGKILL, -signal.SIGTERM):
                raise AssertionError(f"an engine ended with {code}: {self.log.read_text()[-2000:]}")
        return self._engine

    def _state(self) -> AgentState | None:
        try:
            return load_agent_state(self.workspace.db)
        except SearchError:
            return None

    # -- what must hold -------------------------------------------------------------------------

    def _violations(self) -> Iterator[str]:
        asked, tokens = charged(self._ledgers, self.key)  # first: it is booked before it is asked
        with reading(self.workspace) as reader:
            if reader is None:
                return
            reader._connection.execute("BEGIN")  # all that follows is of one moment
            if (search := reader.search(1)) is None:
                return
            trials, spend = reader.trials(1), reader.spend(1)
            answers = {row.id: (row.state, row.answer) for row in wishes.commands(reader, 1)}
            self._workers |= set(trainings.workers(reader, 1))
        yield from self._of_trials(search, trials)
        yield from self._of_commands(answers)
        if spend.calls < asked or spend.booked_tokens < tokens:
            yield f"{asked} questions were charged, {spend.calls} are booked"
        if spend.booked_usd > USD:
            yield f"{spend.booked_usd} US dollars are booked, {USD} were allowed"

    def _of_trials(self, search: SearchRow, trials: list[TrialRow]) -> Iterator[str]:
        """None too many or twice, no gaps in the end; results stay; the best is the incumbent."""
        numbers = [trial.number for trial in trials]
        last = len(trials) - 1 if search.state == "completed" else 10**9  # one may be planned still
        if sorted(set(numbers)) != numbers or (numbers and numbers[-1] > last):
            yield f"the trials are {numbers}"
        if len(trials) > search.max_trials:
            yield f"{len(trials)} trials, where {search.max_trials} are allowed"
        judged: dict[int, tuple[object, ...]] = {
            trial.number: (trial.val_mse, trial.accepted, trial.rule)
            for trial in trials
            if trial.state == "completed" and trial.verdict
        }
        for number, before in self._judged.items():
            if judged.get(number) != before:
                yield f"trial {number} was {before}, and is {judged.get(number)}"
        self._judged = judged
        accepted = [trial for trial in trials if trial.accepted]
        best = min(accepted, key=lambda trial: (trial.val_mse, trial.number), default=None)
        if search.incumbent != (best and best.number):
            yield f"the incumbent is {search.incumbent}, the best {best and best.number}"
        done = [tuple(trial.config.items()) for trial in trials if trial.state == "completed"]
        if len(set(done)) != len(done):
            yield "a configuration was trained twice"

    def _of_commands(self, answers: dict[int, tuple[str, str]]) -> Iterator[str]:
        """What was answered stays answered, and nothing that nobody saw is decided."""
        for number, before in self._answered.items():
            if answers.get(number) != before:
                yield f"command {number} was {before}, and is {answers.get(number)}"
        self._answered = {n: row for n, row in answers.items() if row[0] != "pending"}
        if applied := [n for n in self._stale if answers.get(n, ("",))[0] == "applied"]:
            yield f"decisions on what was no longer there were applied: {applied}"

    def _finish(self) -> Iterator[str]:
        """Leave the search alone, but for approving what waits, and see it end."""
        seen, deadline = None, time.monotonic() + PATIENCE_SECONDS
        while (state := self._state()) is None or not over(state.search):
            self.start(sound=True)
            if (now := state and [(t.state, t.epoch, t.step) for t in state.trials]) != seen:
                seen, deadline = now, time.monotonic() + PATIENCE_SECONDS
            for trial in state.trials if state else []:
                if trial.state == "proposed" and not trial.asked_again:
                    shown = {"proposal_id": trial.proposal_id, "version": trial.version}
                    send(self.workspace, Decide(**shown, decision="approved", comment=""), 1)
            if time.monotonic() > deadline:
                yield f"it does not end: {state and (state.search.state, state.search.reason)}"
                return
            time.sleep(0.1)
        yield from self._violations()
        with reading(self.workspace) as reader:
            assert reader is not None
            for trial in state.trials:
                if trial.state != "completed" or self._kind.workers:
                    continue
                (run,) = reader.runs(1, trial.number)
                if run.val_mse != noisy(from_flat({**trial.config, "training.seed": run.seed})):
                    yield f"trial {trial.number} has not the result of its training"

    def _orphans(self) -> Iterator[str]:
        deadline = time.monotonic() + ORPHAN_SECONDS
        while left := [pid for pid, start in self._workers if same_process(pid, start)]:
            if time.monotonic() > deadline:
                yield f"workers are left: {left}"
                return
            time.sleep(0.05)


def over(search: SearchRow) -> bool:
    """Whether there is nothing left to go on with, as also where one was stopped after its last."""
    ended = search.state == "stopped" and search.finished == search.max_trials
    return search.state == "completed" or ended


STEPS: tuple[Callable[[History], int], ...] = (
    *(History.start, History.start, History.start, History.kill, History.term),
    *(History.suspend, History.lock, History.fill, History.steer, History.steer),
    *(History.decide, History.decide, History.decide_on_what_was),
)


@click.command(help=__doc__)
@click.option("--histories", default=200)
@click.option("--steps", default=30)
@click.option("--seed", default=1, help="Of the first history; each has the next one.")
def main(histories: int, steps: int, seed: int) -> None:
    """Live through random histories."""
    import_all()
    broken = faults = 0
    with tempfile.TemporaryDirectory(dir=fast_folder()) as folder:
        root, ledgers = Path(folder), Path(folder) / "ledgers"
        ledgers.mkdir()
        with service(ledgers) as url:
            for number in range(seed, seed + histories):
                history = History(root / f"{number}", url, ledgers, random.Random(number))
                found = list(history.play(steps))
                faults += history.faults
                broken += bool(found)
                for problem in found:
                    click.echo(f"FAILED {number}: {problem}")
                if found:
                    click.echo(f"after {', '.join(history.told)}")
                    click.echo(
                        f"again with: python -m tests.chaos.soak --histories 1 --seed {number} "
                        f"--steps {steps}"
                    )
    click.echo(f"{histories} histories, {faults} faults, {broken} with a violation")
    raise SystemExit(broken > 0)


if __name__ == "__main__":
    main()
