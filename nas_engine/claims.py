"""What a text claims about earlier trials: figures, settings and verdicts, and whose they are.

Patterns of token kinds (see `wording`) bind a figure to a trial. They know little grammar: what
they do not recognise is no claim, and where they might be mistaken the claim is not `certain`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from informer.config import Value, fields
from nas_engine.wording import BETTER, Stated, Token, numbers, setting_names, stated, tokens

Kind = Literal["error", "setting", "verdict", "change", "baseline", "best", "some"]
Metric = Literal["mse", "mae", ""]
Subject = int | Literal["incumbent", "parent"]
"""A trial: by its number, or as the text refers to it."""


@dataclass(frozen=True)
class Claim:
    """Something that a text says of a trial, a baseline or the search."""

    kind: Kind
    start: int  # of what is said, in the text
    end: int
    said: str
    trial: Subject | None = None
    other: Subject | None = None  # what a change is relative to
    stated: Stated | None = None  # of a change a share, positive where better
    metric: Metric = ""  # empty: the text does not say
    name: str = ""  # of a setting, a verdict or a baseline
    value: Value | None = None  # of a setting that is no number
    certain: bool = True  # False: what differs may be about something else
    beside: tuple[int, ...] = ()  # other trials of the sentence, which it may be about


def mentioned(text: str) -> list[int]:
    """Return the numbers of the trials that a text names, each once, in order."""
    return list(dict.fromkeys(number for token in tokens(text) for number in numbers(token)))


def claims(text: str) -> list[Claim]:
    """Return what a text claims, in order; what is only expected or wished is no claim."""
    read = _Text(tokens(text))
    found = [
        *(claim for at in read.at("TR") for claim in read.of_trial(at)),
        *(claim for at in read.at("L") for claim in read.of_trials(at)),
        *(claim for at in read.at("N") for claim in read.of_figure(at)),
        *(claim for at in read.at("S") for claim in read.settings_in(at)),
        *(claim for at in read.at("B") for claim in read.of_baseline(at)),
        *(claim for at in read.at("g") for claim in read.of_best(at)),
        *(claim for at in read.at("i") for claim in read.of_way(at)),
    ]
    return sorted(found, key=lambda claim: (claim.start, claim.end))


_ERROR = re.compile(r"[TR](?:(?<=R.T)\))?(?:[cvqgk(]{0,5}|,)(?:Mc{0,3}q?)?(?=N)")
_ERROR_BEFORE = re.compile(r"N(?:[cpk]{1,2}|\([cpk]{0,2}(?=[TR][),]))[TR]")
_ERRORS = re.compile(r"L[cvqgk(]{0,5}(?:Mc{0,3}q?)?N(?:[,a]{1,2}N){0,50}")
_SETTING = re.compile(
    r"[TR](?:[cv]{0,3}[(k]?|\((?:Mc{0,3}q?)?N\)[cv]{1,2}|[cvqk(]{0,4}(?:Mc{0,3}q?)?N[k,(]{1,2})(?=S)"
)
_VALUE = re.compile(r"S(?:[cp]{0,2}Nt(?=N)|[ct]{0,2}(?=.))")
_NEXT_SETTING = re.compile(r"[,a]{1,2}(?=S)")
_OF_TRIAL = re.compile(r"pc?[TR]")
_VERDICT = re.compile(r"[TL]c{0,3}V(?!t)")
_CHANGES = (
    re.compile(r"(?P<own>[TR])[cv(]{0,3}q?(?P<share>P)(?P<way>b)c?M?hc{0,2}(?P<other>[TRA])"),
    re.compile(r"(?P<own>[TR])c{0,2}(?P<way>b)M?hc{0,2}(?P<other>[TRA])pq?(?P<share>P)"),
    re.compile(r"(?P<own>[TR])(?P<way>i)(?:o|p|M|cM){0,2}c{0,2}(?P<other>[TRA])pq?(?P<share>P)"),
    re.compile(r"(?P<own>[TR])(?P<way>i)(?:cM|M|j)?pq?(?P<share>P)oc{0,2}(?P<other>[TRA])"),
)
_BASELINE = re.compile(r"B[cvqk(]{0,4}(?:Mc{0,3}q?)?(?=N)")
_BEST = re.compile(r"g[cM]{0,6}v?q?(?=N)")
_WAY = re.compile(r"i(?:cM|M|j|c){0,2}pq?Ntq?(?=N)")


@dataclass(frozen=True)
class _Text:
    """The tokens of a text, and what the patterns find in their kinds."""

    tokens: list[Token]

    @cached_property
    def kinds(self) -> str:
        return "".join(token.kind for token in self.tokens)

    def at(self, kinds: str) -> list[int]:
        """Return where tokens of these kinds stand."""
        return [at for at, kind in enumerate(self.kinds) if kind in kinds]

    def of_trial(self, at: int) -> Iterator[Claim]:
        """Yield what is said of the trial that is named at a place."""
        if match := _ERROR.match(self.kinds, at):
            yield from self._error(at, match.end(), self._surely_before(at, match.end()))
        if match := _SETTING.match(self.kinds, at):
            yield from self._settings(at, match.end())
        yield from self._verdict(at)
        for pattern in _CHANGES:
            if match := pattern.match(self.kinds, at):
                yield self._change(match)

    def of_trials(self, at: int) -> Iterator[Claim]:
        """Yield what is said of several trials at once, each in its turn."""
        yield from self._verdict(at)
        if (match := _ERRORS.match(self.kinds, at)) is None:
            return
        places = [place for place in range(at, match.end()) if self.kinds[place] == "N"]
        named = numbers(self.tokens[at])
        if len(places) not in (1, len(named)):
            return
        certain = len(places) > 1 and not self._doubtful(at, match.end())
        metric = self._metric(at, match.end())
        for trial, place in zip(named, places * (len(named) // len(places)), strict=True):
            figure = self._figure(place)
            if metric or figure.decimals > 1:
                claim = self._claim("error", place, place + 1, certain=certain)
                yield replace(claim, trial=trial, stated=figure, metric=metric)

    def of_figure(self, at: int) -> Iterator[Claim]:
        """Yield what is said of the trial that follows a figure: "0.41 (trial 5)"."""
        if match := _ERROR_BEFORE.match(self.kinds, at):
            trial, gap = self.tokens[match.end() - 1], self.tokens[at + 1 : match.end() - 1]
            sure = (
                not any(token.kind == "k" or token.text.lower() == "from" for token in gap)
                and self.kinds[at - 1 : at] != "t"
                and not _possessive(trial)
                and self._bound_before(at) is None
            )
            yield from self._error(match.end() - 1, at, sure)

    def settings_in(self, at: int) -> Iterator[Claim]:
        """Yield a setting of the trial that follows it: "dropout 0.3 in trial 4"."""
        claim, after = self._setting(at, certain=False)
        if claim and (match := _OF_TRIAL.match(self.kinds, after)):
            yield replace(claim, trial=self._subject(match.end() - 1))

    def of_baseline(self, at: int) -> Iterator[Claim]:
        """Yield what is said of a baseline."""
        if match := _BASELINE.match(self.kinds, at):
            figure, metric = self._figure(match.end()), self._metric(at, match.end())
            if (metric or figure.decimals > 1) and not self._followed(match.end()):
                certain = not self._doubtful(at, match.end() + 1)
                claim = self._claim("baseline", match.end(), match.end() + 1, certain=certain)
                name = self.tokens[at].text
                yield replace(claim, name=name, stated=figure, metric=metric)

    def of_best(self, at: int) -> Iterator[Claim]:
        """Yield what is said to be the best of the search; certain where all trials are meant."""
        match = _BEST.match(self.kinds, at)
        if match is None or re.search(r"[TR]c{0,2}$", self.kinds[:at]):
            return
        place, figure = match.end(), self._figure(match.end())
        metric = self._metric(at, place)
        if metric == "mae" or not (metric or figure.decimals > 2):
            return
        if self._doubtful(at, place + 1) or self._followed(place):
            return
        opens = re.search(r"(?:^|\.)c{0,3}$", self.kinds[max(0, at - 4) : at]) is not None
        opens = opens and (at < 4 or "." in self.kinds[at - 4 : at])
        narrowed = re.match(r"[kp](?![TR])|w", self.kinds[place + 1 : place + 3]) is not None
        claim = self._claim("best", place, place + 1, certain=opens and not narrowed)
        yield replace(claim, stated=figure, metric="mse")

    def of_way(self, at: int) -> Iterator[Claim]:
        """Yield both ends of "improved from 0.41 to 0.39": some trial has each."""
        match = _WAY.match(self.kinds, at)
        if match is None or self._doubtful(at, match.end() + 1):
            return
        if "mae" in (metric := self._metric(at, match.end())):
            return
        before = re.search(r"[TRM]c{0,3}$", self.kinds[:at])
        if not (before or metric):
            return
        for place in (place for place in range(at, match.end() + 1) if self.kinds[place] == "N"):
            if (figure := self._figure(place)).decimals > 1:
                yield replace(self._claim("some", place, place + 1), stated=figure, metric="mse")

    # -- claims of one kind ---------------------------------------------------------------------

    def _error(self, trial: int, figure: int, sure: bool) -> Iterator[Claim]:
        first, last = min(trial, figure), max(trial, figure) + 1
        said, metric = self._figure(figure), self._metric(first, last)
        signed = self.tokens[figure].text[0] in "+-−"  # a difference
        if signed or self._followed(figure, by="Sxb") or not (metric or said.decimals > 1):
            return
        if not metric and re.search(r"S[cp]{0,2}$", self.kinds[:first]):
            sure = False  # "dropout of trial 4 (0.3)"
        part = self._part(first, last) + self._opening(first)
        others = self._named_in_sentence(first) if set(part) & set("TLR") else ()
        yield replace(
            self._claim("error", figure, figure + 1, certain=sure and not set(part) & set("!xk")),
            trial=(own := self._subject(trial)),
            stated=said,
            metric=metric,
            beside=tuple(number for number in others if number != own),
        )

    def _surely_before(self, trial: int, figure: int) -> bool:
        """Tell whether what stands between a trial and its figure leaves no other reading."""
        gap = self.kinds[trial + 1 : figure]
        if "k" in gap or ("," in gap and self.kinds[trial - 1 : trial] != "("):
            return False
        if gap[:1] != "(" and set(self._part(trial, figure, back_only=True)) & set("TLR"):
            return False
        return _ERROR_BEFORE.match(self.kinds, figure) is None

    def _bound_before(self, figure: int) -> int | None:
        """Return the place of the trial before a figure to which it may belong, too."""
        for at in range(max(0, figure - 10), figure):
            match = _ERROR.match(self.kinds, at)
            if match and match.end() == figure:
                return at
        return None

    def _settings(self, trial: int, at: int) -> Iterator[Claim]:
        gap = self.kinds[trial + 1 : at]
        said = {token.text.lower() for token in self.tokens[trial + 1 : at]}
        told = "v" in gap or said & {"has", "had"} or _possessive(self.tokens[trial])
        told = told or ("(" in gap and not self._part(trial, at, back_only=True))
        sure = bool(told) and "k" not in gap and ("N" not in gap or ")" in gap)
        sure = sure and not self._doubtful(trial, at)
        while True:
            claim, after = self._setting(at, sure and not self._doubtful(at, at + 1))
            if claim is None:
                return
            yield replace(claim, trial=self._subject(trial))
            if (match := _NEXT_SETTING.match(self.kinds, after)) is None:
                return
            at = match.end()

    def _setting(self, at: int, certain: bool) -> tuple[Claim | None, int]:
        """Return the setting and value at a place, without its trial, and where they end."""
        match = _VALUE.match(self.kinds, at)
        key = setting_names()[self.tokens[at].text.lower()]
        if match is None or self._followed(match.end(), by="t"):
            return None, at
        place, token = match.end(), self.tokens[match.end()]
        claim = self._claim("setting", at, place + 1, certain and "t" not in match.group())
        claim, spec = replace(claim, name=key), fields()[key]
        if spec.type in (int, float) and token.kind == "N":
            return replace(claim, stated=self._figure(place)), place + 1
        options = {str(option).lower(): option for option in spec.options or ()}
        if (value := options.get(token.text.lower())) is not None and spec.type in (str, bool):
            return replace(claim, value=value), place + 1
        return None, at

    def _verdict(self, at: int) -> Iterator[Claim]:
        match = _VERDICT.match(self.kinds, at)
        if match is None or "!" in self._part(at, match.end()) or _possessive(self.tokens[at]):
            return
        if "x" in self.kinds[max(0, at - 3) : at]:
            return  # "the idea of trial 5 was rejected"
        word = self.tokens[match.end() - 1].text.lower()
        claim = self._claim("verdict", at, match.end())
        for number in numbers(self.tokens[at]):
            yield replace(claim, trial=number, name=word)

    def _change(self, match: re.Match[str]) -> Claim:
        way = self.tokens[match.start("way")]
        direction = BETTER.get(way.text.lower(), 1)
        plain = way.text.lower() not in ("lower", "higher") or "M" in match.group()
        figure = self._figure(place := match.start("share"))
        share = Stated(direction * abs(figure.value) / 100, figure.step / 100, figure.decimals)
        certain = plain and not self._doubtful(match.start(), match.end())
        return replace(
            self._claim("change", place, match.end(), certain),
            trial=self._subject(match.start("own")),
            other=self._subject(match.start("other")),
            stated=share,
            metric=self._metric(match.start(), match.end()),
        )

    # -- around a place -------------------------------------------------------------------------

    def _claim(self, kind: Kind, first: int, last: int, certain: bool = True) -> Claim:
        start, end = self.tokens[first].start, self.tokens[last - 1].end
        said = " ".join(token.text for token in self.tokens[first:last])
        return Claim(kind, start, end, said, certain=certain)

    def _subject(self, at: int) -> Subject:
        match self.tokens[at].kind:
            case "R":
                return "incumbent"
            case "A":
                return "parent"
        return numbers(self.tokens[at])[0]

    def _figure(self, at: int) -> Stated:
        return stated(self.tokens[at], hedged=self.kinds[at - 1 : at] == "q")

    def _metric(self, first: int, last: int) -> Metric:
        """Return which error stands among these tokens or before them."""
        before = re.search(r"M[cq]{0,3}v?$", self.kinds[max(0, first - 5) : first])
        first = first if before is None else max(0, first - 5) + before.start()
        named = [token.text.lower() for token in self.tokens[first:last] if token.kind == "M"]
        return ("mae" if "mae" in named[-1] else "mse") if named else ""

    def _followed(self, at: int, by: str = "Sx") -> bool:
        """Tell whether what follows a figure makes it one of something else, or one of several."""
        after = self.kinds[at + 1 : at + 3]
        if after[:1] and after[0] in by:
            return True
        return re.match(r"[ta]N", after) is not None and self.tokens[at + 1].text.lower() in (
            *("or", "to"),
        )

    def _part(self, first: int, last: int, back_only: bool = False) -> str:
        """Return the kinds around these tokens, as far as the statement goes."""
        before, after = self.kinds[max(0, first - 60) : first], self.kinds[last : last + 60]
        before = re.split(r"[.,ea(]", before)[-1]
        return before if back_only else before + re.split(r"[.,ea)]", after, maxsplit=1)[0]

    def _doubtful(self, first: int, last: int) -> bool:
        return bool(set(self._part(first, last)) & set("!x"))

    def _opening(self, at: int) -> str:
        """Return the kind that the sentence begins with, which "With dropout 0.3," makes a wish."""
        return self.kinds[self.kinds.rfind(".", 0, at) + 1 :][:1]

    def _named_in_sentence(self, at: int) -> list[int]:
        start = self.kinds.rfind(".", 0, at) + 1
        end = self.kinds.find(".", at)
        sentence = self.tokens[start : len(self.tokens) if end < 0 else end][:400]
        return [number for token in sentence for number in numbers(token)]


def _possessive(token: Token) -> bool:
    return token.text.lower().endswith(("'s", "’s"))
