"""The whole loop in a browser, on ETTh1, with real training; only the LLM's words are scripted."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Page, expect

from nas_engine.api import AgentState, SearchError, load_agent_state
from nas_engine.store.reader import reading
from nas_engine.workspace import Workspace
from tests.dashboard import browsing, serving_dashboard
from tests.fakes import llm_server
from tests.fakes.llm_server import Reply, Request, serving

pytestmark = [pytest.mark.browser, pytest.mark.data]

HYPOTHESIS = "Standardising each window should remove the drift between its parts."


def planner(request: Request, index: int) -> Reply:
    return llm_server.proposal(
        {"model.normalisation": "standardise", "model.dropout": 0.1 + index / 100}, HYPOTHESIS
    )


def until(
    workspace: Workspace, holds: Callable[[AgentState], object], seconds: float
) -> AgentState:
    deadline = time.monotonic() + seconds
    state: AgentState | None = None
    while time.monotonic() < deadline:
        try:
            state = load_agent_state(workspace.db)
        except SearchError:
            state = None
        if state is not None and holds(state):
            return state
        time.sleep(0.1)
    raise AssertionError(f"did not come about within {seconds} s; last seen: {state}")


def fill(page: Page, key: str, value: str) -> None:
    box = page.locator(f".st-key-{key} input")
    box.fill(value)
    box.press("Enter")
    rest(page)


def rest(page: Page) -> None:
    """Wait until the page has taken in what was typed: a page that is redrawn may move buttons."""
    expect(page.locator("[data-testid='stApp']")).to_have_attribute(
        "data-test-script-state", "notRunning", timeout=20_000
    )


def curve_points(page: Page) -> int:
    """Return how many epochs the live chart shows, over all trials."""
    return int(
        page.evaluate(
            """() => [...document.querySelectorAll(".st-key-live-curves .nas-chart")]
            .flatMap((node) => node.data ?? [])
            .filter((trace) => /^[#]?\\d+|Trial/i.test(trace.name ?? ""))
            .reduce((sum, trace) => sum + (trace.y?.length ?? 0), 0)"""
        )
    )


def test_a_search_from_start_to_transcript_across_a_restart_of_the_server(
    workspace: Workspace, tmp_path: Path
) -> None:
    with serving(planner) as llm:
        environment = {
            "OPENROUTER_API_KEY": "scripted",
            "OPENAI_BASE_URL": llm.url,
            "PLANNER_MODEL": "scripted-planner",
        }
        with (
            serving_dashboard(workspace, environment, tmp_path / "log", as_typed=True) as dashboard,
            browsing(tmp_path / "failed.png") as page,
        ):
            start_search(page, dashboard.url)
            see_an_epoch_arrive(page)
            edit_and_approve(page)
            running = until(workspace, lambda s: len(s.trials) > 1 and s.trials[1].epoch, 60)
            engine = engine_of(workspace)
            dashboard.stop()
            time.sleep(1)
            assert engine.is_running()
            dashboard.start()
            find_it_still_running(page, workspace, dashboard.url, running)
            see_the_edited_value(page, workspace, dashboard.url)
            read_the_transcript(page, dashboard.url)
            stop(page, workspace, dashboard.url)
            assert page.get_by_test_id("stException").count() == 0
            until(workspace, lambda s: engine_of(workspace) is None, 60)
    psutil.wait_procs([engine], timeout=10)
    assert not engine.is_running() or engine.status() == psutil.STATUS_ZOMBIE


def start_search(page: Page, url: str) -> None:
    page.goto(f"{url}/start")
    expect(page.get_by_role("heading", name="Start a search")).to_be_visible()
    page.locator(".st-key-start-planner").get_by_role("radio", name="LLM").click()
    page.locator(".st-key-start-mode").get_by_role("radio", name="All").click()
    fill(page, "start-trials", "3")
    fill(page, "start-small-training-epochs", "4")
    page.get_by_text("Advanced: architecture").click()
    fill(page, "start-small-training-steps_per_epoch", "20")
    fill(page, "start-rule-seeds", "1")
    page.locator(".st-key-start-go button").click()
    expect(page.get_by_role("heading", name="Live")).to_be_visible(timeout=30_000)


def see_an_epoch_arrive(page: Page) -> None:
    page.evaluate("window.notReloaded = true")
    expect(page.get_by_text("Trial 0 trains").first).to_be_visible(timeout=60_000)
    before = curve_points(page)
    deadline = time.monotonic() + 60
    while curve_points(page) <= before:
        assert time.monotonic() < deadline, "no epoch arrived on the chart"
        page.wait_for_timeout(200)
    assert page.evaluate("window.notReloaded") is True


def edit_and_approve(page: Page) -> None:
    expect(page.get_by_text("waits for your decision").first).to_be_visible(timeout=120_000)
    page.get_by_role("link", name="Review it").first.click()
    expect(page.get_by_text(HYPOTHESIS).first).to_be_visible(timeout=20_000)
    page.get_by_text("Edit before approving").first.click()
    editor = page.locator("[class*='st-key-review-'][class*='-model-dropout'] input").first
    editor.fill("0.35")
    editor.press("Enter")
    expect(page.get_by_text("dropout 0.05 → 0.35")).to_be_visible(timeout=20_000)
    rest(page)
    page.get_by_role("button", name="Approve edited").first.click()
    expect(page.get_by_text("Trial 1 edited")).to_be_visible(timeout=20_000)


def find_it_still_running(page: Page, workspace: Workspace, url: str, before: AgentState) -> None:
    page.goto(f"{url}/live?search={before.search.id}")
    expect(page.get_by_text("engine alive").first).to_be_visible(timeout=30_000)
    state = until(workspace, lambda s: s.trials[1].state == "completed", 120)
    assert state.trials[1].attempt == 1, "the restart of the server must not disturb a training"


def see_the_edited_value(page: Page, workspace: Workspace, url: str) -> None:
    trial = load_agent_state(workspace.db).trials[1]
    assert trial.config["model.dropout"] == 0.35
    assert (trial.decision, trial.source) == ("edited", "llm")
    assert workspace.run_dir(1, 1).read_config().model.dropout == 0.35
    page.goto(f"{url}/compare?searches=1&trials=1.0,1.1")
    expect(page.get_by_role("heading", name="Compare")).to_be_visible(timeout=30_000)
    expect(page.locator(".st-key-compare-curves .scatterlayer").first).to_be_attached()
    page.get_by_role("tab", name="Differences").click()
    page.get_by_text("Test split").scroll_into_view_if_needed()
    cell = page.locator("[role=gridcell]", has_text=re.compile(r"^0\.35$"))
    expect(cell.first).to_be_attached(timeout=20_000)


def read_the_transcript(page: Page, url: str) -> None:
    page.goto(f"{url}/transcript?search=1&trial=1")
    expect(page.get_by_role("heading", name="Transcript")).to_be_visible(timeout=30_000)
    expect(page.get_by_text(HYPOTHESIS).first).to_be_visible(timeout=20_000)
    expect(page.get_by_text("scripted-planner").first).to_be_visible()


def stop(page: Page, workspace: Workspace, url: str) -> None:
    until(workspace, lambda s: len(s.trials) > 2 and s.trials[2].state == "proposed", 60)
    page.goto(f"{url}/live?search=1")
    page.locator(".st-key-live-stop-button button").click()
    until(workspace, lambda s: s.search.state == "stopped", 60)
    expect(page.get_by_text("■ stopped").first).to_be_visible(timeout=20_000)


def engine_of(workspace: Workspace) -> psutil.Process | None:
    with reading(workspace) as reader:
        row = reader.engine(1) if reader else None
    return None if row is None or not psutil.pid_exists(row.pid) else psutil.Process(row.pid)
