"""How fast the pages are with many trials: script runs, bytes to the browser, first drawing.

`python -m benchmarks.pages` makes a database of a search with 10,000 trials of 50 epochs each and
one that runs, and prints for each page: the script run with empty caches (cold) and again (warm),
as Streamlit's own test driver runs it in this process; what the browser receives until the page is
at rest; and the time from the navigation to the first drawing of table or chart, for a browser that
has not loaded the libraries of tables and charts before, and again for one that has. A tick is the
run of what a page draws anew every second or two while an engine works.

With `--margin F` the marks count F-fold, for a machine that is slower or busy, and a mark that is
missed makes the command fail.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import os
import random
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import click
import streamlit as st
from playwright.sync_api import Page
from streamlit.testing.v1 import AppTest

from benchmarks.marks import Mark, announce, judge
from nas_engine.search import SearchSpec
from nas_engine.store.derived import differing, sampled
from nas_engine.store.schema import open_database
from nas_engine.store.writer import Writer
from nas_engine.workspace import PROJECT, Workspace
from tests.dashboard import Dashboard, browsing, living_engine, serving_dashboard

MARKS = {
    "cold": (600.0, "ms"),
    "warm": (200.0, "ms"),
    "tick": (25.0, "ms"),
    "table": (2.0, "s"),
    "plot": (2.0, "s"),
    "browser": (500.0, "KiB"),
}
WARM_RUNS = 5

VARIED: dict[str, list[object]] = {
    "model.d_model": [16, 32, 64, 128, 256],
    "model.n_heads": [1, 2, 4, 8],
    "model.d_ff": [32, 64, 128, 256, 512],
    "model.e_layers": [1, 2, 3],
    "model.dropout": [0.0, 0.05, 0.1, 0.2, 0.3],
    "model.attention": ["prob", "full"],
    "model.normalisation": ["none", "standardise"],
    "data.batch_size": [16, 32, 64, 128],
    "data.seq_len": [48, 96, 168, 336],
    "training.optimizer_params.lr": [1e-5, 3e-5, 1e-4, 3e-4, 1e-3],
    "training.optimizer_class": ["Adam", "AdamW"],
    "training.criterion_class": ["MSELoss", "L1Loss", "HuberLoss"],
}


def build(workspace: Workspace, trials: int, epochs: int) -> int:
    """Make a search with so many finished trials and one that trains; return its id."""
    spec = SearchSpec(max_trials=trials + 1000, settings={"training.epochs": epochs}, slots=2)
    workspace.create()
    writer = Writer(workspace)
    search_id = writer.open_search(spec)
    writer.close()
    db, start, draw = open_database(workspace.db), spec.base().flat(), random.Random(0)
    connection, began, best, incumbent = db.conn, time.time() - 60 * trials, math.inf, 0
    with connection:
        connection.execute("INSERT INTO baselines VALUES (?, 'linear map', 'val', .41, .42)", [1])
        for number in range(trials + 1):
            keys = draw.sample(list(VARIED), 3) if number else []
            parent = incumbent if number else None
            changes = {key: draw.choice(VARIED[key]) for key in keys}
            config = start | changes
            fate = draw.random()
            running = number == trials
            state = (
                "running" if running else "failed" if number > 0 and fate < 0.05 else "completed"
            )
            if state == "completed" and number and fate < 0.15:
                state = "pruned"
            value = _value(config, number / trials, draw) if state in ("completed",) else None
            at = began + 60 * number
            proposal = connection.execute(
                """INSERT INTO proposals (search_id, number, parent, source, step_type, hypothesis,
                reasons, changes, original, config, decision, created_at, decided_at, differences)
                VALUES (?, ?, ?, ?, ?, ?, '', ?, ?, ?, 'auto', ?, ?, ?) RETURNING id""",
                [
                    *(search_id, number, parent, "tpe" if number else "default", "medium"),
                    "The surrogate expects an improvement where few trials have been.",
                    *(json.dumps(changes), json.dumps(changes), json.dumps(config), at, at),
                    json.dumps(differing(start, config)),
                ],
            ).fetchone()[0]
            curve = [(value or 0.5) + 0.3 * math.exp(-epoch / 8) for epoch in range(1, epochs + 1)]
            curve = curve[: epochs // 2] if state != "completed" else curve
            connection.execute(
                """INSERT INTO trials (search_id, number, proposal_id, state, val_mse, val_mae,
                seeds, created_at, started_at, ended_at, spark, error_class, error)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
                [
                    *(search_id, number, proposal, state, value, value and value**0.5 * 0.66),
                    *(int(value is not None), at, at, None if running else at + 58),
                    json.dumps(sampled(curve)),
                    *(("out_of_memory", "Memory ran out.") if state == "failed" else ("", "")),
                ],
            )
            run = connection.execute(
                """INSERT INTO runs (search_id, number, seed, state, slot, started_at, ended_at,
                epoch, step, steps, val_mse, val_mae, best_epoch, epochs, parameters, seconds,
                spent, device, worker_pid)
                VALUES (?, ?, 2021, ?, ?, ?, ?, ?, 100, 268, ?, ?, ?, ?, ?, 55.0, 58.0, 'cpu', ?)
                RETURNING id""",
                [
                    *(search_id, number, state, number % 2, at, None if running else at + 58),
                    *(len(curve), value, value and value**0.5 * 0.66, len(curve), len(curve)),
                    *(20_000 + 300 * int(str(config["model.d_model"])), os.getpid()),
                ],
            ).fetchone()[0]
            connection.executemany(
                "INSERT INTO epochs VALUES (?, ?, ?, ?, ?, 0.0001, 1.1)",
                [(run, epoch, y * 0.9, y, y**0.5) for epoch, y in enumerate(curve, 1)],
            )
            if running:
                continue
            accepted = value is not None and value < best * 0.99
            if accepted and value is not None:
                best, incumbent = value, number
            connection.execute(
                """INSERT INTO verdicts (search_id, number, accepted, rule, value, seeds, incumbent,
                improvement, sentence, created_at) VALUES (?, ?, ?, ?, ?, 1, ?, 0.01, ?, ?)""",
                [
                    *(search_id, number, int(accepted)),
                    *("clear improvement" if accepted else "worse", value, parent),
                    *("Judged by the rules.", at + 58),
                ],
            )
            connection.execute(
                """INSERT INTO events (search_id, number, level, text, created_at)
                VALUES (?, ?, 'info', ?, ?)""",
                [search_id, number, f"Trial {number} was judged.", at + 58],
            )
        connection.execute("UPDATE searches SET incumbent = ?", [incumbent])
    db.close()
    return search_id


