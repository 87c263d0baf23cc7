"""Searches as text, JSON, CSV and Parquet."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import time
from collections.abc import Mapping, Sequence
from types import NoneType
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

import click

from informer.config import PRESETS, fields
from informer.records import UsedData
from nas_engine.amounts import (
    aims_text,
    amount,
    broken_text,
    gap_text,
    nearest_text,
    standing_text,
)
from nas_engine.api import AgentState, get_best_run
from nas_engine.front import box, front, gaps, keeps
from nas_engine.liveness import LIVING, EngineState, engine_state
from nas_engine.plaintext import safe_cell
from nas_engine.search import SearchSpec
from nas_engine.space import describe
from nas_engine.standing import budgets, ends_first, run_seconds_left
from nas_engine.store.outcomes import outcomes
from nas_engine.store.reader import Reader, reading
from nas_engine.store.rows import SearchRow, TrialRow
from nas_engine.store.table import kind, results
from nas_engine.store.trainings import training, training_seconds
from nas_engine.workspace import Workspace

if TYPE_CHECKING:
    from data.columnar import Kind

MOST_GAPS = 3
_KINDS: Mapping[object, Kind] = {int: "whole", float: "number", bool: "truth", str: "text"}


def print_search(state: AgentState, as_json: bool) -> None:
    """Print a search and its trials."""
    if as_json:
        click.echo(json.dumps(as_json_value(state), indent=2))
        return
    search, best = state.search, get_best_run(state)
    click.echo(
        f"Search {search.id}: {search.spec.title()}, {search.state}, "
        f"{search.finished} of {search.max_trials} trials, {search.active_seconds:.0f} s"
        + (f". {search.reason}" if search.reason else "")
    )
    if told := aims_text(search.spec):
        click.echo(told)
    if search.spec.lessons:
        click.echo(f"It learns from earlier searches: {', '.join(map(str, search.spec.lessons))}.")
    if search.used is not None:
        click.echo(_data_line(search.used))
    if state.trials:
        click.echo(table([_trial_line(trial, search.spec) for trial in state.trials]))
    for row in state.baselines:
        if row.split == "val":
            click.echo(f"{row.name}: val_mse {row.mse:.4g}, without training")
    if best is not None:
        costs = dict.fromkeys((*search.spec.objectives[1:], *search.spec.at_most))
        told = "".join(f", {amount(name, getattr(best, name))}" for name in costs)
        click.echo(
            f"Best: trial {best.number}, val_mse {best.val_mse:.4g} (lower is better){told}."
        )
        if far := nearest_text(best, search.spec.at_most):
            click.echo(far)
    if search.spec.objectives[1:]:
        click.echo(front_lines(state))


def front_lines(state: AgentState) -> str:
    """Return the front of a search as a table, its hypervolume and its widest gaps."""
    spec = state.search.spec
    members, within = front(state.trials, spec), box(state.trials, spec)
    lines = [f"{standing_text(state.trials, spec).capitalize()} of the box."]
    if members:
        lines.append(
            table(
                [
                    {"trial": row.number}
                    | {name: getattr(row, name) for name in spec.counted}
                    | {"source": row.source}
                    for row in members
                ]
            )
        )
    found = gaps(members, within, spec) if within else []
    if found:
        told = "; ".join(gap_text(gap) for gap in found[:MOST_GAPS])
        lines.append(f"Widest gaps: nothing {told}.")
    return "\n".join(lines)


def standing(reader: Reader, search: SearchRow) -> str:
    """Return how far a search with costs or bounds is; empty where it is after the error alone."""
    if not search.spec.objectives[1:] and not search.spec.at_most:
        return ""
    return standing_text(outcomes(results(reader, [search.id])), search.spec)


def _data_line(used: UsedData) -> str:
    source = f" from {used.source}" if used.source else ""
    checksum = f"SHA-256 {used.sha256}" if used.sha256 else "generated"
    scaling = f", {used.scaling} scaling" if used.scaling else ""
    return f"Data: {used.name}{source}, {used.split}{scaling}, {checksum}"


def print_standing(workspace: Workspace, search: SearchRow) -> None:
    """Print whether an engine works on a search, what its slots do and what is left of budgets."""
    with reading(workspace) as reader:
        assert reader is not None, "a search is known"
        engine = reader.engine(search.id)
        trainings = training(reader, search.id)
        found = budgets(search, reader.spend(search.id), training_seconds(reader, search.id))
    state = engine_state(engine)
    click.echo(
        f"Engine: {state}" + (f", process {engine.pid}" if engine and state in LIVING else "")
    )
    if trainings and state in LIVING:
        lines = [
            {
                "slot": run.slot,
                "trial": run.number,
                "seed": run.seed,
                "epoch": f"{run.epoch or 0}/{run.epochs}",
                "step": f"{run.step or 0}/{run.steps or '?'}",
                "worker": run.worker_pid,
                "seconds left": run_seconds_left(run),
            }
            for run in trainings
        ]
        click.echo(table(lines))
    first = ends_first(found) if len(found) > 1 else None
    for budget in found:
        mark = ", ends the search first" if budget is first else ""
        click.echo(f"Budget: {budget.used:.4g} of {budget.limit:g} {budget.name}{mark}")


def engine_words(state: str, engine: EngineState) -> str:
    """Return the state of a search; one that should have an engine and has none says so."""
    if state in ("running", "stopping") and engine not in LIVING:
        return f"{state}, engine lost"
    return state


def settings_table() -> str:
    """Return the table of `docs/configuration.md`."""
    lines = [
        "| setting | default | small | valid | planners vary | meaning |",
        "|---|---|---|---|---|---|",
    ]
    small = PRESETS["small"].config().flat()
    for key, field in fields().items():
        if field.options is not None:
            valid = ", ".join(str(option) for option in field.options)
        elif field.low is not None and field.high is not None:
            valid = f"{field.low:g} to {field.high:g}"
        else:
            valid = "a known name" if key == "data.dataset" else "a column of the data set"
        own = "" if small[key] == field.default else str(small[key])
        varied = describe(field.search) if field.search else "no"
        lines.append(f"| `{key}` | {field.default} | {own} | {valid} | {varied} | {field.help} |")
    return "\n".join(lines) + "\n"


def table(rows: Sequence[Mapping[str, object]]) -> str:
    """Return rows that have the same keys as a table with aligned columns."""
    lines = [{name: _text(value) for name, value in row.items()} for row in rows]
    lines.insert(0, {name: name for name in rows[0]})
    widths = {name: max(len(line[name]) for line in lines) for name in lines[0]}
    return "\n".join(
        "  ".join(line[name].ljust(width) for name, width in widths.items()).rstrip()
        for line in lines
    )


def clock(moment: float) -> str:
    """Return a moment as date and time on this machine."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment))


