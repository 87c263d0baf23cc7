"""The inbox: what a card shows and sends, who is told what, and the badge on every page."""

from __future__ import annotations

from dataclasses import replace

import pytest
from streamlit.testing.v1 import AppTest

from informer.config import PRESETS, Value
from informer.dry_run import DryRun
from nas_engine.commands import AskAgain, Change, Decide, Describe, Enqueue
from nas_engine.guidance import Constraint, SteeringRow
from nas_engine.labels import describe
from nas_engine.proposals import Proposal, Record
from nas_engine.search import SearchSpec, Timer
from nas_engine.standing import Budget
from nas_engine.store import proposing, wishes
from nas_engine.store.inbox import Planning, Waiting, planning, quoted, told_at, waiting
from nas_engine.store.reader import reading
from nas_engine.store.rows import TrialRow
from nas_engine.supervisor import Answer
from nas_engine.workspace import Workspace
from pages._parts.inbox import Mark
from pages._parts.inbox_figures import (
    broken,
    cost_text,
    estimate,
    estimate_text,
    expectations,
    references,
)
from pages._parts.inbox_news import news
from pages._parts.policy import policy_of, policy_text
from pages._parts.waiting import label
from tests.pages import seed
from tests.pages.conftest import Engine, Open, words
from tests.pages.seed import Seed
from tests.pages.test_pages import open_review, proposal_key


def reopened(workspace: Workspace, search_id: int = 1) -> Seed:
    """Return what writes more into a seeded search."""
    more = Seed.__new__(Seed)
    more.workspace, more.id = workspace, search_id
    more.writer = seed.Writer(workspace)
    found = more.writer.read.search(search_id)
    assert found is not None
    more.spec = found.spec
    return more


@pytest.fixture
def inbox(workspace: Workspace) -> Seed:
    """A search in which trial 8 waits, proposed by a language model."""
    seed.eventful(workspace, alive=True)
    return reopened(workspace)


def trial(sample: Seed, number: int) -> TrialRow:
    found = sample.writer.read.trial(sample.id, number)
    assert found is not None
    return found


# -- in sentences -------------------------------------------------------------------------------

START = PRESETS["small"].config().flat()
WIDE: dict[str, Value] = {**START, "model.d_model": 128}


def test_an_estimate_is_told_beside_what_it_is_compared_with() -> None:
    record = Record(SearchSpec(), [])
    before, after = estimate(record, START), estimate(record, WIDE)
    assert before is not None and after is not None and after.seconds is None
    text = estimate_text(after, before)
    assert text.startswith("Parameters: 183,367 → 521,607 (x 2.84) · ")
    assert text.endswith(" MB of memory")
    timed = replace(before, seconds=100.0), replace(after, seconds=150.0)
    told = estimate_text(timed[1], timed[0], than="what was proposed")
    assert told.endswith("2 min 30 s of training (+50%), against what was proposed")
    assert estimate(record, {**START, "model.n_heads": 3}) is None


def test_what_is_expected_is_told_of_each_and_in_figures(inbox: Seed) -> None:
    proposing.foresee(inbox.writer, trial(inbox, 8).proposal_id, 1, (-0.2, 0.1))
    own, surrogate = expectations(trial(inbox, 8), "The planner", 0.4)
    assert own == (
        "The planner expects val_mse −1.00 % to +5.00 % better than the parent's: 0.3800 to "
        "0.4040, from 0.4000."
    )
    assert surrogate.startswith("The surrogate expects val_mse −20.00 % to +10.00 % better")
    assert expectations(trial(inbox, 1), "The planner", 0.4) == []
    assert expectations(trial(inbox, 8), "The planner", None)[0].endswith("the parent's.")


def test_the_cost_names_what_was_paid_and_what_is_left() -> None:
    asked = Planning(calls=2, tokens=4104, usd=0.01742, seconds=4.6, model="m")
    hours = [Budget("trials", 3, 20), Budget("hours", 0.5, 1.0), Budget("training_hours", 2, 2)]
    assert cost_text(asked, 180.0, hours, 2.0) == (
        "Cost: planning took 2 calls, 4,104 tokens, 0.01742 USD · training takes 10.0% of the time "
        "that is left · training takes more than all of the training time that is left · training "
        "0.1 USD of machine time"
    )
    assert cost_text(None, None, hours, 2.0) == ""
    assert cost_text(None, 60.0, [], 0.0) == ""


