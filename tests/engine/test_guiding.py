"""Guidance, asking again and the timer: what the engine and the planners make of them."""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import Any

import pytest
from click.testing import CliRunner

from data import own
from data.intake import read_bytes
from data.quality import choose
from informer.config import Value, fields, from_flat, problems
from informer.cost import parameters
from nas_engine.cli import steering as cli
from nas_engine.cli.common import Refused as CommandRefused
from nas_engine.cli.common import timer_of
from nas_engine.cli.main import main
from nas_engine.commands import (
    AskAgain,
    Change,
    Command,
    Control,
    Decide,
    Enqueue,
    Guide,
    Lift,
    Start,
    send,
)
from nas_engine.control import apply
from nas_engine.control.scope import Refused, Scope
from nas_engine.guidance import SteeringRow, steered, understood
from nas_engine.llm import LanguageModel, prompt
from nas_engine.planners.base import Planner, SpaceExhausted, View
from nas_engine.planners.question import ask_text
from nas_engine.planners.tpe import OptunaPlanner
from nas_engine.planning import Planning, planner_of
from nas_engine.proposals import Proposal
from nas_engine.search import PlannerName, SearchSpec, Timer
from nas_engine.service.patience import Patience
from nas_engine.settings import load_settings
from nas_engine.standing import due_at
from nas_engine.store import wishes
from nas_engine.store.rows import Spend, TrialRow
from nas_engine.store.wishes import Errand
from nas_engine.store.writer import Writer
from nas_engine.supervisor import Answer
from nas_engine.trainers.base import Ended
from nas_engine.workspace import Workspace
from tests.data.files import csv, table
from tests.engine.conftest import ONE_SEED, Bench
from tests.engine.rows import no_epochs, trial_row
from tests.engine.test_control import answered, until
from tests.fakes import llm_server
from tests.fakes.llm_server import LLMServer, Reply, Request, serving
from tests.fakes.trainer import FakeTrainer

WORDS = "stay under 60k parameters, leave the learning rate alone. dropout at most 0.2, no SGD"


class Desk:
    """A search in a database, its planning, and a person who gives commands as an engine would."""

    def __init__(self, workspace: Workspace, **spec: Any) -> None:
        workspace.create()
        self.workspace, self.writer = workspace, Writer(workspace)
        facts = {"planner": "tpe", "mode": "review", **spec}
        self.search_id = self.writer.open_search(SearchSpec.model_validate(facts))
        self.read = self.writer.read

    def tell(self, command: Command, author: str = "ada") -> str:
        scope = Scope(self.writer, load_settings(), self.search_id, frozenset(), True)
        with self.writer.transaction():
            return apply(scope, command, author)

    def planning(self, planner: Planner | None = None) -> Planning:
        return Planning(self.writer, self.search_id, planner or OptunaPlanner("tpe"))

    def trial(self, number: int) -> TrialRow:
        trial = self.read.trial(self.search_id, number)
        assert trial is not None
        return trial

    def ask_again(self, number: int, hint: str = "") -> str:
        trial = self.trial(number)
        command = AskAgain(proposal_id=trial.proposal_id, version=trial.version, hint=hint)
        return self.tell(command)

    def events(self) -> list[str]:
        return [event.text for event in self.read.events(self.search_id)]

    def view(self, number: int) -> View:
        return View.of(self.read, self.search_id, number)


@pytest.fixture
def desk(workspace: Workspace) -> Iterator[Desk]:
    desk = Desk(workspace)
    yield desk
    desk.writer.close()


# -- guide and lift -----------------------------------------------------------------------------


