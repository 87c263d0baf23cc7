"""What a language model may look up in the store: each tool is the form of its own arguments.

All of them only read, and return few and short rows. The docstrings and descriptions are what the
model is told of them.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from informer.config import fields
from nas_engine.amounts import aims_text, gap_text
from nas_engine.chat.looked_up import Cell, Chart, LookedUp, cell
from nas_engine.curves import analyse
from nas_engine.liveness import engine_state
from nas_engine.planners.aims import names
from nas_engine.planners.base import View
from nas_engine.planners.findings import failures, findings
from nas_engine.proposals import differences
from nas_engine.space import describe
from nas_engine.standing import budgets
from nas_engine.store import judging, trainings
from nas_engine.store.reader import Reader
from nas_engine.store.rows import EpochRow, SearchRow, TrialRow
from nas_engine.store.table import ALL, COLUMNS, Query, cells, column, keys, parse, varying

MOST_ROWS = 50
MOST_CURVES = 6
MOST_POINTS = 50
"""Of one curve: of a longer one, points at equal distances, its ends among them."""

SHOWN = ("number", "state", "source", "step", "verdict", "val_mse", "spread", "seeds", "seconds")
"""Columns of trials where none are named, besides the settings that were changed most often."""


class NotFound(ValueError):
    """There is nothing to look up so; the message is one sentence for the model."""


class Tool(BaseModel):
    """The arguments of a look into the store; no value is converted to another type."""

    model_config = ConfigDict(extra="forbid", strict=True)

    @property
    def name(self) -> str:
        """What the model calls it by."""
        return name_of(type(self))

    @abstractmethod
    def look(self, reader: Reader, search: SearchRow) -> LookedUp:
        """Return the rows of `search` that are asked for.

        Raises:
            NotFound, QueryError: there are none of that name or number.
        """

    def found(
        self,
        columns: Sequence[str],
        rows: Iterable[Sequence[object]],
        chart: Chart = "",
        note: str = "",
    ) -> LookedUp:
        """Return rows as found by this tool with these arguments."""
        listed = [[cell(value) for value in row] for row in rows]
        return LookedUp(self.name, self.model_dump(), list(columns), listed, chart, note)


def name_of(tool: type[BaseModel]) -> str:
    """Return the name under which a model is offered a form."""
    return str(tool.model_config["title"])


class Trials(Tool):
    """List trials of the search: filtered, sorted, with the columns that are named."""

    model_config = ConfigDict(title="trials")

    filter: str = Field(
        "",
        max_length=400,
        description="Conditions that must all hold: `val_mse<0.4 d_model>=128 verdict=accepted "
        'state=failed,crashed source=llm "words in hypotheses"`; empty: all trials',
    )
    sort: str = Field("number", max_length=100, description="A column or setting to sort by")
    descending: bool = Field(False, description="Whether the largest come first")
    limit: int = Field(20, ge=1, le=MOST_ROWS, description="Rows, at most")
    columns: list[str] = Field(
        default_factory=list,
        max_length=16,
        description=f"Of {', '.join(COLUMNS)}, and settings such as model.d_model",
    )

    def look(self, reader: Reader, search: SearchRow) -> LookedUp:
        """Return the trials, and say how many there are in all."""
        query = Query(
            (search.id,), parse(self.filter), column(self.sort), self.descending, limit=self.limit
        )
        names = [column(name) for name in self.columns]
        names = names or [*SHOWN, *varying(reader, (search.id,))[:4]]
        names = list(dict.fromkeys(["number", *names]))
        rows = cells(reader, query, names)
        everything = len(keys(reader, Query(query.searches, query.terms, limit=ALL)))
        chart: Chart = "history" if "val_mse" in names and len(rows) > 1 else ""
        return self.found(
            names,
            [[_typed(*pair) for pair in zip(names, row, strict=True)] for row in rows],
            chart=chart,
            note=f"{len(rows)} of {everything} trials",
        )


class Trial(Tool):
    """Everything about one trial: settings, proposal, decision, trainings, errors and verdict."""

    model_config = ConfigDict(title="trial")

    number: int = Field(ge=0, description="Number of the trial")

    def look(self, reader: Reader, search: SearchRow) -> LookedUp:
        """Return one row for each fact."""
        trial = _trial(reader, search, self.number)
        parent = None if trial.parent is None else reader.trial(search.id, trial.parent)
        before = parent.config if parent else search.spec.start()
        facts: list[tuple[str, object]] = [
            *((name, getattr(trial, name)) for name in _FACTS if getattr(trial, name) is not None),
            *(
                (f"changed {key}", f"{old} -> {new}")
                for key, (old, new) in differences(before, trial.config).items()
            ),
            *(
                (f"seed {run.seed}", f"{run.state}, val_mse {cell(run.val_mse)}")
                for run in reader.runs(search.id, self.number)
            ),
        ]
        if epochs := reader.epochs(search.id, [self.number]):
            facts.append(("curve", analyse(epochs).text))
        told = [(name, value) for name, value in facts if value != ""]
        return self.found(("what", "value"), told[:MOST_ROWS])


class Curves(Tool):
    """Learning curves of up to 6 trials: an error or the training loss by epoch."""

    model_config = ConfigDict(title="curves")

    numbers: list[int] = Field(min_length=1, max_length=MOST_CURVES, description="Of the trials")
    metric: Literal["val_mse", "train_loss", "val_mae"] = Field("val_mse", description="What of it")

    def look(self, reader: Reader, search: SearchRow) -> LookedUp:
        """Return a row for each epoch of each trial."""
        for number in self.numbers:
            _trial(reader, search, number)
        epochs = reader.epochs(search.id, self.numbers)
        rows = [
            (number, row.epoch, getattr(row, self.metric))
            for number in dict.fromkeys(self.numbers)
            for row in _sampled([row for row in epochs if row.number == number])
        ]
        return self.found(("trial", "epoch", self.metric), rows, chart="curves" if rows else "")


class Verdicts(Tool):
    """How trials were judged, in order: verdict, rule, figures. Accepted ones were incumbents."""

    model_config = ConfigDict(title="verdicts")

    only_accepted: bool = Field(False, description="Whether rejected trials are left out")
    limit: int = Field(20, ge=1, le=MOST_ROWS, description="Of the newest, at most")

    def look(self, reader: Reader, search: SearchRow) -> LookedUp:
        """Return the newest verdicts, oldest first."""
        terms = parse("verdict=accepted" if self.only_accepted else "verdict=accepted,rejected")
        everything = Query((search.id,), terms, "ended", descending=True, limit=ALL)
        found, used = keys(reader, everything), judging.judged_by(reader, search.id)
        names = ("trial", "accepted", "rule", "val_mse", "improvement", "inside the spread up to")
        rows = [
            (
                *(trial.number, trial.accepted, trial.rule, trial.val_mse, trial.improvement),
                *(trial.margin, used[trial.number].incumbent, used[trial.number].incumbent_value),
                trial.verdict,
            )
            for trial in reader.listed(found[: self.limit][::-1])
        ]
        return self.found(
            (*names, "against trial", "its val_mse", "sentence"),
            rows,
            note=f"{len(rows)} of {len(found)} verdicts; improvements are relative",
        )


class Baselines(Tool):
    """Forecasts without training, with their errors on validation and test data."""

    model_config = ConfigDict(title="baselines")

    def look(self, reader: Reader, search: SearchRow) -> LookedUp:
        """Return a row for each baseline and split."""
        rows = reader.baselines(search.id)
        return self.found(
            ("name", "split", "mse", "mae"),
            [(row.name, row.split, row.mse, row.mae) for row in rows],
            note="" if rows else "they are not computed yet",
        )


class Standing(Tool):
    """How far the search is: state, budgets and what is used of them, money, noise, trainings."""

    model_config = ConfigDict(title="standing")

    def look(self, reader: Reader, search: SearchRow) -> LookedUp:
        """Return one row for each fact."""
        spend, noise = reader.spend(search.id), judging.noise(reader, search.id)
        engine = engine_state(reader.engine(search.id))
        found = budgets(search, spend, trainings.training_seconds(reader, search.id))
        facts: list[tuple[str, object]] = [
            *(("state", search.state), ("reason", search.reason or None), ("engine", engine)),
            *(("incumbent", search.incumbent), ("its val_mse", search.best)),
            *((f"{row.name} used", row.used) for row in found),
            *((f"{row.name} allowed", row.limit) for row in found),
            ("calls of language models", spend.calls),
            ("tokens booked", spend.booked_tokens),
            *(("USD booked", spend.booked_usd), ("USD reported", spend.usd)),
            ("mean seconds of a trial", trainings.mean_trial_seconds(reader, search.id)),
            ("relative noise between seeds", noise.relative if noise else None),
            *(
                (f"trial {run.number} trains", f"epoch {run.epoch or 0} of {run.epochs}")
                for run in (trainings.training(reader, search.id) if engine == "alive" else [])
            ),
        ]
        told = [(name, value) for name, value in facts if value is not None]
        return self.found(("what", "value"), told[:MOST_ROWS])


class Front(Tool):
    """The Pareto front: what no accepted trial within the bounds beats in all that is wanted low.

    With its gaps, the bounds, and the share of the box of all results that it dominates. Where the
    error alone is wanted low, it is the incumbent.
    """

    model_config = ConfigDict(title="front")

    def look(self, reader: Reader, search: SearchRow) -> LookedUp:
        """Return a row for each member, by val_mse."""
        view = _view(reader, search)
        wanted = names(view.spec)
        rows = [(trial.number, *(getattr(trial, name) for name in wanted)) for trial in view.front]
        said = [aims_text(view.spec), *(f"Nothing {gap_text(gap)}." for gap in view.gaps[:3])]
        if len(view.spec.objectives) > 1:
            said.append(f"It dominates {view.share:.1%} of the box.")
        note = " ".join(part for part in said if part)
        return self.found(("trial", *wanted), rows[:MOST_ROWS], note=note)


class Findings(Tool):
    """What all trials say together: each setting's values with their errors, and the failures."""

    model_config = ConfigDict(title="findings")

    def look(self, reader: Reader, search: SearchRow) -> LookedUp:
        """Return the lines, the settings with the largest effect first."""
        view = _view(reader, search)
        lines = [*findings(view.trials, view.space), *failures(view.trials)]
        return self.found(
            ("finding",),
            [(line,) for line in lines[:MOST_ROWS]],
            note="" if lines else "no setting has results with two values yet",
        )


