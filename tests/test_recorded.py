"""The tables of real trainings are complete and true; their trainer is one like the others."""

from __future__ import annotations

import dataclasses
import math
import random
import statistics
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.make_table import fill, trained
from informer.baselines import compute
from informer.config import PRESETS, Value
from informer.records import Epoch, Failure, Progress, Success
from informer.rundir import RunDir
from nas_engine.api import load_agent_state
from nas_engine.commands import Start, send
from nas_engine.engine import serve
from nas_engine.search import SearchSpec
from nas_engine.settings import load_settings
from nas_engine.trainers.base import STOPPED, Ended, Watch
from nas_engine.workspace import Workspace
from tests.fakes.recorded import RecordedTrainer
from tests.informer.conftest import etth1, one_thread  # noqa: F401
from tests.recorded.rows import Row
from tests.recorded.table import COMPARED, TESTED, Table

each_table = pytest.mark.parametrize("table", [TESTED, COMPARED], ids=["tested", "compared"])
NEW_SEEDS = range(10_000, 10_200)  # none of which was recorded


def watch(records: list[Progress | Epoch], cancelled: bool = False) -> Watch:
    return Watch(
        started=lambda worker: None,
        report=records.extend,
        ending=lambda: STOPPED if cancelled else None,
        limit_seconds=60,
        memory_bytes=10**12,
    )


def figures(epochs: Sequence[Epoch], result: Success) -> list[float | None]:
    """Return what a training has found, in a row."""
    curves = [
        each
        for epoch in epochs
        for each in (epoch.train_loss, epoch.val_mse, epoch.val_mae, epoch.lr)
    ]
    errors = [result.val_mse, result.val_mae, result.test_mse, result.test_mae]
    return [*curves, *errors, result.best_epoch, result.epochs, result.parameters]


# -- the tables ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "configurations", "trainings"), [(TESTED, 432, 554), (COMPARED, 1152, 1334)]
)
def test_a_table_is_a_full_grid_with_further_seeds_of_some(
    table: Table, configurations: int, trainings: int
) -> None:
    wanted = [(tuple(settings.values()), seed) for settings, seed in table.trainings()]
    assert len(table.combinations) == configurations
    assert len(wanted) == len(set(wanted)) == trainings
    assert {(row.key, row.seed) for row in table.read()} <= set(wanted)
    assert [key for key, _ in wanted].count(table.place(table.first)) == 3


@each_table
def test_what_is_searched_has_no_gaps(table: Table) -> None:
    assert len(table.read()) == len(table.trainings())
    assert table.recorded.keys() == table.combinations.keys()


@each_table
def test_every_row_has_its_figures_or_names_its_failure(table: Table) -> None:
    for row in table.read():
        if isinstance(row.outcome, Failure):
            assert row.outcome.error_class == "nonfinite" and row.outcome.message, row
        else:
            values = [epoch.val_mse for epoch in row.epochs]
            assert all(
                error is not None and error > 0 for error in figures(row.epochs, row.outcome)
            )
            assert row.outcome.val_mse == values[row.outcome.best_epoch - 1], row
            assert row.outcome.val_mse == min(error for error in values if error), row


@each_table
def test_a_table_is_small_enough_to_be_kept(table: Table) -> None:
    assert table.path.stat().st_size < 350_000


@each_table
def test_the_start_names_only_what_differs_from_the_preset(table: Table) -> None:
    preset = PRESETS["small"].config().flat()
    started = table.first.flat()
    assert {key: now for key, now in started.items() if now != preset[key]} == table.start


def test_the_best_is_much_better_than_the_start_and_no_tie() -> None:
    first, second = TESTED.ranked[:2]
    assert first[1] < 0.8 * TESTED.value(TESTED.first)
    assert first[1] < second[1]


