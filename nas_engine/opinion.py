"""What a language model thinks of a trial that the rules leave open."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from nas_engine.curves import analyse
from nas_engine.evaluator import Noise, Opinion, Verdict
from nas_engine.llm import LanguageModel, prompt
from nas_engine.proposals import differences
from nas_engine.store.reader import Reader
from nas_engine.store.rows import TrialRow


class Judge(BaseModel):
    """Judge a borderline trial."""

    model_config = ConfigDict(extra="forbid")

    accept: bool = Field(description="Whether the trial should be accepted")
    reason: str = Field(description="Why, in one or two sentences")


def ask_opinion(
    model: LanguageModel, read: Reader, search_id: int, trial: TrialRow, verdict: Verdict
) -> Opinion:
    """Ask for advice on a trial, telling what the rules found, the noise and the learning curves.

    Raises:
        NoAnswer: no usable answer came.
        AccessDenied: the language model service refuses the key.
    """
    incumbent = verdict.figures.incumbent if verdict.against is None else verdict.against
    best = None if incumbent is None else read.trial(search_id, incumbent)
    assert best is not None, "a verdict that is open compares a trial with another"
    changed = differences(best.config, trial.config)
    answer = model.ask(
        system=prompt("evaluator_system"),
        question=prompt(
            "evaluator",
            number=str(trial.number),
            incumbent=str(incumbent),
            standing="the best so far" if verdict.against is None else "which is on the front",
            changes=", ".join(f"{key} {old}->{new}" for key, (old, new) in changed.items()),
            finding=verdict.reason,
            noise=_noise(verdict.figures.noise),
            parameters=str(trial.parameters),
            incumbent_parameters=str(best.parameters),
            curve=_curve(read, search_id, trial.number),
            incumbent_curve=_curve(read, search_id, best.number),
        ),
        schema=Judge,
        accept=lambda judge: [],
    )
    return Opinion(answer.accept, answer.reason)


def _noise(noise: Noise | None) -> str:
    if noise is None:
        return "How far trainings with other seeds lie apart is not known in this search."
    return (
        f"Trainings of one configuration with other seeds differ by {100 * noise.relative:.6g} % "
        f"(standard deviation, {noise.degrees} degrees of freedom)."
    )


def _curve(read: Reader, search_id: int, number: int) -> str:
    rows = read.epochs(search_id, [number])
    return "\n".join(
        [
            analyse(rows).text,
            *(f"- {row.epoch}: {_figure(row.train_loss)}, {_figure(row.val_mse)}" for row in rows),
        ]
    )


def _figure(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.6g}"
