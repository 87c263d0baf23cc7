"""A text about trials as tokens of few kinds, one letter each, for `claims` to match patterns on.

All repetitions are bounded, so that any text takes time in proportion to its length.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import NamedTuple

from informer.config import fields

LONGEST = 20_000
"""Characters that are read of a text."""

KINDS = {
    "T": "a trial",
    "L": "several trials",
    "R": "the incumbent",
    "A": "the parent",
    "B": "a baseline",
    "M": "val_mse or val_mae",
    "S": "a setting",
    "N": "a bare number",
    "P": "a share in percent",
    "n": "a number of something, or a range",
    "V": "a verdict",
    "b": "better or worse",
    "w": "any other word or sign",
}
"""What the letters stand for, besides those of `_WORDS`."""

_WORDS = {  # by the letter of their kind
    # what may stand between a trial and its figure
    "c": "is was were are be been = : has have had a an the its of at value result results just so "
    "far still currently now thus also then both all set kept equals only",
    "v": "reached reaches reaching got gets gave gives achieved achieves scored scores obtained "
    "yielded yields produced hit ended finished showed shows came used uses tried ran took trained",
    "q": "about around roughly approximately nearly almost circa ≈ ~",
    "k": "with using",
    "p": "in for by from on",
    "g": "best lowest",
    # what relates one trial to another
    "h": "than",
    "o": "over upon",
    "i": "improved improves lowered lowers reduced reduces cut cuts brought brings beat beats fell "
    "outperformed outperforms dropped",
    "t": "to → -> =>",
    "j": "it",
    # what separates statements
    "a": "and & as or",
    "e": "but while whereas though although because since yet",
    "(": "(",
    ")": ")",
    ",": ",",
    # what makes a statement a wish, a doubt or a denial
    "!": "should would could may might will shall can expect expects expected predict predicts "
    "predicted hope hoping aim aims aiming target goal want if unless suppose perhaps maybe likely "
    "probably try let lets not no never nor cannot without instead rather propose proposed suggest "
    "whether when until anticipate estimate estimated think believe assume assuming except repeat",
    # what else a figure may be of
    "x": "epoch epochs loss train training test test_mse test_mae train_loss val_loss seconds time "
    "faster slower parameters params memory cost probability importance share spread noise std "
    "deviation gap ratio difference margin delta horizon improvement gain curve curves early "
    "overfit overfitting median average proposal idea seed seeds surrogate windows step steps "
    "column initially started less more fewer above below under",
}  # fmt: skip
_KIND_OF = {word: kind for kind, words in _WORDS.items() for word in words.split()}
BETTER = {"better": 1, "lower": 1, "worse": -1, "higher": -1}
VERDICTS = ("accepted", "rejected", "failed", "crashed", "pruned", "stopped")

_ALIASES = {
    "look-back": "data.seq_len",
    "lookback": "data.seq_len",
    "learning rate": "training.optimizer_params.lr",
    "optimizer": "training.optimizer_class",
    "optimiser": "training.optimizer_class",
    "scheduler": "training.scheduler_class",
    "criterion": "training.criterion_class",
    "normalization": "model.normalisation",
    "encoder layers": "model.e_layers",
    "decoder layers": "model.d_layers",
}
_UNITS = (
    "s|sec|seconds?|min|minutes?|h|hours?|ms|days?|epochs?|seeds?|parameters?|params|weights|trials"
    "|layers?|heads?|steps?|units?|MB|GB|KB|[kMx]|times|USD|dollars?|tokens?|runs?|degrees?|points?"
    "|deviations?"
)
_NUMBER = r"(?<![\w.])[-+−]?(?:[0-9]{1,12}(?:\.[0-9]{1,15})?|\.[0-9]{1,15})(?:e[-+−]?[0-9]{1,2})?"
_WHOLE = r"[0-9]{1,6}(?![\w%]|\.[0-9])"  # the number of a trial
_LIST = (
    r"[0-9]{1,6}(?:(?:\s?,\s?(?:and\s|or\s)?|\s?[-–/&]\s?|\s(?:and|or|to)\s)"
    rf"(?:trial\s)?\#?{_WHOLE}){{1,40}}"
)


class Token(NamedTuple):
    """A piece of a text; `kind` is one of `KINDS` or of the words above."""

    kind: str
    start: int
    end: int
    text: str


@dataclass(frozen=True)
class Stated:
    """A figure as it is written; `step` is one unit of its last digit, more where it is hedged."""

    value: float
    step: float
    decimals: int

    def fits(self, stored: float | None) -> bool:
        """Tell whether the stored figure may be written like this, rounded or cut."""
        return stored is not None and abs(stored - self.value) <= self.step * (1 + 1e-6)


def tokens(text: str) -> list[Token]:
    """Return the first `LONGEST` characters of a text as tokens, without its spaces."""
    found = []
    for match in _pattern().finditer(text[:LONGEST]):
        assert match.lastgroup is not None, "every alternative has a name"
        kind, said = chr(int(match.lastgroup[1:])), match.group()
        if kind == "w":
            word = said.lower()
            kind = "b" if word in BETTER else _KIND_OF.get(word, "w")
            kind = "!" if word.endswith(("n't", "n’t")) else kind
        found.append(Token(kind, match.start(), match.end(), said))
    return _enumerated(found)


def numbers(token: Token) -> list[int]:
    """Return the numbers of the trials that a token names; a long range is its ends."""
    if token.kind not in "TL":
        return []
    found: list[int] = []
    for match in re.finditer(r"([^0-9]*)([0-9]+)", token.text):
        number, through = int(match[2]), match[1].strip().lower() in ("-", "–", "to")
        if through and found and 0 < number - found[-1] <= 50:
            found += range(found[-1] + 1, number)
        found.append(number)
    return found


def stated(token: Token, hedged: bool = False) -> Stated:
    """Return the figure of a number or a share, which is not divided by 100."""
    text = re.sub(r"[^0-9.e+-]", "", token.text.lower().replace("−", "-").partition("per")[0])
    mantissa, _, exponent = text.partition("e")
    decimals = len(mantissa.partition(".")[2]) - int(exponent or 0)
    return Stated(float(text), 10.0**-decimals * (2 if hedged else 1), decimals)


@functools.cache
def setting_names() -> dict[str, str]:
    """Return the keys of the settings in which trials differ, by what texts call them."""
    found: dict[str, str] = {}
    for key, spec in fields().items():
        if spec.search is not None:
            name = key.rpartition(".")[2]
            spoken = name.removesuffix("_class").replace("_", " ")
            found |= dict.fromkeys((key, name), key)
            if "_" in name:
                found |= dict.fromkeys((spoken, spoken.replace(" ", "-")), key)
    return {name.lower(): key for name, key in (found | _ALIASES).items()}


@functools.cache
def _pattern() -> re.Pattern[str]:
    names = "|".join(re.escape(name) for name in sorted(setting_names(), key=len, reverse=True))
    kinds = {  # the first that matches has it
        "L": rf"\btrials\s{{1,3}}\#?{_LIST}",
        "T": rf"(?:\btrial(?:\s(?:number|no\.?))?[\s_\-#]{{0,3}}|(?<![\w&])\#){_WHOLE}(?:['’]s)?"
        r"|\btrials\s{1,3}[0-9]{1,6}(?=\s?\()",
        "R": r"\b(?:incumbent|best trial(?: so far)?)(?:['’]s)?\b",
        "A": r"\bparent(?:['’]s)?\b",
        "B": r"\b(?:closed[- ]form linear(?: map)?|linear (?:map|baseline)|seasonal[- ]naive"
        r"|repeat[- ]last(?: value| season)?)(?:['’]s)?(?![\w-])",
        "M": r"\b(?:val(?:idation)?[_ -]m[sa]e|validation error"
        r"|(?<!test )(?<!training )(?<!train )m[sa]e)\b",
        "S": rf"(?<![\w.])(?:{names})(?!\w)",
        "n": rf"±\s?{_NUMBER}(?:\s?%)?|{_NUMBER}(?:\s?(?:{_UNITS})\b"
        rf"|(?:,[0-9]{{3}}){{1,4}}(?![\w.])|\s?[-–]\s?{_NUMBER})",
        "P": rf"{_NUMBER}\s?(?:%|percent\b|per cent\b)",
        "N": rf"{_NUMBER}(?![\w%])",
        "V": rf"\b(?:{'|'.join(VERDICTS)})\b",
        ".": r"[.!?](?=\s|[)\"'”’]|$)|[\n;]",
        "w": r"->|=>|[^\W\d][\w'’-]{0,80}|[^\s\w]|\w",
    }  # fmt: skip
    return re.compile(
        "|".join(f"(?P<k{ord(kind)}>{pattern})" for kind, pattern in kinds.items()), re.IGNORECASE
    )


def _enumerated(found: list[Token]) -> list[Token]:
    """Read "trials 3 (0.41), 5 (0.40)" as naming trial 5, too."""
    kinds = "".join(token.kind for token in found)
    for at, token in enumerate(found):
        if token.kind == "T" and token.text[:6].lower() == "trials":
            while after := re.compile(r".\([^()]{1,20}\)[,a]{1,2}(?=N\()").match(kinds, at):
                at = after.end()
                if not found[at].text.isdecimal():
                    break
                found[at] = found[at]._replace(kind="T")
    return found
