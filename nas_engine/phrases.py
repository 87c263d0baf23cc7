"""A clause of plain English about settings and limits, read as what it asks for, or not at all.

Every form is a pattern of the whole clause made of known words: a clause with one word more, such
as "maybe" or "not", has no form and is not understood. Nothing is ever guessed.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from informer.config import Value, fields
from nas_engine.vocabulary import (
    MARK,
    NUMBER,
    key_of_value,
    mark_names,
    marked_key,
    number,
    number_of,
    off,
    value_of,
)


class Phrase(NamedTuple):
    """What a clause asks for of a setting, by its dotted key, or of a limit, by its name."""

    key: str
    values: tuple[Value, ...] = ()
    without: tuple[Value, ...] = ()
    low: float | None = None
    high: float | None = None
    kept: bool = False  # as it is in the parent


_LONGEST = 200
"""Characters of a clause that is looked at: a longer one says more than any form."""


def read(clause: str) -> list[Phrase]:
    """Return what a clause asks for; empty where it is not wholly understood."""
    if len(clause) > _LONGEST or "@" in clause:  # which marks names
        return []
    text = _plain(clause)
    marked = mark_names(text)
    for pattern, meaning in _forms():
        found = pattern.fullmatch(marked)
        if found is not None and (phrases := list(meaning(found))):
            return phrases
    return _limit(text)


# -- words of the patterns ----------------------------------------------------------------------

_UPPER = (
    r"<=?|at most|no more than|not more than|less than|fewer than|lower than|smaller than|below|"
    r"under|up to|max(?:imum)?(?: of)?|(?:no|not) (?:higher|larger|greater|bigger) than|"
    r"not (?:above|over|exceeding)|(?:no|not) longer than|shorter than"
)
_LOWER = (
    r">=?|at least|(?:no|not) (?:less|fewer|lower|smaller) than|more than|greater than|"
    r"larger than|higher than|bigger than|above|over|min(?:imum)?(?: of)?|not (?:below|under)|"
    r"longer than"
)
_STRICT = re.compile(
    r"[<>]|(?:less|fewer|lower|smaller|more|greater|larger|higher|bigger|longer|shorter) than|"
    "below|under|above|over"
)
_OP = rf"(?P<op>{_UPPER}|{_LOWER})"
_NO = (
    r"(?:no|never(?: use| try| choose| pick| take)?|(?:do|must|should) not (?:use|try|choose|pick|"
    r"take|have)(?: any)?|avoid(?: using)?|exclude|ban|forbid|stop using|rule out)"
)
_ONLY = r"(?:use only|only use|only|always use|stick to|stay with|keep to)"
_MUST = r"(?:must|should|shall|has to|have to|needs? to)"
_STAY = rf"(?:(?:{_MUST} )?(?:only )?(?:be|stays?|remains?|lies?)|{_MUST})(?: kept)?"
_DETERMINED = r"(?:(?:the|a|an|its|our|all|any) )?"
_ALONE = (
    r"(?:alone|untouched|unchanged|as (?:it|they) (?:is|are)|as is|be|where (?:it|they) (?:is|are))"
)
_FIXED = r"(?:fixed|constant|unchanged|the same|as (?:it|they) (?:is|are)|as is|untouched|frozen)"
_TOUCH = r"(?:touch|change|alter|vary|modify|move|adjust|tune)"

_PLAIN = (
    (r"≤|=<", "<="),
    (r"≥|=>", ">="),
    (r"≠", "!="),
    (r"[’`]", "'"),
    (r"\b(do|must|should|does)(?:n't|nt)\b", r"\1 not"),
    (r"['\"]", ""),
    (r"(?<=[^!<>=\s])(?=[!<>]?=|[<>])", " "),  # dropout<=0.3, but not inside of <=
    (r"(?<=[<>=])(?=[^<>=\s])", " "),
    (r"\s+", " "),
    (r"^(?:[-*•] |\d+[.)] )?(?:(?:please|also|and|then|always|now),? )*(?!use)", ""),
    (r"(?:,? (?:please|from now on|(?:in|for) (?:all|every) trials?|any ?more|at all))+$", ""),
)


def _plain(clause: str) -> str:
    text = clause.lower().strip()
    for pattern, written in _PLAIN:
        text = re.sub(pattern, written, text).strip()
    return text


# -- the forms ----------------------------------------------------------------------------------

_Meaning = Callable[[re.Match[str]], Iterable[Phrase]]


@functools.cache
def _forms() -> list[tuple[re.Pattern[str], _Meaning]]:
    """Return each form with what it means, in the order in which they are tried."""
    any_name = rf"{_DETERMINED}(?:number of |value of )?"
    name = rf"{any_name}(?P<name>{MARK})(?: rate| value| setting)?"
    one = rf"{any_name}{MARK}(?: rate| value| setting)?"
    listed = rf"(?P<names>{one}(?:(?:, and|, or|,| and| or) {one})*)"
    forms: tuple[tuple[str, _Meaning], ...] = (
        (rf"{name} stays (?P<values>constant)", _chosen),  # where that is one of its values
        (rf"(?:leave|let) {listed} {_ALONE}", _kept),
        (rf"(?:do not|never) {_TOUCH} {listed}", _kept),
        (rf"(?:keep|hold) {listed}(?: {_FIXED})?", _kept),
        (rf"(?:freeze|fix|pin) {listed}", _kept),
        (rf"no changes? (?:to|of|in) {listed}", _kept),
        (rf"{listed} (?:{_STAY} ){_FIXED}", _kept),
        (rf"(?:(?:keep|hold|have|let|set|use) )?{name} (?:{_STAY} )?(?:to |of )?{_OP} "
         rf"(?P<a>{NUMBER})", _bound),
        (rf"(?:(?:use|keep|have|take|stay with|keep to) )?(?:with )?{_OP} (?P<a>{NUMBER}) {name}",
         _bound),
        (rf"(?:cap|limit) {name} (?:to|at) (?:at most )?(?P<a>{NUMBER})", _capped),
        (rf"(?:{_NO}|{_NO} (?:with|values of)) {name} {_OP} (?P<a>{NUMBER})", _unbound),
        (rf"{_NO} {_OP} (?P<a>{NUMBER}) {name}", _unbound),
        (rf"(?:do not|never) (?:let|set|raise|lower|increase|decrease|reduce|move|push) {name} "
         rf"(?:be |go |rise |fall |drop |to )?{_OP} (?P<a>{NUMBER})", _unbound),
        (rf"(?:do not|never) exceed (?P<a>{NUMBER}) (?:for |in )?{name}", _capped),
        (rf"(?:do not|never) let {name} exceed (?P<a>{NUMBER})", _capped),
        (rf"{name} (?:(?:{_MUST} |does )?(?:not|never)) exceed (?P<a>{NUMBER})", _capped),
        (rf"{name} (?:{_MUST} )?(?:not|never) (?:be |go )?{_OP} (?P<a>{NUMBER})", _unbound),
        (rf"(?:(?:keep|hold|restrict|limit|choose) )?{name} (?:{_STAY} )?(?:to )?(?:(?:between "
         rf"(?P<a>{NUMBER}) and|(?:from |in |within )?(?P<c>{NUMBER})(?: to| ?-|\.\.)) ?"
         rf"(?P<b>{NUMBER}))", _range),
        (rf"{name} = (?P<c>{NUMBER})\.\.(?P<b>{NUMBER})", _range),
        (rf"(?:keep|set|fix|pin|hold|restrict|limit) {name} (?:at|to|=)(?: only| exactly)? "
         "(?P<values>.+)", _chosen),
        (rf"(?:(?:always |only )?use|use only) {name} (?:of |= )?(?P<values>.+)", _chosen),
        (rf"{name} (?:=|==|:=|{_STAY}(?: at| only| either)?|stays at|only) (?P<values>.+)",
         _chosen),
        (rf"{name} is (?P<values>.+ or .+)", _chosen),
        (rf"(?:{_ONLY}|use) (?P<values>.+?) {name}", _chosen),
        (rf"{_ONLY} (?P<values>.+) (?:for|as) {name}", _chosen),
        (rf"{_NO} (?P<values>.+?) (?:for |as )?{name}", _banned),
        (rf"{_NO} {name} (?:= |of )?(?P<values>.+)", _banned),
        (rf"(?:do not|never) set {name} to (?P<values>.+)", _banned),
        (rf"{name} (?:!=|(?:is |{_MUST} )?(?:not|never)(?: be)?) (?P<values>.+)", _banned),
        (rf"(?:{_NO}|without|disable|(?:turn|switch) off) {name}", _switched_off),
        (rf"(?:use|always use|enable|(?:turn|switch) on) {name}", _switched_on),
        (rf"{_ONLY} (?P<values>.+)", _chosen),
        (rf"{_NO} (?P<values>.+)", _banned),
    )  # fmt: skip
    return [(re.compile(form), meaning) for form, meaning in forms]


def _kept(found: re.Match[str]) -> Iterator[Phrase]:
    for called in re.findall(MARK, found["names"]):
        yield Phrase(marked_key(called), kept=True)


def _bound(found: re.Match[str]) -> Iterator[Phrase]:
    yield from _bounded(found["name"], found["op"], found["a"])


def _capped(found: re.Match[str]) -> Iterator[Phrase]:
    yield from _bounded(found["name"], "at most", found["a"])


def _unbound(found: re.Match[str]) -> Iterator[Phrase]:
    opposite = "at least" if re.fullmatch(_UPPER, found["op"]) else "at most"
    if _STRICT.fullmatch(found["op"]):
        yield from _bounded(found["name"], opposite, found["a"])


def _bounded(name: str, op: str, written: str) -> Iterator[Phrase]:
    """Yield the bound that a comparison asks for; of whole numbers it may leave out the figure."""
    key = marked_key(name)
    value = number_of(key, written)
    if value is None:
        return
    upper = re.fullmatch(_UPPER, op) is not None
    if fields()[key].type is int and _STRICT.fullmatch(op):
        value += -1 if upper else 1
    yield Phrase(key, high=value) if upper else Phrase(key, low=value)


def _range(found: re.Match[str]) -> Iterator[Phrase]:
    key = marked_key(found["name"])
    first = found.groupdict().get("a") or found["c"]
    low, high = number_of(key, first), number_of(key, found["b"])
    if low is not None and high is not None and low < high:
        yield Phrase(key, low=low, high=high)


def _chosen(found: re.Match[str]) -> Iterator[Phrase]:
    for key, values in _named_values(found):
        yield Phrase(key, values=values)


def _banned(found: re.Match[str]) -> Iterator[Phrase]:
    for key, values in _named_values(found):
        yield Phrase(key, without=values)


def _named_values(found: re.Match[str]) -> Iterator[tuple[str, tuple[Value, ...]]]:
    """Yield the setting that is meant, and the values listed; nothing if one is not a value."""
    listed = re.sub("^(?:one of|either) ", "", found["values"])
    texts = re.split(r", (?:or |and )?| or | and |,(?=\S)", listed)
    called = found.groupdict().get("name")
    key = marked_key(called) if called else key_of_value(texts[0])
    if key is None:
        return
    values = [value_of(key, text) for text in texts]
    known = tuple(value for value in values if value is not None)
    if len(known) == len(texts):
        yield key, known


def _switched_off(found: re.Match[str]) -> Iterator[Phrase]:
    field = fields()[marked_key(found["name"])]
    if (value := off(field)) is not None:
        yield Phrase(field.key, values=(value,))


def _switched_on(found: re.Match[str]) -> Iterator[Phrase]:
    field = fields()[marked_key(found["name"])]
    if field.type is bool:
        yield Phrase(field.key, values=(True,))


# -- limits -------------------------------------------------------------------------------------

_UNITS = {
    **dict.fromkeys(("parameters", "parameter", "params", "weights"), ("parameters", 1.0)),
    **dict.fromkeys(("mb", "megabyte", "megabytes"), ("memory_mb", 1.0)),
    **dict.fromkeys(("gb", "gigabyte", "gigabytes"), ("memory_mb", 1000.0)),
    **dict.fromkeys(("seconds", "second", "secs", "sec", "s"), ("trial_minutes", 1 / 60)),
    **dict.fromkeys(("minutes", "minute", "mins", "min"), ("trial_minutes", 1.0)),
    **dict.fromkeys(("hours", "hour", "h"), ("trial_minutes", 60.0)),
}
_ABOUT = {
    "parameters": re.compile(r"\b(?:parameters?|params|weights|models?|networks?)\b"),
    "memory_mb": re.compile(r"\b(?:memory|ram|[mg]b)\b"),
    "trial_minutes": re.compile(
        r"\b(?:trials?|trainings?|train|(?:a|per|each|every|no) run|runs)\b"
    ),
}
_WORD = (
    r"(?:stay|keep|remain|be|go|use|have|has|with|takes?|lasts?|runs?|trains?|make|let|hold|the|a|"
    r"an|all|every|each|any|it|them|only|to|at|of|must|should|shall|for|per|in|than|that|are|count|"
    r"size|number|parameters?|params|weights|models?|networks?|trials?|trainings?|memory|ram|gpu)"
)
_FILLER = rf"(?:{_WORD} )*"
_NEGATED = r"(?P<negated>(?:no|never|do not|must not|should not|may not) )?"
_LIMIT = re.compile(
    rf"(?:{_FILLER}{_NEGATED}{_FILLER}(?P<op>{_UPPER}|{_LOWER}|exceed|beyond)|"
    rf"(?P<capped>limit|cap|restrict) {_FILLER}(?:to|at)(?: at most)?) "
    rf"(?P<a>{NUMBER}) ?(?P<unit>(?:{'|'.join(sorted(_UNITS, key=len, reverse=True))})\b)?"
    rf"(?P<tail>(?: {_WORD})*)"
)


def _limit(text: str) -> list[Phrase]:
    """Return the limit from above that a clause sets; none where it sets none."""
    found = _LIMIT.fullmatch(text)
    if found is None or (value := number(found["a"])) is None or value <= 0:
        return []
    above = found["op"] is not None and re.fullmatch(rf"{_LOWER}|exceed|beyond", found["op"])
    if bool(above) != bool(found["negated"]):
        return []  # from below, or the one denied
    words = text.replace(found["a"], "", 1)
    if found["unit"] is None:
        # A bare number is of parameters where these, or models and millions, are spoken of.
        named = re.search(r"\b(?:parameters?|params|weights)\b", words)
        sized = re.search(r"\bmodels?|networks?\b", words) and re.search("[km]", found["a"])
        if not named and (found["tail"].strip() or not sized):
            return []
        key, scale = "parameters", 1.0
    else:
        key, scale = _UNITS[found["unit"]]
    others = [name for name, about in _ABOUT.items() if name != key and about.search(words)]
    if key == "trial_minutes" and not _ABOUT[key].search(words):
        return []  # it may be of the whole search
    if key != "trial_minutes" and set(others) - {"trial_minutes", "parameters"}:
        return []
    if key == "trial_minutes" and "memory_mb" in others:
        return []
    value = float(f"{value * scale:.12g}")
    if key != "trial_minutes" and not value.is_integer():
        return []
    return [Phrase(key, high=value)]
