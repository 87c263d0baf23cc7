"""The table of real trainings is complete and true, and its trainer is one like the others."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.make_table import MORE_OUTSIDE, MORE_SEEDS, REPEATED, main, tasks, trained
from informer.baselines import compute
from informer.config import PRESETS, Value
from informer.rundir import Epoch, Failure, Progress, RunDir, Success
from nas_engine.api import load_agent_state
from nas_engine.commands import Start, send
from nas_engine.control import STOPPED
from nas_engine.engine import serve
from nas_engine.search import SearchSpec
from nas_engine.settings import load_settings
from nas_engine.trainers.base import Ended, Watch
from nas_engine.workspace import Workspace
from tests.fakes.recorded import (
    CORE,
    START,
    RecordedTrainer,
    best,
    means,
    noise,
    place,
    ranked,
    recorded,
    replay,
    value,
)
from tests.informer.conftest import etth1, one_thread  # noqa: F401
from tests.recorded.table import (
    TABLE,
    Row,
    combinations,
    configuration,
    read_rows,
    start,
    write_rows,
)

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


# -- the table ----------------------------------------------------------------------------------


def test_the_table_is_a_full_grid_with_further_seeds_of_some_and_no_gaps() -> None:
    rows = read_rows(TABLE)
    assert len(combinations()) >= 1_000
    again = MORE_SEEDS * (REPEATED + 1) + MORE_OUTSIDE * REPEATED
    assert len(rows) == len(combinations()) + again
    assert {row.key for row in rows} == {(*settings.values(), seed) for settings, seed in tasks()}
    begins = recorded()[place(start())]
    assert len(begins) == 1 + MORE_SEEDS


def test_every_row_has_its_figures_or_names_its_failure() -> None:
    for row in read_rows(TABLE):
        if isinstance(row.outcome, Failure):
            assert row.outcome.error_class == "nonfinite" and row.outcome.message, row.key
        else:
            values = [epoch.val_mse for epoch in row.epochs]
            assert all(
                error is not None and error > 0 for error in figures(row.epochs, row.outcome)
            )
            assert row.outcome.val_mse == values[row.outcome.best_epoch - 1], row.key
            assert row.outcome.val_mse == min(error for error in values if error), row.key


def test_the_table_is_small_enough_to_be_kept() -> None:
    assert TABLE.stat().st_size < 300_000


def test_the_start_names_only_what_differs_from_the_preset() -> None:
    preset = PRESETS["small"].config().flat()
    assert {key: now for key, now in start().flat().items() if now != preset[key]} == START


def test_the_best_is_much_better_than_the_start_and_no_tie() -> None:
    first, second = ranked()[:2]
    assert first[1] < 0.8 * value(start())
    assert first[1] < second[1]


def test_the_best_share_is_rounded_up_and_better_than_all_others_in_the_mean_of_seeds() -> None:
    among = best(0.01)
    assert len(among) == 11 and len(best(1.0)) == len(combinations())
    errors = {
        key: statistics.fmean(
            row.outcome.val_mse for row in rows if isinstance(row.outcome, Success)
        )
        for key, rows in recorded().items()
    }
    assert max(errors[key] for key in among) < min(errors[key] for key in errors.keys() - among)
    assert place(configuration(means()[0].settings, seed=10_000)) in among


def test_what_the_tests_search_is_a_part_of_the_table() -> None:
    core = {tuple(settings.values()) for settings in combinations(CORE)}
    assert place(start()) in core and len(core) == 432
    assert core < best(1.0)


@pytest.mark.parametrize("core", [True, False])
def test_the_noise_is_positive_and_small_beside_the_range(core: bool) -> None:
    errors = [math.log(mean.val_mse) for mean in means() if math.isfinite(mean.val_mse)]
    assert 0 < noise(core) < 0.1 * (max(errors) - min(errors))


def test_a_row_with_a_failure_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    row = read_rows(TABLE)[0]
    diverged = {"val_mse": None, "val_mae": None, "seconds": 0.5}
    epoch = row.epochs[0].model_copy(update=diverged)
    failure = Failure(error_class="nonfinite", message='It became nan, "lower it"; twice.')
    failed = Row(row.settings, row.seed, (epoch,), failure)
    other = Row(row.settings, row.seed + 1, row.epochs, row.outcome)
    write_rows(tmp_path / "table.csv", [other, failed])
    assert read_rows(tmp_path / "table.csv") == [failed, other]


@pytest.mark.data
@pytest.mark.usefixtures("etth1", "one_thread")
def test_a_row_is_what_real_training_gives() -> None:
    # Not to the bit: figures have six digits, and other processors add up in another order, which
    # on AVX2 instead of AVX-512 moves the ninth digit.
    row = random.Random(0).choice([row for row in read_rows(TABLE) if _succeeded(row)])
    again = trained((row.settings, row.seed))
    assert isinstance(row.outcome, Success) and isinstance(again.outcome, Success)
    assert figures(again.epochs, again.outcome) == pytest.approx(
        figures(row.epochs, row.outcome), rel=1e-3
    )


@pytest.mark.data
@pytest.mark.usefixtures("etth1")
def test_the_command_trains_only_what_is_missing(tmp_path: Path) -> None:
    table, baselines = tmp_path / "table.csv", tmp_path / "baselines.json"
    rows = read_rows(TABLE)
    missing = min(rows, key=lambda row: sum(epoch.seconds for epoch in row.epochs))
    kept = [row for row in rows if row != missing]
    write_rows(table, kept)
    ended = CliRunner().invoke(main, ["--table", str(table), "--baselines", str(baselines)])
    assert ended.exit_code == 0, ended.output
    found = read_rows(table)
    assert [row.key for row in found] == [row.key for row in rows]
    assert [row for row in found if row.key != missing.key] == kept


@pytest.mark.data
@pytest.mark.usefixtures("etth1")
def test_the_baselines_are_those_of_the_start(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "baselines")
    run.create(start())
    found = [(row.name, row.split, row.mse, row.mae) for row in compute(start())]
    rows = RecordedTrainer().baselines(run)
    assert [(row.name, row.split) for row in rows] == [each[:2] for each in found]
    assert [each for row in rows for each in (row.mse, row.mae)] == pytest.approx(
        [error for each in found for error in each[2:]], rel=1e-6
    )


# -- the trainer --------------------------------------------------------------------------------


def test_the_trainer_leaves_in_the_folder_what_it_reports(tmp_path: Path) -> None:
    run, records = RunDir(tmp_path / "run"), list[Progress | Epoch]()
    run.create(start())
    row = replay(start())
    result = RecordedTrainer().train(run, watch(records))
    assert result == run.read_result() == row.outcome
    assert records == run.read_metrics()[0]
    assert [record for record in records if isinstance(record, Epoch)] == list(row.epochs)


def test_a_training_that_is_cancelled_leaves_no_result(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "run")
    run.create(start())
    ended = RecordedTrainer().train(run, watch([], cancelled=True))
    assert isinstance(ended, Ended) and ended.state == "stopped"
    assert run.read_result() is None


@pytest.mark.parametrize("seed", [2021, 10_000])
def test_a_configuration_that_failed_fails_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    row, failure = replay(start()), Failure(error_class="nonfinite", message="It became nan.")
    failed = {row.key[:-1]: [Row(row.settings, row.seed, row.epochs[:1], failure)]}
    monkeypatch.setattr("tests.fakes.recorded.recorded", lambda: failed)
    run, config = RunDir(tmp_path / "run"), start().with_changes({"training.seed": seed})
    run.create(config)
    ended = RecordedTrainer().train(run, watch([]))
    assert ended == Ended("failed", "nonfinite", "It became nan.")
    assert run.read_result() == failure
    assert value(config) == math.inf


def test_each_recorded_seed_gives_its_own_row() -> None:
    rows = recorded()[place(start())]
    for row in rows:
        assert replay(configuration(row.settings, row.seed)) == row
    assert len({row.outcome for row in rows}) == len(rows)


@pytest.mark.parametrize("skip", [False, True])
def test_a_new_seed_is_drawn_around_the_recorded_mean_with_the_measured_noise(skip: bool) -> None:
    begin, spread = start().with_changes({"model.skip": skip}), noise(core=not skip)
    configs = [begin.with_changes({"training.seed": seed}) for seed in NEW_SEEDS]
    drawn = [value(config) for config in configs]
    assert drawn == [value(config) for config in configs]
    own = recorded()[place(begin)]
    mean = statistics.fmean(row.outcome.val_mse for row in own if isinstance(row.outcome, Success))
    shift = statistics.fmean(math.log(each / mean) for each in drawn)
    assert abs(shift) < 4 * spread / math.sqrt(len(drawn))
    assert statistics.stdev(map(math.log, drawn)) == pytest.approx(spread, rel=0.25)
    row = replay(configs[0])
    assert isinstance(row.outcome, Success)
    assert row.epochs[row.outcome.best_epoch - 1].val_mse == pytest.approx(row.outcome.val_mse)


@pytest.mark.parametrize(
    "change", [{"model.dropout": 0.3}, {"model.d_model": 128}, {"data.seq_len": 97}]
)
def test_a_configuration_outside_the_grid_is_refused(change: dict[str, Value]) -> None:
    with pytest.raises(LookupError, match=f"No training with {next(iter(change))} "):
        value(start().with_changes(change))


def test_a_search_gets_the_recorded_results(workspace: Workspace) -> None:
    trainer, spec = RecordedTrainer(), SearchSpec(settings=dict(START), max_trials=1)
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
        assert run.read_result() == replay(run.read_config()).outcome
    assert {row.name for row in state.baselines} == {
        *("repeat-last", "seasonal-naive", "closed-form linear")
    }


def _succeeded(row: Row) -> bool:
    return isinstance(row.outcome, Success)
