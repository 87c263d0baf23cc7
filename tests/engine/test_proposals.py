"""The check of proposals: what it refuses, and how it says so."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from informer.config import Value, from_flat
from nas_engine.proposals import Record, active_changes, check, near_duplicates
from nas_engine.search import Limits, Narrowing, SearchSpec
from nas_engine.store.rows import TrialRow
from nas_engine.workspace import PROJECT
from tests.engine.rows import trial_row

SPEC = SearchSpec()
START = SPEC.base().flat()


def refused(changes: dict[str, Any], *trials: TrialRow, spec: SearchSpec = SPEC) -> list[str]:
    return check(Record(spec, trials), START, changes, by="planner")


def test_20_000_hostile_proposals_are_refused_and_touch_nothing(
    record_property: Callable[[str, object], None],
) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "tests.hostile", "20000"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    outcome = json.loads(ended.stdout)
    assert outcome["judged"] == 20_000
    assert outcome["accepted"] == []
    assert outcome["events"] == []
    assert outcome["longest"] < 300
    record_property("faults", outcome["judged"])


def test_a_repeated_configuration_is_named_with_its_result() -> None:
    (sentence,) = refused({"model.dropout": 0.2}, trial_row(4, {"model.dropout": 0.2}))
    assert sentence == (
        "model.dropout: this is the configuration of trial 4 (val_mse 0.412346, rejected), which "
        "need not be trained again."
    )


def test_a_repeated_failure_is_named_with_its_class() -> None:
    failed = trial_row(
        4, {"model.d_model": 128}, state="failed", val_mse=None, error_class="nonfinite"
    )
    (sentence,) = refused({"model.d_model": 128}, failed)
    assert "trial 4 (failed, nonfinite)" in sentence


def test_a_near_duplicate_is_refused_for_planners_and_open_to_people() -> None:
    earlier = trial_row(4, {"training.optimizer_params.lr": 0.0010, "model.dropout": 0.2})
    changes = {"training.optimizer_params.lr": 0.0011, "model.dropout": 0.205}
    (sentence,) = refused(changes, earlier)
    assert "too near to trial 4 (val_mse 0.412346, rejected)" in sentence
    record = Record(SPEC, [earlier])
    assert check(record, START, changes, by="person") == []
    assert near_duplicates(record, from_flat(START | changes)) == [earlier]


@pytest.mark.parametrize(
    "changes",
    [
        {"training.optimizer_params.lr": 0.0013, "model.dropout": 0.2},
        {"training.optimizer_params.lr": 0.0010, "model.dropout": 0.22},
        {"training.optimizer_params.lr": 0.0010, "model.dropout": 0.2, "model.d_model": 32},
    ],
)
def test_what_differs_by_more_is_no_near_duplicate(changes: dict[str, Any]) -> None:
    earlier = trial_row(4, {"training.optimizer_params.lr": 0.0010, "model.dropout": 0.2})
    assert refused(changes, earlier) == []


def test_settings_without_a_part_to_play_make_no_new_configuration() -> None:
    changed: dict[str, Value] = {"model.patch_len": 24}
    assert active_changes(START, changed) == {}
    (sentence,) = refused(changed, trial_row(0, {}))
    assert "configuration of trial 0" in sentence


def test_parameters_beyond_the_limit_name_the_changed_settings() -> None:
    spec = SearchSpec(limits=Limits(parameters=200_000))
    (sentence,) = refused({"model.d_model": 128, "model.d_ff": 512}, spec=spec)
    assert re.fullmatch(
        r"model.d_model, model.d_ff: the model would have [\d,]+ parameters; this search allows "
        r"200,000.",
        sentence,
    )


def test_memory_beyond_the_limit_is_told_in_gigabytes() -> None:
    spec = SearchSpec(limits=Limits(memory_mb=500))
    (sentence,) = refused({"model.d_model": 128, "data.seq_len": 168}, spec=spec)
    assert re.fullmatch(
        r"model.d_model, data.seq_len: training would take about [\d.]+ GB of memory; 0.5 GB are "
        r"allowed.",
        sentence,
    )


def test_time_is_judged_by_what_the_trials_so_far_took() -> None:
    changes = {"model.d_model": 128, "data.seq_len": 168}
    spec = SearchSpec(limits=Limits(trial_minutes=10))
    quick, slow = (trial_row(0, {}, seconds=seconds, epochs=6) for seconds in (10.0, 590.0))
    assert refused(changes, spec=spec) == []
    assert refused(changes, quick, spec=spec) == []
    (sentence,) = refused(changes, slow, spec=spec)
    assert "judged by the trials so far; this search allows 10." in sentence


def test_the_seed_is_never_the_planners_to_choose() -> None:
    assert "same for all trials" in refused({"training.seed": 7})[0]
    narrowed = SearchSpec(space={"training.seed": Narrowing(values=(1, 2))})
    assert "same for all trials" in refused({"training.seed": 1}, spec=narrowed)[0]


@pytest.mark.parametrize(
    "path",
    [
        *("training.seed", "training.epochs", "training.patience", "training.device"),
        *("training.steps_per_epoch", "data.dataset", "data.features", "data.target"),
        *("data.pred_len", "data.drop_last", "data.split", "data.splits", "data.test", "data.path"),
        *("data.root", "data.scale", "data.rows", "training.timeout", "training.checkpoints"),
        *("training.output", "training.criterion", "metric", "objective", "objectives", "val_mse"),
        *("limits.usd", "limits.trial_minutes", "limits.hours", "limits.memory_mb", "max_trials"),
        *("rules.seeds", "rules.accept_above", "timing.threads", "at_most.parameters", "planner"),
        *("mode", "slots", "backend", "backend.address", "space", "guidance", "lessons", "NAS_DB"),
    ],
)
@pytest.mark.parametrize("value", [1, 10**6, "test", "/etc/passwd"])
def test_what_is_no_choice_of_a_planner_is_refused_with_its_name(path: str, value: Any) -> None:
    (sentence,) = refused({path: value})
    assert path in sentence and len(sentence) < 400


def test_a_pinned_setting_is_refused_with_its_value() -> None:
    spec = SearchSpec(space={"model.d_model": Narrowing(values=(64,))})
    assert refused({"model.d_model": 32}, spec=spec) == [
        "model.d_model is pinned to 64 in this search."
    ]


def test_a_number_of_5_000_digits_is_answered_in_one_short_sentence() -> None:
    (sentence,) = refused({"model.d_model": 10**5000})
    assert sentence == (
        "model.d_model must be one of 32, 64, 128, but got a number of about 5000 digits."
    )
