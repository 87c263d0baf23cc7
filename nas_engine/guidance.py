"""What people tell a search on its way: words, and the constraints that code enforces.

A constraint only narrows: what is in force makes an ordinary `SearchSpec`, which planners, prompts
and checks take as they take any.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from informer.config import Choices, Search, Value, fields, short
from nas_engine.phrases import Phrase, read
from nas_engine.search import Limits, Narrowing, SearchSpec
from nas_engine.space import SpaceError, contains, describe, dimensions, typed
from nas_engine.vocabulary import label

LIMITS = {
    "parameters": "parameters",
    "memory_mb": "memory",
    "trial_minutes": "trial",
}
"""The limits that a constraint may lower, with their names in chips."""


class Constraint(BaseModel):
    """What planners may do with one setting, or how high a limit may be.

    `key` is a dotted key with values, banned values or bounds, or a limit with an upper bound.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    key: str
    values: tuple[Value, ...] = ()  # a single one pins the setting
    without: tuple[Value, ...] = ()
    low: float | None = None
    high: float | None = None

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        bounded = self.low is not None or self.high is not None
        if [bool(self.values), bool(self.without), bounded].count(True) != 1:
            raise ValueError("a constraint is a list of values, a list to ban, or bounds")
        if self.key in LIMITS and (self.high is None or self.low is not None):
            raise ValueError("a limit has an upper bound alone")
        return self

    @property
    def text(self) -> str:
        """The constraint in few words; `understood` reads them as this constraint."""
        if self.key in LIMITS:
            return f"{LIMITS[self.key]} ≤ {_amount(self.key, self.high or 0)}"
        name = label(self.key)
        if len(self.values) == 1:
            return f"{name} stays {_shown(self.values[0])}"
        if self.values or self.without:
            listed = " or ".join(_shown(value) for value in self.values or self.without)
            return f"{name} is {'' if self.values else 'not '}{listed}"
        if self.low is None or self.high is None:
            sign, bound = ("≥", self.low) if self.high is None else ("≤", self.high)
            return f"{name} {sign} {_shown(bound or 0.0)}"
        return f"{name} {_shown(self.low)} to {_shown(self.high)}"

    @property
    def sentence(self) -> str:
        """The constraint in a sentence that names its setting as the configuration does."""
        if self.key in LIMITS:
            return f"{_LIMIT_SENTENCES[self.key]} {_amount(self.key, self.high or 0)}."
        if len(self.values) == 1:
            return f"{self.key} stays {_shown(self.values[0])} in every proposal of a planner."
        if self.values or self.without:
            listed = " or ".join(_shown(value) for value in self.values or self.without)
            return f"Planners set {self.key} {'only' if self.values else 'never'} to {listed}."
        if self.low is None or self.high is None:
            word, bound = ("above", self.low) if self.high is None else ("below", self.high)
            return f"Planners keep {self.key} at {_shown(bound or 0.0)} or {word}."
        return f"Planners keep {self.key} between {_shown(self.low)} and {_shown(self.high)}."

    def allows(self, value: Value) -> bool:
        """Tell whether a value of the setting keeps the constraint."""
        if self.values or self.without:
            return (value in self.values) if self.values else (value not in self.without)
        if not isinstance(value, int | float):
            return False
        low, high = self.low, self.high
        return (low is None or value >= low) and (high is None or value <= high)

    def replaces(self, earlier: Constraint) -> bool:
        """Tell whether an earlier constraint holds no longer beside this one.

        Bans stand beside each other, and so do a lower and an upper bound.
        """
        if self == earlier:
            return True
        both_ban = bool(self.without and earlier.without)
        opposite = (self.low is None and earlier.high is None) or (
            self.high is None and earlier.low is None
        )
        bounds = not (self.values or self.without or earlier.values or earlier.without)
        return self.key == earlier.key and not both_ban and not (bounds and opposite)


_LIMIT_SENTENCES = {
    "parameters": "No model has more parameters than",
    "memory_mb": "No training takes more memory than",
    "trial_minutes": "No training lasts longer than",
}


