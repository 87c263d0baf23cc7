"""A training done again with the same seed, and its errors held against those that were recorded.

On the same kind of CPU, with the same libraries and as many threads, a training repeats to the last
bit; anything else there is a fault. Elsewhere sums are rounded in another order, which training
amplifies: the errors may then lie as far apart as those of two seeds.
"""

from __future__ import annotations

import dataclasses
import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from data.registry import DataError, Dataset, find, own_names
from informer.bundle import Bundle
from informer.bundle_format import DataFacts, Noise, SeedErrors
from informer.config import RunConfig
from informer.records import Environment, Epoch, Progress, Success, UsedData
from informer.rundir import RunDir
from nas_engine.evaluator import student_t
from nas_engine.machine import memory_allowed
from nas_engine.settings import Settings
from nas_engine.store import judging
from nas_engine.store.reader import Reader
from nas_engine.store.rows import TrialRow
from nas_engine.trainers.base import Ended, TrainerError, Watch
from nas_engine.trainers.local import LocalTrainer
from nas_engine.workspace import Workspace

ERRORS = ("val_mse", "val_mae", "test_mse", "test_mae")
DEVIATIONS = 2.0
"""Between two trainings with noise alone between them, in deviations of a normal distribution."""


class ReproductionError(RuntimeError):
    """A training that cannot be done again here; the message is one sentence."""


@dataclass(frozen=True)
class Recorded:
    """A training as it was recorded."""

    config: RunConfig
    errors: SeedErrors
    environment: Environment | None  # None: it was not recorded
    noise: Noise | None  # of its search


@dataclass(frozen=True)
class Comparison:
    """What came of doing it again."""

    verified: bool
    exact: bool  # to the last bit
    sentence: str
    pairs: tuple[tuple[str, float, float], ...]  # name, recorded, found
    differs: tuple[str, ...]  # what is not as it was, a sentence's part each


# -- what was recorded --------------------------------------------------------------------------


def of_trial(reader: Reader, workspace: Workspace, trial: TrialRow) -> Recorded:
    """Return the training of a trial with the lowest val_mse, as its bundle would have it.

    Raises:
        ReproductionError: none has finished, its folder is lost, or the data are others now.
    """
    first = int(trial.config["training.seed"])
    finished = [
        (run.val_mse, run.seed)
        for run in reader.runs(trial.search_id, trial.number)
        if run.state == "completed" and run.val_mse is not None
    ]
    if not finished:
        raise ReproductionError(f"Trial {trial.number} has no finished training to compare with.")
    seed = min(finished)[1]
    folder = workspace.seed_dir(trial.search_id, trial.number, first, seed)
    try:
        config, result = folder.read_config(), folder.read_result()
    except (OSError, ValueError, RecursionError) as error:
        raise ReproductionError(f"{folder.config} cannot be read ({error}).") from None
    if not isinstance(result, Success):
        raise ReproductionError(f"{folder.path} does not hold the result of the training any more.")
    environment = folder.read_environment()
    if environment is not None:
        _require_same(find(config.data.dataset), environment.data)
    noise = judging.noise(reader, trial.search_id)
    return Recorded(
        config=config,
        errors=SeedErrors(seed=seed, **result.model_dump(include=set(SeedErrors.model_fields))),
        environment=environment,
        noise=None if noise is None else Noise(**dataclasses.asdict(noise)),
    )


def _require_same(dataset: Dataset, used: UsedData) -> None:
    if changed := used.differences(UsedData.of(dataset)):
        raise ReproductionError(
            f"Data set {dataset.name} is another now than the training saw: {', '.join(changed)}; "
            "add it as it was."
        )


def of_bundle(bundle: Bundle) -> Recorded:
    """Return the training of a bundle, with the data set as this machine calls it.

    Raises:
        ReproductionError: this machine does not have the data.
    """
    name = _known_here(bundle.data)
    return Recorded(
        config=bundle.config.with_changes({"data.dataset": name}),
        errors=bundle.metrics.weights,
        environment=bundle.environment,
        noise=bundle.metrics.noise,
    )


def _known_here(facts: DataFacts) -> str:
    """Return the name by which this machine has the data of a bundle."""
    wanted = _decisive(facts.dataset())
    for name in dict.fromkeys((facts.name, *own_names())):
        try:
            if _decisive(find(name)) == wanted:
                return name
        except DataError:
            continue
    raise ReproductionError(
        f"This machine has no data set with the SHA-256 {facts.sha256[:12]}…, columns and split of "
        f"{facts.name}; add the file that it was made from ({facts.source or 'see README.md'}) "
        "with the same choices."
        if facts.origin == "own"
        else f"This version of the project has another data set {facts.name}; use the version "
        "that wrote the bundle."
    )