def _value(config: dict[str, object], progress: float, draw: random.Random) -> float:
    """Return an error that falls with the search and depends on some settings."""
    lr = math.log10(float(str(config["training.optimizer_params.lr"])))
    wide = math.log2(float(str(config["model.d_model"])))
    normal = 0.0 if config["model.normalisation"] == "standardise" else 0.1
    return (
        0.35 + 0.02 * (lr + 3.5) ** 2 + 0.004 * (wide - 6) ** 2 + normal * (1 - progress / 2)
    ) * draw.lognormvariate(0, 0.02)


@dataclass(frozen=True)
class Figure:
    """What was measured of a page; the last word of `what` is a kind of `MARKS`."""

    page: str
    what: str
    value: float

    @property
    def mark(self) -> Mark:
        """The figure beside its mark."""
        bound, unit = MARKS[self.what.split()[-1]]
        return Mark(f"{self.page}, {self.what}", self.value, bound, unit)


def slowest(figures: Sequence[Figure]) -> list[Mark]:
    """Return the mark of each kind of figure for the page on which it is the largest."""
    kinds = dict.fromkeys(figure.what for figure in figures)
    most = [max((f for f in figures if f.what == kind), key=lambda f: f.value) for kind in kinds]
    return [
        dataclasses.replace(figure.mark, what=f"{figure.what}, slowest page: {figure.page}")
        for figure in most
    ]


PAGES = {
    "overview": ("pages/search/overview.py", ""),
    "start": ("pages/search/start.py", ""),
    "live": ("pages/search/live.py", "search=1"),
    "review": ("pages/agent/review.py", "search=1"),
    "steer": ("pages/agent/steer.py", "search=1"),
    "ask": ("pages/agent/ask.py", "search=1"),
    "compare": ("pages/runs/compare.py", "search=1"),
    "compare: filtered": (
        "pages/runs/compare.py",
        "search=1&q=d_model>=32 dropout<0.4&tab=parameters",
    ),
    "compare: parameters": ("pages/runs/compare.py", "search=1&tab=parameters"),
    "compare: landscape": ("pages/runs/compare.py", "search=1&tab=landscape"),
    "compare: trade-offs": ("pages/runs/compare.py", "search=1&tab=tradeoffs"),
    "trial": ("pages/runs/trial.py", "trial=1.{last}"),
    "lineage": ("pages/runs/lineage.py", "search=1"),
    "transcript": ("pages/agent/transcript.py", "search=1"),
    "hindsight": ("pages/agent/hindsight.py", "search=1&accept=3"),
    "hindsight: right": ("pages/agent/hindsight.py", "search=1&tab=right"),
    "hindsight: replay": ("pages/agent/hindsight.py", "search=1&tab=replay"),
    "data": ("pages/data/data.py", ""),
    "settings": ("pages/settings/settings.py", ""),
}


@contextmanager
def timed_fragments() -> Iterator[dict[str, list[float]]]:
    """Time the parts of pages that draw themselves anew every second; gives seconds by name."""
    spent: dict[str, list[float]] = defaultdict(list)
    original = st.fragment

    def fragment(function: Any = None, *, run_every: Any = None, **options: Any) -> Any:
        if function is None:
            return lambda function: fragment(function, run_every=run_every, **options)

        @functools.wraps(function)
        def timed(*arguments: Any) -> Any:
            began = time.perf_counter()
            try:
                return function(*arguments)
            finally:
                if run_every is not None:
                    spent[function.__name__].append(time.perf_counter() - began)

        return original(timed, run_every=run_every, **options)

    with mock.patch.object(st, "fragment", fragment):
        yield spent


