"""Ask again: the past is seen as it was, and a replay trains nothing and pays for itself."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner

from informer.config import from_flat
from nas_engine.cli.main import main
from nas_engine.commands import Change, Command, Replay, Start
from nas_engine.evaluator import Figures, Verdict
from nas_engine.guidance import Constraint
from nas_engine.planners.base import View
from nas_engine.planning import Planning
from nas_engine.proposals import Proposal
from nas_engine.space import step_type
from nas_engine.store import judging, proposing, wishes
from nas_engine.store.reader import reading
from nas_engine.store.rows import LLMCallRow, TrialRow
from nas_engine.store.wishes import ReplayRow
from nas_engine.supervisor import Answer
from nas_engine.workspace import Workspace
from tests.engine.conftest import Bench
from tests.engine.recorded_search import recorded_spec
from tests.fakes import llm_server
from tests.fakes.llm_server import serving
from tests.fakes.recorded import RecordedTrainer
from tests.pages.seed import Seed


def facts(view: View) -> dict[str, Any]:
    """Return all that a planner can see in a view."""
    numbers = [trial.number for trial in view.trials]
    return {
        **{name: value for name, value in vars(view).items() if name != "epochs"},
        "withdrawn": list(view.withdrawn),
        "epochs": view.epochs(numbers),
        "curves": view.curves,
        "parent": view.parent,
        "space": view.space,
        "pruned": view.pruned_at,
    }


def replays(workspace: Workspace) -> list[ReplayRow]:
    with reading(workspace) as reader:
        assert reader is not None
        return wishes.replays(reader, 1)


def calls(workspace: Workspace) -> list[LLMCallRow]:
    with reading(workspace) as reader:
        assert reader is not None
        return [call for call in reader.llm_calls(1) if call.role == "replay"]


# -- what was known -----------------------------------------------------------------------------


def test_the_past_is_what_the_planner_saw_and_proposes_the_same(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[int, dict[str, Any]] = {}
    plain = Planning._proposal

    def watched(self: Planning, view: View) -> Proposal:
        seen[view.number] = facts(view)
        return plain(self, view)

    monkeypatch.setattr(Planning, "_proposal", watched)
    bench = Bench(workspace, RecordedTrainer())
    spec = recorded_spec(planner="tpe", max_trials=7)
    state = bench.search(**spec.model_dump())
    bench.give(Change(max_trials=9), 1)
    with reading(workspace) as reader:
        assert reader is not None
        for number in range(1, 7):
            then = facts(View.before(reader, 1, number))
            assert {k: v for k, v in then.items() if v != seen[number][k]} == {}
    bench.give(Replay(number=6, planner="tpe"), 1)
    (row,) = replays(workspace)
    assert (row.state, row.source, row.problem) == ("answered", "tpe", "")
    assert (row.changes, row.parent) == (state.trials[6].changes, state.trials[6].parent)
    assert row.config == state.trials[6].config
    with reading(workspace) as reader:
        assert reader is not None
        assert len(reader.trials(1)) == 9, "a replay trains nothing"


class Live(Seed):
    """Leaves the times of trials as they are."""

    def backdate(self, number: int, seconds: float) -> None:
        pass


def moment(seed: Seed) -> None:
    """Seed a search up to trial 5: one trains, one waits, one was asked again, one has ended."""
    seed.asked(Start(spec=seed.spec), "Search 1 has started.")
    seed.propose(0, "default")
    seed.train(0, 0.5, 0.501)
    seed.propose(1, "tpe", 0, {"model.dropout": 0.2})
    seed.train(1, 0.45)
    seed.propose(2, "tpe", 1, {"model.dropout": 0.3})
    seed.running(2)
    seed.propose(3, "llm", 1, {"model.e_layers": 3}, waiting=True)
    seed.propose(4, "llm", 1, {"model.dropout": 0.5}, waiting=True)
    proposing.ask_again(
        seed.writer, seed.writer.read.trial(seed.id, 4).proposal_id, 1, "ada", "Less."
    )  # type: ignore[union-attr]
    seed.call(3, "used", "{}")
    seed.sql("UPDATE llm_calls SET seconds = 0.0")
    wishes.steer(seed.writer, seed.id, "be bold", "", "ada")
    wishes.steer(
        seed.writer, seed.id, "", Constraint(key="model.d_model", high=64).model_dump_json(), "a"
    )
    seed.propose(5, "tpe", 1, {"model.d_ff": 128})


def later(seed: Seed) -> dict[str, Callable[[], object]]:
    """Return what may come after trial 5 was proposed."""

    def proposal_of(number: int) -> TrialRow:
        trial = seed.writer.read.trial(seed.id, number)
        assert trial is not None
        return trial

    def edit() -> None:
        changes = {"model.e_layers": 1, "model.dropout": 0.1}
        config = from_flat({**seed.config(1), **changes})
        edited = (changes, config, step_type(changes))
        assert proposing.decide(
            seed.writer, proposal_of(3).proposal_id, 1, "edited", "ada", "No.", edited
        )
        seed.train(3, 0.30)

    def again() -> None:
        trial = proposal_of(4)
        proposal = Proposal(source="llm", parent=1, changes={"model.dropout": 0.05})
        config = from_flat({**seed.config(1), **proposal.changes})
        assert proposing.propose_again(
            seed.writer, trial.proposal_id, trial.version, proposal, config
        )

    def change() -> None:
        command = Change(max_trials=90, limits={"tokens": 5})
        new = seed.spec.model_copy(update={"max_trials": 90})
        seed.asked(command, "Changed.")
        seed.writer.change(seed.id, new)

    def judge_anew() -> None:
        figures = Figures(0.2, 1, 1)
        judging.save_verdict(seed.writer, seed.id, 5, Verdict(True, "first", "It is.", figures))

    constraint = Constraint(key="model.d_model", values=(64,)).model_dump_json()
    return {
        "2 ends": lambda: seed.train(2, 0.20, 0.21),
        "3 is edited": edit,
        "4 is proposed again": again,
        "5 is trained": lambda: seed.train(5, 0.1),
        "5 is judged": judge_anew,
        "6 is proposed": lambda: seed.propose(6, "random", 1, {"model.dropout": 0.0}),
        "a call": lambda: seed.call(3, "used", "{}"),
        "a change": change,
        "guidance": lambda: wishes.steer(seed.writer, seed.id, "be careful", "", "bob"),
        "a constraint": lambda: wishes.steer(seed.writer, seed.id, "", constraint, "bob"),
        "a lift": lambda: wishes.lift(seed.writer, seed.id, 1, "bob"),
    }


@pytest.mark.parametrize("order", range(5))
def test_nothing_that_came_later_is_seen(workspace: Workspace, order: int) -> None:
    seed = Live(workspace, planner="llm", max_trials=8)
    moment(seed)
    before = facts(View.before(seed.writer.read, seed.id, 5))
    events = later(seed)
    names = list(events)
    random.Random(order).shuffle(names)
    for name in names:
        events[name]()
        after = facts(View.before(seed.writer.read, seed.id, 5))
        assert {key: value for key, value in after.items() if value != before[key]} == {}, name
    seed.close()


def test_a_view_of_the_past_has_what_was_known_and_open_trials_have_nothing(
    workspace: Workspace,
) -> None:
    seed = Live(workspace, planner="llm", max_trials=8)
    moment(seed)
    for event in later(seed).values():
        event()
    view = View.before(seed.writer.read, seed.id, 5)
    assert [trial.number for trial in view.trials] == [0, 1, 2, 3, 4]
    assert [trial.val_mse for trial in view.trials] == [0.5005, 0.45, None, None, None]
    assert [trial.state for trial in view.trials[2:]] == ["running", "queued", "queued"]
    assert view.trials[3].changes == {"model.e_layers": 3}, "as it was before the edit"
    assert view.trials[4].changes == {"model.dropout": 0.5}, "as it was before it was replaced"
    assert not any(trial.accepted for trial in view.trials[2:])
    assert {row.number for row in view.epochs([0, 1, 2, 3, 4])} == {0, 1}
    assert (view.incumbent, view.max_trials, view.spend.calls) == (1, 8, 1)
    assert view.noise is not None and view.noise.degrees == 1
    assert [row.words for row in view.steering] == ["be bold", ""]
    assert view.space["model.d_model"].values == (32, 64)  # type: ignore[union-attr]
    seed.close()


# -- replays ------------------------------------------------------------------------------------


def asked(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, reply: object, *given: Replay
) -> list[str]:
    """Give replays with a model that answers `reply`, and return what the model was named."""
    named: list[str] = []

    def script(request: dict[str, Any], index: int) -> Any:
        named.append(request["model"])
        return reply

    with serving(script) as server:
        monkeypatch.setenv("OPENROUTER_API_KEY", "local")
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        for command in given:
            answer = bench.give(command, 1)
            assert answer.state == "applied", answer.answer
    return named


@pytest.fixture
def searched(workspace: Workspace) -> Bench:
    bench = Bench(workspace)
    bench.search(planner="random", max_trials=3, rules={"seeds": 1, "extra_seeds": 0})
    return bench


def test_a_model_is_asked_by_its_name_and_pays_from_the_budget(
    searched: Bench, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    reply = llm_server.proposal(
        {"training.optimizer_params.lr": 0.0021}, expected={"low": -1, "high": 5}
    )
    one = Replay(number=2, planner="llm", model="some/other-model")
    assert asked(searched, monkeypatch, reply, one, one) == ["some/other-model"] * 2
    second, first = replays(workspace)
    for row in (first, second):
        assert (row.state, row.source, row.model) == ("answered", "llm", "some/other-model")
        assert row.changes == {"training.optimizer_params.lr": 0.0021}
        assert (row.expected_low, row.expected_high) == (-0.01, 0.05)
    booked = calls(workspace)
    assert [call.number for call in booked] == [None, None], "no trial is planned by it"
    assert all(call.model == "some/other-model" and call.booked_tokens > 0 for call in booked)
    prompt = json.dumps(booked[0].messages)
    assert "trial 1 (random)" in prompt and "trial 2 (random)" not in prompt
    with reading(workspace) as reader:
        assert reader is not None
        assert reader.spend(1).calls == 2
        assert len(reader.trials(1)) == 3
        search = reader.search(1)
        assert search is not None and search.state == "completed"


def test_a_replay_that_proposes_nothing_says_why(
    searched: Bench, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    denied = llm_server.failure(401, "no such key")
    asked(searched, monkeypatch, denied, Replay(number=1, planner="llm"))
    (row,) = replays(workspace)
    assert row.state == "failed" and "HTTP 401" in row.problem and "ask again" in row.problem
    assert "resume" not in row.problem


def test_a_replay_that_meets_an_error_ends(
    searched: Bench, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object) -> None:
        raise RuntimeError("no planner today")

    monkeypatch.setattr("nas_engine.replay.planner_of", broken)
    searched.give(Replay(number=1, planner="rules"), 1)
    (row,) = replays(workspace)
    assert row.state == "failed" and "RuntimeError" in row.problem


def test_a_replay_without_a_key_or_a_trial_is_refused(searched: Bench) -> None:
    assert "OPENROUTER_API_KEY" in searched.give(Replay(number=1, planner="llm"), 1).answer
    assert "no trial 7" in searched.give(Replay(number=7, planner="tpe"), 1).answer


def test_the_command_line_shows_what_would_have_been_proposed(
    searched: Bench, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def request(workspace: Workspace, command: Command, search_id: int) -> Answer:
        row = searched.give(command, search_id)
        return Answer(row.state == "applied", row.answer, search_id)

    monkeypatch.setattr("nas_engine.cli.hindsight.request", request)
    command = ["hindsight", "1", "2", "--planner", "rules", "--db", str(workspace.db)]
    shown = CliRunner().invoke(main, command)
    (row,) = replays(workspace)
    assert shown.exit_code == 0, shown.output
    assert shown.output.startswith("rules would have changed trial ")
    assert all(f"  {key} = " in shown.output for key in row.changes)
    refused = CliRunner().invoke(main, [*command[:2], "9", *command[3:]])
    assert refused.exit_code == 2 and "no trial 9" in refused.output
