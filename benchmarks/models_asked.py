"""Language models that searches on the recorded table ask: scripted ones, and a small real one."""

from __future__ import annotations

import itertools
import random
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nas_engine.llm import LanguageModel
from nas_engine.search import SearchSpec
from nas_engine.service.patience import Patience
from nas_engine.settings import Settings
from nas_engine.store.writer import Writer
from nas_engine.workspace import Workspace
from tests.fakes import llm_server
from tests.fakes.llm_server import Reply, Request, serving
from tests.fakes.small_model import serving_model
from tests.recorded.rows import Settings as Configuration

Kind = Literal["oracle", "small", "worst"]

KNOWN_SHARE = 0.1
"""Of the table: the best configurations, which the oracle names in random order."""

CANDIDATES = 5
"""That a scripted model names when it is asked for several."""


@contextmanager
def served(kind: Kind, ranked: Iterable[Configuration], seed: int) -> Iterator[str]:
    """Serve a model on this machine and yield its address.

    Args:
        kind: "oracle" knows the best tenth of the table, without their order; "worst" names what
            is worst of all that it has not named; "small" is SmolLM2-135M. No scripted model
            names a configuration twice.
        ranked: the configurations of the table, the best first.
        seed: of the oracle's order.
    """
    if kind == "small":
        with serving_model() as url:
            yield url
    else:
        order = oracle(list(ranked), seed) if kind == "oracle" else list(ranked)[::-1]
        with serving(_Script(order)) as server:
            yield server.url


def oracle(ranked: list[Configuration], seed: int) -> list[Configuration]:
    """Return the best `KNOWN_SHARE` in random order, then the others from the best on."""
    known = ranked[: round(KNOWN_SHARE * len(ranked))]
    random.Random(seed).shuffle(known)
    return known + ranked[len(known) :]


class _Script:
    """Answers with one configuration after another, as whole changes to whatever the parent is."""

    def __init__(self, order: Iterable[Configuration]) -> None:
        self._named = iter(order)

    def __call__(self, request: Request, index: int) -> Reply:
        if llm_server.asked_for(request) == "ProposeChange":
            return llm_server.proposal(next(self._named))
        return llm_server.candidates(*itertools.islice(self._named, CANDIDATES))


@dataclass(frozen=True)
class Asking:
    """The language model of one search, whose exchanges are kept in a database as an engine's."""

    settings: Settings
    writer: Writer
    patience: Patience
    search_id: int

    def __call__(self, number: int) -> LanguageModel:
        """Return the model for a trial."""
        return LanguageModel(
            *(self.settings, self.writer, self.patience, self.search_id, number, "planner")
        )

    def seconds(self, number: int) -> float:
        """Return the seconds that it took to plan a trial."""
        return sum(
            call.seconds or 0.0 for call in self.writer.read.llm_calls(self.search_id, number)
        )


@contextmanager
def asking(spec: SearchSpec, url: str) -> Iterator[Asking]:
    """Prepare to ask the model at `url` in a search; whatever service the user has set is not."""
    settings = Settings(
        _env_file=None,
        planner_api_key="local",
        planner_base_url=url,
        planner_model="local",
        llm_max_tokens=160,  # as 500, too few for what the small model has to say
        llm_deadline_seconds=300.0,  # however busy the machine is
    )
    with tempfile.TemporaryDirectory() as folder:
        writer = Writer(Workspace(Path(folder) / "nas.db"))
        try:
            yield Asking(settings, writer, Patience(), writer.open_search(spec))
        finally:
            writer.close()