@dataclass(frozen=True)
class SteeringRow:
    """What a person told a search: a constraint, or words for the planner at None."""

    id: int
    words: str  # as they were given
    constraint: Constraint | None
    author: str
    created_at: float
    ended_by: str  # who lifted or replaced it; empty while it is in force
    ended_at: float | None


@dataclass(frozen=True)
class Understood:
    """What was made of words: constraints, and what is left of the words for the planner."""

    constraints: tuple[Constraint, ...]
    rest: str


# -- what is in force ---------------------------------------------------------------------------


def steered(spec: SearchSpec, constraints: Iterable[Constraint]) -> SearchSpec:
    """Return the search with constraints in force, applied in their order.

    Raises:
        SpaceError: a constraint leaves nothing to choose, or is of nothing that a search varies.
    """
    for constraint in constraints:
        if constraint.key in LIMITS:
            spec = spec.model_copy(update={"limits": _lowered(spec.limits, constraint)})
        elif (narrowing := _narrowing(spec, constraint)) is not None:
            space = {**spec.space, constraint.key: narrowing}
            spec = spec.model_copy(update={"space": space})
    return spec


def in_force(earlier: Sequence[Constraint], newer: Sequence[Constraint]) -> list[Constraint]:
    """Return the constraints that hold once newer ones are given, oldest first."""
    held = list(earlier)
    for constraint in newer:
        held = [other for other in held if not constraint.replaces(other)] + [constraint]
    return held


def _lowered(limits: Limits, constraint: Constraint) -> Limits:
    now, high = getattr(limits, constraint.key), constraint.high
    assert high is not None, "a limit has an upper bound"
    value = high if constraint.key == "trial_minutes" else int(high)
    try:
        lowered = Limits.model_validate({**dict(limits), constraint.key: value})
    except ValidationError as error:
        problem = error.errors()[0]["msg"].replace("Input should", "must")
        raise SpaceError(f"{constraint.text}: the limit {problem}.") from None
    return lowered if now is None or value < now else limits


def _narrowing(spec: SearchSpec, constraint: Constraint) -> Narrowing | None:
    """Return what a setting may be under a constraint; None where that is how it is anyway."""
    key = constraint.key
    if key not in fields():
        raise SpaceError(f"{short(key)} is not a setting that can be constrained.")
    field, offered = fields()[key], dimensions(spec).get(key)
    for value in constraint.values or constraint.without:
        typed(field, value)
    if offered is None:
        if constraint.allows(spec.start()[key]):
            return None
        raise SpaceError(
            f"{constraint.text}: {key} is {short(spec.start()[key])} in all that planners propose "
            "in this search; enqueue a configuration of your own, or start a new search."
        )
    if len(constraint.values) == 1:
        return Narrowing(values=(typed(field, constraint.values[0]),))
    left = _left(offered, constraint)
    if left is None:
        raise SpaceError(
            f"{constraint.text} leaves nothing: in this search {key} may be {describe(offered)}."
        )
    return left


def _left(offered: Search, constraint: Constraint) -> Narrowing | None:
    """Return what a constraint leaves of what is offered; None where that is nothing."""
    if isinstance(offered, Choices):
        kept = tuple(value for value in offered.values if constraint.allows(value))
        return Narrowing(values=kept) if kept else None
    if constraint.values:
        kept = tuple(value for value in constraint.values if contains(offered, value))
        return Narrowing(values=kept) if kept else None
    if constraint.without:
        raise SpaceError(
            f"{constraint.text}: {constraint.key} may be {describe(offered)}, of which single "
            "values cannot be banned; give a lowest or a highest value."
        )
    low = offered.low if constraint.low is None else max(offered.low, constraint.low)
    high = offered.high if constraint.high is None else min(offered.high, constraint.high)
    if low > high:
        return None
    return Narrowing(values=(low,)) if low == high else Narrowing(low=low, high=high)


# -- what is understood -------------------------------------------------------------------------


