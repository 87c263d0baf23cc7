"""What only a browser shows of the Overview: rows that stay chosen while others come."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect

from nas_engine.workspace import Workspace
from tests.dashboard import browsing, serving_dashboard
from tests.pages import seed
from tests.pages.test_browser import living_engine, rest
from tests.pages.test_overview import stored

pytestmark = pytest.mark.browser


def test_a_chosen_row_stays_the_same_search_while_others_begin_and_people_write(
    workspace: Workspace, tmp_path: Path
) -> None:
    first, second = seed.small(workspace), seed.busy(workspace, alive=False)
    with (
        serving_dashboard(workspace, {"OPENROUTER_API_KEY": ""}, tmp_path / "log") as dashboard,
        living_engine(workspace, second),
        browsing(tmp_path / "failed.png") as page,
    ):
        page.goto(dashboard.url)
        table = page.get_by_test_id("stDataFrame")
        expect(table.locator("[role=grid]")).to_have_attribute("aria-rowcount", "3")
        rest(page)
        box = table.bounding_box()
        assert box is not None
        page.mouse.click(box["x"] + 18, box["y"] + box["height"] * 2.5 / 3)  # the older search
        notes = page.get_by_label("Notes")
        notes.fill("half a sent")
        third = seed.all_failed(workspace)  # it takes the first row, and all others move
        expect(page.get_by_test_id("stMetricValue").first).to_have_text("3")
        expect(table.locator("[role=grid]")).to_have_attribute("aria-rowcount", "4")
        rest(page)  # nothing moves beneath the mouse any more
        expect(notes).to_have_value("half a sent")
        page.get_by_role("button", name="Archive").click()
        expect(page.get_by_test_id("stAlert")).to_contain_text(f"Search {first}: archived.")
        assert stored(workspace, first).archived
        assert not stored(workspace, second).archived and not stored(workspace, third).archived
        assert page.get_by_test_id("stException").count() == 0
