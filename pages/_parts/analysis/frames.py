"""Trials in scope as two data frames with one index: what came out, and the settings that vary.

A row is named as the address names its trial: "SEARCH.NUMBER".
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from informer.config import Value, fields
from nas_engine.store.table import Results
from pages._parts.selection import reference_of

FIGURES = (
    *("accepted", "val_mse", "val_mae", "spread", "parameters", "seconds", "memory_mb"),
    *("latency_ms", "flops"),
)

_ERROR = {"val_mse": "val_mse"}


def results_frame(results: Results) -> pd.DataFrame:
    """Return one row per trial.

    Columns: search, number, state, source, step (words), parent, ended_at and `FIGURES` (float64,
    NaN where there is none; accepted is 1 or 0).
    """
    columns = {name: getattr(results, name) for name in ("search", "number")}
    words = {name: getattr(results, name) for name in ("state", "source", "step")}
    figures = {
        name: np.array(getattr(results, name), dtype=float)
        for name in ("parent", "ended_at", *FIGURES)
    }
    return pd.DataFrame(
        columns | {name: pd.Series(word, dtype="str") for name, word in words.items()} | figures
    ).set_axis(_index(results))


def settings_frame(results: Results) -> pd.DataFrame:
    """Return the settings by dotted key, in the order of definition, that some trials do not share.

    A trial has the value of its search's trial 0 where it does not differ from it; None where the
    search has no trial 0.
    """
    changed: list[dict[str, Value]] = json.loads(f"[{','.join(results.differences)}]")
    keys = set[str]().union(*changed) | _unlike(list(results.starts.values()))
    columns: dict[str, list[Value | None]] = {}
    for key in _in_order(keys):
        start = {search: results.starts.get(search, {}).get(key) for search in set(results.search)}
        columns[key] = [start[search] for search in results.search]
    for row, changes in enumerate(changed):
        for key, value in changes.items():
            columns[key][row] = value
    return pd.DataFrame(columns, index=_index(results))


def finished(results: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with a val_mse, the best first."""
    return results[results["val_mse"].notna()].sort_values("val_mse", kind="stable")


def left_out(results: pd.DataFrame, names: Mapping[str, str] = _ERROR) -> str:
    """Say how many trials lack one of some columns, and their states; empty where none does.

    Args:
        results: the trials in scope.
        names: what a person calls each of the columns.
    """
    lost = results[results[list(names)].isna().any(axis=1)]
    if lost.empty:
        return ""
    not_finite = (lost["state"] == "completed") & lost["val_mse"].isna()
    states = lost["state"].mask(not_finite, "completed with a val_mse that is not finite")
    counted = ", ".join(f"{count:,} {state}" for state, count in states.value_counts().items())
    return f"Not drawn, since they have no {' or no '.join(names.values())}: {counted}."


def cut_text(drawn: int, of: int, which: str) -> str:
    """Say that not all trials are drawn, and `which` are; empty where all are."""
    return f"{drawn:,} of {of:,} trials are drawn: {which}." if drawn < of else ""


def _index(results: Results) -> list[str]:
    return [reference_of(trial) for trial in zip(results.search, results.number, strict=True)]


def _unlike(starts: Sequence[dict[str, Value]]) -> set[str]:
    """Return the keys in which the starts of searches differ."""
    keys = set[str]().union(*starts)
    return {key for key in keys if any(start.get(key) != starts[0].get(key) for start in starts)}


def _in_order(keys: set[str]) -> list[str]:
    known = [key for key in fields() if key in keys]
    return [*known, *sorted(keys.difference(known))]