def as_json_value(state: AgentState) -> dict[str, Any]:
    """Return a search as plain data."""
    search = dataclasses.asdict(state.search)
    search["spec"] = state.search.spec.model_dump()
    search["data"] = used.model_dump() if (used := state.search.used) else None
    return {
        "search": search,
        "trials": [dataclasses.asdict(trial) for trial in state.trials],
        "baselines": [dataclasses.asdict(row) for row in state.baselines],
    }


def as_csv(state: AgentState) -> str:
    """Return one line per trial; text that a spreadsheet would run as a formula is quoted."""
    lines, out = _lines(state), io.StringIO()
    if lines:
        writer = csv.DictWriter(out, fieldnames=list(lines[0]))
        writer.writeheader()
        writer.writerows([{key: safe_cell(value) for key, value in line.items()} for line in lines])
    return out.getvalue()


def as_parquet(state: AgentState) -> bytes:
    """Return the columns of `as_csv` as a Parquet file, each in its type."""
    from data.columnar import parquet

    lines = [line | {"spark": json.dumps(line["spark"])} for line in _lines(state)]
    hints = get_type_hints(TrialRow)
    del hints["config"]
    kinds = {name: _kind(name, hint) for name, hint in hints.items()}
    return parquet(lines, kinds | {key: kind(key) for key in fields()})


def _kind(name: str, hint: object) -> Kind:
    if name.endswith(("_at", "_since")):
        return "moment"
    held = [kind for kind in get_args(hint) or (hint,) if kind is not NoneType]
    return _KINDS.get(held[0], "text") if len(held) == 1 else "text"


def _lines(state: AgentState) -> list[dict[str, Any]]:
    """Return the facts and settings of each trial."""
    lines = []
    for trial in state.trials:
        facts = dataclasses.asdict(trial)
        config = facts.pop("config")
        facts["changes"], facts["original"] = json.dumps(trial.changes), json.dumps(trial.original)
        lines.append(facts | config)
    return lines


def _trial_line(trial: TrialRow, spec: SearchSpec) -> dict[str, object]:
    costs: dict[str, object] = {
        name: getattr(trial, name) for name in spec.counted if name != "val_mse"
    }
    return {
        "trial": trial.number,
        "state": trial.state,
        "verdict": {None: "", True: "accepted", False: "rejected"}[trial.accepted],
        "val_mse": _mean(trial),
        **costs,
        **({"bounds": _bounds(trial, spec)} if spec.at_most else {}),
        "source": trial.source,
        "epochs": trial.epochs,
        "seconds": trial.seconds,
        "changes": ", ".join(f"{key}={_text(value)}" for key, value in trial.changes.items()),
    }


def _bounds(trial: TrialRow, spec: SearchSpec) -> str:
    """Return whether a trial keeps the bounds, as far as its figures are known."""
    if broken_text(trial, spec.at_most):
        return "broken"
    return "kept" if keeps(trial, spec.at_most) else ""


def _mean(trial: TrialRow) -> str:
    """Return the error of a trial, with spread and number of its seeds where there are several."""
    if trial.val_mse is None or trial.spread is None:
        return _text(trial.val_mse)
    return f"{trial.val_mse:.4g} ±{trial.spread:.2g} ({trial.seeds})"


def _text(value: object) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