def understood(words: str, spec: SearchSpec, parent: Mapping[str, Value]) -> Understood:
    """Read words as constraints, as far as they are plain; nothing is guessed.

    A sentence is read clause by clause. From the first clause on that has no form known to
    `phrases`, the sentence is left as it is; all of it is, unless that clause is a wish of its own:
    what stands there may qualify the clauses before it.

    Args:
        words: what a person wrote.
        spec: the search without what is in force, which the constraints must leave something of.
        parent: the configuration whose values are kept by "leave it alone".

    Raises:
        SpaceError: a constraint leaves nothing, or is of nothing that the search varies.
    """
    found: list[Constraint] = []
    rest = []
    for sentence in _sentences(words):
        phrases, left = _clauses(sentence)
        if phrases and not left and sentence.endswith("?"):
            phrases, left = [], sentence
        found = in_force(found, [_constraint(phrase, parent) for phrase in phrases])
        rest += [left] if left else []
    steered(spec, found)
    return Understood(tuple(found), "\n".join(rest))


JOINED = 12
"""Parts between commas that one clause may have, such as the values of a list."""

_ENDS = re.compile(r"(?<=[.;!?])\s+|\s*\n\s*")
_JOINS = re.compile(r",?\s+(?:and|but)\s+|,\s+", re.IGNORECASE)
_WISH = re.compile(
    r"(?:please |also |then )*(?:explore|prefer|focus|look|use|keep|leave|stay|avoid|make|think|"
    r"consider|test|start|do|never|no|concentrate|favou?r|give|spend|vary|change|remember|note|"
    r"propose|combine|compare)\b",
    re.IGNORECASE,
)
_QUALIFIES = re.compile(
    r"\b(?:if|unless|except|when|while|until|till|only for|maybe|perhaps|possibl[ey]|probably|"
    r"ideally|rather|otherwise|however|first|at first|later|after|before|sometimes|mostly|usually|"
    r"that|this|these|those|it|them|or)\b",
    re.IGNORECASE,
)


def _sentences(words: str) -> Iterator[str]:
    for sentence in _ENDS.split(words.strip()):
        if sentence.strip(" .;!"):
            yield sentence.strip()


def _clauses(sentence: str) -> tuple[list[Phrase], str]:
    """Return what the clauses of a sentence ask for, and the words from which on none is known."""
    text = sentence.rstrip(" .;!")
    joins = list(_JOINS.finditer(text))
    cuts = [0, *(join.end() for join in joins)]
    ends = [*(join.start() for join in joins), len(text)]
    phrases: list[Phrase] = []
    at = 0
    while at < len(ends):
        readings = (
            (end, read(text[cuts[at] : ends[end]]))
            for end in range(min(len(ends), at + JOINED) - 1, at - 1, -1)
        )
        clause = next((reading for reading in readings if reading[1]), None)
        if clause is None:
            break
        phrases += clause[1]
        at = clause[0] + 1
    else:
        return phrases, ""
    left = text[cuts[at] :]
    if phrases and _WISH.match(left) and not _QUALIFIES.search(left):
        return phrases, left
    return [], sentence


def _constraint(phrase: Phrase, parent: Mapping[str, Value]) -> Constraint:
    values = (parent[phrase.key],) if phrase.kept else phrase.values
    return Constraint(
        key=phrase.key, values=values, without=phrase.without, low=phrase.low, high=phrase.high
    )


# -- how it is written --------------------------------------------------------------------------


def _shown(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        text = f"{value:g}"
        return text if float(text) == value else repr(value)
    return str(value)


def _amount(limit: str, value: float) -> str:
    if limit == "trial_minutes":
        return f"{_shown(value)} minutes"
    if limit == "memory_mb":
        return f"{_shown(value / 1000)} GB" if value >= 10_000 else f"{_shown(value)} MB"
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if value >= size and value % (size / 100) == 0:
            return f"{_shown(value / size)} {unit}"
    return f"{value:,.0f}"
