"""Live: what is shown of a search, its engine and its slots, and what each button sends."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from nas_engine.commands import Change, Control, Enqueue, OnTrial
from nas_engine.liveness import boot_clock, boot_id, process_start
from nas_engine.search import MOST_SLOTS, SearchSpec, Timer
from nas_engine.standing import (
    Budget,
    budgets,
    ends_first,
    hours_text,
    run_seconds_left,
    run_share,
    search_seconds_left,
)
from nas_engine.store import trainings
from nas_engine.store.reader import reading
from nas_engine.store.rows import EngineRow, SearchRow, Spend, TrainingRow
from nas_engine.store.writer import Writer
from nas_engine.supervisor import Answer
from nas_engine.workspace import Workspace
from pages._parts.acts import ACTS, possible
from pages._parts.controls import changed
from pages._parts.head import budget_text
from pages._parts.slots import progress_text, usage_text
from pages._parts.snapshot import NEWEST
from pages._parts.states import engine_text, engine_trouble
from tests.pages import seed
from tests.pages.conftest import Engine, Open, browser_states, figure, words

CONTROLS = ("pause", "resume", "stop", "cancel")


def controls(app: AppTest) -> set[str]:
    """Return which controls of the search can be used."""
    keys = {f"live-{order}-button" for order in CONTROLS}
    return {button.label for button in app.button if button.key in keys and not button.disabled}


def acts(app: AppTest) -> set[str]:
    """Return which acts on the chosen trial can be used."""
    return {
        button.label
        for button in app.button
        if str(button.key).startswith("live-act-") and not button.disabled
    }


def search_row(**facts: Any) -> SearchRow:
    spec = SearchSpec(**facts.pop("spec", {}))
    return SearchRow(
        **{
            "id": 1,
            "spec": spec,
            "data": "",
            "max_trials": spec.max_trials,
            "state": "running",
            "reason": "",
            "incumbent": None,
            "best": None,
            "finished": 0,
            "created_at": 0.0,
            "active_seconds": 0.0,
            "version": 3,
            "name": "",
            "tags": [],
            "notes": "",
            "archived": False,
            "edition": 1,
            **facts,
        }
    )


# -- the engine ---------------------------------------------------------------------------------


def test_a_lost_engine_is_never_shown_as_running(
    open_page: Open, workspace: Workspace, engine: Engine
) -> None:
    seed.eventful(workspace, alive=False)
    app = open_page("live")
    assert "engine lost" in words(app) and "engine alive" not in words(app)
    assert "Resume goes on" in app.warning[0].value
    assert "when the engine was lost: trial 7" in words(app)
    assert controls(app) == {"Resume", "Stop"}
    app.button(key="live-resume-button").click().run()
    assert engine.given == [(Control(kind="resume", version=1), 1)]
    assert app.success[0].value == r"Done\."


def test_a_silent_engine_is_stalled_for_a_counted_time(
    open_page: Open, workspace: Workspace
) -> None:
    seed.busy(workspace, silent=7.0)
    app = open_page("live")
    assert "engine stalled for 7." in words(app)
    assert "lives but has not shown it" in app.warning[0].value
    assert "Resume" not in controls(app)


def test_an_engine_that_is_silent_beyond_its_lease_can_be_replaced(
    open_page: Open, workspace: Workspace
) -> None:
    seed.busy(workspace, silent=12.0)
    app = open_page("live")
    assert "engine stalled for 1" in words(app) and "Resume" in controls(app)


def test_an_engine_is_told_by_the_boot_its_process_and_its_silence() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        start = process_start(process.pid)
        assert start is not None
        now = boot_clock()
        row = EngineRow(1, 1, boot_id(), process.pid, start, 0.0, now - 63, released=False)
        assert engine_text(row, "stalled", now) == "engine stalled for 1 min 03 s"
        assert str(process.pid) in engine_trouble(row, "stalled", now)
        assert engine_trouble(row, "alive", now) == "" == engine_trouble(None, "none", now)
        process.communicate()
    assert "ended without a word" in engine_trouble(row, "lost", now)
    other = EngineRow(1, 1, "before", 1, start, 0.0, now, released=False)
    assert "machine was restarted" in engine_trouble(other, "lost", now)
    assert engine_text(None, "none", now) == "no engine"


def test_a_living_engine_can_be_paused_stopped_and_cancelled(
    open_page: Open, workspace: Workspace, engine: Engine
) -> None:
    seed.eventful(workspace, alive=True)
    app = open_page("live")
    assert "engine alive" in words(app)
    assert controls(app) == {"Pause", "Stop", "Cancel the search"}
    for order in ("pause", "stop", "cancel"):
        app.button(key=f"live-{order}-button").click().run()
        command, _ = engine.given[-1]
        assert isinstance(command, Control)
        assert (command.kind, command.version) == (order, 1)


def test_the_reason_of_an_end_or_a_pause_is_shown(open_page: Open, workspace: Workspace) -> None:
    search_id = seed.small(workspace)
    stopped = seed.Seed(workspace, max_trials=5, settings={"data.pred_len": 48})
    for state in ("paused", "stopped", "completed"):
        stopped.writer.set_search_state(search_id, state, f"It is {state} for a reason.")
        assert f"It is {state} for a reason" in words(open_page("live", search=str(search_id)))
    stopped.close()


# -- what is shown ------------------------------------------------------------------------------


def test_the_head_tells_what_was_reached(open_page: Open, workspace: Workspace) -> None:
    seed.eventful(workspace, alive=True)
    text = words(open_page("live"))
    assert "Trials done 7 / 20" in text
    assert "Best val_mse ↓ 0.3876 −44.72 % vs trial 0" in text
    assert "Best baseline ↓ 0.3921 incumbent −1.15 %" in text
    assert "repeat last value 1.304" in text.replace("\\", ""), "the baseline beyond the scale"
    assert "Trial 8 waits for your decision" in text
    assert "CUDA out of memory" in text


def test_the_noise_and_the_words_for_curves_are_shown(
    open_page: Open, workspace: Workspace
) -> None:
    seed.eventful(workspace)
    text = words(open_page("live"))
    assert "differ by 0.71% (standard deviation, 2 degrees of freedom)" in text
    assert "0 diverging, 1 over-fitting" in text and "7 too short" in text
    seed.small(workspace)
    assert "Noise: not measured" in words(open_page("live"))


def test_each_slot_shows_what_it_trains(open_page: Open, workspace: Workspace) -> None:
    seed.busy(workspace)
    app = open_page("live")
    bars = [bar.text for bar in app.progress]
    assert "▶ Trial 5 trains · seed 2021 · epoch 3 of 6 · step 120 of 268" in bars
    assert "▶ Trial 6 trains · seed 2021 · epoch 4 of 6 · step 120 of 268" in bars
    text = words(app)
    assert "slot 0 · process 41200 · at most about 18 s left" in text
    assert "slot 1 · process 41201 · at most about 13 s left" in text
    assert "In the queue, the next one first: trial 8, 7." in text


def test_each_budget_has_a_bar_and_one_ends_the_search_first(
    open_page: Open, workspace: Workspace
) -> None:
    seed.busy(workspace)
    bars = [bar.text for bar in open_page("live").progress]
    assert bars[0] == "Trials: 5 of 12, 7 left"
    assert bars[1] == "Time: 13 min 44 s of 15 min 00 s, 1 min 16 s left · ends the search first"
    assert bars[2].startswith("Training over all slots: ")


def test_trials_without_a_result_are_told_apart_on_the_chart(
    open_page: Open, workspace: Workspace
) -> None:
    seed.busy(workspace)
    app = open_page("live")
    traces: Any = figure(app)["data"]
    drawn = {trace["name"].partition(" (")[0]: trace["x"] for trace in traces}
    assert drawn["pruned"] == [2] and drawn["stopped"] == [3] and drawn["no result"] == [4]
    assert drawn["open"] == [5, 6, 7, 8]
    table = app.dataframe[0].value.set_index("Trial")
    assert list(table.loc[[2, 3, 7], "State"]) == ["✂ pruned", "■ stopped", "○ queued"]


def test_the_chart_follows_the_chosen_metric(open_page: Open, workspace: Workspace) -> None:
    seed.eventful(workspace)
    app = open_page("live")
    assert "val_mse" in str(figure(app, 1)["layout"])
    app.button_group(key="live-metric").set_value("train_loss").run()
    assert "training loss" in str(figure(app, 1)["layout"])


def test_a_search_without_any_result_says_so(open_page: Open, workspace: Workspace) -> None:
    seed.all_failed(workspace)
    app = open_page("live")
    assert "No trial has a result yet" in words(app)


def test_who_asked_what_is_listed_newest_first(open_page: Open, workspace: Workspace) -> None:
    seed.busy(workspace)
    table = open_page("live").dataframe[-1].value
    assert list(table["Asked"])[-1] == "change slots to 2, hours to 0.25"
    assert list(table["Asked"])[:4] == [
        "approve proposal 2",
        "enqueue model.d_ff=112 on trial 1",
        "pause",
        "let trial 8 be the next",
    ]
    assert list(table["Outcome"])[2] == "✕ refused"
    assert "changed meanwhile" in table["Answer"][2]


# -- acts on a trial ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "offered"),
    [
        (0, {"Another seed"}),
        (2, {"Retry"}),
        (3, {"Retry"}),
        (4, {"Retry"}),
        (5, {"Stop trial 5"}),
        (7, {"Skip", "To the front"}),
    ],
)
def test_only_what_is_possible_can_be_pressed(
    open_page: Open, workspace: Workspace, number: int, offered: set[str]
) -> None:
    seed.busy(workspace)
    app = open_page("live")
    assert app.selectbox(key="live-trial-1").value == 6, "one that trains is offered first"
    app.selectbox(key="live-trial-1").select(number).run()
    assert acts(app) == offered


@pytest.mark.parametrize(
    ("kind", "number"),
    [("stop_trial", 5), ("skip", 7), ("to_front", 7), ("retry", 4), ("another_seed", 1)],
)
def test_an_act_names_the_version_that_was_drawn(
    open_page: Open, workspace: Workspace, engine: Engine, kind: str, number: int
) -> None:
    seed.busy(workspace)
    app = open_page("live")
    app.selectbox(key="live-trial-1").select(number).run()
    app.text_input(key=f"live-trial-1-{number}-comment").set_value("Because.")
    app.button(key=f"live-act-{kind.replace('_', '-')}").click().run()
    expected = OnTrial.model_validate(
        {"kind": kind, "number": number, "version": 1, "comment": "Because."}
    )
    assert engine.given == [(expected, 1)]
    assert app.success and app.text_input(key=f"live-trial-1-{number}-comment-1").value == ""


def test_the_chosen_trial_stays_chosen_however_many_come_after_it(
    open_page: Open, workspace: Workspace, engine: Engine
) -> None:
    search_id = seed.busy(workspace)
    app = open_page("live")
    app.selectbox(key="live-trial-1").select(4).run()
    app.text_input(key="live-trial-1-4-comment").set_value("For 4.")
    before = app.dataframe[0]
    sample = seed.Seed(workspace, max_trials=60, settings={"data.pred_len": 48})
    sample.id = search_id
    for number in range(9, 9 + NEWEST + 5):
        sample.propose(number, "tpe", 0, {"model.d_ff": 16 * number})
    sample.sql("UPDATE trials SET state = 'completed', ended_at = 9 WHERE number > 8")
    sample.close()
    app.run()
    assert app.selectbox(key="live-trial-1").value == 4
    assert app.text_input(key="live-trial-1-4-comment").value == "For 4."
    assert acts(app) == {"Retry"}
    after = app.dataframe[0]
    assert after.proto.id != before.proto.id, "a selection of positions would mean other trials"
    assert 9 not in list(after.value["Trial"]) and 4 in list(after.value["Trial"])


def test_a_row_that_was_chosen_stays_chosen_when_a_tick_was_on_its_way(
    open_page: Open, workspace: Workspace
) -> None:
    seed.eventful(workspace, alive=True)
    app = open_page("live", search="1")
    with_the_row = browser_states(app, row=2)
    for _ in ("the click", "a tick that left before the browser knew what came of it"):
        app._run(with_the_row)
        assert app.selectbox(key="live-trial-1-1").value == 2


def test_a_refused_act_is_shown_with_its_reason(
    open_page: Open, workspace: Workspace, engine: Engine
) -> None:
    seed.busy(workspace)
    engine.answer = Answer(False, "Trial 6 was changed meanwhile (completed); look again.", 1)
    app = open_page("live")
    app.button(key="live-act-stop-trial").click().run()
    assert "changed meanwhile" in app.error[0].value


def test_a_trial_that_is_being_stopped_cannot_be_stopped_again(workspace: Workspace) -> None:
    search_id = seed.busy(workspace)
    sample = seed.Writer(workspace)
    sample.stop_trial(search_id, 5)
    sample.close()
    with reading(workspace) as reader:
        trial = reader.trial(search_id, 5) if reader else None
    assert trial is not None
    assert [kind for kind in ACTS if possible(kind, trial)] == []


# -- changes and configurations of one's own ----------------------------------------------------


def test_what_differs_is_changed_and_nothing_else(
    open_page: Open, workspace: Workspace, engine: Engine
) -> None:
    seed.busy(workspace)
    app = open_page("live")
    app.session_state["live-change"] = True
    app.run()
    app.button(key="change-1-1-apply").click().run()
    assert engine.given == [] and "these figures already" in app.error[0].value
    app.number_input(key="change-1-1-slots").set_value(4)
    app.button_group(key="change-1-1-mode").set_value("radical").run()
    app.button_group(key="change-1-1-timer").set_value("approve").run()
    app.number_input(key="change-1-1-minutes").set_value(15.0)
    app.text_input(key="change-1-1-hours").set_value("1,5").run()
    app.button(key="change-1-1-apply").click().run()
    assert engine.given == [] and "write a number" in app.error[0].value
    app.text_input(key="change-1-1-hours").set_value("1.5")
    app.text_input(key="change-1-1-training_hours").set_value("").run()
    app.button(key="change-1-1-apply").click().run()
    wanted = Change(
        version=1,
        slots=4,
        mode="radical",
        timer=Timer(minutes=15, then="approve"),
        limits={"hours": 1.5, "training_hours": None},
    )
    assert engine.given == [(wanted, 1)]
    assert app.success


def test_a_search_with_hundreds_of_slots_can_be_changed(
    open_page: Open, workspace: Workspace, engine: Engine
) -> None:
    seed.busy(workspace)
    writer = Writer(workspace)
    search = writer.read.search(1)
    assert search is not None
    writer.change(1, search.spec.model_copy(update={"slots": MOST_SLOTS}))
    writer.close()
    app = open_page("live")
    app.session_state["live-change"] = True
    app.run()
    assert not app.exception
    slots = [field for field in app.number_input if field.label == "Slots"]
    assert [(field.value, field.max) for field in slots] == [(MOST_SLOTS, MOST_SLOTS)]


def test_a_change_is_what_differs_from_the_search_as_it_was_drawn() -> None:
    timer = {"minutes": 5.0, "then": "reject"}
    search = search_row(spec={"limits": {"usd": 2.0}, "mode": "radical", "timer": timer})
    held = {"max_trials": 20, "slots": 1, "usd": 2.0, "failures": 5.0}
    held |= {"mode": "radical", "timer": "reject", "minutes": 5.0}
    held |= dict.fromkeys(("hours", "training_hours", "tokens", "calls"))
    assert changed(search, held) is None
    wanted = Change(version=3, max_trials=30, limits={"usd": None})
    assert changed(search, {**held, "max_trials": 30, "usd": None}) == wanted
    wanted = Change(version=3, mode="review", timer="none")
    assert changed(search, {**held, "mode": "review", "timer": "wait"}) == wanted


def test_a_configuration_is_checked_and_queued(
    open_page: Open, workspace: Workspace, engine: Engine
) -> None:
    seed.busy(workspace)
    app = open_page("live")
    app.session_state["live-enqueue"] = True
    app.run()
    assert app.selectbox(key="enqueue-1-parent").value == 1, "the incumbent comes first"
    go = "enqueue-1-1-go"
    assert app.button(key=go).disabled and "Nothing is changed yet" in words(app)
    app.number_input(key="enqueue-1-1-model-n_heads").set_value(3).run()
    assert "must divide" in app.error[0].value and app.button(key=go).disabled
    app.number_input(key="enqueue-1-1-model-n_heads").set_value(8).run()
    assert not app.error and "MB of memory" in words(app)
    app.text_input(key="enqueue-1-1-comment").set_value("More heads.")
    app.button(key=go).click().run()
    wanted = Enqueue(parent=1, changes={"model.n_heads": 8}, comment="More heads.")
    assert engine.given == [(wanted, 1)]
    starts = app.selectbox(key="enqueue-1-parent")
    starts.select_index(starts.options.index("The starting configuration")).run()
    app.number_input(key="enqueue-1-start-model-n_heads").set_value(2).run()
    app.button(key="enqueue-1-start-go").click().run()
    assert engine.given[-1] == (Enqueue(parent=None, changes={"model.n_heads": 2}), 1)


# -- figures ------------------------------------------------------------------------------------


def spend(**given: Any) -> Spend:
    nothing = {"calls": 0, "prompt_tokens": 0, "completion_tokens": 0, "usd": 0.0}
    return Spend(**{**nothing, "booked_tokens": 0, "booked_usd": 0.0, **given})


def test_the_budget_with_the_largest_share_ends_first() -> None:
    limits = {"hours": 2.0, "usd": 1.0, "tokens": 1000}
    search = search_row(
        spec={"planner": "llm", "limits": limits}, finished=5, active_seconds=3600.0
    )
    found = budgets(search, spend(booked_usd=0.75, booked_tokens=999), 7200.0)
    assert [(budget.name, budget.share) for budget in found] == [
        ("trials", 0.25),
        ("hours", 0.5),
        ("usd", 0.75),
        ("tokens", 0.999),
    ]
    first = ends_first(found)
    assert first is not None and first.name == "usd", "tokens end no search"
    assert ends_first(budgets(search_row(), spend(), 0.0)) is None
    money = budget_text(first, first=True)
    assert money == "US dollars: 0.75 of 1, 0.25 left · ends the search first"
    assert Budget("usd", 0.0, 0.0).share == 1.0, "no money at all is used up"


def test_the_time_left_follows_steps_and_slots() -> None:
    unmeasured = [None] * 5
    run = TrainingRow(1, 2021, 1, 0, 9, 3, 50, 100, 5, 10.0, None, *unmeasured)
    assert run_share(run) == 0.5 and run_seconds_left(run) == 25.0
    unknown = TrainingRow(1, 2021, 1, 0, 9, 1, None, None, 5, None, None, *unmeasured)
    assert run_share(unknown) == 0.0 and run_seconds_left(unknown) is None


def test_what_comes_after_the_last_step_of_an_epoch_is_told() -> None:
    run = TrainingRow(1, 2021, 1, 0, 9, 1, 100, 100, 3, None, None, *[None] * 5)
    assert progress_text(run).endswith(
        "epoch 1 of 3 · all 100 steps are done, now the validation windows are forecast"
    )
    assert "the validation or test windows" in progress_text(replace(run, epoch=3))
    assert progress_text(replace(run, step=99)).endswith("step 99 of 100")


def test_a_free_slot_whose_time_is_used_up_waits_for_no_planner(
    open_page: Open, workspace: Workspace
) -> None:
    made = seed.Seed(workspace, planner="tpe", slots=2, limits={"hours": 2 / 60})
    made.propose(0, "default")
    made.running(0)
    made.lease(alive=True)  # for 412 s
    made.close()
    shown = words(open_page("live"))
    assert "The time is used up: no trial begins any more" in shown
    assert "planner is choosing" not in shown


def test_the_time_left_of_a_search_is_shared_by_its_slots(workspace: Workspace) -> None:
    seed.small(workspace)
    with reading(workspace) as reader:
        assert reader is not None
        mean = trainings.mean_trial_seconds(reader, 1)
    assert mean == pytest.approx(33.0)
    whole = search_seconds_left(search_row(finished=1), mean)
    half = search_seconds_left(search_row(finished=1, spec={"slots": 2}), mean)
    assert whole is not None and half == whole / 2
    assert search_seconds_left(search_row(finished=1, state="stopped"), mean) is None
    assert search_seconds_left(search_row(), None) is None
    two_minutes = search_row(finished=1, spec={"limits": {"hours": 2 / 60}}, active_seconds=90.0)
    assert search_seconds_left(two_minutes, 1000.0) == pytest.approx(30.0)
    assert hours_text(2 / 60) == "2 minutes" and hours_text(1.0) == "1 hour"


def test_what_a_worker_takes_of_the_machine_is_told_as_far_as_it_is_measured() -> None:
    facts = (1, 2021, 1, 0, 9, 3, 50, 100, 5, 10.0, None)
    assert usage_text(TrainingRow(*facts, *[None] * 5)) == []
    told = usage_text(TrainingRow(*facts, 187.4, 640.2, 702.0, 35.0, 1200.0))
    assert told == ["CPU 187 %", "memory 640 MB (most 702)", "GPU 35 %", "GPU memory 1,200 MB"]
