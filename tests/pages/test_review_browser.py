"""The inbox as a person meets it: an edit, a dry run, a second tab, and a reason that is told."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from nas_engine.search import Rules, SearchSpec
from nas_engine.store.reader import reading
from nas_engine.store.rows import TrialRow
from nas_engine.workspace import Workspace
from tests.dashboard import browsing, serving_dashboard
from tests.fakes import llm_server
from tests.fakes.engine import running
from tests.fakes.llm_server import LLMServer, Reply, Request, serving
from tests.pages.test_browser import answer, rest

pytestmark = pytest.mark.browser

REASON = "Widths above 100 never paid on this data; leave them."
SPEC = SearchSpec(
    planner="llm",
    mode="review",
    max_trials=5,
    settings={"training.epochs": 2, "data.batch_size": 4},
    rules=Rules(seeds=1, extra_seeds=0),
)


def planner(request: Request, index: int) -> Reply:
    return llm_server.proposal({"model.dropout": 0.1 + index / 20}, f"Hypothesis {index}.")


def trial_when(
    workspace: Workspace, number: int, holds: Callable[[TrialRow], object], seconds: float = 30
) -> TrialRow:
    deadline = time.monotonic() + seconds
    trial: TrialRow | None = None
    while time.monotonic() < deadline:
        with reading(workspace) as reader:
            trial = reader.trial(1, number) if reader else None
        if trial is not None and holds(trial):
            return trial
        time.sleep(0.1)
    raise AssertionError(f"trial {number} did not come to it within {seconds} s: {trial}")


def test_proposals_are_edited_tried_contested_and_rejected(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(planner) as llm:
        environment = {"OPENROUTER_API_KEY": "scripted", "OPENAI_BASE_URL": llm.url}
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        with (
            running(workspace, SPEC, epoch_seconds=0.01),
            serving_dashboard(workspace, environment, tmp_path / "server.log") as dashboard,
            browsing(tmp_path / "failed.png", height=1400) as page,
        ):
            trial_when(workspace, 1, lambda trial: trial.state == "proposed")
            page.goto(f"{dashboard.url}/review?search=1")
            an_invalid_edit_is_refused_with_the_names_of_the_fields(page)
            a_tried_edit_is_what_is_trained(page, workspace)
            other = page.context.new_page()
            a_stale_tab_is_told_what_happened(page, other, dashboard.url, workspace)
            a_reason_stands_in_the_next_prompt(page, dashboard.url, workspace, llm)
            assert page.get_by_test_id("stException").count() == 0


def field(page: Page, name: str) -> Locator:
    """Return the box of a setting in the editor that is open."""
    return page.locator(f"[class*='st-key-review-'][class*='-{name}'] input").first


def fill(page: Page, name: str, value: str) -> None:
    field(page, name).fill(value)
    field(page, name).press("Enter")
    rest(page)


def card(page: Page, number: int) -> Locator:
    """Return the card of a trial once the page shows it."""
    found = page.locator("[class*='st-key-review-'][class*='-card']").filter(
        has=page.get_by_role("heading", name=f"Trial {number}", exact=True)
    )
    expect(found).to_be_visible(timeout=30_000)
    return found


def an_invalid_edit_is_refused_with_the_names_of_the_fields(page: Page) -> None:
    card(page, 1).get_by_text("Edit before approving").click()
    expect(field(page, "model-dropout")).to_be_visible(timeout=15_000)
    page.get_by_text("All other settings").click()
    fill(page, "model-n_heads", "3")
    fault = page.get_by_text("model.n_heads (3) must divide model.d_model (64)")
    expect(fault).to_be_visible(timeout=15_000)
    expect(page.get_by_role("button", name="Approve edited")).to_be_disabled()
    fill(page, "model-n_heads", "8")
    expect(fault).to_have_count(0)


def a_tried_edit_is_what_is_trained(page: Page, workspace: Workspace) -> None:
    fill(page, "model-dropout", "0.35")
    # With a tooltip a button stands there twice, for wide and for narrow screens.
    page.locator("[class*='-edit-dry-run'] button").locator("visible=true").click()
    expect(page.get_by_text("The dry run went well")).to_be_visible(timeout=60_000)
    expect(page.get_by_text("4 windows x 24 steps x 7 columns")).to_be_visible()
    page.get_by_role("button", name="Approve edited").click()
    expect(answer(page, "Trial 1 edited.")).to_be_visible(timeout=15_000)
    trial = trial_when(workspace, 1, lambda trial: trial.state == "completed")
    ran = workspace.run_dir(1, 1).read_config().model
    assert (ran.dropout, ran.n_heads) == (0.35, 8)
    assert trial.original == {"model.dropout": 0.1}, "the original is kept, too"
    assert trial.changes == {"model.dropout": 0.35, "model.n_heads": 8}


def a_stale_tab_is_told_what_happened(
    page: Page, other: Page, url: str, workspace: Workspace
) -> None:
    card(page, 2).get_by_text("Edit before approving").click()
    expect(field(page, "model-dropout")).to_be_visible(timeout=15_000)
    fill(page, "model-dropout", "0.45")
    other.goto(f"{url}/review?search=1")
    card(other, 2).get_by_role("button", name="Approve", exact=True).click()
    expect(answer(other, "Trial 2 approved.")).to_be_visible(timeout=15_000)
    author = trial_when(workspace, 2, lambda trial: trial.decision == "approved").author
    told = f"The proposal of trial 2 was approved by {author} meanwhile."
    expect(page.get_by_text(told)).to_be_visible(timeout=15_000)
    expect(field(page, "model-dropout")).to_have_value("0.45")
    page.get_by_role("button", name="Approve edited").click()
    late = answer(page, "The proposal of trial 2 was decided or changed meanwhile")
    expect(late).to_contain_text(f"approved by {author}", timeout=15_000)
    expect(page.get_by_text("Your edit of it: dropout")).to_contain_text("0.45")
    page.get_by_role("button", name="Put this away").click()
    expect(late).to_have_count(0)


def a_reason_stands_in_the_next_prompt(
    page: Page, url: str, workspace: Workspace, llm: LLMServer
) -> None:
    shown = card(page, 3)
    expect(page.get_by_text("1 proposal waits").first).to_be_visible(timeout=15_000)
    shown.get_by_role("button", name="Reject").click()
    page.get_by_role("textbox", name="Reason").fill(REASON)
    asked = len(llm.requests)
    page.get_by_role("button", name="Reject the proposal").click()
    expect(answer(page, "Trial 3 rejected.")).to_be_visible(timeout=15_000)
    trial_when(workspace, 4, lambda trial: trial.state == "proposed")
    assert REASON in json.dumps(llm.requests[asked]["messages"])
    card(page, 4)
    page.goto(f"{url}/transcript?search=1&trial=4")
    expect(page.get_by_role("heading", name="Transcript")).to_be_visible(timeout=30_000)
    expect(page.get_by_text(REASON).first).to_be_attached(timeout=15_000)