def test_the_best_share_is_rounded_up_and_better_than_all_others_in_the_mean_of_seeds() -> None:
    among = TESTED.best(0.01)
    assert len(among) == 5 and len(TESTED.best(1.0)) == len(TESTED.combinations)
    errors = {
        key: statistics.fmean(
            row.outcome.val_mse for row in rows if isinstance(row.outcome, Success)
        )
        for key, rows in TESTED.recorded.items()
    }
    assert max(errors[key] for key in among) < min(errors[key] for key in errors.keys() - among)
    best = TESTED.configuration(TESTED.means[0].settings, seed=10_000)
    assert TESTED.place(best) in among


def test_the_noise_is_positive_and_small_beside_the_range() -> None:
    errors = [math.log(error) for _, error in TESTED.ranked if math.isfinite(error)]
    assert 0 < TESTED.noise < 0.2 * (max(errors) - min(errors))


@each_table
def test_a_row_with_a_failure_is_read_back_as_it_was_written(table: Table, tmp_path: Path) -> None:
    row, copy = TESTED.read()[0], dataclasses.replace(table, path=tmp_path / "copy.csv")
    settings = next(iter(table.combinations.values()))
    lr = table.configuration(settings, 0).training.optimizer_params.lr
    epoch = row.epochs[0].model_copy(update={"lr": lr, "seconds": 0.5})
    diverged = epoch.model_copy(update={"val_mse": None, "val_mae": None})
    failure = Failure(error_class="nonfinite", message='It became nan, "lower it"; twice.')
    success = row.outcome.model_copy(update={"epochs": 1, "seconds": 0.5})
    failed = Row(settings, row.seed, (diverged,), failure)
    other = Row(settings, row.seed + 1, (epoch,), success)
    copy.write([other, failed])
    assert copy.read() == [failed, other]


@pytest.mark.data
@pytest.mark.usefixtures("etth1", "one_thread")
def test_a_row_is_what_real_training_gives() -> None:
    # Not to the bit: figures have six digits, and other processors add up in another order, which
    # on AVX2 instead of AVX-512 moves the ninth digit.
    row = random.Random(0).choice([row for row in TESTED.read() if _succeeded(row)])
    again = trained((row.settings, TESTED.configuration(row.settings, row.seed)))
    assert isinstance(row.outcome, Success) and isinstance(again.outcome, Success)
    assert figures(again.epochs, again.outcome) == pytest.approx(
        figures(row.epochs, row.outcome), rel=1e-3
    )


@pytest.mark.data
@pytest.mark.usefixtures("etth1")
def test_only_what_is_missing_is_trained(tmp_path: Path) -> None:
    table, rows = dataclasses.replace(TESTED, path=tmp_path / "table.csv"), TESTED.read()
    missing = min(rows, key=lambda row: row.seconds)
    kept = [row for row in rows if row is not missing]
    table.write(kept)
    fill(table, workers=1)
    found = table.read()
    assert [(row.key, row.seed) for row in found] == [(row.key, row.seed) for row in rows]
    assert [row for at, row in enumerate(found) if rows[at] is not missing] == kept


@pytest.mark.data
@pytest.mark.usefixtures("etth1")
def test_the_baselines_are_those_of_the_start(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "baselines")
    run.create(TESTED.first)
    found = [(row.name, row.split, row.mse, row.mae) for row in compute(TESTED.first)]
    rows = RecordedTrainer().baselines(run)
    assert [(row.name, row.split) for row in rows] == [each[:2] for each in found]
    assert [each for row in rows for each in (row.mse, row.mae)] == pytest.approx(
        [error for each in found for error in each[2:]], rel=1e-6
    )


def test_both_tables_have_the_same_baselines() -> None:
    """They know no batches; all else that they are computed from is the same."""
    batch = {"batch_size": TESTED.first.data.batch_size}
    assert COMPARED.first.data.model_copy(update=batch) == TESTED.first.data


# -- the trainer --------------------------------------------------------------------------------


def test_the_trainer_leaves_in_the_folder_what_it_reports(tmp_path: Path) -> None:
    run, records = RunDir(tmp_path / "run"), list[Progress | Epoch]()
    run.create(TESTED.first)
    row = TESTED.replay(TESTED.first)
    result = RecordedTrainer().train(run, watch(records))
    assert result == run.read_result() == row.outcome
    assert records == run.read_metrics()[0]
    assert [record for record in records if isinstance(record, Epoch)] == list(row.epochs)