def test_guidance_is_answered_with_what_is_enforced_and_what_is_told(desk: Desk) -> None:
    told = desk.tell(Guide(words="dropout at most 0.3. Prefer patches, they are quick."))
    assert told == (
        "Enforced: dropout ≤ 0.3. Kept, but the planner tpe reads no words: "
        "Prefer patches, they are quick."
    )
    assert [row.constraint and row.constraint.text for row in wishes.steering(desk.read, 1)] == [
        *("dropout ≤ 0.3", None)
    ]
    assert wishes.steered_spec(desk.read, 1).space["model.dropout"].high == 0.3
    assert desk.read.search(1).spec.space == {}  # type: ignore[union-attr]  # it is as it was

    desk.tell(Guide(words="dropout at most 0.2"), "grace")
    (replaced, *_) = wishes.steering(desk.read, 1, in_force=False)
    assert (replaced.ended_by, replaced.ended_at is not None) == ("grace", True)
    words, bound = wishes.steering(desk.read, 1)
    assert bound.constraint is not None and bound.constraint.high == 0.2

    assert desk.tell(Lift(steering_id=bound.id)) == "Lifted: dropout ≤ 0.2"
    assert desk.tell(Lift(steering_id=words.id)) == "Lifted: Prefer patches, they are quick."
    with pytest.raises(Refused, match="holds no longer"):
        desk.tell(Lift(steering_id=bound.id))
    assert wishes.steered_spec(desk.read, 1) == desk.read.search(1).spec  # type: ignore[union-attr]


def test_guidance_that_leaves_nothing_is_refused_and_changes_nothing(desk: Desk) -> None:
    desk.tell(Guide(words="dropout at least 0.3"))
    for words in (
        "dropout at most 0.1",
        "lr = 1e-4. d_model at least 4096",
        "at most 9 parameters",
    ):
        with pytest.raises(Refused, match=r"leaves nothing|greater than or equal"):
            desk.tell(Guide(words=words))
    assert [row.constraint and row.constraint.text for row in wishes.steering(desk.read, 1)] == [
        "dropout ≥ 0.3"
    ]


