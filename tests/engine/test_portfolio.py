"""Published designs as proposals, and what comes after them."""

from __future__ import annotations

import dataclasses
import random
from typing import Any

import pytest

from informer.config import Choices, Interval, Value, from_flat, problems
from nas_engine.planners.base import View
from nas_engine.planners.designs import (
    DESIGNS,
    RATE,
    Design,
    is_design,
    nearest,
    next_design,
    projected,
)
from nas_engine.planners.portfolio import NORMALISATION, NORMALISES, PortfolioPlanner, neighbours
from nas_engine.proposals import Proposal
from nas_engine.search import Narrowing, SearchSpec
from nas_engine.store.rows import Spend, TrialRow
from tests.engine.rows import no_epochs, trial_row

BY_NAME = {design.name: design for design in DESIGNS}
LONG: dict[str, Value] = {
    "training.epochs": 100,
    "training.scheduler_class": "Constant",
    "data.pred_len": 96,
}
FREE: dict[str, Any] = {"preset": "paper", "settings": LONG}
"""A search in whose space all is offered, and which trains for as long as anybody did."""


def view_of(trials: list[TrialRow], **facts: Any) -> View:
    return View(
        search_id=1,
        number=len(trials),
        spec=SearchSpec.model_validate({"max_trials": 20, **facts}),
        max_trials=20,
        incumbent=0 if trials else None,
        trials=trials,
        baselines=[],
        epochs=no_epochs,
        noise=None,
        spend=Spend(0, 0, 0, 0.0, 0, 0.0),
    )


def row_of(view: View, proposal: Proposal, **facts: Any) -> TrialRow:
    config = {**view.parent, **proposal.changes}
    known = {"source": proposal.source, "hypothesis": proposal.hypothesis, "seconds": 5.0}
    return trial_row(view.number, config, **{**known, "val_mse": 0.5, **facts})


def portfolio(**facts: Any) -> list[Proposal]:
    """Return the designs that a search begins with."""
    rows: list[TrialRow] = []
    found = []
    while (proposal := next_design(view_of(rows, **facts))) is not None:
        found.append(proposal)
        rows.append(row_of(view_of(rows, **facts), proposal))
    return found


@pytest.mark.parametrize("design", DESIGNS, ids=lambda design: design.name)
def test_a_design_is_tried_as_published_where_the_space_has_it(design: Design) -> None:
    view = view_of([], **FREE)
    proposal = projected(design, view)
    assert proposal is not None
    result = {**view.parent, **proposal.changes}
    assert problems(result) == []
    inactive = from_flat(result).inactive()
    expected = {key: value for key, value in design.settings.items() if key not in inactive}
    assert {key: result[key] for key in expected} == expected
    assert proposal.hypothesis == f"{design.title}: the authors' settings that this space has."
    assert proposal.source == "portfolio"


def test_each_design_comes_once_in_the_order_of_evidence() -> None:
    found = portfolio(**FREE)
    assert [p.hypothesis.partition(":")[0] for p in found] == [d.title for d in DESIGNS]


def test_an_edited_design_does_not_come_back() -> None:
    view = view_of([])
    first = next_design(view)
    assert first is not None
    edited = dataclasses.replace(
        row_of(view, first), config={**view.parent, **first.changes, "data.seq_len": 48}
    )
    second = next_design(view_of([edited]))
    assert second is not None
    assert second.hypothesis.partition(":")[0] == DESIGNS[1].title


def test_a_design_takes_the_nearest_values_and_says_so() -> None:
    proposal = projected(BY_NAME["PatchTST"], view_of([]))
    assert proposal is not None
    assert proposal.changes["data.seq_len"] == 168  # of 48, 96 and 168
    assert proposal.changes["model.d_model"] == 32
    assert "data.seq_len 168 (theirs 336)" in proposal.hypothesis
    assert "model.d_model 32 (theirs 16)" in proposal.hypothesis


def test_a_design_without_its_idea_is_none() -> None:
    banned = {"model.tokens": Narrowing(values=("step", "inverted"))}
    assert projected(BY_NAME["PatchTST"], view_of([], space=banned)) is None
    assert projected(BY_NAME["iTransformer"], view_of([], space=banned)) is not None
    with_a_layer = view_of([], space={"model.e_layers": Narrowing(values=(1, 2))})
    for name in ("NLinear", "RLinear", "DLinear"):
        assert projected(BY_NAME[name], view_of([])) is not None
        assert projected(BY_NAME[name], with_a_layer) is None


