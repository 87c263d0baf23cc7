"""What a change did to val_mse, beside the noise of the search: a figure, a symbol and a colour."""

from __future__ import annotations

import math
from dataclasses import dataclass

from nas_engine.evaluator import Figures, Noise
from pages._parts.figures import COLOURS, MUTED
from pages._parts.states import Colour


@dataclass(frozen=True)
class Effect:
    """How much lower the val_mse is than the one it is compared with, relative to that."""

    improvement: float | None  # negative is worse; None where one of the two has no result
    margin: float | None  # up to which size it may be noise; None where that is not known

    @property
    def inside(self) -> bool:
        """Whether the difference cannot be told from the spread over seeds."""
        return (
            self.improvement is not None
            and self.margin is not None
            and abs(self.improvement) <= self.margin
        )

    @property
    def text(self) -> str:
        """The effect in words, with a symbol that says the same as the colour."""
        if self.improvement is None:
            return "– no result to compare"
        if self.improvement == 0:
            return f"≈ {self.word}"
        symbol = "≈" if self.inside else "▼" if self.improvement > 0 else "▲"
        return f"{symbol} {_percent(self.improvement)} {self.word}"

    @property
    def word(self) -> str:
        """Whether it is for the better, without a figure."""
        if not self.improvement:
            return "the same"
        word = "better" if self.improvement > 0 else "worse"
        return f"{word}, inside the noise" if self.inside else word

    @property
    def colour(self) -> Colour:
        """The colour of a badge."""
        if not self.improvement or self.inside:
            return "gray"
        return "green" if self.improvement > 0 else "red"

    @property
    def ink(self) -> str:
        """The colour on a chart."""
        return {"green": COLOURS[2], "red": COLOURS[3]}.get(self.colour, MUTED)


def relative_change(value: float | None, reference: float | None) -> float | None:
    """Return by which share of a reference a figure lies above it; negative is below.

    None where either is missing, and where the share is no number: of a reference of 0, or beyond
    the greatest one.
    """
    if value is None or not reference:
        return None
    change = (value - reference) / reference
    return change if math.isfinite(change) else None


def effect(
    value: float | None,
    seeds: int,
    reference: float | None,
    reference_seeds: int,
    noise: Noise | None,
    multiple: float,
) -> Effect:
    """Compare the mean val_mse of two trials, as the evaluator does.

    Args:
        value: of the trial in question, over `seeds` trainings.
        seeds: how many.
        reference: of the trial that it is compared with, over `reference_seeds` trainings.
        reference_seeds: how many.
        noise: of the search; None while it is not known.
        multiple: standard deviations up to which a difference may be noise, `Rules.noise_multiple`.
    """
    figures = Figures(
        value=value,
        seeds=seeds,
        incumbent_value=reference,
        incumbent_seeds=reference_seeds,
        noise=noise,
    )
    return Effect(figures.improvement, figures.margin(multiple))


def _percent(share: float) -> str:
    return f"{100 * abs(share):.2f} %"
