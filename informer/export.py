"""Writes a bundle: `python -m informer.export`.

Reads an `Order` from stdin as JSON, and prints a `Written` or a `Refused` in its last line; lines
before it say what is being done. The weights are put to use once more before they are handed out:
what they forecast must give the errors that the training has recorded. A bundle is written beside
its place and renamed, so that there is a whole one or none.
"""

from __future__ import annotations

import itertools
import math
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import click
from pydantic import Field, ValidationError

from data.beside import beside, put_whole
from data.registry import DataError
from informer.bundle_format import (
    CARD,
    CONFIG,
    DATA,
    ENVIRONMENT,
    EXCHANGE,
    FILES,
    INTERVALS,
    MANIFEST,
    METRICS,
    PROGRAM,
    SCRIPT,
    WEIGHTS,
    DataFacts,
    Manifest,
    Mean,
    Metrics,
    Noise,
    SeedErrors,
    Verdict,
)
from informer.card import SCRIPT_TEXT, card
from informer.conduct import answer_order
from informer.config import ConfigError, RunConfig
from informer.files import ProtocolError, read_file
from informer.records import Record, Success, UsedData
from informer.rundir import RunDir

if TYPE_CHECKING:
    import torch

    from data.series import Series
    from data.splits import Floats
    from informer.baselines import Baseline
    from informer.forecaster import Forecaster
    from informer.intervals import Intervals
    from informer.metrics import Errors

STEP = "step: "
"""How lines begin that say what is being done."""

DRIFT = 0.01
"""Relative difference of a recorded error that another device or precision can explain."""

KEPT_ERRORS = 2**24
"""Errors that intervals are calibrated on, at most: more windows would tell little more."""


class Order(Record):
    """What is wanted, and what the training itself does not know."""

    runs: tuple[str, ...] = Field(min_length=1)  # folders of finished trainings, one for each seed
    output: str  # folder of the bundle
    replace: bool
    search: str
    trial: int
    trials_looked_at: int
    noise: Noise | None
    verdict: Verdict | None
    exchange: str


class Written(Record):
    """A bundle was written."""

    status: Literal["written"] = "written"
    weights_seed: int
    program: str  # a sentence about `model.pt2`
    bytes: int


class Refused(Record):
    """No bundle was written, and nothing was changed."""

    status: Literal["refused"] = "refused"
    message: str


Outcome = Annotated[Written | Refused, Field(discriminator="status")]


class ExportError(ValueError):
    """A bundle cannot be written; the message is one sentence."""


def export(order: Order) -> Written:
    """Write a bundle.

    Raises:
        ExportError: the trainings are not what they should be, or the place cannot be used.
        DataError: the data set is not on this machine as it was trained on.
    """
    from data.series import series
    from informer import baselines, program

    output = Path(order.output)
    _require_place(output, order.replace)
    trained = [_finished(RunDir(Path(folder))) for folder in order.runs]
    run, config, result = min(trained, key=lambda one: one[2].val_mse)
    _require_same_but_seed([one for _, one, _ in trained])
    data = config.data
    source = series(data.dataset, data.features, data.target)
    _require_same_data(run, source)
    weights = _content(run.weights, FILES[WEIGHTS])
    intervals = _checked(run, config, weights, source, result)
    facts = DataFacts.of(source)
    _tell("the baselines are computed")
    metrics = _metrics(order, trained, config, baselines.compute(config))
    environment = run.read_environment()
    _tell("the model is exported as a program, and tried")
    with tempfile.TemporaryDirectory() as scratch:
        content, said = program.exported(config, weights, source, Path(scratch))
        files = {
            WEIGHTS: weights,
            CONFIG: _content(run.config, FILES[CONFIG]),
            DATA: facts.model_dump_json(indent=2).encode(),
            METRICS: metrics.model_dump_json(indent=2).encode(),
            INTERVALS: intervals.model_dump_json(indent=2).encode(),
            EXCHANGE: order.exchange.encode(),
            CARD: card(config, facts, metrics, environment, intervals, said).encode(),
            SCRIPT: SCRIPT_TEXT.encode(),
        }
        if environment is not None:
            files[ENVIRONMENT] = environment.model_dump_json(indent=2).encode()
        if content is not None:
            files[PROGRAM] = content
    _write(output, files, order.replace)
    size = sum(map(len, files.values()))
    return Written(weights_seed=config.training.seed, program=said, bytes=size)