def test_a_language_model_is_told_what_is_not_enforced(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(workspace, planner="llm", guidance="The season is strong.")
    assert desk.tell(Guide(words="Prefer patches")) == "Told to the planner: Prefer patches"
    desk.tell(Guide(words="never use SGD"))
    asked = ask_text(desk.view(1), prompt("request_one", number="1"))
    assert "The season is strong." in asked
    assert "- trial 1, ada: 'Prefer patches'" in asked
    assert "Enforced by code; what breaks it is refused:" in asked
    assert "- Planners set training.optimizer_class never to SGD." in asked
    desk.writer.close()


def test_words_that_were_said_long_ago_make_room_for_newer_ones(desk: Desk) -> None:
    for number in range(12):
        desk.tell(Guide(words=f"Word {number}: {'so it goes ' * 50}"))
    asked = ask_text(desk.view(1), "Plan.")
    assert "Word 11" in asked and "Word 0:" not in asked and "more are left out" in asked


def test_a_lowered_limit_holds_for_people_but_a_constrained_setting_is_theirs(desk: Desk) -> None:
    planning = desk.planning()
    planning.plan(0)
    desk.tell(Guide(words="stay under 200k parameters. dropout at most 0.2"))
    assert desk.tell(Enqueue(parent=0, changes={"model.dropout": 0.4})) == "Trial 1 is queued."
    with pytest.raises(Refused, match="this search allows 200,000"):
        desk.tell(Enqueue(parent=0, changes={"model.d_ff": 2048}))
    planning.plan(2)
    trial = desk.trial(2)
    with pytest.raises(Refused, match="this search allows 200,000"):
        desk.tell(
            Decide(
                proposal_id=trial.proposal_id,
                version=trial.version,
                decision="edited",
                changes={"model.d_ff": 2048},
            )
        )


def test_what_waits_is_not_approved_beyond_a_limit_that_was_lowered_meanwhile(desk: Desk) -> None:
    planning = desk.planning(OptunaPlanner("random"))
    planning.plan(0)
    planning.plan(1)
    desk.tell(Guide(words="stay under 2k parameters"))
    trial = desk.trial(1)
    decide = Decide(proposal_id=trial.proposal_id, version=trial.version, decision="approved")
    with pytest.raises(Refused, match=r"^Trial 1: the model would have .* allows 2,000\.$"):
        desk.tell(decide)
    assert desk.trial(1).state == "proposed"
    desk.tell(Lift(steering_id=wishes.steering(desk.read, desk.search_id)[0].id))
    desk.tell(Guide(words=f"no {trial.config['training.optimizer_class']}"))
    assert desk.tell(decide) == "Trial 1 approved."  # a setting is a person's to choose


def test_a_search_whose_data_set_is_gone_refuses_what_needs_it_in_a_sentence(
    workspace: Workspace,
) -> None:
    choices = choose(fill="interpolate", target="a")
    own.add("mine", read_bytes(csv(table())), "/from/mine.csv", choices)
    settings = {"data.dataset": "mine", "data.target": "a", "data.seq_len": 24}
    desk = Desk(workspace, settings={**settings, "data.label_len": 12, "data.pred_len": 12})
    own.remove("mine")
    for command in (Guide(words=WORDS), Enqueue(changes={"model.dropout": 0.2})):
        with pytest.raises(Refused, match="'mine'"):
            desk.tell(command)
    desk.writer.close()


# -- every planner obeys ------------------------------------------------------------------------


def constraints(words: str, **spec: Any) -> list[SteeringRow]:
    given = SearchSpec(**spec)
    found = understood(words, given, given.base().flat())
    assert not found.rest
    return [
        SteeringRow(number, words, constraint, "ada", 0.0, "", None)
        for number, constraint in enumerate(found.constraints)
    ]


def view_of(
    trials: list[TrialRow], steering: list[SteeringRow], incumbent: int | None = 0, **facts: Any
) -> View:
    spec = SearchSpec.model_validate(facts)
    kept = [row.constraint for row in steering if row.constraint is not None]
    return View(
        search_id=1,
        number=len(trials),
        spec=steered(spec, kept),
        max_trials=60,
        incumbent=incumbent,
        trials=trials,
        baselines=[],
        epochs=no_epochs,
        noise=None,
        spend=Spend(0, 0, 0, 0.0, 0, 0.0),
        steering=steering,
    )


def ideas() -> Callable[[Request, int], Reply]:
    """A model that names what is forbidden first, and something else once it is told so."""
    changes = iter(
        {"model.dropout": round(0.01 * number, 2), "data.batch_size": (32, 64, 128)[number % 3]}
        for number in range(1, 200)
    )

    def script(request: Request, index: int) -> Reply:
        repaired = "cannot be used" in json.dumps(request["messages"])
        bad: Mapping[str, Value] = {"training.optimizer_class": "SGD", "model.dropout": 0.45}
        mended = next(changes)
        if repaired and float(mended["model.dropout"]) > 0.2:
            mended = {"model.dropout": 0.2 - 1 / (index + 6), "model.d_layers": 2}
        offered = [mended, bad] if repaired else [bad]
        if llm_server.asked_for(request) == "ProposeChange":
            return llm_server.proposal(offered[0])
        return llm_server.candidates(*offered)

    return script


@pytest.fixture
def model(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[int], LanguageModel]]:
    workspace.create()
    writer, patience = Writer(workspace), Patience()
    search_id = writer.open_search(SearchSpec(planner="llm"))
    with serving(ideas()) as server:
        monkeypatch.setenv("OPENROUTER_API_KEY", "local")
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        settings = load_settings()
        yield lambda number: LanguageModel(settings, writer, patience, search_id, number, "planner")
    writer.close()


@pytest.mark.parametrize("name", ["portfolio", "tpe", "random", "rules", "llm", "hybrid"])
def test_the_next_20_proposals_of_every_planner_obey(
    name: PlannerName, model: Callable[[int], LanguageModel]
) -> None:
    # The incumbent breaks all of it, as if the constraints came late.
    broken: dict[str, Value] = {
        "model.dropout": 0.45,
        "training.optimizer_class": "SGD",
        "model.d_model": 128,
        "model.d_ff": 512,
    }
    facts: dict[str, Any] = {"source": "tpe", "seconds": 9.0, "asked_seconds": 1.0}
    trials = [
        trial_row(number, {**broken, "model.dropout": 0.45 - number / 99}, val_mse=0.5, **facts)
        for number in range(8)
    ]
    rows = constraints(WORDS)
    planner = planner_of(SearchSpec(planner=name), model)
    for trial in trials:
        planner.observe(trial)
    sources = set()
    for number in range(8, 28):
        view = view_of(trials, rows, planner=name)
        assert view.base == trials[0].config
        proposal = view.whole(planner.propose(view))
        config = {**view.base, **proposal.changes}
        assert problems(config) == []
        assert all(fields()[key].active(config) for key in proposal.changes)
        assert parameters(from_flat(config)) <= 60_000
        assert float(config["model.dropout"]) <= 0.2 or config["model.e_layers"] == 0
        assert config["training.optimizer_class"] != "SGD"
        assert config["training.optimizer_params.lr"] == 1e-4
        assert "Moved to keep the constraints in force" in proposal.reasons
        sources.add(proposal.source)
        facts["source"] = proposal.source
        trials.append(trial_row(number, config, val_mse=0.6 + number / 100, **facts))
        planner.observe(trials[-1])
    assert name in sources