def scripts(last: int, names: Iterable[str] = PAGES) -> Iterator[Figure]:
    """Run each page, or those with these names, with empty caches, then again, in this process."""
    app = AppTest.from_file(str(PROJECT / "app.py"), default_timeout=120)
    for name, (file, query) in ((name, PAGES[name]) for name in names):
        app.run()
        for pair in filter(None, query.format(last=last).split("&")):
            key, _, value = pair.partition("=")
            app.query_params[key] = value
        app.switch_page(file).run()  # what is imported once for the server is no part of it
        st.cache_data.clear()
        st.cache_resource.clear()
        times = []
        with timed_fragments() as ticking:
            for _ in range(1 + WARM_RUNS):
                began = time.perf_counter()
                app.run()
                times.append(1000 * (time.perf_counter() - began))
        if app.exception:
            raise click.ClickException(f"{name}: {app.exception[0].value}")
        yield Figure(name, "cold", times[0])
        yield Figure(name, "warm", statistics.median(times[1:]))
        if ticking:
            tick = sum(statistics.median(seconds[1:]) for seconds in ticking.values())
            yield Figure(name, "tick", 1000 * tick)
        for key in list(app.query_params):
            del app.query_params[key]


DRAWN = {
    "compare": ("[data-testid='stDataFrame'] canvas", "table"),
    "live": (".st-key-live-history .scatterlayer", "history plot"),
}


def in_browser(dashboard: Dashboard, last: int, folder: Path) -> Iterator[Figure]:
    """Open each page in Chromium: what it receives, when it draws, what a tick takes."""
    with browsing(folder / "failed.png") as page:
        received = [0]
        page.on(
            "websocket",
            lambda socket: socket.on(
                "framereceived", lambda data: received.__setitem__(0, received[0] + len(data))
            ),
        )
        page.goto(dashboard.url)
        _rest(page)  # the browser's own cache holds the scripts from here on
        for name, (_, query) in PAGES.items():
            address = f"{dashboard.url}/{name.partition(':')[0]}?{query.format(last=last)}"
            for visit in ("first", "next") if name in DRAWN else ("only",):
                received[0] = 0
                began = time.perf_counter()
                page.goto(address)
                if name in DRAWN:
                    selector, what = DRAWN[name]
                    page.wait_for_selector(selector, timeout=60_000)
                    drawn = time.perf_counter() - began
                    yield Figure(name, f"{visit} {what}", drawn)
                _rest(page)
            yield Figure(name, "to the browser", received[0] / 1024)


def _rest(page: Page) -> None:
    page.wait_for_timeout(300)
    page.wait_for_selector(
        "[data-testid='stApp'][data-test-script-state='notRunning']", state="attached"
    )
    page.wait_for_timeout(1200)


@click.command()
@click.option("--trials", default=10_000, show_default=True)
@click.option("--epochs", default=50, show_default=True)
@click.option("--margin", type=float, help="Fail where a mark is missed by more than this factor.")
def main(trials: int, epochs: int, margin: float | None) -> None:
    """Measure the pages on a database with many trials, and print the figures beside the marks."""
    announce()
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder) / "workspace" / "nas.db")
        began = time.perf_counter()
        search_id = build(workspace, trials, epochs)
        size = workspace.db.stat().st_size / 1e6
        built = time.perf_counter() - began
        click.echo(f"{trials:,} trials x {epochs} epochs: {size:,.0f} MB, made in {built:.0f} s")
        click.echo("\n| page | what | figure | mark | |\n|---|---|---|---|---|")
        os.environ["NAS_DB"] = str(workspace.db)
        with living_engine(workspace, search_id):
            figures = list(_told(scripts(trials - 1)))
            log = Path(folder) / "server.log"
            with serving_dashboard(workspace, {"OPENROUTER_API_KEY": ""}, log) as dashboard:
                figures += _told(in_browser(dashboard, trials - 1, Path(folder)))
    judge(slowest(figures))
    if margin is not None:
        widened = (dataclasses.replace(f.mark, bound=f.mark.bound * margin) for f in figures)
        missed = [mark for mark in widened if not mark.met]
        click.echo(f"{len(missed)} of {len(figures)} figures are beyond {margin:g} times the mark.")
        sys.exit(bool(missed))


def _told(figures: Iterator[Figure]) -> Iterator[Figure]:
    for figure in figures:
        mark = figure.mark
        cells = (figure.page, figure.what, mark.figure, mark.allowed, mark.verdict)
        click.echo(f"| {' | '.join(cells)} |")
        yield figure


if __name__ == "__main__":
    main()
