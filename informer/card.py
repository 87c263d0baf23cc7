"""The model card of a bundle, after Mitchell et al. (2019), and its script: texts, nothing else."""

from __future__ import annotations

from collections.abc import Iterator

from informer.baselines import Baseline
from informer.bundle_format import CONFIG, EXCHANGE, MANIFEST, DataFacts, Mean, Metrics
from informer.config import RunConfig, fields
from informer.intervals import Intervals
from informer.records import Environment

SCRIPT_TEXT = '''\
"""Forecasts from a CSV file: python predict.py recent.csv

It needs torch and the folders informer and data of the project on PYTHONPATH. The file has to hold
the columns as the model was trained on them: a row a step, none missing, dates in the first column.
What a file may need before that, and prediction intervals: python -m informer.predict --help
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from data import calendar
from informer.bundle import Bundle

bundle = Bundle.read(Path(__file__).resolve().parent)
data, roles, frequency = bundle.config.data, bundle.roles, bundle.dataset.frequency
frame = pd.read_csv(sys.argv[1], index_col=0, parse_dates=True)
past = frame[list(roles.inputs)].dropna().iloc[-data.seq_len :]
ahead = pd.date_range(past.index[-1], periods=data.pred_len + 1, freq=frequency)[1:]
dates = past.index.append(ahead)
covariates = frame.reindex(dates)[list(roles.known)].to_numpy(float)  # their future must be given
marks = calendar.encode(dates, frequency)
known = np.hstack((marks, bundle.known_scaler.transform(covariates).astype(np.float32)))
values = bundle.scaler.transform(past.to_numpy(float)).astype(np.float32)
with torch.inference_mode():
    scaled = bundle.model()(torch.from_numpy(values)[None], torch.from_numpy(known)[None])[0]
forecast = bundle.scaler.of(roles.outputs).inverse(scaled.double().numpy())
print(pd.DataFrame(forecast, ahead, list(roles.forecast)).to_csv(index_label="date"), end="")
'''


def card(
    config: RunConfig,
    facts: DataFacts,
    metrics: Metrics,
    environment: Environment | None,
    intervals: Intervals,
    program: str,
) -> str:
    """Return the model card as Markdown; what people and files have named stands as code.

    Args:
        config: of the training whose weights are in the bundle.
        facts: of its data.
        metrics: of the trial.
        environment: what the training ran on, where that is known.
        intervals: around its forecasts.
        program: a sentence about `model.pt2`.
    """
    sections = (
        _model(config, facts, metrics, environment, program),
        _figures(facts, metrics, intervals),
        _data(facts, environment),
        _use(config, facts),
        _check(),
    )
    return "\n\n".join("\n".join(lines) for lines in sections) + "\n"


def _model(
    config: RunConfig,
    facts: DataFacts,
    metrics: Metrics,
    environment: Environment | None,
    program: str,
) -> Iterator[str]:
    data = config.data
    roles = facts.dataset().roles(data.features, data.target)
    started = {spec.key: spec.default for spec in fields().values()}
    changed = {
        key: value
        for key, value in config.flat().items()
        if started[key] != value and not key.startswith("data.")
    }
    yield f"# A forecaster of {code(facts.name)}: trial {metrics.trial} of {code(metrics.search)}"
    yield ""
    yield (
        f"It forecasts {_listed(roles.forecast)} for {data.pred_len:,} steps of "
        f"{code(facts.frequency)} from the {data.seq_len:,} steps before."
    )
    yield ""
    yield f"- Parameters: {metrics.parameters:,}"
    yield (
        f"- Columns: {len(roles.inputs):,} in, {len(roles.forecast):,} out, {len(roles.known):,} "
        f"whose future must be given (features {data.features})"
    )
    if changed:
        settings = ", ".join(code(f"{key} = {value}") for key, value in changed.items())
        yield f"- Settings other than the defaults: {settings}; all are in {code(CONFIG)}"
    yield f"- {program}"
    if environment is not None:
        versions = ", ".join(code(" ".join(pair)) for pair in environment.versions.items())
        yield f"- Trained with {versions} on {code(environment.device)}"


def _figures(facts: DataFacts, metrics: Metrics, intervals: Intervals) -> Iterator[str]:
    seeds = len(metrics.seeds)
    yield "## Figures"
    yield ""
    yield (
        f"Errors on scaled data ({facts.scaling} scaling, learned on the training part), over "
        f"{metrics.windows} of the validation part and of the test part. The search chose by "
        "validation alone; the test part was looked at once for each training."
    )
    yield ""
    yield "| Forecast | validation MSE | validation MAE | test MSE | test MAE |"
    yield "| --- | --- | --- | --- | --- |"
    yield from _rows(metrics)
    yield ""
    yield f"- The weights are of {metrics.weights_rule}: seed {metrics.weights_seed}."
    yield (
        f"- The search had looked at {metrics.trials_looked_at:,} trained trials: the lowest of so "
        "many validation errors is lower than what the same model gives on new data."
    )
    if seeds == 1:
        yield "- One seed says nothing about how far trainings with other seeds lie apart."
    if best := min(
        (row for row in metrics.baselines if row.split == "test"), key=_mse, default=None
    ):
        ahead = 1 - metrics.test_mse.mean / best.mse
        yield (
            f"- Of the forecasts without training the best on the test part is {best.name}; this "
            f"model's MSE there is {abs(ahead):.1%} {'lower' if ahead > 0 else 'higher'}."
        )
    for level in intervals.levels:
        if level.test is not None:
            yield (
                f"- Intervals of {level.level:.0%} held {level.test.followed:.1%} of the test part "
                f"when their widths followed recent misses, {level.test.fixed:.1%} as calibrated."
            )
    if metrics.verdict is not None:
        word = "accepted" if metrics.verdict.accepted else "not accepted"
        yield f"- The search has {word} it: {code(metrics.verdict.sentence)}"