def test_a_parent_outside_is_moved_to_the_nearest_values_and_below_the_limit() -> None:
    rows = constraints("dropout between 0.1 and 0.2. no prob attention. look-back at most 96")
    late = trial_row(0, {"model.dropout": 0.4, "data.seq_len": 168}, source="tpe")
    view = view_of([late], rows)
    assert view.moved == {"model.dropout": 0.2, "model.attention": "full", "data.seq_len": 96}
    small = view_of([late], constraints("at most 50k parameters"))
    assert parameters(from_flat(small.base)) > 50_000 >= parameters(from_flat(small.parent))
    assert set(small.moved) <= {"model.d_model", "model.d_ff", "model.e_layers"}
    assert "d_model" in ask_text(small, "Plan.").partition("Moved to keep")[2].splitlines()[0]


def test_what_is_inherited_must_keep_a_constraint_too() -> None:
    rows = constraints("patch length at most 12")
    view = view_of([trial_row(0, {"model.patch_len": 24}, source="tpe")], rows)
    assert view.moved == {"model.patch_len": 8}
    changes: dict[str, Value] = {"model.tokens": "patch", "model.head": "linear"}
    changes["model.distil"] = False
    assert view.check(changes) == []
    whole = view.whole(Proposal(source="rules", parent=0, changes=changes))
    assert whole.changes == {"model.patch_len": 8, **changes}
    assert view.whole(Proposal(source="rules", parent=0, changes={"model.factor": 3})).changes == {
        "model.factor": 3  # patches have no part in it
    }
    still = dataclasses.replace(view)
    still.__dict__["parent"] = view.base  # as if it could not be moved
    assert still.check(changes)[0].startswith("model.patch_len would be 24: Planners keep")


def test_the_optimiser_forgets_old_terms_when_the_space_changes() -> None:
    planner = OptunaPlanner("tpe")
    trials = [
        trial_row(
            n, {"model.dropout": 0.02 * n, "model.d_model": (32, 64, 128)[n % 3]}, source="tpe"
        )
        for n in range(15)
    ]
    for trial in trials:
        planner.observe(trial)
    planner.propose(view_of(trials, []))
    narrow = view_of(trials, constraints("dropout at most 0.1. d_model at least 64"))
    told = planner.study(narrow).get_trials(deepcopy=False)
    assert all(trial.distributions["model.dropout"].high == 0.1 for trial in told if trial.params
               and "model.dropout" in trial.params)  # fmt: skip
    assert sum("model.dropout" in trial.params for trial in told) == 6
    assert sum("model.d_model" in trial.params for trial in told) == 10


# -- constraints that arrive while a trial is planned -------------------------------------------


class Interrupted:
    """A planner that is slow: something happens while it plans."""

    def __init__(self, happens: Callable[[int], object]) -> None:
        self._happens, self._planner, self.asked = happens, OptunaPlanner("random"), 0

    def propose(self, view: View) -> Proposal:
        proposal = self._planner.propose(view)
        self.asked += 1
        self._happens(self.asked)
        return proposal

    def observe(self, result: TrialRow) -> None:
        pass


def test_a_constraint_given_while_a_trial_is_planned_holds_for_it(desk: Desk) -> None:
    def guide(asked: int) -> None:
        if asked == 1:
            desk.tell(Guide(words="leave the learning rate alone, leave dropout alone, no Adam"))

    planner = Interrupted(guide)
    planning = desk.planning(planner)
    planning.plan(0)
    planning.plan(1)
    assert planner.asked == 2
    config = desk.trial(1).config
    assert config["training.optimizer_class"] != "Adam"
    assert config["model.dropout"] == desk.trial(0).config["model.dropout"]


def test_a_constraint_that_the_proposal_keeps_costs_no_second_plan(desk: Desk) -> None:
    planner = Interrupted(lambda asked: desk.tell(Guide(words="at most 19M parameters")))
    planning = desk.planning(planner)
    planning.plan(0)
    planning.plan(1)
    assert planner.asked == 1