def _decisive(dataset: Dataset) -> tuple[object, ...]:
    """Return what training depends on."""
    parts = (dataset.columns, dataset.past_only, dataset.known_future, dataset.split_rows)
    return (*parts, dataset.frequency, dataset.scaling, dataset.sha256)


# -- again --------------------------------------------------------------------------------------


def again(
    recorded: Recorded, settings: Settings, on_epoch: Callable[[Epoch], None]
) -> tuple[Success, Environment | None]:
    """Train once more, in a folder that is removed, and return the result and what it ran on.

    Raises:
        ReproductionError: it did not come to its end, or the data set cannot be had.
    """
    config, environment = recorded.config, recorded.environment
    if environment is not None and environment.device == "cpu":
        config = config.with_changes({"training.device": "cpu"})

    def report(records: Sequence[Progress | Epoch]) -> None:
        for record in records:
            if isinstance(record, Epoch):
                on_epoch(record)

    watch = Watch(
        started=lambda worker: None,
        report=report,
        ending=lambda: None,
        limit_seconds=math.inf,
        memory_bytes=memory_allowed(config, slots=1),
    )
    with tempfile.TemporaryDirectory(prefix="replay-") as scratch:
        run = RunDir(Path(scratch) / "run")
        run.create(config)
        trainer = LocalTrainer(
            settings.worker_environment(),
            Path(scratch) / "worker.log",
            threads=1 if environment is None else environment.threads,
        )
        try:
            result = trainer.train(run, watch)
        except TrainerError as error:
            raise ReproductionError(str(error)) from None
        finally:
            trainer.close()
        if isinstance(result, Ended):
            raise ReproductionError(f"It could not be trained again: {result.message}")
        return result, run.read_environment()


def compared(recorded: Recorded, result: Success, environment: Environment | None) -> Comparison:
    """Return whether a training repeats what was recorded.

    Args:
        recorded: the first time.
        result: of the second.
        environment: what the second ran on.
    """
    pairs = tuple((name, getattr(recorded.errors, name), getattr(result, name)) for name in ERRORS)
    differs = tuple(_differences(recorded.environment, environment))
    if all(before == now for _, before, now in pairs):
        return Comparison(True, True, "All four errors are equal to the last bit.", pairs, differs)
    apart = max(abs(now - before) / max(before, 1e-300) for _, before, now in pairs)
    said = f"The errors lie up to {apart:.2%} apart"
    if not differs:
        return Comparison(
            False,
            False,
            f"{said}, although device, CPU, threads and versions are the same: on them a training "
            "repeats to the last bit.",
            pairs,
            differs,
        )
    because = f"({', '.join(differs)})"
    noise = recorded.noise
    if noise is None:
        sentence = (
            f"{said} {because}, and the noise of the search is not known: train a trial of it with "
            "another seed to learn how far seeds lie apart."
        )
        return Comparison(False, False, sentence, pairs, differs)
    margin = student_t(DEVIATIONS, noise.degrees) * noise.relative * math.sqrt(2)
    inside = apart <= margin
    where = "inside" if inside else "outside"
    sentence = f"{said} {because}, {where} the ±{margin:.2%} by which two seeds may differ."
    return Comparison(inside, False, sentence, pairs, differs)


def _differences(before: Environment | None, now: Environment | None) -> Iterator[str]:
    """Yield what can make a training round in another way."""
    if before is None or now is None:
        yield "what the first training ran on is not recorded"
        return
    if before.device != now.device:
        yield f"device {now.device} instead of {before.device}"
    elif now.device != "cpu":
        yield "a GPU promises no equal bits"
    if not before.cpu:
        yield "the CPU of the first training is not recorded"
    elif before.cpu != now.cpu:
        yield f"CPU {now.cpu} instead of {before.cpu}"
    if before.threads != now.threads:
        yield f"{now.threads} threads instead of {before.threads}"
    for name, version in now.versions.items():
        if (was := before.versions.get(name)) != version:
            yield f"{name} {version} instead of {was or 'none'}"
    if before.data.generated != now.data.generated or before.data.rows != now.data.rows:
        yield "other data"