def test_a_training_that_is_cancelled_leaves_no_result(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "run")
    run.create(TESTED.first)
    ended = RecordedTrainer().train(run, watch([], cancelled=True))
    assert isinstance(ended, Ended) and ended.state == "stopped"
    assert run.read_result() is None


@pytest.mark.parametrize("seed", [2021, 10_000])
def test_a_configuration_that_failed_fails_again(tmp_path: Path, seed: int) -> None:
    row = TESTED.replay(TESTED.first)
    failure = Failure(error_class="nonfinite", message="It became nan.")
    table = dataclasses.replace(TESTED, path=tmp_path / "failed.csv")
    table.write([Row(row.settings, row.seed, row.epochs[:1], failure)])
    run, config = RunDir(tmp_path / "run"), table.first.with_changes({"training.seed": seed})
    run.create(config)
    ended = RecordedTrainer(table).train(run, watch([]))
    assert ended == Ended("failed", "nonfinite", "It became nan.")
    assert run.read_result() == failure
    assert table.value(config) == math.inf


def test_each_recorded_seed_gives_its_own_row() -> None:
    rows = TESTED.recorded[TESTED.place(TESTED.first)]
    for row in rows:
        assert TESTED.replay(TESTED.configuration(row.settings, row.seed)) == row
    assert len({row.outcome for row in rows}) == len(rows)


def test_a_new_seed_is_drawn_around_the_recorded_mean_with_the_measured_noise() -> None:
    begin, spread = TESTED.first, TESTED.noise
    configs = [begin.with_changes({"training.seed": seed}) for seed in NEW_SEEDS]
    drawn = [TESTED.value(config) for config in configs]
    assert drawn == [TESTED.value(config) for config in configs]
    own = TESTED.recorded[TESTED.place(begin)]
    mean = statistics.fmean(row.outcome.val_mse for row in own if isinstance(row.outcome, Success))
    shift = statistics.fmean(math.log(each / mean) for each in drawn)
    assert abs(shift) < 4 * spread / math.sqrt(len(drawn))
    assert statistics.stdev(map(math.log, drawn)) == pytest.approx(spread, rel=0.25)
    row = TESTED.replay(configs[0])
    assert isinstance(row.outcome, Success)
    assert row.epochs[row.outcome.best_epoch - 1].val_mse == pytest.approx(row.outcome.val_mse)


@pytest.mark.parametrize(
    "change", [{"model.dropout": 0.3}, {"model.d_model": 128}, {"data.seq_len": 97}]
)
def test_a_configuration_outside_the_grid_is_refused(change: dict[str, Value]) -> None:
    with pytest.raises(LookupError, match=f"No training with {next(iter(change))} "):
        TESTED.value(TESTED.first.with_changes(change))


def test_a_configuration_that_is_not_recorded_yet_is_told_with_what_records_it(
    tmp_path: Path,
) -> None:
    table = dataclasses.replace(TESTED, path=tmp_path / "table.csv")
    with pytest.raises(LookupError, match=r"yet: python -m benchmarks\.make_table table$"):
        table.replay(table.first)


def test_a_search_gets_the_recorded_results(workspace: Workspace) -> None:
    trainer, spec = RecordedTrainer(), SearchSpec(settings=dict(TESTED.start), max_trials=1)
    serve(
        workspace,
        load_settings(),
        lambda slot, spec: trainer,
        send(workspace, Start(spec=spec), None),
    )
    state = load_agent_state(workspace.db)
    assert [trial.state for trial in state.trials] == ["completed"]
    assert trainer.trained
    for run in trainer.trained:
        assert run.read_result() == TESTED.replay(run.read_config()).outcome
    assert {row.name for row in state.baselines} == {
        *("repeat-last", "seasonal-naive", "closed-form linear")
    }


def _succeeded(row: Row) -> bool:
    return isinstance(row.outcome, Success)
