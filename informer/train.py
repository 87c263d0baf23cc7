"""`python -m informer.train`: training by hand, with a progress bar and a table."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from tqdm import tqdm

from informer.config import PRESETS, ConfigError, RunConfig
from informer.configfile import Refusal, read_config, read_settings
from informer.devices import choose_device
from informer.records import Epoch, Failure, Progress, Success
from informer.rundir import RunDir
from informer.training import train

RUNS = Path(__file__).resolve().parents[1] / "workspace" / "manual"

_HEADER = f"{'epoch':>5} {'train loss':>11} {'val MSE':>9} {'val MAE':>9} {'lr':>9} {'seconds':>8}"


@click.command()
@click.option(
    "--config",
    "path",
    type=click.Path(path_type=Path),
    help="Configuration as JSON; settings it leaves out take their defaults. "
    "By default preset small on a CPU, paper on a GPU.",
)
@click.option("--tag", required=True, help="Name of the run: letters, digits, '.', '_' and '-'.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change one setting.")
@click.option(
    "--output", type=click.Path(path_type=Path), default=RUNS, help="Folder that holds the runs."
)
@click.option("--overwrite", is_flag=True, help="Train anew where the tag has a run.")
def main(
    path: Path | None, tag: str, settings: tuple[str, ...], output: Path, overwrite: bool
) -> None:
    """Train one configuration and print its errors.

    An unfinished run of the same tag and configuration goes on after its last epoch.
    """
    if not re.fullmatch(r"[A-Za-z0-9._-]*[A-Za-z0-9_-][A-Za-z0-9._-]*", tag):
        raise Refusal(f"--tag {tag!r} must be a name of letters, digits, '.', '_' and '-' only.")
    try:
        config = _base(path).with_changes(read_settings(settings))
    except ConfigError as error:
        raise Refusal(str(error)) from None
    run = RunDir(output / tag)
    if run.read_result() is not None and not overwrite:
        raise Refusal(f"{run.path} holds a finished run; take another --tag, or --overwrite it.")
    try:
        if overwrite:
            run.config.unlink(missing_ok=True)  # what is in the folder then counts for nothing
        if epoch := run.create(config):
            click.echo(f"{run.path} is unfinished: training goes on after epoch {epoch}.")
    except OSError as error:
        raise Refusal(f"{run.path} cannot be written ({error.strerror}).") from None
    with _log_in(run.log), _table() as show:
        result = train(config, run, show)
    _report(result, run)


def _base(path: Path | None) -> RunConfig:
    if path is not None:
        return read_config(path)
    return PRESETS["small" if choose_device("auto").type == "cpu" else "paper"].config()


@contextmanager
def _log_in(path: Path) -> Iterator[None]:
    logger, handler = logging.getLogger("informer"), logging.FileHandler(path)
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        handler.close()


@contextmanager
def _table() -> Iterator[_Table]:
    table = _Table()
    try:
        yield table
    finally:
        table.bar.close()


class _Table:
    """Prints a row per epoch above a progress bar of the epoch under way."""

    def __init__(self) -> None:
        self.bar = tqdm(unit="step", leave=False, disable=None)
        self._header_due = True

    def __call__(self, record: Progress | Epoch) -> None:
        if isinstance(record, Progress):
            self.bar.set_description(f"epoch {record.epoch}", refresh=False)
            self.bar.total, self.bar.n = record.steps, record.step
            self.bar.refresh()
            return
        with self.bar.external_write_mode():
            if self._header_due:
                click.echo(_HEADER)
                self._header_due = False
            click.echo(
                f"{record.epoch:>5} {_figure(record.train_loss):>11} {_figure(record.val_mse):>9} "
                f"{_figure(record.val_mae):>9} {record.lr:>9.2g} {record.seconds:>8.1f}"
            )


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _report(result: Success | Failure, run: RunDir) -> None:
    if isinstance(result, Failure):
        click.echo(result.message, err=True)
        raise SystemExit(2 if result.error_class in ("config", "data") else 1)
    click.echo(
        f"\nBest epoch {result.best_epoch} of {result.epochs}, {result.parameters:,} parameters, "
        f"{result.seconds:.0f} s on {result.device}; {run.path}\n"
        f"{'':>5} {'MSE':>8} {'MAE':>8}\n"
        f"{'val':>5} {result.val_mse:>8.4f} {result.val_mae:>8.4f}\n"
        f"{'test':>5} {result.test_mse:>8.4f} {result.test_mae:>8.4f}\n"
        f"On scaled data, over {result.windows}. Test errors by column, MAE in its own units:"
    )
    details = run.read_details()
    assert details is not None, "a run that completed has its details"
    test = details.test
    rows = zip(
        test.columns, test.mse_by_column, test.mae_by_column, test.own_mae_by_column, strict=True
    )
    click.echo(f"{'column':<20} {'MSE':>8} {'MAE':>8} {'own MAE':>10}")
    for name, mse, mae, own in rows:
        click.echo(f"{name[:20]:<20} {mse:>8.4f} {mae:>8.4f} {own:>10.4g}")


if __name__ == "__main__":
    main()
