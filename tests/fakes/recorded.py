"""A trainer that replays a table of real trainings of `tests/recorded`."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import TypeAdapter

from informer.records import Failure, Progress, Success
from informer.rundir import RunDir
from nas_engine.store.rows import BaselineRow
from nas_engine.trainers.base import Ended, Watch
from tests.fakes.trainer import this_process
from tests.recorded.table import BASELINES, TESTED, Table

_BASELINES = TypeAdapter(list[BaselineRow])


class RecordedTrainer:
    """Replays the training of the table that a run folder's configuration and seed name.

    `Table.replay` says what a seed that was not recorded gives. It takes no time: `seconds` are
    those of the real training. A configuration outside the grid raises LookupError.
    """

    def __init__(self, table: Table = TESTED) -> None:
        self.table = table
        self.trained: list[RunDir] = []

    def train(self, run: RunDir, watch: Watch) -> Success | Ended:
        config = run.read_config()
        row = self.table.replay(config)
        self.trained.append(run)
        watch.started(this_process(0))
        for epoch in row.epochs:
            if (ending := watch.ending()) is not None:
                return ending
            steps = config.training.steps_per_epoch
            for record in (Progress(epoch=epoch.epoch, step=1, steps=steps), epoch):
                run.append(record)
                watch.report([record])
        run.write_result(row.outcome)
        if isinstance(row.outcome, Failure):
            return Ended("failed", row.outcome.error_class, row.outcome.message)
        return row.outcome

    def baselines(
        self, folder: RunDir, ending: Callable[[], Ended | None] = lambda: None
    ) -> list[BaselineRow]:
        """Return the forecasts without training that were recorded for the data of `TESTED`."""
        if (data := folder.read_config().data) != TESTED.first.data:
            raise LookupError(f"Baselines were recorded for the data of TESTED alone, not {data}.")
        return _BASELINES.validate_json(BASELINES.read_bytes())

    def close(self) -> None:
        pass