def test_what_a_design_does_not_name_is_as_in_trial_0_whatever_the_incumbent_has() -> None:
    incumbent = trial_row(0, {"training.clip_norm": 5.0, "model.skip": True, "model.factor": 8})
    proposal = projected(BY_NAME["the non-stationary Informer"], view_of([incumbent]))
    assert proposal is not None
    result = {**incumbent.config, **proposal.changes}
    assert (result["training.clip_norm"], result["model.factor"]) == (0.0, 5)
    assert result["model.skip"] is False


def test_short_trainings_raise_the_rate_and_long_ones_do_not_lower_it() -> None:
    design = BY_NAME["PatchTST"]
    short: dict[str, Value] = {"training.epochs": 4, "training.steps_per_epoch": 30}
    view = view_of([], settings=short)
    proposal = projected(design, view)
    assert proposal is not None
    result = from_flat({**view.parent, **proposal.changes})
    rate = result.training.optimizer_params.lr
    assert rate * 4 * 30 == pytest.approx(1e-4 * design.steps, rel=0.05)
    assert ", for their 0.0001: a training here has fewer steps" in proposal.hypothesis
    long = projected(design, view_of([], **FREE))
    assert long is not None
    assert long.changes.get(RATE, 1e-4) == 1e-4


def test_the_nearest_number_is_so_by_its_ratio() -> None:
    assert nearest(Choices("medium", (48, 96, 720)), 240) == 96
    assert nearest(Interval("small", 1e-4, 1e-2, log=True), 1.0) == 1e-2
    assert nearest(Choices("radical", ("none", "last")), "revin") is None


def test_neighbours_differ_in_one_setting_that_has_a_part_to_play() -> None:
    start = trial_row(0, {})
    found = list(neighbours(start, view_of([start]), random.Random(0)))
    for each in found:
        assert [key for key in start.config if each.config[key] != start.config[key]] == [each.key]
    keys = {each.key for each in found}
    assert {"model.head", "data.seq_len", RATE} <= keys
    assert not {"model.patch_len", "model.kernel"} & keys


def searched(trials: int) -> list[TrialRow]:
    """Return the trials of a search; of the designs RMLP turns out best."""
    rows = [trial_row(0, {}, val_mse=0.9, seconds=5.0, source="default", hypothesis="")]
    planner = PortfolioPlanner()
    planner.observe(rows[0])
    for number in range(1, trials):
        view = view_of(rows)
        proposal = planner.propose(view)
        assert view.check(proposal.changes) == []
        error = 0.45 if "RMLP" in (proposal.hypothesis or "") else 0.5 + number / 100
        rows.append(row_of(view, proposal, val_mse=error, accepted=False))
        planner.observe(rows[-1])
    return rows


def differing(row: TrialRow, other: TrialRow) -> dict[str, Value]:
    return {key: value for key, value in row.config.items() if value != other.config[key]}


def test_trial_0_and_then_the_best_design_are_tried_with_each_normalisation() -> None:
    rows = searched(20)
    ways = [row for row in rows if (row.hypothesis or "").startswith(NORMALISES)]
    first, second = ways[:3], ways[3:]
    assert [differing(row, rows[0]) for row in first] == [
        {NORMALISATION: way} for way in ("standardise", "revin", "last")
    ]
    best = next(row for row in rows if (row.hypothesis or "").startswith("RMLP"))
    assert [differing(row, best) for row in second] == [
        {NORMALISATION: way} for way in ("none", "standardise", "last")
    ]
    designs = [row.number for row in rows if is_design(row)]
    assert [row.number for row in first] == [1, 2, 3]
    assert designs == list(range(4, 4 + len(designs)))
    assert [row.number for row in second] == [designs[-1] + n for n in (1, 2, 3)]


def test_after_the_portfolio_come_the_forest_and_tpe_in_turn() -> None:
    sources = [row.source for row in searched(24)[1:]]
    count = sources.count("portfolio")
    assert sources[:count] == ["portfolio"] * count
    after = list(enumerate(sources, 1))[count:]
    assert len(after) >= 4
    assert all(source == ("tpe" if number % 4 == 0 else "forest") for number, source in after)
