"""`python -m tests.faults.llm [NAME ...]`: what a language model service can do wrong.

Each fault is served over HTTP to a small real search, with the real engine and a trainer without
torch. The table says what was injected and what happened; the exit code is 1 where a verdict is
bad. tests/engine/test_llm_faults.py runs the same list.
"""

from __future__ import annotations

import base64
import io
import logging
import re
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch
from urllib.parse import quote

import psutil

from nas_engine import engine, graph  # noqa: F401  loaded here, not in the first fault's memory
from nas_engine.commands import Start, send
from nas_engine.planners import tpe  # noqa: F401
from nas_engine.search import SearchSpec
from nas_engine.settings import Settings
from nas_engine.store.reader import reading
from nas_engine.store.rows import LLMCallRow, SearchRow, Spend, TrialRow
from nas_engine.workspace import Workspace
from tests.fakes.llm_faults import FAULTS, KEY, Fault
from tests.fakes.llm_server import Charge, serving
from tests.fakes.trainer import FakeTrainer

LARGEST_GROWTH_MB = 100.0


@dataclass(frozen=True)
class Outcome:
    """What a search made of a fault."""

    search: SearchRow
    trials: list[TrialRow]
    calls: list[LLMCallRow]
    spend: Spend
    requests: int
    charged: Charge
    seconds: float
    growth_mb: float
    leaks: list[str]

    @property
    def planned(self) -> list[LLMCallRow]:
        return [call for call in self.calls if call.role == "planner"]


# -- one fault ----------------------------------------------------------------------------------


def run(fault: Fault, folder: Path) -> Outcome:
    """Run a search of two trials against the fault and return what came of it."""
    workspace = Workspace(folder / "workspace" / "nas.db")
    spec = SearchSpec(planner="llm", max_trials=2)
    began = time.monotonic()
    with serving(fault.script) as server, _memory() as growth:
        settings = Settings(
            _env_file=None,  # type: ignore[call-arg]
            openrouter_api_key=KEY,
            openai_base_url=server.url,
            planner_usd_per_million_in=8.0,  # at these the server's answer costs what it charges
            planner_usd_per_million_out=10.0,
            evaluator_usd_per_million_in=8.0,
            evaluator_usd_per_million_out=10.0,
            llm_deadline_seconds=fault.deadline,
            llm_retries=1,
            llm_retry_seconds=0.0,
        )
        if not fault.listening:
            server.stop_listening()
        with _logged(settings) as log, patch.object(engine, "LOOP_SECONDS", 0.01):
            engine.serve(
                workspace,
                settings,
                lambda slot, spec: FakeTrainer(),
                send(workspace, Start(spec=spec)),
            )
    with reading(workspace) as reader:
        assert reader is not None
        (search,) = reader.searches()
        return Outcome(
            search=search,
            trials=reader.trials(search.id),
            calls=reader.llm_calls(search.id),
            spend=reader.spend(search.id),
            requests=len(server.requests),
            charged=server.charged,
            seconds=time.monotonic() - began,
            growth_mb=growth(),
            leaks=_leaks(workspace.db.parent, log.getvalue()),
        )


def problems(fault: Fault, outcome: Outcome) -> list[str]:
    """Return what is not as it must be."""
    found = []
    state = "paused" if fault.source == "paused" else "completed"
    if outcome.search.state != state:
        found.append(f"the search is {outcome.search.state}: {outcome.search.reason}")
    if "met an error" in outcome.search.reason:
        found.append(outcome.search.reason)
    sources = [trial.source for trial in outcome.trials]
    if sources != (["default"] if fault.source == "paused" else ["default", fault.source]):
        found.append(f"the trials are from {sources}")
    if any(trial.state != "completed" for trial in outcome.trials):
        found.append(f"the trials are {[trial.state for trial in outcome.trials]}")
    classes = tuple(call.error_class for call in outcome.planned)
    if classes != fault.classes:
        found.append(f"the requests are classed {classes}, not {fault.classes}")
    if any(call.outcome == "reserved" for call in outcome.calls):
        found.append("a request was never finished in the books")
    if fault.listening and outcome.requests != len(outcome.calls):
        found.append(f"{outcome.requests} requests were made, {len(outcome.calls)} are booked")
    booked = Charge(outcome.spend.booked_tokens, outcome.spend.booked_usd)
    if booked.tokens < outcome.charged.tokens or booked.usd < outcome.charged.usd - 1e-12:
        found.append(f"{outcome.charged} was charged, {booked} is booked")
    if fault.exact and abs(booked.usd - outcome.charged.usd) > 1e-12:
        found.append(f"{booked} is booked, not {outcome.charged}")
    if outcome.growth_mb > LARGEST_GROWTH_MB:
        found.append(f"the memory grew by {outcome.growth_mb:.0f} MB")
    found += [f"the key is in {place}" for place in outcome.leaks]
    return found