# -- ask again ----------------------------------------------------------------------------------


def test_what_was_turned_back_is_not_proposed_again(desk: Desk) -> None:
    planning = desk.planning()
    planning.plan(0)
    planning.plan(1)
    seen = [desk.trial(1).config]
    for _ in range(3):
        told = desk.ask_again(1, "larger, please")
        assert told == (
            "The planner is asked again for trial 1. The planner tpe reads no hints: it only "
            "proposes something else."
        )
        assert wishes.errands(desk.read, 1) == [Errand("plan again", 1)]
        planning.again(1)
        trial = desk.trial(1)
        assert (trial.state, trial.decision, trial.asked_again) == ("proposed", None, False)
        assert trial.config not in seen
        seen.append(trial.config)
        view = desk.view(1)
        for row in view.withdrawn:
            changes = {k: v for k, v in row.config.items() if v != view.parent[k]}
            assert "propose something else" in view.check(changes)[0]
    assert [row.why for row in wishes.revisions(desk.read, 1, 1)] == ["asked again"] * 3
    assert wishes.errands(desk.read, 1) == []
    assert sum("Trial 1 proposed again by tpe" in text for text in desk.events()) == 3


def test_a_decision_made_meanwhile_wins_over_what_is_proposed_again(desk: Desk) -> None:
    def approve(asked: int) -> None:
        if asked == 2:
            trial = desk.trial(1)
            facts = {"proposal_id": trial.proposal_id, "version": trial.version}
            desk.tell(Decide(decision="approved", **facts))  # type: ignore[arg-type]

    planning = desk.planning(Interrupted(approve))
    planning.plan(0)
    planning.plan(1)
    stood = desk.trial(1).config
    desk.ask_again(1)
    planning.again(1)
    trial = desk.trial(1)
    assert (trial.state, trial.config, trial.author) == ("queued", stood, "ada")


def test_a_trial_that_was_stopped_meanwhile_keeps_what_it_was(desk: Desk) -> None:
    def stop(asked: int) -> None:
        if asked == 2:
            desk.writer.end_unfinished(desk.search_id, Ended("stopped", "stopped", "Stopped."))

    planning = desk.planning(Interrupted(stop))
    planning.plan(0)
    planning.plan(1)
    stood = desk.trial(1).config
    desk.ask_again(1)
    planning.again(1)
    trial = desk.trial(1)
    assert (trial.state, trial.config, trial.asked_again) == ("stopped", stood, False)