def _tell(step: str) -> None:
    print(f"{STEP}{step}", flush=True)  # noqa: T201


# -- what was trained ---------------------------------------------------------------------------


def _finished(run: RunDir) -> tuple[RunDir, RunConfig, Success]:
    try:
        config, result = run.read_config(), run.read_result()
    except (OSError, ValueError, RecursionError) as error:
        raise ExportError(f"{run.config} cannot be read ({error}).") from None
    if not isinstance(result, Success):
        said = "it has not ended" if result is None else result.message
        raise ExportError(f"{run.path} holds no finished training: {said}.")
    return run, config, result


def _require_same_but_seed(configs: Sequence[RunConfig]) -> None:
    if len({config.with_changes({"training.seed": 0}) for config in configs}) > 1:
        raise ExportError("The trainings of this trial differ in more than their seed.")


def _require_same_data(run: RunDir, source: Series) -> None:
    """Refuse data that have changed since the training, whose record tells what it saw."""
    environment = run.read_environment()
    if environment is None:
        return
    used, dataset = environment.data, source.dataset
    changed = used.differences(UsedData.of(dataset))
    if used.rows != len(source.values):
        changed.append(f"it has {len(source.values):,} rows, not {used.rows:,}")
    if changed:
        raise ExportError(
            f"Data set {dataset.name} has changed since the training: {', '.join(changed)}; add it "
            "again as it was."
        )


def _content(path: Path, limit: int) -> bytes:
    try:
        return read_file(path, limit)
    except FileNotFoundError:
        raise ExportError(f"There is no {path} any more; train the trial again.") from None
    except ProtocolError as error:
        raise ExportError(str(error)) from None


def _metrics(
    order: Order,
    trained: Sequence[tuple[RunDir, RunConfig, Success]],
    best: RunConfig,
    found: Iterable[Baseline],
) -> Metrics:
    results = [result for _, _, result in trained]
    return Metrics(
        search=order.search,
        trial=order.trial,
        trials_looked_at=order.trials_looked_at,
        seeds=tuple(
            SeedErrors(
                seed=config.training.seed,
                **result.model_dump(include=set(SeedErrors.model_fields)),
            )
            for _, config, result in trained
        ),
        weights_seed=best.training.seed,
        val_mse=Mean.of([result.val_mse for result in results]),
        val_mae=Mean.of([result.val_mae for result in results]),
        test_mse=Mean.of([result.test_mse for result in results]),
        test_mae=Mean.of([result.test_mae for result in results]),
        windows=results[0].windows,
        baselines=tuple(found),
        noise=order.noise,
        verdict=order.verdict,
        parameters=results[0].parameters,
    )


# -- the weights put to use ---------------------------------------------------------------------


def _checked(
    run: RunDir, config: RunConfig, weights: bytes, source: Series, result: Success
) -> Intervals:
    """Return intervals for the forecasts, whose errors must be those that were recorded."""
    import torch

    from data.splits import rows
    from informer import devices, forecaster
    from informer.intervals import calibrated

    _tell("the weights forecast validation and test once more")
    device = torch.device("cpu") if result.device == "cpu" else devices.choose_device("auto")
    try:
        model = forecaster.forecaster(config, weights, device)
    except forecaster.WeightsError as error:
        raise ExportError(f"{run.weights} cannot be used: {error}.") from None
    (val, on_val), (test, on_test) = (
        _forecast_all(model, config, source, split, device) for split in ("val", "test")
    )
    for name, errors, recorded in (
        ("val_mse", val, result.val_mse),
        ("test_mse", test, result.test_mse),
    ):
        if not math.isclose(errors.mse, recorded, rel_tol=DRIFT):
            raise ExportError(
                f"The weights give {name} {errors.mse:.6g}, and the training has recorded "
                f"{recorded:.6g}: weights or data are not those of the training."
            )
    kept, spreads, apart = on_val
    training = rows(source.dataset, "train", config.data.seq_len)
    return calibrated(
        kept,
        spreads,
        apart=apart,
        test=on_test,
        trained_until=source.dates[training.stop - 1].to_pydatetime(),
    )