@contextmanager
def _memory() -> Iterator[Callable[[], float]]:
    """Yield a function that returns by how many MB the memory of this process grew at most."""
    process, stop = psutil.Process(), threading.Event()
    sizes = [process.memory_info().rss]

    def watch() -> None:
        while not stop.wait(0.005):
            sizes[1:] = [max(sizes[-1], process.memory_info().rss)]

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield lambda: (sizes[-1] - sizes[0]) / 1e6
    finally:
        stop.set()
        watcher.join()


@contextmanager
def _logged(settings: Settings) -> Iterator[io.StringIO]:
    """Collect the engine's log at its most talkative, as DEBUG=true writes it."""
    root, text = logging.getLogger(), io.StringIO()
    handler = engine.log_handler(settings, text)
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield text
    finally:
        root.setLevel(before)
        root.removeHandler(handler)


def _leaks(folder: Path, log: str) -> list[str]:
    texts = {
        path.name: path.read_bytes().decode("utf-8", "replace")
        for path in folder.rglob("*")
        if path.is_file()
    }
    return [name for name, text in {**texts, "the log": log}.items() if holds_key(text)]


def holds_key(text: str) -> bool:
    """Whether a text has the key or its beginning, URL-encoded, in base64 or in JSON escapes."""
    for _ in range(2):
        if KEY[:12] in text or quote(KEY, safe="") in text or quote(KEY) in text:
            return True
        for word in re.findall(r"[A-Za-z0-9+/_-]{16,}", text):
            word = word.replace("-", "+").replace("_", "/")
            # Where in the word base64 begins, and how far it is whole, is not known.
            for part in (word[start:] for start in range(4)):
                whole = part[: len(part) - (len(part) % 4 == 1)]
                if KEY.encode() in base64.b64decode(whole + "=" * (-len(whole) % 4)):
                    return True
        text = re.sub(r"\\+u([0-9a-f]{4})", lambda found: chr(int(found[1], 16)), text)
        text = text.replace("\\/", "/")
    return False


# -- the table ----------------------------------------------------------------------------------


COLUMNS = (
    ("fault", "<42"),
    ("requests", ">8"),
    ("seconds", ">7"),
    ("class of each request", "<35"),
    ("source", "<8"),
    ("search", "<9"),
    ("charged tokens", ">14"),
    ("booked", ">6"),
    ("charged USD", ">11"),
    ("booked", ">6"),
    ("MB", ">3"),
    ("verdict", ""),
)


def row(fault: Fault, outcome: Outcome, verdict: list[str]) -> tuple[object, ...]:
    """Return what the table says of a fault, column by column."""
    return (
        fault.name,
        outcome.requests,
        f"{outcome.seconds:.1f}",
        ", ".join(call.error_class or "used" for call in outcome.planned),
        outcome.trials[-1].source if len(outcome.trials) > 1 else "-",
        outcome.search.state,
        outcome.charged.tokens,
        outcome.spend.booked_tokens,
        f"{outcome.charged.usd:.4f}",
        f"{outcome.spend.booked_usd:.4f}",
        f"{outcome.growth_mb:.0f}",
        "; ".join(verdict) or "good",
    )


def show(cells: Iterable[object]) -> None:
    """Print a line of the table."""
    print(*(f"{cell:{form}}" for cell, (_, form) in zip(cells, COLUMNS, strict=True)), sep=" | ")


def main(names: list[str]) -> int:
    """Print the table of the named faults, or of all; return 1 where a verdict is bad."""
    chosen = [fault for fault in FAULTS if not names or fault.name in names]
    bad = 0
    show(name for name, _ in COLUMNS)
    for fault in chosen:
        with tempfile.TemporaryDirectory() as folder:
            outcome = run(fault, Path(folder))
        verdict = problems(fault, outcome)
        bad += bool(verdict)
        show(row(fault, outcome, verdict))
    print(f"{len(chosen)} faults, {len(chosen) - bad} good, {bad} bad")
    return 1 if bad or not chosen else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