def _rows(metrics: Metrics) -> Iterator[str]:
    """Yield the rows of the table: the trial, its seeds, and what needs no training."""
    if len(metrics.seeds) > 1:
        means = (metrics.val_mse, metrics.val_mae, metrics.test_mse, metrics.test_mae)
        yield f"| mean of {len(metrics.seeds)} seeds | {' | '.join(map(_mean, means))} |"
    for errors in metrics.seeds:
        here = " (these weights)" if errors.seed == metrics.weights_seed else ""
        row = (errors.val_mse, errors.val_mae, errors.test_mse, errors.test_mae)
        yield f"| seed {errors.seed}{here} | {' | '.join(f'{error:.6g}' for error in row)} |"
    for name in dict.fromkeys(baseline.name for baseline in metrics.baselines):
        found = {row.split: row for row in metrics.baselines if row.name == name}
        cells = [f"{row.mse:.6g} | {row.mae:.6g}" for row in (found["val"], found["test"])]
        yield f"| {name} | {' | '.join(cells)} |"


def _mse(baseline: Baseline) -> float:
    return baseline.mse


def _mean(mean: Mean) -> str:
    return f"{mean.mean:.6g}" + ("" if mean.spread is None else f" ± {mean.spread:.2g}")


def _data(facts: DataFacts, environment: Environment | None) -> Iterator[str]:
    train, val, test = facts.split_rows
    yield "## Data"
    yield ""
    yield f"{code(facts.description)}. The data themselves are not in the bundle."
    yield ""
    yield f"- Columns: {_listed(facts.columns)}"
    for name, columns in (
        ("Their past alone is seen", facts.past_only),
        ("Their future must be known", facts.known_future),
    ):
        if columns:
            yield f"- {name}: {_listed(columns)}"
    yield f"- Rows for training, validation, test, in order of time: {train:,}, {val:,}, {test:,}"
    if environment is not None:
        yield f"- Rows in all: {environment.data.rows:,}"
    if facts.origin == "own":
        yield f"- From the file {code(facts.source)} of the user"
    if facts.url is not None:
        yield f"- Published at {code(facts.url)}"
    yield f"- SHA-256: {code(facts.sha256) or 'none, the data are generated'}"
    licence = code(facts.licence) or "not recorded; ask whoever the data are from"
    yield f"- Licence: {licence if facts.origin != 'generated' else 'none, the data are generated'}"
    if facts.citation:
        yield f"- Cite: {code(facts.citation)}"


def _use(config: RunConfig, facts: DataFacts) -> Iterator[str]:
    yield "## Use and limits"
    yield ""
    yield (
        "Meant for forecasts of the same quantities, measured in the same way and at the same "
        "frequency, soon after the end of the data above."
    )
    yield ""
    yield "- The figures hold for the test part above. What has changed since is not in them."
    yield "- It was not tried on other data, and does not tell when data are unlike those above."
    yield "- Values far from those of the training part were never seen; there it guesses."
    yield f"- It sees {config.data.seq_len:,} steps and no more; no step of them may be missing."
    yield ""
    yield "With the project's folders on `PYTHONPATH`, the real future of a file in the data's own"
    yield "units, with dates and prediction intervals:"
    yield ""
    yield "    python -m informer.predict --bundle . --input recent.csv --output forecast.csv"
    yield ""
    yield "The plain way, to be read and changed, needs the same folders and a file that is clean:"
    yield "dates in its first column, a row a step, none missing: `python predict.py recent.csv`."


def _check() -> Iterator[str]:
    yield "## Check it"
    yield ""
    yield f"What reads the bundle checks every file against `{MANIFEST}` first. To train the model"
    yield "again with the same seed and compare the errors, on a machine that has the data:"
    yield ""
    yield "    python -m nas_engine replay --bundle ."
    yield ""
    yield f"How the model came about, word for word, is in `{EXCHANGE}`."


def _listed(columns: tuple[str, ...], most: int = 12) -> str:
    more = f" and {len(columns) - most:,} more" if len(columns) > most else ""
    return ", ".join(code(column) for column in columns[:most]) + more


def code(text: str) -> str:
    """Return a text in one line that Markdown shows as it stands; empty where there is nothing."""
    shown = " ".join(text.split()).replace("`", "'")
    shown = "".join(sign if sign.isprintable() else " " for sign in shown)
    return f"`{shown}`" if shown else ""
