"""Pictures of every page, light and dark, from searches that really ran: `make screenshots`.

`python -m tests.screenshots FOLDER` searches on ETTh1 with the built-in planner, lets a small real
language model propose in a second search that waits for a review, and photographs each page, whole.
`--keep DB` takes a workspace that has been made before, or makes it there. The picture of the
README is the top of its Live page: `python -m tests.screenshots docs/images --keep DB --readme`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from playwright.sync_api import Page
from tqdm import tqdm

from nas_engine.commands import Control, send
from nas_engine.store import trainings
from nas_engine.store.reader import reading
from nas_engine.workspace import PROJECT, Workspace
from tests.dashboard import browsing, serving_dashboard
from tests.fakes.small_model import serving_model

SMALL = ("training.epochs=4", "training.steps_per_epoch=60", "data.batch_size=32")
TRIALS = 12
PAGES = {
    "overview": "",
    "start": "start",
    "live": "live?search=1",
    "review": "review?search=2",
    "steer": "steer?search=1",
    "compare-curves": "compare?search=1",
    "compare-differences": "compare?search=1&tab=differences",
    "compare-errors": "compare?search=1&tab=errors",
    "compare-parameters": "compare?search=1&tab=parameters",
    "compare-landscape": "compare?search=1&tab=landscape",
    "compare-trade-offs": "compare?search=1&tab=tradeoffs",
    "trial": "trial?trial=1.{best}",
    "lineage": "lineage?search=1",
    "ask": "ask?search=1",
    "transcript": "transcript?search=2",
    "hindsight-what-if": "hindsight?search=1&accept=6",
    "hindsight-right": "hindsight?search=1&tab=right",
    "hindsight-replay": "hindsight?search=1&tab=replay",
    "data": "data",
    "settings": "settings",
}
TALLEST = 3000
"""Pixels of a picture."""


def search(workspace: Workspace, environment: dict[str, str], *options: str) -> None:
    """Run a search to its end, or until it waits for a person."""
    subprocess.run(
        [
            *(sys.executable, "-m", "nas_engine", "search", "--dataset", "ETTh1"),
            *(part for setting in SMALL for part in ("--set", setting)),
            *("--db", str(workspace.db), *options),
        ],
        cwd=PROJECT,
        env={**os.environ, **environment},
        check=True,
        stdout=subprocess.DEVNULL,
    )


@contextmanager
def reviewed_search(workspace: Workspace, environment: dict[str, str]) -> Iterator[None]:
    """Have a search whose proposals wait for a person, from the first that does."""
    command = [
        *(sys.executable, "-m", "nas_engine", "search", "--dataset", "ETTh1", "--review"),
        *(part for setting in SMALL for part in ("--set", setting)),
        *("--db", str(workspace.db), "--planner", "llm", "--set", "data.pred_len=48"),
        *("--rule", "seeds=1"),
    ]
    follower = subprocess.Popen(
        command, cwd=PROJECT, env={**os.environ, **environment}, stdout=subprocess.DEVNULL
    )
    try:
        while True:
            with reading(workspace) as reader:
                assert reader is not None
                if any(row.state == "proposed" for row in trainings.open_trials(reader, 2)):
                    break
            if follower.poll() is not None:
                raise click.ClickException("The second search ended before anything waited.")
            time.sleep(0.5)
        yield
    finally:
        send(workspace, Control(kind="cancel"), 2)
        follower.wait(timeout=60)


def ask(workspace: Workspace, environment: dict[str, str], question: str) -> None:
    """Have a question about the first search answered."""
    subprocess.run(
        [*(sys.executable, "-m", "nas_engine", "ask", "1", question), "--db", str(workspace.db)],
        cwd=PROJECT,
        env={**os.environ, **environment},
        check=True,
        stdout=subprocess.DEVNULL,
    )


def photograph(
    page: Page, url: str, target: Path, tallest: int = TALLEST, drawn: str = "body"
) -> None:
    """Open an address and keep a picture of the page, of `tallest` pixels at most.

    What the selector `drawn` finds is waited for.
    """
    width = page.viewport_size["width"] if page.viewport_size else 1280
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(url)
    at_rest = "[data-testid='stApp'][data-test-script-state='notRunning']"
    page.wait_for_timeout(500)
    page.wait_for_selector(at_rest, state="attached", timeout=60_000)
    page.wait_for_selector(drawn)
    page.wait_for_timeout(2500)  # charts are drawn after the script has ended
    # Pages with a chat scroll in another container.
    main = "[data-testid=stMain], [data-testid=stAppScrollToBottomContainer]"
    height = page.evaluate(f"document.querySelector('{main}').scrollHeight")
    page.set_viewport_size({"width": width, "height": min(tallest, max(600, height))})
    page.wait_for_timeout(800)
    page.screenshot(path=target)


def photograph_live(workspace: Workspace, target: Path, width: int) -> None:
    """Keep a picture of the top of the Live page, for the README."""
    with (
        tempfile.TemporaryDirectory() as temporary,
        serving_dashboard(workspace, {}, Path(temporary) / "server.log") as dashboard,
        browsing(target.with_name("failed.png"), width=width) as page,
    ):
        page.set_default_timeout(600_000)  # however busy the machine is
        chart = ".st-key-live-curves .nas-chart svg"
        photograph(page, f"{dashboard.url}/live", target, tallest=925, drawn=chart)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--keep", type=click.Path(path_type=Path), help="Database to make, or to take again.")
@click.option("--width", default=1280, show_default=True, help="Of the window, in pixels.")
@click.option(
    "--readme", is_flag=True, help="Only dashboard.png, from the newest search of --keep."
)
def main(folder: Path, keep: Path | None, width: int, readme: bool) -> None:
    """Photograph every page, light and dark, into FOLDER."""
    folder.mkdir(parents=True, exist_ok=True)
    if readme:
        if keep is None or not keep.exists():
            raise click.UsageError("--readme takes its picture of a database that --keep names.")
        photograph_live(Workspace(keep.absolute()), folder / "dashboard.png", width)
        return
    with tempfile.TemporaryDirectory() as temporary:
        workspace = Workspace((keep or Path(temporary) / "nas.db").absolute())
        if not workspace.db.exists():
            click.echo(f"Searching on ETTh1: {TRIALS} trials, a few minutes.")
            options = ("--max-iterations", str(TRIALS), "--planner", "tpe", "--slots", "2")
            search(workspace, {}, *options)
        with serving_model() as url:
            environment = {
                "OPENROUTER_API_KEY": "local",
                "OPENAI_BASE_URL": url,
                "PLANNER_MODEL": "smollm2",
                "LLM_MAX_TOKENS": "160",
                "LLM_DEADLINE_SECONDS": "300",
            }
            ask(workspace, environment, "what is the best val_mse?")
            log = Path(temporary) / "server.log"
            with (
                reviewed_search(workspace, environment),
                serving_dashboard(workspace, environment, log) as dashboard,
                reading(workspace) as reader,
            ):
                assert reader is not None
                found = reader.search(1)
                best = found.incumbent if found else 0
                for scheme in ("light", "dark"):
                    with browsing(folder / "failed.png", width=width) as page:
                        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
                        for name, address in tqdm(PAGES.items(), desc=scheme):
                            url = f"{dashboard.url}/{address.format(best=best)}"
                            photograph(page, url, folder / f"{name}-{scheme}.png")
    click.echo(f"{2 * len(PAGES)} pictures in {folder}.")


if __name__ == "__main__":
    main()
