"""A sentence that is typed while a search runs holds for all that is proposed from then on."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from playwright.sync_api import expect

from informer.config import from_flat
from informer.cost import parameters
from nas_engine.search import Rules, SearchSpec
from nas_engine.store import wishes
from nas_engine.store.reader import reading
from nas_engine.store.rows import TrialRow
from nas_engine.workspace import Workspace
from tests.dashboard import browsing, serving_dashboard
from tests.fakes.engine import running

pytestmark = pytest.mark.browser

LR = "training.optimizer_params.lr"
SPEC = SearchSpec(
    planner="random",
    max_trials=2000,
    settings={"training.epochs": 1},
    rules=Rules(seeds=1, extra_seeds=0),
)


def trials(workspace: Workspace) -> list[TrialRow]:
    with reading(workspace) as reader:
        return reader.trials(1) if reader else []


def trials_beyond(workspace: Workspace, number: int, seconds: float = 60) -> list[TrialRow]:
    """Wait until trial `number` was proposed, and return all trials."""
    deadline = time.monotonic() + seconds
    while not (found := trials(workspace)) or found[-1].number < number:
        assert time.monotonic() < deadline, f"only {len(found)} trials were proposed"
        time.sleep(0.1)
    return found


def test_a_sentence_becomes_constraints_that_the_next_20_proposals_obey(
    workspace: Workspace, tmp_path: Path
) -> None:
    with (
        running(workspace, SPEC, epoch_seconds=0.1),
        serving_dashboard(
            workspace, {"OPENROUTER_API_KEY": ""}, tmp_path / "server.log"
        ) as dashboard,
        browsing(tmp_path / "failed.png") as page,
    ):
        trials_beyond(workspace, 3)
        page.goto(f"{dashboard.url}/steer?search=1")
        box = page.get_by_role("textbox", name="Tell the search something")
        box.fill("stay under 150k parameters, leave the learning rate alone", timeout=30_000)
        preview = page.locator(".st-key-steer-box")
        expect(preview).to_contain_text("parameters ≤ 150 k")
        expect(preview).to_contain_text("learning rate stays")
        page.get_by_role("button", name="Send").click()
        expect(preview).to_contain_text("Enforced: parameters ≤ 150 k", timeout=15_000)
        expect(page.locator(".st-key-steer-held-1")).to_contain_text("parameters ≤ 150 k")
        expect(page.locator(".st-key-steer-held-2")).to_contain_text("learning rate stays")

        with reading(workspace) as reader:
            assert reader is not None
            small, kept = wishes.steering(reader, 1)
        first = trials(workspace)[-1].number + 1
        found = trials_beyond(workspace, first + 19)
        assert small.constraint and kept.constraint and len(kept.constraint.values) == 1
        obeying = [trial for trial in found if trial.number >= first]
        assert len(obeying) >= 20
        for trial in obeying:
            assert parameters(from_flat(trial.config)) <= 150_000, trial.number
            assert trial.config[LR] == kept.constraint.values[0], trial.number
        assert len({trial.config["model.d_model"] for trial in obeying}) > 1, "others are varied"
        count = page.locator(".st-key-steer-held-2").get_by_text("proposals obey")
        expect(count).to_contain_text("✓ 2", timeout=15_000)
