"""What `benchmarks.found` prints of a search and of the models that it found, as Markdown."""

from __future__ import annotations

import math
import statistics
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.found_models import Judged, Untrained
from benchmarks.marks import Mark
from benchmarks.paired import LEAST_BLOCKS, compared
from informer.config import PRESETS, RunConfig, Value, from_flat
from nas_engine.amounts import aims_text
from nas_engine.api import AgentState
from nas_engine.search import SearchSpec
from nas_engine.space import space, written
from nas_engine.store.rows import TrialRow


@dataclass(frozen=True)
class Published:
    """A test MSE on ETTh1 `M` that others have told; `horizon` is None for `AVERAGED`."""

    horizon: int | None
    seq_len: int | None  # None: a longer one than 96, or one that was searched
    name: str
    mse: float
    source: str


_LTSF = "Zeng et al. 2023, table 2"
_GIVEN = "told for look-back 96 with the marks of this benchmark"
PUBLISHED = (
    Published(24, 96, "Informer", 0.577, "Zhou et al. 2021, table 2; look-back chosen by horizon"),
    Published(24, 96, "DLinear", 0.310, _GIVEN),
    Published(24, 96, "iTransformer", 0.308, _GIVEN),
    Published(24, 96, "PatchTST", 0.298, _GIVEN),
    Published(96, 96, "iTransformer", 0.386, "Liu et al. 2024, look-back 96"),
    Published(96, 96, "TimeMixer", 0.375, "Wang et al. 2024, unified settings, look-back 96"),
    Published(96, None, "DLinear", 0.375, f"{_LTSF}, look-back 336"),
    Published(96, None, "PatchTST/64", 0.370, "Nie et al. 2023, table 3, look-back 512"),
    Published(96, None, "TimeMixer", 0.361, "Wang et al. 2024, settings searched by horizon"),
    Published(None, None, "DLinear", 0.423, f"{_LTSF}, look-back 336"),
    Published(None, None, "PatchTST/64", 0.413, "Nie et al. 2023, table 3, look-back 512"),
    Published(None, None, "TimeMixer", 0.411, "Wang et al. 2024, settings searched by horizon"),
)
"""As published, most of them on whole batches of 32 windows alone; not measured here."""

AVERAGED = (96, 192, 336, 720)

BOUNDS: Mapping[tuple[int, int | None], float] = {
    (24, 96): 0.297,
    (96, None): 0.365,
    (96, 96): 0.375,
}
"""Test MSE on ETTh1 `M` by horizon and look-back, None where it is free: at most."""

AVERAGE_BOUND = 0.405
SMALL, SMALL_BOUND = 200_000, 0.372
"""Weights of a small model, and its test MSE at horizon 96: at most."""


@dataclass(frozen=True)
class Found:
    """A search that has ended, and what was judged of it."""

    state: AgentState
    training_seconds: float
    trials: Mapping[str, TrialRow]  # that were chosen, by name
    finals: Mapping[str, Mapping[int, float]]  # val_mse of the finalists in the end, by number
    models: Mapping[str, Judged]  # by name; those for further horizons are found-HORIZON
    rivals: Mapping[int, Sequence[Untrained]]  # by horizon
    look_backs: tuple[int, ...]  # that the search may choose from

    @property
    def fixed(self) -> int | None:
        """The look-back of all trials; None where it is free."""
        return self.look_backs[0] if len(self.look_backs) == 1 else None

    @property
    def family(self) -> dict[int, Judged]:
        """The model that was found by horizon, its own and the further ones."""
        return {
            model.config.data.pred_len: model
            for name, model in self.models.items()
            if name.startswith("found")
        }


def report(found: Found) -> Iterator[str]:
    """Yield all that is told of a search and its models, a part each."""
    yield search_text(found)
    yield improvements_table(found.state)
    yield finalists_table(found)
    for name, trial in found.trials.items():
        yield configuration_text(name, trial, found)
    yield errors_table(found)
    if len(found.family) > 1:
        yield average_text(found.family)
    yield paired_table(found)


