"""What only a browser can show: charts updated in place, themes, requests, deep links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Locator, Page, Request, WebSocketRoute, expect

from informer.records import Epoch
from nas_engine.search import Limits, SearchSpec
from nas_engine.store import trainings, wishes
from nas_engine.store.reader import reading
from nas_engine.store.writer import Writer
from nas_engine.workspace import Workspace
from tests.dashboard import Dashboard, browsing, living_engine, serving_dashboard
from tests.fakes.engine import running
from tests.pages import seed

pytestmark = pytest.mark.browser

CHART = ".st-key-live-curves .nas-chart"
NODE = f"document.querySelector('{CHART}')"
POINTS = f"{NODE}.data.filter(t => t.name === 'Trial 7')[0].y.length"
RANGE = f"{NODE}._fullLayout.xaxis.range.slice()"


@pytest.fixture
def dashboard(workspace: Workspace, tmp_path: Path) -> Iterator[Dashboard]:
    environment = {"OPENROUTER_API_KEY": ""}
    with serving_dashboard(workspace, environment, tmp_path / "server.log") as server:
        yield server


def rest(page: Page) -> None:
    """Wait until the page has been drawn and nothing runs."""
    app = page.locator("[data-testid='stApp'][data-test-script-state='notRunning']")
    expect(app).to_be_attached(timeout=30_000)


def add_epoch(workspace: Workspace, search_id: int, epoch: int) -> None:
    with reading(workspace) as reader:
        trial = reader.trial(search_id, 7) if reader else None
    assert trial is not None and trial.run_id is not None
    writer = Writer(workspace)
    row = Epoch(epoch=epoch, train_loss=0.3, val_mse=0.4, val_mae=0.4, lr=1e-4, seconds=5.0)
    trainings.add_metrics(writer, search_id, 7, trial.run_id, [row])
    writer.close()


def zoom_by_dragging(page: Page) -> None:
    box = page.locator(f"{CHART} .nsewdrag").first.bounding_box()
    assert box is not None
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.25, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.75, y, steps=8)
    page.mouse.up()


def test_the_live_chart_is_updated_in_place_and_keeps_its_zoom(
    dashboard: Dashboard, workspace: Workspace, tmp_path: Path
) -> None:
    search_id = seed.eventful(workspace)
    with living_engine(workspace, search_id), browsing(tmp_path / "failed.png") as page:
        page.goto(f"{dashboard.url}/live?search={search_id}")
        expect(page.locator(f"{CHART} .scatterlayer")).to_be_visible(timeout=30_000)
        whole = page.evaluate(RANGE)
        page.evaluate(f"{NODE}.marked = true")
        zoom_by_dragging(page)
        page.wait_for_function(f"{RANGE}[0] > {whole[0]} + 0.5")
        zoomed = page.evaluate(RANGE)
        for epoch in (3, 4, 5):
            add_epoch(workspace, search_id, epoch)
            page.wait_for_function(f"{POINTS} === {epoch}", timeout=15_000)
            assert page.evaluate(f"{NODE}.marked") is True, "another node has taken its place"
            assert page.evaluate(RANGE) == pytest.approx(zoomed), "the zoom is lost"
        assert page.locator(CHART).count() == 1
        buttons = page.locator(f"{CHART} .modebar-btn")
        offered = [buttons.nth(i).get_attribute("data-title") for i in range(buttons.count())]
        assert offered and not [title for title in offered if "Share" in (title or "")]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_charts_follow_the_theme(
    dashboard: Dashboard, workspace: Workspace, tmp_path: Path, scheme: str
) -> None:
    search_id = seed.eventful(workspace)
    with browsing(tmp_path / "failed.png") as page:
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        page.goto(f"{dashboard.url}/compare?searches={search_id}")
        tick = page.locator(".st-key-compare-curves .nas-chart .xtick text").first
        expect(tick).to_be_visible(timeout=30_000)
        colour = tick.evaluate("node => getComputedStyle(node).fill")
        red, green, blue = (int(part) for part in colour.strip("rgba()").split(",")[:3])
        bright = (red + green + blue) / 3 > 128
        assert bright == (scheme == "dark"), colour


PAGES = {
    "overview": "Overview",
    "start": "Start",
    "live": "Live",
    "review": "Review",
    "steer": "Steer",
    "ask": "Ask",
    "transcript": "Transcript",
    "hindsight": "Hindsight",
    "compare": "Compare",
    "forecast": "Forecast",
    "trial": "Trial",
    "lineage": "Lineage",
    "data": "Data",
    "settings": "Settings",
}
"""Addresses and headings, in the order of the sidebar."""


def test_no_foreign_host_is_asked_and_hostile_text_stays_text(
    dashboard: Dashboard, workspace: Workspace, tmp_path: Path
) -> None:
    seed.eventful(workspace)
    tabs = ("differences", "errors", "parameters", "landscape", "tradeoffs", "downloads")
    asked: list[str] = []

    def note(request: Request) -> None:
        if not request.url.startswith((dashboard.url, "data:", "blob:")):
            asked.append(f"{page.url} asks {request.url}")

    with browsing(tmp_path / "failed.png") as page:
        page.on("request", note)
        for path in (
            *("", *PAGES, "trial?trial=1.3", "trial?trial=1.4", "transcript?search=1&trial=3"),
            "transcript?search=1&call=2",
            *(f"compare?searches=1&tab={tab}" for tab in tabs),
        ):
            page.goto(f"{dashboard.url}/{path}")
            expect(page.get_by_role("heading", level=1)).to_be_visible(timeout=30_000)
            rest(page)
            page.wait_for_timeout(300)
            assert asked == []
            hostile = page.locator("a[href*='198.51'], img[src*='198.51']")
            assert hostile.count() == 0, path
            assert page.get_by_test_id("stException").count() == 0, path


def test_a_deep_link_to_a_fresh_server_shows_the_page_and_all_others(
    dashboard: Dashboard, workspace: Workspace, tmp_path: Path
) -> None:
    seed.small(workspace)
    with browsing(tmp_path / "failed.png") as page:
        for path in ("live", "compare", "trial", "settings"):
            dashboard.stop()
            dashboard.start()
            page.goto(f"{dashboard.url}/{path}?search=1")
            heading = page.get_by_role("heading", name=PAGES[path], level=1)
            expect(heading).to_be_visible(timeout=30_000)
            expect(page.get_by_role("dialog")).to_have_count(0)  # "Page not found"
            links = page.get_by_test_id("stSidebarNavLink").all_inner_texts()
            assert links == list(PAGES.values())


def test_a_form_is_not_wiped_while_somebody_edits(
    dashboard: Dashboard, workspace: Workspace, tmp_path: Path
) -> None:
    search_id = seed.eventful(workspace)
    with living_engine(workspace, search_id), browsing(tmp_path / "failed.png") as page:
        page.goto(f"{dashboard.url}/review?search={search_id}")
        page.get_by_text("Edit before approving").click(timeout=30_000)
        box = page.locator("[class*='st-key-review-'][class*='-model-dropout'] input").first
        box.fill("0.25")
        box.press("Enter")
        expect(page.get_by_text("dropout 0.05 → 0.25")).to_be_visible()
        page.wait_for_timeout(5_000)
        expect(box).to_have_value("0.25")


def names(url: str) -> str:
    """Return the trials that an address names."""
    return parse_qs(urlsplit(url).query)["trials"][0]


def press(page: Page, name: str) -> None:
    """Press a button once the page has been drawn: what moves beneath the mouse takes no click."""
    rest(page)
    page.get_by_role("button", name=name, exact=True).click()


def click_row(page: Page, row: int, rows: int) -> None:
    """Click the box of a row, counted from 0, of the table of trials."""
    table = page.get_by_test_id("stDataFrame").first
    expect(table.locator("[role=grid]")).to_have_attribute("aria-rowcount", str(rows + 1))
    rest(page)
    box = table.bounding_box()
    assert box is not None
    height = box["height"] / (rows + 1)  # the head has the height of a row
    page.mouse.click(box["x"] + 18, box["y"] + (row + 1.5) * height)


def test_rows_choose_trials_whatever_the_order_and_the_address_shows_the_same_again(
    dashboard: Dashboard, workspace: Workspace, tmp_path: Path
) -> None:
    seed.eventful(workspace)
    drawn = "document.querySelector('.st-key-compare-curves .nas-chart')?.data?.map(t => t.name)"
    with browsing(tmp_path / "failed.png") as page:
        page.goto(f"{dashboard.url}/compare?searches=1&sort=number&trials=1.0,1.1")
        expect(page.get_by_text("Compared: 2")).to_be_visible(timeout=30_000)
        rest(page)
        click_row(page, 4, 9)
        page.wait_for_url(lambda url: names(url) == "1.0,1.1,1.4", timeout=15_000)
        page.get_by_role("radio", name="↓").click()
        page.wait_for_url(lambda url: "sort=-number" in url, timeout=15_000)
        expect(page.get_by_text("Compared: 3")).to_be_visible()
        rest(page)
        assert names(page.url) == "1.0,1.1,1.4"
        click_row(page, 8 - 6, 9)
        page.wait_for_url(lambda url: names(url) == "1.0,1.1,1.4,1.6", timeout=15_000)
        rest(page)
        click_row(page, 8 - 1, 9)
        page.wait_for_url(lambda url: names(url) == "1.0,1.4,1.6", timeout=15_000)
        other = page.context.new_page()
        other.goto(page.url)
        for tab in (page, other):
            tab.wait_for_function(f"{drawn}?.join() === '1.0,1.4,1.6 ★'", timeout=30_000)
        assert names(other.url) == "1.0,1.4,1.6"


# -- steering -----------------------------------------------------------------------------------


def test_an_engine_that_dies_and_one_that_comes_are_seen_without_a_reload(
    dashboard: Dashboard, workspace: Workspace, tmp_path: Path
) -> None:
    search_id = seed.busy(workspace, alive=False)
    with browsing(tmp_path / "failed.png") as page:
        page.goto(f"{dashboard.url}/live?search={search_id}")
        expect(page.get_by_text("engine lost").first).to_be_visible(timeout=30_000)
        with living_engine(workspace, search_id):
            expect(page.get_by_text("engine alive").first).to_be_visible(timeout=15_000)
            expect(page.get_by_text("Trial 5 trains").first).to_be_visible()
        expect(page.get_by_text("engine lost").first).to_be_visible(timeout=15_000)
        expect(page.get_by_text("engine alive")).to_have_count(0)
        expect(page.get_by_text("Trial 5 trains")).to_have_count(0)


def answer(page: Page, text: str) -> Locator:
    """Return what the page says a command has come to."""
    kinds = "[data-testid=stAlertContentSuccess], [data-testid=stAlertContentError]"
    return page.locator(kinds).filter(has_text=text).first


class Slow:
    """A tab whose messages to the server can be held back, but for the press of one button."""

    def __init__(self, page: Page, key: str) -> None:
        self.page = page
        self.holds = False
        self._pressed = key.encode()
        page.route_web_socket(re.compile("/_stcore/stream"), self._connect)

    def _connect(self, tab: WebSocketRoute) -> None:
        server = tab.connect_to_server()

        def send(message: str | bytes) -> None:
            if not self.holds or (isinstance(message, bytes) and self._pressed in message):
                server.send(message)

        tab.on_message(send)


def test_two_tabs_that_press_the_same_button_make_one_effect_and_one_is_told(
    dashboard: Dashboard, workspace: Workspace, tmp_path: Path
) -> None:
    spec = SearchSpec(planner="random", max_trials=4, settings={"training.epochs": 8})
    with running(workspace, spec), browsing(tmp_path / "failed.png") as one:
        slow = Slow(one.context.new_page(), "live-pause-button")
        two = slow.page
        for page in (one, two):
            page.goto(f"{dashboard.url}/live?search=1")
            expect(page.get_by_text("Trial 0 trains").first).to_be_visible(timeout=30_000)
        slow.holds = True  # as if both pressed in the same second: it does not draw itself anew
        press(one, "Pause")
        expect(answer(one, "Search 1 pauses")).to_be_visible(timeout=15_000)
        two.get_by_role("button", name="Pause").click()
        slow.holds = False
        expect(answer(two, "Search 1 was changed meanwhile")).to_be_visible(timeout=15_000)
        with reading(workspace) as reader:
            assert reader is not None
            commands = [row for row in wishes.commands(reader, 1) if row.kind == "pause"]
        assert [row.state for row in commands] == ["applied", "refused"]


def test_a_search_is_steered_from_the_page(
    dashboard: Dashboard, workspace: Workspace, tmp_path: Path
) -> None:
    spec = SearchSpec(planner="random", max_trials=3, slots=2, limits=Limits(hours=1.0))
    with running(workspace, spec), browsing(tmp_path / "failed.png", height=1800) as page:
        page.goto(f"{dashboard.url}/live?search=1")
        expect(page.get_by_text("Trial 0 trains").first).to_be_visible(timeout=30_000)
        press(page, "Stop it")
        press(page, "Stop trial 0")
        expect(answer(page, "Trial 0 is stopped; the search goes on.")).to_be_visible()
        for number in (1, 2):
            expect(page.get_by_text(f"Trial {number} trains").first).to_be_visible(timeout=15_000)

        page.get_by_text("Enqueue a configuration").click()
        width = page.locator("[class*='st-key-enqueue-1-'][class*='-model-d_ff'] input")
        width.fill("96")
        width.press("Enter")
        expect(page.get_by_text("Would be tried: d_ff")).to_be_visible()
        press(page, "Enqueue")
        expect(answer(page, "Trial 3 is queued.")).to_be_visible()

        press(page, "Change")
        slots = page.locator("[class*='st-key-change-1-'][class*='-slots'] input")
        slots.fill("3")
        hours = page.locator("[class*='st-key-change-1-'][class*='-hours'] input").first
        hours.fill("")
        page.get_by_role("button", name="Apply").click()  # in the moment of leaving the field
        expect(answer(page, "Search 1 now has slots 3, hours none.")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.get_by_text("Trial 3 trains").first).to_be_visible(timeout=15_000)

        # What stands below an answer moves up when it goes.
        expect(answer(page, "Search 1 now has")).to_be_hidden(timeout=15_000)
        click_row(page, 1, 4)
        expect(page.locator("[class*='st-key-live-trial-1'] input").first).to_have_value("Trial 1")
        press(page, "Stop it")
        press(page, "Stop trial 1")
        expect(answer(page, "Trial 1 is stopped; the search goes on.")).to_be_visible()
        assert page.get_by_test_id("stException").count() == 0
    with reading(workspace) as reader:
        assert reader is not None
        states = {trial.number: trial.state for trial in reader.trials(1)}
    assert (states[0], states[1], states[3]) == ("stopped", "stopped", "running")
