"""A trial to take home, `bundle`, and one to train again, `replay`."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from data.registry import DataError
from informer.records import Epoch
from nas_engine.api import AgentState, load_agent_state
from nas_engine.cli.common import (
    Refused,
    db_option,
    json_option,
    plainly,
    search_argument,
    workspace_of,
)
from nas_engine.settings import load_settings
from nas_engine.store.reader import reading
from nas_engine.store.rows import TrialRow

if TYPE_CHECKING:
    from nas_engine.reproduction import Recorded

trial_option = click.option("--trial", "number", type=int, help="By default the best accepted one.")


@click.command()
@search_argument
@trial_option
@click.option(
    "--output", type=click.Path(path_type=Path), help="Folder to write; by its trial, here."
)
@click.option("--zip", "as_zip", is_flag=True, help="Write it as one zip file, too.")
@click.option("--replace", is_flag=True, help="Replace a bundle that is there.")
@json_option
@db_option
@plainly
def bundle(
    search_id: int | None,
    number: int | None,
    output: Path | None,
    as_zip: bool,
    replace: bool,
    as_json: bool,
    db: Path | None,
) -> None:
    """Write a trial as a folder: weights, data facts, errors, model card, a program that predicts.

    Of several seeds the weights with the lowest val_mse are taken.
    """
    # Only now: pandas, which this needs, would slow down every other command.
    from nas_engine import bundling

    def on_step(step: str) -> None:
        if not as_json:
            click.echo(f"{time.strftime('%H:%M:%S')} {step}…", err=True)

    workspace, settings = workspace_of(db), load_settings()
    state = load_agent_state(workspace.db, search_id)
    trial = _trial(state, number)
    folder = (output or Path(bundling.folder_name(state.search.id, trial.number))).absolute()
    try:
        with reading(workspace) as reader:
            assert reader is not None, "a search was read from it"
            order = bundling.order_of(reader, settings, workspace, trial, folder, replace=replace)
        if not as_json:
            click.echo(f"Writing trial {trial.number} of search {state.search.id}…", err=True)
        written = bundling.write(order, settings, on_step=on_step)
        packed = bundling.zipped(folder) if as_zip else None
    except bundling.BundlingError as error:
        raise Refused(str(error)) from None
    if as_json:
        facts = {"folder": str(folder), "zip": str(packed) if packed else None}
        click.echo(json.dumps(facts | written.model_dump(exclude={"status"})))
        return
    click.echo(f"{folder}: weights of seed {written.weights_seed}, {written.bytes / 1e6:.1f} MB")
    if packed:
        click.echo(str(packed))
    click.echo(f"Predict: python -m informer.predict --bundle {folder} --input recent.csv")
    click.echo(f"Train it again: python -m nas_engine replay --bundle {folder}")


def _trial(state: AgentState, number: int | None) -> TrialRow:
    """Return the trial that is meant; raises Refused."""
    wanted = state.search.incumbent if number is None else number
    if wanted is None:
        raise Refused(f"Search {state.search.id} has accepted no trial yet; name one with --trial.")
    trial = next((row for row in state.trials if row.number == wanted), None)
    if trial is None:
        raise Refused(f"Search {state.search.id} has no trial {wanted}.")
    return trial


@click.command()
@search_argument
@trial_option
@click.option(
    "--bundle",
    "folder",
    type=click.Path(path_type=Path),
    help="A bundle's folder, instead of a trial of a search.",
)
@json_option
@db_option
@plainly
def replay(
    search_id: int | None,
    number: int | None,
    folder: Path | None,
    as_json: bool,
    db: Path | None,
) -> None:
    """Train a trial again with the same seed, and compare its errors with those recorded.

    Exit code 0: equal to the last bit or, on another machine, within the noise of the search.
    1: they are not. 2: it cannot be trained here.
    """
    from informer.bundle import BundleError
    from nas_engine import reproduction

    def on_epoch(record: Epoch) -> None:
        if not as_json:
            found = "not finite" if record.val_mse is None else f"{record.val_mse:.6g}"
            click.echo(f"epoch {record.epoch}: val_mse {found}, {record.seconds:.1f} s", err=True)

    try:
        recorded = _recorded(search_id, number, folder, db)
        result, environment = reproduction.again(recorded, load_settings(), on_epoch)
    except (reproduction.ReproductionError, BundleError, DataError) as error:
        raise Refused(str(error)) from None
    found = reproduction.compared(recorded, result, environment)
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(found)))
    else:
        for name, before, now in found.pairs:
            click.echo(f"{name}: {before!r} recorded, {now!r} now")
        word = "Verified" if found.verified else "Not verified"
        click.echo(f"{word}. {found.sentence}")
    raise SystemExit(0 if found.verified else 1)


def _recorded(
    search_id: int | None, number: int | None, folder: Path | None, db: Path | None
) -> Recorded:
    from informer.bundle import Bundle
    from nas_engine import reproduction

    if folder is not None:
        if search_id is not None or number is not None:
            raise Refused("Give --bundle, or a search and --trial, not both.")
        return reproduction.of_bundle(Bundle.read(folder))
    workspace = workspace_of(db)
    trial = _trial(load_agent_state(workspace.db, search_id), number)
    with reading(workspace) as reader:
        assert reader is not None, "a search was read from it"
        return reproduction.of_trial(reader, workspace, trial)


COMMANDS = (bundle, replay)
