"""A conversation in a browser: the answer grows, stays, and no image in it is fetched."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from playwright.sync_api import expect

from nas_engine.store.writer import Writer
from nas_engine.workspace import Workspace
from tests.dashboard import browsing, serving_dashboard
from tests.fakes.llm_server import (
    Line,
    Reply,
    Request,
    Wire,
    calling,
    ending,
    event,
    serving,
    streamed,
)
from tests.pages import seed

pytestmark = pytest.mark.browser


def test_an_answer_grows_stays_and_fetches_nothing(workspace: Workspace, tmp_path: Path) -> None:
    search_id = seed.small(workspace, 3)
    writer = Writer(workspace)
    writer.set_search_state(search_id, "completed")
    writer.close()

    seen = threading.Event()

    def script(request: Request, index: int) -> Reply:
        if index == 0:
            return calling(("trials", {"sort": "val_mse", "limit": 1}))
        return Wire(say)

    def say(line: Line) -> None:
        streamed(event({"content": "Trial 2 has "})).act(line)
        seen.wait(60)
        pixel = f"![x]({server.url.removesuffix('/v1')}/pixel.png)"
        line.send(event({"content": f"val_mse 0.46. {pixel}"}) + ending())

    with serving(script) as server:
        environment = {"OPENROUTER_API_KEY": "sk-canary-0123456789", "OPENAI_BASE_URL": server.url}
        with (
            serving_dashboard(workspace, environment, tmp_path / "server.log") as dashboard,
            browsing(tmp_path / "failed.png") as page,
        ):
            page.goto(f"{dashboard.url}/ask?search={search_id}")
            field = page.get_by_placeholder("Ask about this search")
            field.fill("Which trial is best?", timeout=30_000)
            field.press("Enter")
            expect(page.get_by_role("button", name="Stop")).to_be_visible(timeout=30_000)
            field.fill("The next question")
            expect(page.get_by_text("Trial 2 has", exact=True)).to_be_visible(timeout=30_000)
            seen.set()
            whole = page.get_by_text("Trial 2 has val_mse 0.46. ![x](http://127.0.0.1")
            expect(whole).to_be_visible(timeout=30_000)
            expect(page.get_by_text("Rows used (")).to_be_visible(timeout=15_000)
            expect(field).to_have_value("The next question")  # no tick has taken it away
            page.reload()
            expect(whole).to_be_visible(timeout=30_000)
            expect(page.get_by_text("1 claim as stored")).to_be_visible()
            assert page.get_by_test_id("stException").count() == 0
        assert [bool(request) for request in server.requests] == [True, True]  # a GET is empty