def test_earlier_trials_that_are_named_are_found_once_and_later_ones_not(inbox: Seed) -> None:
    rows = inbox.writer.read.trials(inbox.id)[:8]
    found = references(trial(inbox, 8), rows)
    assert [row.number for row in found] == [6, 1]
    said = replace(trial(inbox, 8), hypothesis="Trials 99 and 2, then trial 2 again.", reasons="")
    assert [row.number for row in references(said, rows)] == [2]


def test_constraints_that_a_proposal_breaks_are_told_with_who_set_them() -> None:
    cost = estimate(Record(SearchSpec(), []), WIDE)
    constraints = [
        SteeringRow(number, "", constraint, "ada", 0.0, "", None)
        for number, constraint in enumerate(
            (
                Constraint(key="parameters", high=400_000),
                Constraint(key="model.d_model", values=(64,)),
                Constraint(key="model.dropout", high=0.3),
                Constraint(key="trial_minutes", high=1),
            )
        )
    ]
    many, width = broken(constraints, WIDE, cost)
    assert many == "parameters ≤ 400 k, says ada; here it is 521,607."
    assert "stays 64, says ada; here it is 128." in width
    assert cost is not None
    slow = replace(cost, seconds=90.0)
    assert broken(constraints, WIDE, slow)[2].endswith("here it is 1.5.")


def test_a_policy_is_what_its_widgets_hold() -> None:
    timer = Timer(minutes=5, then="reject")
    held = {"mode": "radical", "timer": "approve", "minutes": 2.0}
    assert policy_of(held, timer) == ("radical", Timer(minutes=2, then="approve"))
    assert policy_of({**held, "timer": "wait"}, timer) == ("radical", None)
    assert policy_of({"mode": "auto"}, timer) == ("auto", timer)
    assert policy_text("radical", timer) == "radical steps reviewed, rejected after 5 min"
    assert policy_text("auto", timer) == "no review"


# -- who was told -------------------------------------------------------------------------------


def test_the_exchange_in_which_a_decision_was_first_told_is_found(inbox: Seed) -> None:
    decided = [trial(inbox, number) for number in (3, 4, 6)]
    read = inbox.writer.read
    assert told_at(read, inbox.id, decided) == {}
    three, four = decided[0].comment, decided[1].comment
    inbox.call(9, "used", told=f"- trial 3 (llm): start -> turned down: {quoted(three)}")
    inbox.call(10, "used", told=f"- trial 3 (llm): {quoted(three)}\n- trial 4 ({quoted(four)}")
    inbox.call(11, "used", told=f"- trial 6 (llm): {quoted(decided[2].comment)}")
    assert told_at(read, inbox.id, decided) == {3: 9, 4: 10}


def test_planning_is_summed_by_trial(inbox: Seed) -> None:
    found = planning(inbox.writer.read, inbox.id, [3, 6, 7])
    assert set(found) == {3, 6}
    assert (found[3].calls, found[3].tokens, found[3].model) == (
        *(2, 4104),
        "anthropic/claude-sonnet-4.5",
    )


def test_the_page_shows_whether_the_planner_was_told(open_page: Open, inbox: Seed) -> None:
    comment = trial(inbox, 3).comment
    inbox.call(8, "used", told=f"- trial 3 (llm): start -> turned down: {quoted(comment)}")
    table = open_page("review").dataframe[-1].value.set_index("Trial")
    assert table.loc[3, "Planner told"] == "at trial 8"
    assert table.loc[3, "Exchange"] == "./transcript?search=1&trial=8"
    assert table.loc[4, "Planner told"] == "not yet"
    assert table.loc[6, "Planner told"] == "the result alone"
    assert table.loc[4, "vs parent"] == "−0.47 %"


# -- a card -------------------------------------------------------------------------------------