class Space(Tool):
    """What a proposal may change: each setting with the incumbent's value and what it may be."""

    model_config = ConfigDict(title="space")

    def look(self, reader: Reader, search: SearchRow) -> LookedUp:
        """Return a row for each setting that planners may choose."""
        view = _view(reader, search)
        whose = "the start" if view.incumbent is None else f"trial {view.incumbent}"
        rows = [
            (key, view.parent.get(key), describe(view.space[key]), fields()[key].help)
            for key in view.space
        ]
        return self.found(("setting", whose, "may be", "meaning"), rows[:MOST_ROWS])


LOOKING: tuple[type[Tool], ...] = (
    *(Trials, Trial, Curves, Verdicts),
    *(Baselines, Standing, Front, Findings, Space),
)
"""The tools that look something up."""

_FACTS = (
    *("state", "source", "step_type", "parent", "hypothesis", "reasons"),
    *("expected_low", "expected_high", "surrogate_low", "surrogate_high"),
    *("decision", "author", "comment", "val_mse", "val_mae", "test_mse", "test_mae"),
    *("spread", "seeds", "best_epoch", "epochs", "parameters", "seconds", "device"),
    *("latency_ms", "flops", "memory_mb"),
    *("accepted", "rule", "improvement", "margin", "verdict", "opinion", "error_class", "error"),
)
"""What is told of one trial; improvements are relative to the parent or the incumbent."""


def _view(reader: Reader, search: SearchRow) -> View:
    """Return the search as a planner of its next trial sees it."""
    return View.of(reader, search.id, max(reader.numbers(search.id), default=0) + 1)


def _trial(reader: Reader, search: SearchRow, number: int) -> TrialRow:
    trial = reader.trial(search.id, number)
    if trial is None:
        raise NotFound(f"The search has no trial {number}; `trials` lists those it has.")
    return trial


def _sampled(rows: Sequence[EpochRow]) -> list[EpochRow]:
    last = len(rows) - 1
    if last < MOST_POINTS:
        return list(rows)
    return [rows[round(at * last / (MOST_POINTS - 1))] for at in range(MOST_POINTS)]


def _typed(name: str, value: object) -> Cell:
    """Return a cell of a column; the database has 0 and 1 for no and yes."""
    boolean = name in fields() and fields()[name].type is bool and value is not None
    return bool(value) if boolean else cell(value)