# -- the search ---------------------------------------------------------------------------------


def space_text(spec: SearchSpec) -> str:
    """Return what planners may choose, and what trial 0 is, in a paragraph."""
    base, preset = spec.base(), PRESETS[spec.preset].config()
    given = _differences(preset, base)
    start = ", ".join(f"{key}={_shown(value)}" for key, _, value in given)
    aims = aims_text(spec)
    return (
        f"Trial 0 is preset {spec.preset} with {start}. Planner {spec.planner} chooses "
        f"{len(space(spec))} settings as docs/configuration.md has them for this preset, with "
        f"{'; '.join(written(spec.space))}.{f' {aims}' * bool(aims)} Without a language model.\n"
    )


def search_text(found: Found) -> str:
    """Return what a search did, in a paragraph."""
    search, trials = found.state.search, found.state.trials
    spec, looked_at = search.spec, sum(trial.val_mse is not None for trial in trials)
    budget = "" if spec.limits.hours is None else f" of {60 * spec.limits.hours:g} that it had"
    return "\n".join(
        [
            "### The search\n",
            f"{search.active_seconds / 60:.1f} minutes{budget}: when these are used up, trainings "
            f"under way are finished. {sum(trial.seeds for trial in trials)} trainings, "
            f"{found.training_seconds / 60:.1f} minutes in all, {spec.slots} at once. "
            f"{looked_at} of {len(trials)} trials have a result on validation, and "
            f"{sum(trial.accepted is True for trial in trials)} were accepted. "
            f"By state: {_counted(trial.state for trial in trials)}. "
            f"By source: {_counted(trial.source for trial in trials)}.\n",
        ]
    )


def improvements_table(state: AgentState) -> str:
    """Return when the search had which incumbent by val_mse, in minutes from its start."""
    lines = ["| minute | trial | source | val MSE | parameters |", "|---|---|---|---|---|"]
    for ended_at, trial in improvements(state.trials):
        minute = (ended_at - state.search.created_at) / 60
        lines.append(
            f"| {minute:.1f} | {trial.number} | {trial.source} | {trial.val_mse:.4f} "
            f"| {trial.parameters or 0:,} |"
        )
    return "\n".join([*lines, ""])


def improvements(trials: Iterable[TrialRow]) -> list[tuple[float, TrialRow]]:
    """Return the accepted trials that ended with a lower val_mse than all before, with that moment.

    Each counts with the val_mse that it has now.
    """
    ended = sorted(
        (trial.ended_at, trial.number, trial)
        for trial in trials
        if trial.accepted and trial.ended_at is not None and trial.val_mse is not None
    )
    best, found = math.inf, []
    for ended_at, _, trial in ended:
        if trial.val_mse is not None and trial.val_mse < best:
            best = trial.val_mse
            found.append((ended_at, trial))
    return found


def finalists_table(found: Found) -> str:
    """Return the errors on validation of the trials among which fresh seeds decided."""
    lines = [
        "### Finalists on validation\n",
        "| for | trial | source | val MSE in the search | with the seeds of the end | |",
        "|---|---|---|---|---|---|",
    ]
    for name, among in found.finals.items():
        for trial in (found.state.trials[number] for number in among):
            marks = ["judged"] * (trial == found.trials[name])
            marks += ["incumbent of the search"] * (trial.number == found.state.search.incumbent)
            lines.append(
                f"| {name} | {trial.number} | {trial.source} | {trial.val_mse:.4f} "
                f"| {among[trial.number]:.4f} | {', '.join(marks)} |"
            )
    return "\n".join([*lines, ""])


