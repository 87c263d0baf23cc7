"""`python -m tests.engine.example_prompt`: the examples of docs/planning.md, made by real searches.

Of 20 trials on the recorded table, some fail; the question is the one before trial 13. Of another
search, on a front and within a bound, the section that tells of these.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from informer.config import RunConfig
from informer.records import Failure, Success
from informer.rundir import RunDir
from nas_engine.planners.base import View
from nas_engine.planners.llm import several
from nas_engine.planners.question import ask_text, system_text
from nas_engine.planners.tpe import OptunaPlanner
from nas_engine.planners.wanted import wanted_text
from nas_engine.store.reader import reading
from nas_engine.trainers.base import Ended, Watch
from nas_engine.workspace import Workspace
from tests.engine.conftest import Bench
from tests.engine.recorded_search import recorded_spec
from tests.fakes.recorded import RecordedTrainer

NUMBER = 13
GUIDANCE = (
    "The series has a strong daily season. Models that need more than a second are of no use."
)


class Failing(RecordedTrainer):
    """Replays the table, but for one setting that runs out of memory."""

    def train(self, run: RunDir, watch: Watch) -> Success | Ended:
        if _too_large(run.read_config()):
            failure = Failure(error_class="out_of_memory", message="The device ran out of memory.")
            run.write_result(failure)
            return Ended("failed", failure.error_class, failure.message)
        return super().train(run, watch)


def example(folder: Path) -> str:
    """Return system prompt and question after a search in `folder`."""
    with _viewing(folder, guidance=GUIDANCE) as view:
        optimiser = OptunaPlanner("tpe")
        for trial in view.trials:
            optimiser.observe(trial)
        question = ask_text(view, several(view, optimiser.study(view)))
        return f"{system_text(view)}\n{question}".strip()


def example_of_front(folder: Path) -> str:
    """Return the section on objectives and bounds after another search in `folder`."""
    aims = {"objectives": ("val_mse", "parameters"), "at_most": {"parameters": 200_000.0}}
    with _viewing(folder, **aims) as view:
        return wanted_text(view, 15, 5).strip()


@contextmanager
def _viewing(folder: Path, **facts: Any) -> Iterator[View]:
    """Yield what a planner sees before trial `NUMBER` of a search of 20."""
    bench = Bench(Workspace(folder / "nas.db"), Failing())
    bench.search(**recorded_spec(planner="tpe", max_trials=20, **facts).model_dump())
    with reading(bench.workspace) as reader:
        assert reader is not None
        everything = View.of(reader, 1, NUMBER)
        earlier = [trial for trial in everything.trials if trial.number < NUMBER]
        yield replace(everything, trials=earlier)


def _too_large(config: RunConfig) -> bool:
    return config.data.seq_len == 168 and config.model.d_model == 64


if __name__ == "__main__":
    os.environ["OPENROUTER_API_KEY"] = ""
    with tempfile.TemporaryDirectory() as folder:
        print(example(Path(folder)), example_of_front(Path(folder) / "front"), sep="\n\n")