def _forecast_all(
    model: Forecaster,
    config: RunConfig,
    source: Series,
    split: Literal["val", "test"],
    device: torch.device,
) -> tuple[Errors, tuple[Floats, Floats, int]]:
    """Return the errors on a part, and those of every so many windows one by one.

    The latter are truth less forecast (N, H, C_out), deviations inside the look-backs (N, C_out),
    and how many steps lie between these windows.
    """
    import numpy as np
    import torch

    from data.windows import Windows
    from informer.intervals import spread
    from informer.metrics import Errors

    data = config.data
    windows = Windows(source, split, data.seq_len, data.pred_len, device, drop_last=data.drop_last)
    numbers = len(windows) * data.pred_len * len(source.roles.forecast)
    apart = math.ceil(numbers / KEPT_ERRORS)
    errors, kept, spreads, first = Errors(), [], [], 0
    with torch.inference_mode():
        for batch in windows.batches(2 * data.batch_size):  # as training evaluates
            error = model(batch.values, batch.known).double() - batch.target
            errors.add(error)
            chosen = slice(-first % apart, None, apart)
            kept.append(-error[chosen].cpu().numpy())
            spreads.append(spread(batch.values[chosen][..., source.outputs].cpu().numpy()))
            first += len(error)
    return errors, (np.concatenate(kept), np.concatenate(spreads), apart)


# -- writing ------------------------------------------------------------------------------------


def _require_place(output: Path, replace: bool) -> None:
    """Refuse a place where something stands that may not be replaced."""
    if not os.path.lexists(output):
        return
    if not replace:
        raise ExportError(f"{output} exists; name another folder, or ask to replace it.")
    try:
        names = {entry.name for entry in output.iterdir()} if not output.is_symlink() else {"."}
    except OSError:
        names = {"."}
    if not names <= {*FILES, MANIFEST} or MANIFEST not in names:
        raise ExportError(
            f"{output} is no bundle, or holds other files too; it is not replaced: name another "
            "folder."
        )


def _write(output: Path, files: Mapping[str, bytes], replace: bool) -> None:
    from informer.commit import PROJECT, commit_of

    for name, content in files.items():
        if len(content) > FILES[name]:
            raise ExportError(
                f"{name} would have {len(content):,} bytes; a bundle takes {FILES[name]:,}."
            )
    created = datetime.now(UTC).isoformat(timespec="seconds")
    manifest = Manifest.of(created, commit_of(PROJECT)[0], files).text().encode()
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with beside(output.parent) as temporary:
            made = temporary / "new"
            made.mkdir()
            for name, content in itertools.chain(files.items(), [(MANIFEST, manifest)]):
                (made / name).write_bytes(content)
            _require_place(output, replace)
            put_whole(made, output)
    except OSError as error:
        raise ExportError(f"{output} cannot be written ({error.strerror}).") from None


def outcome(text: str) -> Written | Refused:
    """Return what came of an order."""
    try:
        order = Order.model_validate_json(text, strict=True)
    except ValidationError:
        return Refused(message="The order of a bundle is not valid.")
    from informer import training

    config = RunConfig()
    try:
        config = RunDir(Path(order.runs[0])).read_config()
        return export(order)
    except (ExportError, DataError, ConfigError) as error:
        return Refused(message=str(error))
    except Exception as error:
        return Refused(message=training.failure(error, config).message)


@click.command()
@click.option("--threads", type=click.IntRange(min=1), default=1, help="CPU threads.")
def main(threads: int) -> None:
    """Write the bundle that the order on stdin asks for."""
    answer_order(outcome, threads)


if __name__ == "__main__":
    main()