def configuration_text(name: str, trial: TrialRow, found: Found) -> str:
    """Return the configuration of a trial: in what it differs from trial 0, and in full."""
    base = found.state.search.spec.base()
    config = found.models[name].config if name in found.models else from_flat(trial.config)
    in_full = " ".join(f"{key}={_shown(value)}" for key, value in _active(config).items())
    return "\n".join(
        [
            f"### The model `{name}`: trial {trial.number} ({trial.source})\n",
            f"val MSE {trial.val_mse:.4f} over {trial.seeds} seeds of the search, "
            f"{trial.parameters or 0:,} parameters.\n",
            *_differences_table(_differences(base, config)),
            "\nIn full, without settings that change nothing in it:\n",
            f"```\n{textwrap.fill(in_full, 100, break_long_words=False)}\n```\n",
        ]
    )


def _differences_table(differences: Sequence[tuple[str, Value, Value]]) -> list[str]:
    if not differences:
        return ["It is trained as trial 0 is."]
    rows = (f"| `{key}` | {_shown(old)} | {_shown(new)} |" for key, old, new in differences)
    return ["| setting | trial 0 | as judged |\n|---|---|---|", *rows]


def _differences(before: RunConfig, after: RunConfig) -> list[tuple[str, Value, Value]]:
    """Return the settings that differ and have a part to play afterwards."""
    had = before.flat()
    return [(key, had[key], value) for key, value in _active(after).items() if had[key] != value]


def _active(config: RunConfig) -> dict[str, Value]:
    inactive = config.inactive()
    return {key: value for key, value in config.flat().items() if key not in inactive}


