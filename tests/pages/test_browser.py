"""What only a browser can show: charts updated in place, themes, requests, deep links."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, Request, expect

from informer.rundir import Epoch
from nas_engine.store.reader import reading
from nas_engine.store.writer import Writer
from nas_engine.workspace import Workspace
from tests.dashboard import Dashboard, browsing, serving_dashboard
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


@contextmanager
def living_engine(workspace: Workspace, search_id: int) -> Iterator[None]:
    """Let a search have an engine that beats and does nothing else."""
    idle = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
    ended = threading.Event()

    writer = Writer(workspace)
    writer.take_lease(search_id, idle.pid)

    def beat() -> None:
        while not ended.wait(0.5):
            writer.beat(0.5)

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        writer.close()
        idle.kill()
        idle.wait()


def add_epoch(workspace: Workspace, search_id: int, epoch: int) -> None:
    with reading(workspace) as reader:
        trial = reader.trial(search_id, 7) if reader else None
    assert trial is not None and trial.run_id is not None
    writer = Writer(workspace)
    row = Epoch(epoch=epoch, train_loss=0.3, val_mse=0.4, val_mae=0.4, lr=1e-4, seconds=5.0)
    writer.add_metrics(search_id, 7, trial.run_id, [row])
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
        page.goto(f"{dashboard.url}/compare?search={search_id}")
        tick = page.locator(".st-key-compare-curves .nas-chart .xtick text").first
        expect(tick).to_be_visible(timeout=30_000)
        colour = tick.evaluate("node => getComputedStyle(node).fill")
        red, green, blue = (int(part) for part in colour.strip("rgba()").split(",")[:3])
        bright = (red + green + blue) / 3 > 128
        assert bright == (scheme == "dark"), colour


@pytest.mark.parametrize(
    "path", ["", "start", "live", "review", "compare", "transcript?trial=3", "data"]
)
def test_no_foreign_host_is_asked_and_hostile_text_stays_text(
    dashboard: Dashboard, workspace: Workspace, tmp_path: Path, path: str
) -> None:
    seed.eventful(workspace)
    asked: list[str] = []

    def note(request: Request) -> None:
        if not request.url.startswith((dashboard.url, "data:", "blob:")):
            asked.append(request.url)

    with browsing(tmp_path / "failed.png") as page:
        page.on("request", note)
        page.goto(f"{dashboard.url}/{path}")
        expect(page.get_by_role("heading", level=1)).to_be_visible(timeout=30_000)
        app = page.locator("[data-testid='stApp'][data-test-script-state='notRunning']")
        expect(app).to_be_attached(timeout=30_000)
        page.wait_for_timeout(500)
        assert asked == []
        assert page.locator("a[href*='198.51'], img[src*='198.51']").count() == 0
        assert page.get_by_test_id("stException").count() == 0


@pytest.mark.parametrize("path", ["live", "review", "compare", "transcript"])
def test_a_deep_link_to_a_fresh_server_shows_the_page_and_all_others(
    dashboard: Dashboard, workspace: Workspace, tmp_path: Path, path: str
) -> None:
    seed.small(workspace)
    with browsing(tmp_path / "failed.png") as page:
        page.goto(f"{dashboard.url}/{path}?search=1")
        expect(page.get_by_role("heading", name=path.title(), level=1)).to_be_visible(
            timeout=30_000
        )
        expect(page.get_by_role("dialog")).to_have_count(0)  # "Page not found"
        links = page.get_by_test_id("stSidebarNavLink").all_inner_texts()
        assert links == ["Start", "Live", "Review", "Compare", "Transcript", "Data"]


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


def test_rows_of_the_table_choose_trials_and_the_address_keeps_them(
    dashboard: Dashboard, workspace: Workspace, tmp_path: Path
) -> None:
    seed.eventful(workspace)
    with browsing(tmp_path / "failed.png") as page:
        page.goto(f"{dashboard.url}/compare?search=1&trials=0,1")
        table = page.get_by_test_id("stDataFrame").first
        expect(table).to_be_visible(timeout=30_000)
        page.wait_for_timeout(1_000)
        box = table.bounding_box()
        assert box is not None
        row = box["height"] / 10  # the head and 9 trials
        page.mouse.click(box["x"] + 18, box["y"] + 5.5 * row)
        page.wait_for_url(lambda url: names(url) == "0,1,4", timeout=15_000)
        expect(page.get_by_text("3 of 9 trials compared")).to_be_visible()
        page.mouse.click(box["x"] + 18, box["y"] + 1.5 * row)
        page.wait_for_url(lambda url: names(url) == "1,4", timeout=15_000)
        page.reload()
        expect(page.get_by_text("2 of 9 trials compared")).to_be_visible(timeout=30_000)