def test_a_card_shows_what_a_proposal_rests_on_and_breaks(
    open_page: Open, inbox: Seed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NAS_USD_PER_HOUR", "3.6")
    timer = Timer(minutes=30, then="reject")
    inbox.writer.change(1, inbox.spec.model_copy(update={"timer": timer, "max_trials": 20}))
    constraint = Constraint(key="model.dropout", high=0.1)
    wishes.steer(inbox.writer, 1, "less dropout", constraint.model_dump_json(), "ada")
    inbox.call(8, "used")
    app = open_page("review")
    text = words(app).replace("\\", "")
    assert "Breaks what the search was told: dropout ≤ 0.1, says ada; here it is 0.15." in text
    assert "the timer rejects it at" in text
    assert "planning took 1 call, 2,052 tokens, 0.00871 USD" in text
    assert "USD of machine time" in text
    links = {link.value.replace("\\", "") for link in app.page_link}
    assert "trial 6: val_mse 0.3876, accepted" in links
    assert "Width of the representation" in set(app.dataframe[0].value["Meaning"])


def test_asking_again_sends_the_hint_and_the_version(
    open_page: Open, inbox: Seed, engine: Engine
) -> None:
    app = open_page("review")
    app.text_area(key=proposal_key(app, "-hint")).set_value(" smaller ")
    app.button(key=proposal_key(app, "-again-confirmed")).click().run()
    assert engine.given == [(AskAgain(proposal_id=9, version=1, hint="smaller"), 1)]


def test_while_the_planner_is_asked_again_decisions_stay_possible(
    open_page: Open, inbox: Seed, engine: Engine
) -> None:
    assert proposing.ask_again(inbox.writer, 9, 1, "ada", "smaller " + seed.EVIL)
    app = open_page("review")
    assert "The planner is asked again: smaller" in words(app).replace("\\", "")
    app.button(key=proposal_key(app, "-approve")).click().run()
    assert engine.given == [(Decide(proposal_id=9, version=2, decision="approved"), 1)]


def test_versions_that_were_turned_back_stay_to_be_seen(open_page: Open, inbox: Seed) -> None:
    assert proposing.ask_again(inbox.writer, 9, 1, "ada", "smaller")
    proposing.keep_proposal(inbox.writer, 9)
    inbox.writer.log(1, "The planner proposed nothing else for trial 8.", 8, "warning")
    text = words(open_page("review")).replace("\\", "")
    assert "The planner proposed nothing else for trial 8." in text
    changes: dict[str, Value] = {"model.d_model": 32}
    again = Proposal(source="llm", parent=6, changes=changes, hypothesis="Then narrower.")
    assert proposing.ask_again(inbox.writer, 9, 2, "bob", "")
    config = seed.from_flat({**inbox.config(6), **changes})
    assert proposing.propose_again(inbox.writer, 9, 3, again, config)
    text = words(open_page("review")).replace("\\", "")
    assert "Then narrower." in text and "heavy tails" in text
    assert "asked again by ada" in text and "with the hint “smaller”" in text
    assert "proposed nothing else" not in text


def test_a_person_may_state_what_they_expect_of_an_edit(
    open_page: Open, inbox: Seed, engine: Engine
) -> None:
    app = open_review(open_page)
    app.number_input(key=proposal_key(app, "-model-d_model")).set_value(96)
    app.number_input(key=proposal_key(app, "-expected-low")).set_value(2.0).run()
    assert "both ends" in app.error[0].value
    app.number_input(key=proposal_key(app, "-expected-high")).set_value(1.0).run()
    assert "lower end" in app.error[0].value
    assert app.button(key=proposal_key(app, "-approve-edited")).disabled
    app.number_input(key=proposal_key(app, "-expected-high")).set_value(4.0).run()
    assert not app.error
    assert "against what was proposed" in words(app)
    app.button(key=proposal_key(app, "-approve-edited")).click().run()
    [(command, _)] = engine.given
    assert isinstance(command, Decide) and command.expected == (0.02, 0.04)
    assert command.changes["model.d_model"] == 96


def test_a_dry_run_is_shown_and_belongs_to_its_configuration(
    open_page: Open, inbox: Seed, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = DryRun(
        parameters=521_607,
        shape=(32, 24, 7),
        loss=1.25,
        forward_ms=12.0,
        backward_ms=30.0,
        peak_memory_mb=512.0,
        device="cpu",
        bfloat16=False,
        compiles=False,
    )
    outcomes: list[DryRun | str] = [made, "Memory ran out on cpu; lower data.batch_size."]
    monkeypatch.setattr("pages._parts.trying.dry_run", lambda config, settings: outcomes.pop(0))
    app = open_review(open_page)
    approve, try_it = proposal_key(app, "-approve"), proposal_key(app, "-dry-run")
    assert app.button(key=approve).help == "No dry run was made of this configuration."
    app.button(key=try_it).click().run()
    told = app.success[0].value.replace("\\", "")
    assert "521,607" in told and "32 windows x 24 steps x 7 columns" in told and "1.25" in told
    assert not app.button(key=approve).help
    app.button(key=try_it.replace("-dry-run", "-edit-dry-run")).click().run()
    assert "Memory ran out" in app.error[0].value
    app.number_input(key=proposal_key(app, "-model-d_model")).set_value(64).run()
    assert not app.error and app.success, "an outcome is of one configuration"


# -- told what happened -------------------------------------------------------------------------


def test_an_edit_that_came_too_late_is_not_lost(
    open_page: Open, inbox: Seed, engine: Engine
) -> None:
    refused = "The proposal of trial 8 was decided or changed meanwhile (approved by bob)."
    app = open_review(open_page)
    app.number_input(key=proposal_key(app, "-model-d_model")).set_value(96).run()
    proposing.decide(inbox.writer, 9, 1, "approved", "bob", "")
    engine.answer = Answer(False, refused, 1)
    app.button(key=proposal_key(app, "-approve-edited")).click().run()
    assert "approved by bob" in app.error[0].value
    app.run()
    assert "approved by bob" in app.error[0].value, "it stays until it is put away"
    assert "Your edit of it: d_model 64 → 96" in words(app).replace("\\", "")
    engine.answer = Answer(True, "Trial 9 is queued.", 1)
    app.button(key="review-enqueue-edit").click().run()
    command, _ = engine.given[-1]
    assert isinstance(command, Enqueue) and command.parent == 6
    assert command.changes["model.d_model"] == 96
    assert not app.error and "Trial 9 is queued" in app.success[0].value


def test_a_refusal_can_be_put_away(open_page: Open, inbox: Seed, engine: Engine) -> None:
    engine.answer = Answer(False, "The proposal was changed meanwhile; look at it again.", 1)
    app = open_page("review")
    app.button(key=proposal_key(app, "-approve")).click().run()
    assert app.error and "review-enqueue-edit" not in {button.key for button in app.button}
    app.button(key="review-put-away").click().run()
    assert not app.error


def test_news_say_what_became_of_each_proposal(inbox: Seed) -> None:
    read = inbox.writer.read
    [row] = waiting(read, 1)
    drawn: Mark = ("running", "alive", (row,))

    def told() -> list[str]:
        now: Mark = ("running", "alive", tuple(waiting(read, 1)))
        return list(news(read, 1, drawn, now))

    assert told() == []
    assert proposing.ask_again(inbox.writer, 9, 1, "ada", "")
    assert told() == ["The planner was asked again for trial 8."]
    inbox.propose(9, "llm", 6, {"model.d_model": 32}, waiting=True)
    proposing.decide(inbox.writer, 9, 2, "rejected", "bob", "no")
    assert told() == [
        "The proposal of trial 8 was rejected by bob meanwhile.",
        "Trial 9 waits for a decision, too.",
    ]


def test_the_policy_is_changed_in_place(open_page: Open, inbox: Seed, engine: Engine) -> None:
    app = open_page("review")
    prefix = "review-policy-1-1"
    assert app.button(key="review-policy-apply").disabled
    app.button_group(key=f"{prefix}-mode").set_value("radical").run()
    app.button_group(key=f"{prefix}-timer").set_value("approve").run()
    app.number_input(key=f"{prefix}-minutes").set_value(10.0).run()
    app.button(key="review-policy-apply").click().run()
    wanted = Change(version=1, mode="radical", timer=Timer(minutes=10, then="approve"))
    assert engine.given == [(wanted, 1)]


# -- the badge ----------------------------------------------------------------------------------


def badge(app: AppTest) -> list[str]:
    return [link.value for link in app.sidebar.get("page_link")]


def test_every_page_counts_what_waits_and_is_silent_otherwise(
    open_page: Open, workspace: Workspace
) -> None:
    assert badge(open_page("settings")) == []
    seed.small(workspace)
    assert badge(open_page("live")) == []
    search_id = seed.eventful(workspace)
    for name in ("overview", "live", "data", "settings", "review"):
        assert badge(open_page(name)) == ["**1 proposal waits**"], name
    describe(workspace, search_id, Describe(archived=True, edition=1))
    assert badge(open_page("overview")) == []


def test_the_badge_tells_in_how_many_searches() -> None:
    rows = [Waiting(search, 1, search, 1, 0.0, False, False) for search in (1, 2, 2)]
    assert label(rows) == "**3 proposals wait** in 2 searches"
    assert label(rows[:1]) == "**1 proposal waits**"


def test_a_database_of_something_else_is_told_by_the_page_alone(
    open_page: Open, workspace: Workspace
) -> None:
    workspace.db.parent.mkdir(parents=True)
    workspace.db.write_text("no database")
    app = open_page("review")
    assert len(app.error) == 1 and badge(app) == []
    with pytest.raises(Exception, match="database"), reading(workspace):
        pass