def _shown(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _counted(names: Iterable[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in Counter(names).most_common())


# -- errors -------------------------------------------------------------------------------------


def errors_table(found: Found) -> str:
    """Return the errors on the test part, a row for each model and each forecast beside it."""
    lines = [
        "### Errors on the test part, scaled data\n",
        "| | horizon | look-back | MSE | deviation | each seed | MAE | val MSE | parameters "
        "| seconds of a training |",
        "|---|---|---|---|---|---|---|---|---|---|",
        *(_model_row(name, model) for name, model in found.models.items()),
    ]
    for horizon, rivals in found.rivals.items():
        lines += [
            f"| {rival.name} | {horizon} | {rival.seq_len if 'linear' in rival.name else '–'} "
            f"| {rival.mse:.4f} | – | – | {rival.mae:.4f} | {rival.val_mse:.4f} | – | – |"
            for rival in rivals
        ]
    etth1 = _is_etth1(found.models["found"].config)
    for horizon in found.rivals if etth1 else ():
        lines += [
            f"| {one.name}, as published | {horizon} | {one.seq_len or 'longer'} | {one.mse:.3f} "
            f"| – | – | – | – | – | – |"
            for one in PUBLISHED
            if one.horizon == horizon and one.seq_len == found.fixed
        ]
    sources = [
        one for one in PUBLISHED if one.horizon in found.rivals and one.seq_len == found.fixed
    ]
    told = "; ".join(f"{one.name} at {one.horizon}: {one.source}" for one in sources)
    published = f" As published, not measured here: {told}." if etth1 and sources else ""
    main = found.models["found"]
    commits = sorted({commit for model in found.models.values() for commit in model.commits})
    return "\n".join(
        [
            *lines,
            f"\nOver {main.results[0].windows}. Each model was trained with the seeds "
            f"{', '.join(map(str, main.seeds))}, by commit {' and '.join(commits)}. The linear "
            "map has the look-back with the lowest error on validation of those that the search "
            f"had.{published}\n",
        ]
    )


def _model_row(name: str, model: Judged) -> str:
    results, data = model.results, model.config.data
    each = ", ".join(f"{result.test_mse:.4f}" for result in results)
    return (
        f"| **{name}** | {data.pred_len} | {data.seq_len} | **{model.mse:.4f}** "
        f"| {model.deviation:.4f} | {each} | {model.mae:.4f} "
        f"| {statistics.mean(result.val_mse for result in results):.4f} "
        f"| {results[0].parameters:,} "
        f"| {statistics.mean(result.seconds for result in results):.0f} |"
    )


def average_text(family: Mapping[int, Judged]) -> str:
    """Return the mean error of the model that was found over its horizons, beside published."""
    horizons = tuple(sorted(family))
    told = f"Mean test MSE over the horizons {', '.join(map(str, horizons))}, all settings but the "
    told += f"horizon as found: **{statistics.mean(model.mse for model in family.values()):.4f}**."
    if horizons == AVERAGED and _is_etth1(family[horizons[0]].config):
        others = (
            f"{one.name} {one.mse:.3f} ({one.source})" for one in PUBLISHED if not one.horizon
        )
        told += f" As published: {', '.join(others)}."
    return f"{told}\n"


def paired_table(found: Found) -> str:
    """Return the paired tests of each model against the forecasts without training."""
    lines = [
        "### Paired tests over windows\n",
        "| model | against | difference of MSE | blocks won | p, blocks (Wilcoxon) "
        "| autocorrelation of blocks | Diebold-Mariano | p |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, model in found.models.items():
        horizon = model.config.data.pred_len
        for rival in found.rivals[horizon]:
            test = compared(model.by_window, rival.by_window, horizon)
            lines.append(
                f"| {name}, horizon {horizon} | {rival.name} | {test.difference:+.4f} "
                f"| {test.won} of {test.blocks} | {_p(test.p)} | {_figure(test.autocorrelation)} "
                f"| {_figure(test.statistic)} | {_p(test.p_dm)} |"
            )
    looked_at = sum(trial.val_mse is not None for trial in found.state.trials)
    return "\n".join(
        [
            *lines,
            f"\nThe model is one of {looked_at} trials that were looked at, on validation alone. "
            "Its error on a window is the mean over its seeds. A block is as many consecutive "
            "windows as the horizon has steps, and as many less one are left out before the next, "
            f"so that no value counts twice; with fewer than {LEAST_BLOCKS} there is no test. "
            "Autocorrelation far above 0 means that p is too low.\n",
        ]
    )


def _p(value: float | None) -> str:
    return "–" if value is None else f"{value:.2g}"


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


# -- marks --------------------------------------------------------------------------------------


def marks_of(found: Found) -> list[Mark]:
    """Return the marks that the models have; each counts the mean over the seeds."""
    main = found.models["found"]
    if not _is_etth1(main.config):
        return []
    horizon, marks = main.config.data.pred_len, []
    look_back = "free look-back" if found.fixed is None else f"look-back {found.fixed}"
    if (bound := BOUNDS.get((horizon, found.fixed))) is not None:
        marks.append(Mark(f"test MSE, ETTh1, horizon {horizon}, {look_back}", main.mse, bound))
    family = found.family
    if tuple(sorted(family)) == AVERAGED:
        mean = statistics.mean(model.mse for model in family.values())
        what = f"test MSE, ETTh1, mean over {', '.join(map(str, AVERAGED))}"
        marks.append(Mark(what, mean, AVERAGE_BOUND))
    small = _small(found)
    if horizon == 96 and small is not None:
        weights = small.results[0].parameters
        what = f"test MSE, ETTh1, horizon 96, {weights:,} parameters"
        marks.append(Mark(what, small.mse, SMALL_BOUND))
    return marks


def _small(found: Found) -> Judged | None:
    """Return the model that was to be small: one of that name, else the one within the bound."""
    wanted = "small" in found.trials or "parameters" in found.state.search.spec.at_most
    model = found.models.get("small", found.models["found"])
    return model if wanted and model.results[0].parameters <= SMALL else None


def _is_etth1(config: RunConfig) -> bool:
    """Tell whether figures compare with those of others: all columns, on all windows."""
    data = config.data
    return (data.dataset, data.features, data.drop_last) == ("ETTh1", "M", False)
