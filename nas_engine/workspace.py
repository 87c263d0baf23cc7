"""Where a workspace keeps its files: one database, and beside it what belongs to it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from informer.config import SEEDS
from informer.rundir import RunDir
from nas_engine.private import close_to_others
from nas_engine.store.schema import StoreError

PROJECT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Workspace:
    """The files that belong to the database `db`."""

    db: Path

    @property
    def checkpoints(self) -> Path:
        """LangGraph's checkpoints: ids and counters only."""
        return self.db.with_suffix(".checkpoints.db")

    @property
    def runs(self) -> Path:
        """Folder of all run folders."""
        return self.db.with_suffix(".runs")

    def run_dir(
        self, search_id: int, number: int, repeat: int = 0, inherited: bool = False
    ) -> RunDir:
        """Return the run folder of a trial's first training, or of its `repeat`-th one more.

        One that is `inherited`, begun with the weights of another trial, has a folder of its own.
        """
        name = f"trial-{number:04d}" + (f"-repeat-{repeat}" if repeat else "")
        name += "-inherited" if inherited else ""
        return RunDir(self.runs / str(search_id) / name)

    def seed_dir(self, search_id: int, number: int, first: int, seed: int) -> RunDir:
        """Return the run folder of a trial's training with `seed`, where `first` was its first.

        Seeds are counted on from the first one; 0 follows the last that there is.
        """
        return self.run_dir(search_id, number, (seed - first) % SEEDS)

    def baselines(self, search_id: int) -> Path:
        """Folder in which the baselines of a search are computed."""
        return self.runs / str(search_id) / "baselines"

    @property
    def forecasts(self) -> Path:
        """Folder of the forecasts that runs and baselines make of all windows."""
        return self.db.with_suffix(".forecasts")

    @property
    def bundles(self) -> Path:
        """Folder of the bundles that the dashboard wrote."""
        return self.db.with_suffix(".bundles")

    @property
    def launch_log(self) -> Path:
        """What engines print, tracebacks of unforeseen errors among it."""
        return self.runs / "engines.log"

    @property
    def worker_log(self) -> Path:
        """What workers print outside their runs."""
        return self.runs / "workers.log"

    def create(self) -> None:
        """Make the folders, readable by their owner alone.

        Raises:
            StoreError: one cannot be made.
        """
        try:
            self.db.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.runs.mkdir(mode=0o700, parents=True, exist_ok=True)
            close_to_others(self.runs)
        except OSError as error:
            raise StoreError(
                f"The folder {error.filename} cannot be made ({error.strerror}); see that nothing "
                "is in its way, that you may write there and that the disk has room, or name "
                "another file with --db or NAS_DB."
            ) from error