def test_an_engine_that_can_plan_nothing_begins_no_errand_for_ever(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.search(max_trials=2, planner="random", mode="review", limits={"hours": 1e-9})
    desk = Desk.__new__(Desk)
    desk.workspace, desk.writer, desk.search_id = bench.workspace, Writer(bench.workspace), 1
    desk.read = desk.writer.read
    desk.planning().plan(0)
    desk.planning().plan(1)
    trial = desk.trial(1)
    monkeypatch.setattr("nas_engine.engine.planner_of", lambda *facts: 1 / 0)
    again = AskAgain(proposal_id=trial.proposal_id, version=trial.version)
    assert bench.give(again, 1).state == "applied"
    assert not desk.trial(1).asked_again
    assert any("ZeroDivisionError" in text for text in desk.events())
    desk.writer.close()


@pytest.mark.parametrize("error", [SpaceExhausted("All has been tried."), RuntimeError("A fault.")])
def test_a_proposal_stands_where_nothing_else_is_proposed(desk: Desk, error: Exception) -> None:
    def fail(asked: int) -> None:
        if asked == 2:
            raise error

    planning = desk.planning(Interrupted(fail))
    planning.plan(0)
    planning.plan(1)
    stood = desk.trial(1).config
    desk.ask_again(1)
    if isinstance(error, SpaceExhausted):
        planning.again(1)
    else:
        with pytest.raises(RuntimeError, match="A fault"):
            planning.again(1)
    trial = desk.trial(1)
    assert (trial.state, trial.config, trial.asked_again) == ("proposed", stood, False)
    assert wishes.errands(desk.read, 1) == []
    (event,) = [e for e in desk.read.events(1) if e.level == "warning"]
    assert event.text.startswith("Nothing else is proposed for trial 1: ")


@pytest.mark.parametrize("name", ["llm", "hybrid"])
def test_a_hint_is_read_by_the_language_model(
    name: PlannerName, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = iter([{"model.dropout": 0.3}, {"model.dropout": 0.3}, {"data.batch_size": 64}])

    def script(request: Request, index: int) -> Reply:
        if llm_server.asked_for(request) == "ProposeChange":
            return llm_server.proposal(next(steps))
        return llm_server.candidates(next(steps))

    desk = Desk(workspace, planner=name)
    with serving(script) as server:
        monkeypatch.setenv("OPENROUTER_API_KEY", "local")
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        settings, patience = load_settings(), Patience()

        def model(number: int) -> LanguageModel:
            return LanguageModel(settings, desk.writer, patience, 1, number, "planner")

        planning = desk.planning(planner_of(SearchSpec(planner=name), model))
        planning.plan(0)
        if name == "hybrid":
            next(steps)  # TPE warms up
        planning.plan(1)
        assert desk.ask_again(1, "Look at batches.") == "The planner is asked again for trial 1."
        planning.again(1)
    trial = desk.trial(1)
    assert trial.source == name
    assert trial.changes == ({"data.batch_size": 64} if name == "llm" else {"model.dropout": 0.3})
    assert "turned back by ada with the hint 'Look at batches.'" in said(server)
    if name == "llm":  # its first answer to the new question was the old proposal
        assert "This is as good as what ada has turned back for trial 1" in said(server)
    desk.writer.close()


def said(server: LLMServer) -> str:
    return "\n".join(str(m["content"]) for r in server.requests for m in r["messages"])


# -- the timer ----------------------------------------------------------------------------------


def test_the_timer_counts_from_when_a_proposal_waits_and_the_engine_lives(desk: Desk) -> None:
    planning = desk.planning()
    planning.plan(0)
    planning.plan(1)
    search, trial = desk.read.search(1), desk.trial(1)
    assert search is not None and trial.waiting_since is not None
    timed = search.spec.model_copy(update={"timer": Timer(minutes=2, then="reject")})
    search = dataclasses.replace(search, spec=timed, state="running")
    assert due_at(trial, search, 0.0) == trial.waiting_since + 120
    assert due_at(trial, search, trial.waiting_since + 50) == trial.waiting_since + 170
    for other in (
        dataclasses.replace(trial, state="queued"),
        dataclasses.replace(trial, drafted=True),
        dataclasses.replace(trial, asked_again=True),
    ):
        assert due_at(other, search, 0.0) is None
    assert due_at(trial, dataclasses.replace(search, state="paused"), 0.0) is None
    assert due_at(trial, dataclasses.replace(search, spec=SearchSpec()), 0.0) is None


@pytest.mark.parametrize("then", ["approve", "reject"])
def test_a_timer_decides_what_nobody_decides(bench: Bench, then: str) -> None:
    state = bench.search(
        planner="random",
        mode="review",
        max_trials=3,
        rules=ONE_SEED,
        timer={"minutes": 0.0005, "then": then},
    )
    assert state.search.state == "completed"
    decided = [(trial.decision, trial.author, trial.comment) for trial in state.trials[1:]]
    word = {"approve": "approved", "reject": "rejected"}[then]
    assert decided == [(word, "timer", "Nobody decided within 0.0005 minutes.")] * 2
    assert {trial.state for trial in state.trials[1:]} == {
        "completed" if then == "approve" else "rejected"
    }


def test_a_timer_approves_nothing_that_breaks_what_people_said_meanwhile(bench: Bench) -> None:
    bench.search(planner="random", mode="review", limits={"hours": 1e-9})
    with closing(Writer(bench.workspace)) as writer:
        planning = Planning(writer, 1, OptunaPlanner("random"))
        planning.plan(0)
        planning.plan(1)
        trial = writer.read.trial(1, 1)
        assert trial is not None
        words = f"no {trial.config['training.optimizer_class']}"
        assert bench.give(Guide(words=words), 1).state == "applied"
        timer = Timer(minutes=0.0005, then="approve")
        change = Change(timer=timer, limits={"hours": 1.0}, max_trials=2)
        assert bench.give(change, 1).state == "applied"
        trial = writer.read.trial(1, 1)
    assert trial is not None and (trial.state, trial.author) == ("rejected", "timer")
    assert "never to" in trial.comment and "Nobody decided" in trial.comment


# -- end to end ---------------------------------------------------------------------------------


def test_a_search_that_runs_obeys_what_it_is_told(
    bench: Bench, in_background: Callable[[int], threading.Thread]
) -> None:
    bench.trainer = FakeTrainer(epoch_seconds=0.05)
    spec = {"planner": "tpe", "max_trials": 8, "rules": ONE_SEED, "mode": "review"}
    in_background(send(bench.workspace, Start(spec=SearchSpec.model_validate(spec))))
    state = until(bench, lambda s: any(t.state == "proposed" for t in s.trials))
    told = answered(bench, Guide(words="stay under 50k parameters, leave the learning rate alone"))
    assert told[1].startswith("Enforced: parameters ≤ 50 k; learning rate stays")
    trial = state.trials[1]
    again = AskAgain(proposal_id=trial.proposal_id, version=trial.version)
    assert answered(bench, again)[0] == "applied"
    for number in range(1, 5):
        state = until(
            bench,
            lambda s, n=number: (
                len(s.trials) > n
                and s.trials[n].state == "proposed"
                and not s.trials[n].asked_again
            ),
        )
        trial = state.trials[number]
        assert parameters(from_flat(trial.config)) <= 50_000
        start = state.trials[0].config["training.optimizer_params.lr"]
        assert trial.config["training.optimizer_params.lr"] == start
        decide = Decide(
            proposal_id=trial.proposal_id, version=trial.version, decision="rejected", comment="No."
        )
        assert answered(bench, decide)[0] == "applied"
    assert answered(bench, Control(kind="cancel"))[0] == "applied"


# -- the command line ---------------------------------------------------------------------------


def test_the_command_line_guides_lifts_lists_and_asks_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    planning = desk.planning()
    planning.plan(0)
    planning.plan(1)

    def given(workspace: Workspace, command: Command, search_id: int) -> Answer:
        try:
            return Answer(True, desk.tell(command), search_id)
        except Refused as error:
            return Answer(False, str(error), search_id)

    monkeypatch.setattr(cli, "request", given)

    def nas(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(main, [*arguments, "--db", str(desk.workspace.db)])
        return result.exit_code, result.output.strip()

    assert nas("guidance") == (0, "Nothing was told to search 1 that is in force.")
    assert nas("guide", "1", "dropout at most 0.2") == (0, "Enforced: dropout ≤ 0.2.")
    code, refusal = nas("guide", "1", "dropout at least 0.9")
    assert code == 2 and "leaves nothing" in refusal
    (row,) = json.loads(nas("guidance", "1", "--json")[1])
    assert (row["enforced"], row["words"], row["author"]) == (
        *("dropout ≤ 0.2", "dropout at most 0.2", "ada"),
    )
    assert "dropout ≤ 0.2" in nas("guidance")[1]
    assert nas("lift", "1", "1") == (0, "Lifted: dropout ≤ 0.2")
    assert nas("lift", "1", "1")[0] == 2
    assert json.loads(nas("guidance", "1", "--all", "--json")[1])[0]["ended by"] == "ada"
    assert nas("ask-again", "1", "1", "--hint", "smaller")[1].startswith("The planner is asked")
    assert desk.trial(1).hint == "smaller"
    assert nas("ask-again", "1", "0")[0] == 2
    assert nas("change", "1", "--radical", "--timer", "30:approve") == (
        *(0, "Search 1 now has mode radical, timer to approve after 30 minutes."),
    )
    assert nas("change", "1", "--timer", "none") == (0, "Search 1 now has timer none.")
    assert "write minutes above 0" in nas("change", "1", "--timer", "soon:approve")[1]


def test_a_timer_is_read_as_it_is_written() -> None:
    assert timer_of("0.5:reject") == Timer(minutes=0.5, then="reject")
    assert (timer_of("none"), timer_of(None)) == ("none", None)
    for text in ("30", "30:maybe", ":approve", "-1:approve", "1e9:reject"):
        with pytest.raises(CommandRefused, match="write minutes above 0"):
            timer_of(text)
