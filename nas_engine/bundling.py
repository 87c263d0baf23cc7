"""Bundles of trials: what the store adds to a training, and the process that writes the folder."""

from __future__ import annotations

import os
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from data import actors
from informer.bundle_format import FILES, MANIFEST, Noise, Verdict
from informer.export import STEP, Order, Outcome, Written
from informer.files import put_in_place, temporary_of
from nas_engine.apart import ask
from nas_engine.service.redaction import Redaction
from nas_engine.settings import Settings
from nas_engine.store import judging
from nas_engine.store.reader import Reader
from nas_engine.store.rows import SearchRow, TrialRow
from nas_engine.transcript import exported
from nas_engine.workspace import Workspace

SECONDS = 1800.0
"""That writing a bundle may take; forecasting both parts and exporting is most of it."""

_OUTCOME: TypeAdapter[Outcome] = TypeAdapter(Outcome)


class BundlingError(RuntimeError):
    """A bundle that could not be written; the message is one sentence."""


def place(workspace: Workspace, search_id: int, number: int) -> Path:
    """Return the folder of a trial's bundle in its workspace."""
    return workspace.bundles / folder_name(search_id, number)


def folder_name(search_id: int, number: int) -> str:
    """Return what the bundle of a trial is called."""
    return f"search-{search_id}-trial-{number}"


def order_of(
    reader: Reader,
    settings: Settings,
    workspace: Workspace,
    trial: TrialRow,
    output: Path,
    *,
    replace: bool,
) -> Order:
    """Return the order for the bundle of a trial: all that the store knows about it.

    Args:
        reader: of the workspace.
        settings: know the secrets that must not be in a bundle.
        workspace: where the run folders are.
        trial: one of `reader`'s.
        output: folder of the bundle.
        replace: whether a bundle that is there is replaced.

    Raises:
        BundlingError: no training of the trial has finished.
    """
    search = reader.search(trial.search_id)
    assert search is not None, "a trial has a search"
    first = int(trial.config["training.seed"])
    finished = [run for run in reader.runs(search.id, trial.number) if run.state == "completed"]
    if not finished:
        raise BundlingError(
            f"Trial {trial.number} has no finished training; a bundle needs its weights."
        )
    noise = judging.noise(reader, search.id)
    folders = [workspace.seed_dir(search.id, trial.number, first, run.seed) for run in finished]
    redacted = Redaction(settings.secrets())
    return Order(
        runs=tuple(str(folder.path) for folder in folders),
        output=str(output),
        replace=replace,
        search=redacted(search.title),
        trial=trial.number,
        trials_looked_at=sum(row.val_mse is not None for row in reader.trials(search.id)),
        noise=None if noise is None else Noise(relative=noise.relative, degrees=noise.degrees),
        verdict=_verdict(trial, redacted),
        exchange=redacted(_exchange(reader, search, trial)),
    )


def _verdict(trial: TrialRow, redacted: Redaction) -> Verdict | None:
    if trial.accepted is None:
        return None
    return Verdict(
        accepted=trial.accepted,
        rule=trial.rule or "",
        sentence=redacted(trial.verdict or ""),
    )


def _exchange(reader: Reader, search: SearchRow, trial: TrialRow) -> str:
    text = "".join(exported(reader, search, "md", [(search.id, trial.number)]))
    limit = FILES["exchange.md"] // 4  # a character has four bytes at most
    return text if len(text) <= limit else f"{text[:limit]}\n\nThe rest was too long to keep.\n"


def write(
    order: Order,
    settings: Settings,
    seconds: float = SECONDS,
    on_step: Callable[[str], object] = lambda step: None,
) -> Written:
    """Write a bundle, in a process of its own.

    Args:
        order: see `order_of`.
        settings: give the environment that a training would have.
        seconds: after which the process is killed.
        on_step: is told what is being done, whenever that is something else.

    Raises:
        BundlingError: it could not be written.
    """
    actors.require(BundlingError)

    def tell(line: str) -> None:
        if line.startswith(STEP):
            on_step(line.removeprefix(STEP))

    threads = str(os.cpu_count() or 1)
    try:
        text = order.model_dump_json()
        answer, code = ask(
            "informer.export", text, settings, seconds, "--threads", threads, tell=tell
        )
    except OSError as error:
        raise BundlingError(f"No process could be started ({error.strerror}); try again.") from None
    except subprocess.TimeoutExpired:
        raise BundlingError(
            f"Writing the bundle was ended after {seconds:g} s; try again when less runs."
        ) from None
    return _read(answer, code)


def _read(answer: str, code: int) -> Written:
    try:
        outcome = _OUTCOME.validate_json(answer, strict=True)
    except ValidationError:
        raise BundlingError(
            f"Writing the bundle ended without a result (exit code {code}); memory may have run "
            "out."
        ) from None
    if not isinstance(outcome, Written):
        raise BundlingError(outcome.message)
    return outcome


def zip_of(folder: Path) -> Path:
    """Return where the zip file of a bundle lies."""
    return folder.with_name(f"{folder.name}.zip")


def zipped(folder: Path) -> Path:
    """Write a bundle as one file beside its folder, replacing what was there, and return it.

    Raises:
        BundlingError: it cannot be written.
    """
    path = zip_of(folder)
    temporary = temporary_of(path)
    try:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as file:
            for name in (MANIFEST, *FILES):
                if (folder / name).is_file():
                    file.write(folder / name, f"{folder.name}/{name}")
        put_in_place(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise BundlingError(f"{path} cannot be written ({error.strerror}).") from None
    return path
