"""Whether a search that was killed has ended like one that was not, and what was paid twice."""

from __future__ import annotations

import json
import statistics
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from informer.config import from_flat
from nas_engine.api import SearchError, load_agent_state
from nas_engine.evaluator import Verdict, decide
from nas_engine.store import judging, wishes
from nas_engine.store.reader import reading
from nas_engine.workspace import Workspace
from tests.chaos.play import Case, Played
from tests.chaos.searches import KINDS, noisy
from tests.chaos.service import charged

OF_A_TRIAL = (
    *("number", "state", "parent", "source", "step_type", "hypothesis", "changes", "original"),
    *("config", "decision", "version", "comment", "author", "val_mse", "val_mae", "test_mse"),
    *("test_mae", "seeds", "spread", "accepted", "rule", "improvement", "margin", "verdict"),
    *(
        "latency_ms",
        "flops",
        "opinion",
        "error_class",
        "error",
        "best_epoch",
        "epochs",
        "parameters",
        "round",
        "wanted",
    ),
)


def outcome(played: Played) -> dict[str, Any]:
    """Return all of a search that a kill must not change."""
    state = load_agent_state(played.workspace.db)
    search = state.search
    found: dict[str, Any] = {
        "state": (search.state, search.reason, search.max_trials),
        "incumbent": (search.incumbent, search.best),
        "baselines": state.baselines,
    }
    with reading(played.workspace) as reader:
        assert reader is not None
        for trial in state.trials:
            facts = {name: getattr(trial, name) for name in OF_A_TRIAL}
            facts["runs"] = [
                (run.kind, run.seed, run.state, run.val_mse, run.epochs, run.inherited_share)
                for run in reader.runs(search.id, trial.number, every=True)
            ]
            found[f"trial {trial.number}"] = facts
        found["epochs"] = reader.epochs(search.id)
        found["answers of models"] = {
            (call.number, call.role, call.reply)
            for call in reader.llm_calls(search.id)
            if call.outcome == "used"
        }
        found["decisions"] = [
            (row.kind, row.state, row.answer)
            for row in wishes.commands(reader, search.id)
            if row.kind == "decide"
        ]
    return found


def differences(found: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """Return a sentence for each part in which a search differs from the undisturbed one."""
    problems = []
    for part in dict.fromkeys([*wanted, *found]):
        mine, other = found.get(part), wanted.get(part)
        if mine == other:
            continue
        if isinstance(mine, dict) and isinstance(other, dict):
            names = [name for name in other if mine.get(name) != other[name]]
            problems += [
                f"{part}: {name} is {mine.get(name)!r}, not {other[name]!r}" for name in names
            ]
        else:
            problems.append(f"{part} is {mine!r}, not {other!r}")
    return problems


@dataclass(frozen=True)
class Ledger:
    """What was really trained, by run folder."""

    begun: Counter[str]
    epochs: Counter[str]
    results: Counter[str]  # of trainings in the engine's own process

    @classmethod
    def of(cls, workspace: Workspace) -> Ledger:
        lines = (workspace.db.parent / "trainings.txt").read_text().splitlines()
        notes = [json.loads(line) for line in lines]

        def count(what: str) -> Counter[str]:
            return Counter(Path(note["folder"]).name for note in notes if what in note)

        return cls(count("began"), count("epoch"), count("result"))


def counted(case: Case, played: Played, calm: Played, ledgers: Path) -> list[str]:
    """Return a sentence for each thing that was paid for too often, or not booked."""
    problems = []
    kind, kills = KINDS[case.kind], played.kills
    mine, other = Ledger.of(played.workspace), Ledger.of(calm.workspace)
    if kind.slots > 1:  # the trials may be others, and need more seeds or fewer
        trainings, epochs = len(mine.begun), kind.epochs * len(mine.begun)
    else:
        trainings, epochs = other.begun.total(), other.epochs.total()
    if twice := [folder for folder, times in mine.results.items() if times > 1]:
        problems.append(f"trained again after their end: {twice}")
    if mine.begun.total() > trainings + kind.slots * kills:
        problems.append(f"{mine.begun.total()} trainings after {kills} kills, not {trainings}")
    if mine.epochs.total() > epochs + kind.epochs_lost * kills:
        problems.append(f"{mine.epochs.total()} epochs after {kills} kills, not {epochs}")
    asked, tokens = charged(ledgers, played.key)
    expected, _ = charged(ledgers, calm.key)
    if kind.slots == 1 and asked > expected + kills:
        problems.append(f"{asked} questions to models after {kills} kills, not {expected}")
    with reading(played.workspace) as reader:
        assert reader is not None
        spend = reader.spend(1)
    if spend.calls < asked or spend.booked_tokens < tokens:
        problems.append(
            f"{asked} questions ({tokens} tokens) were charged, {spend.calls} "
            f"({spend.booked_tokens} tokens) are booked"
        )
    return problems


def broken(workspace: Workspace) -> list[str]:
    """Return a sentence for each thing that must hold of a search, in whatever order it went."""
    problems = []
    state = load_agent_state(workspace.db)
    search, rules = state.search, state.search.spec.rules
    if search.state != "completed" or len(state.trials) != search.max_trials:
        trials = f"{len(state.trials)} of {search.max_trials} trials"
        return [f"{search.state} after {trials}: {search.reason}"]
    if len({tuple(trial.config.items()) for trial in state.trials}) != len(state.trials):
        problems.append("a configuration was tried twice")
    trained = Ledger.of(workspace).begun.keys()
    recorded = 0
    with reading(workspace) as reader:
        assert reader is not None
        judged = judging.judged_by(reader, search.id)
        for trial in state.trials:
            runs = reader.runs(search.id, trial.number)
            recorded += len(runs)
            values = [noisy(from_flat({**trial.config, "training.seed": run.seed})) for run in runs]
            if [run.val_mse for run in runs] != values:
                problems.append(f"trial {trial.number} has not the results of its trainings")
            elif trial.val_mse != statistics.mean(values) or trial.seeds != len(runs):
                problems.append(f"trial {trial.number} is not what its runs make it")
            verdict = decide(judged[trial.number], rules)
            by_rules = isinstance(verdict, Verdict) and verdict.accepted == trial.accepted
            if not by_rules and not trial.opinion:
                problems.append(f"the verdict on trial {trial.number} is not that of its figures")
    if recorded != len(trained):
        problems.append(f"{recorded} trainings are recorded, {len(trained)} were begun")
    accepted = [trial for trial in state.trials if trial.accepted]
    best = min(accepted, key=lambda trial: (trial.val_mse, trial.number), default=None)
    if search.incumbent != (best and best.number):
        problems.append(f"the incumbent is {search.incumbent}, the best {best and best.number}")
    return problems


def problems_of(case: Case, played: Played, calm: Played, ledgers: Path) -> list[str]:
    """Return a sentence for each way in which a killed search is not as it should be."""
    try:
        if not case.kills and load_agent_state(calm.workspace.db).search.state != "completed":
            return ["it is not completed"]
        if KINDS[case.kind].slots == 1:
            found = differences(outcome(played), outcome(calm))
        else:
            found = broken(played.workspace)
        if len(case.kills) == 1 and case.kills[0].point and not played.kills:
            found.append("nothing was killed: the failpoint was not reached")
        return found + counted(case, played, calm, ledgers)
    except (SearchError, OSError) as error:
        return [f"there is nothing to compare: {error}"]
