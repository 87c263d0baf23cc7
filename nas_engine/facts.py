"""What a text claims about earlier trials, compared with what is stored of them.

A claim is called wrong only where the text leaves no doubt which figure of which trial it means;
everything else that differs is not checkable.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from informer.config import Value
from nas_engine.claims import Claim, Subject, claims, mentioned
from nas_engine.proposals import Tried
from nas_engine.store.rows import BaselineRow, TrialRow
from nas_engine.wording import Stated

__all__ = ["Fact", "checked", "claims", "mentioned"]


@dataclass(frozen=True)
class Fact:
    """A claim of a text, what is stored, and whether the two agree."""

    start: int  # of what is said, in the text
    end: int
    subject: str  # such as "trial 5: val_mse"
    said: str
    stored: str  # empty where it is not checkable
    trial: int | None
    verdict: Literal["right", "wrong", "not checkable"]


def checked(
    text: str,
    trials: Sequence[Tried],
    baselines: Sequence[BaselineRow] = (),
    incumbent: int | None = None,
) -> list[Fact]:
    """Return what a text claims with a figure, a setting or a verdict about earlier trials.

    Of two readings of the same words the wrong one counts, then the right one. Texts may be older
    than the trials: what was once so, such as the best figure, or the mean over fewer seeds, is not
    called wrong.

    Args:
        text: of a language model or a person; only its first `wording.LONGEST` characters count.
        trials: all trials of the search that were known, in order of their numbers.
        baselines: its forecasts without training.
        incumbent: the best accepted trial when the text was written; None: not known.
    """
    found = claims(text)
    if not found:
        return []
    known = _Known({trial.number: trial for trial in trials}, list(baselines), incumbent)
    best: dict[tuple[int, int], Fact] = {}
    for fact in (_fact(claim, known) for claim in found):
        before = best.get((fact.start, fact.end))
        if before is None or _RANK[fact.verdict] > _RANK[before.verdict]:
            best[fact.start, fact.end] = fact
    return sorted(best.values(), key=lambda fact: (fact.start, fact.end))


_RANK = {"not checkable": 0, "right": 1, "wrong": 2}


@dataclass(frozen=True)
class _Known:
    """What is stored."""

    trials: Mapping[int, Tried]
    baselines: list[BaselineRow]
    incumbent: int | None

    def trial(self, subject: Subject | None, child: Tried | None = None) -> Tried | None:
        """Return the trial that a text means, where it is known."""
        match subject:
            case "incumbent":
                subject = self.incumbent
            case "parent":
                subject = _parent(child)
        return None if subject is None else self.trials.get(subject)

    def values(self) -> list[float]:
        """Return val_mse of all trials that have one."""
        return [trial.val_mse for trial in self.trials.values() if trial.val_mse is not None]

    def bests(self) -> Iterator[Tried]:
        """Yield each trial that was better than all before it."""
        least = float("inf")
        for trial in self.trials.values():
            if trial.val_mse is not None and trial.val_mse < least:
                least = trial.val_mse
                yield trial


def _fact(claim: Claim, known: _Known) -> Fact:
    subject = known.trial(claim.trial)
    compare = {
        "error": _error,
        "setting": _setting,
        "verdict": _verdict,
        "change": _change,
        "baseline": _baseline,
        "best": _best,
        "some": _some,
    }[claim.kind]
    name, stored, agrees = compare(claim, subject, known)
    sure = claim.certain or claim.kind == "best"
    if agrees is None or (not agrees and not sure):
        return Fact(claim.start, claim.end, name, claim.said, "", _number(subject), "not checkable")
    verdict: Literal["right", "wrong"] = "right" if agrees else "wrong"
    return Fact(claim.start, claim.end, name, claim.said, stored, _number(subject), verdict)


Compared = tuple[str, str, bool | None]
"""What a claim is about, what is stored, and whether the two agree; None: that cannot be said."""


def _error(claim: Claim, trial: Tried | None, known: _Known) -> Compared:
    said = _stated(claim)
    if trial is None:
        number, last = claim.trial, max(known.trials, default=None)
        if isinstance(number, int) and last is not None and number > last + 1:
            return f"trial {number}", f"there is no trial {number}", False
        return "", "", None
    name = f"trial {trial.number}: val_{claim.metric or 'mse'}"
    stored = trial.val_mae if claim.metric == "mae" else trial.val_mse
    if stored is None:
        return name, "", None
    if said.fits(stored):
        return name, _text(stored), True
    if not claim.metric and said.fits(trial.val_mae):
        return f"trial {trial.number}: val_mae", _text(trial.val_mae), True
    return name, _text(stored), None if _explained(claim, trial, known) else False


def _explained(claim: Claim, trial: Tried, known: _Known) -> bool:
    """Tell whether a figure that is not the trial's error may be meant of something else."""
    said = _stated(claim)
    others = [known.trials[number] for number in claim.beside if number in known.trials]
    elsewhere = [other.val_mse for other in others]
    elsewhere += [row.mse for row in known.baselines] if claim.beside else []
    if isinstance(trial, TrialRow):
        elsewhere += [trial.test_mse, trial.test_mae]
    if claim.trial == "incumbent":
        elsewhere += [best.val_mse for best in known.bests()]
    settings = trial.config.values() if not claim.metric else ()
    elsewhere += [float(value) for value in settings if type(value) in (int, float)]
    return any(said.fits(value) for value in elsewhere) or _of_other_seeds(said, trial)


def _of_other_seeds(said: Stated, trial: Tried) -> bool:
    """Tell whether a trial of several seeds may have had this mean when it had fewer.

    None of n values lies further than s (n-1)/sqrt(n) from their mean, s their deviation
    (Samuelson's inequality); with n unknown here, less than 3 s is taken for at most 10.
    """
    if trial.spread is None or trial.val_mse is None:
        return False
    return abs(said.value - trial.val_mse) <= 3 * trial.spread + said.step


def _setting(claim: Claim, trial: Tried | None, known: _Known) -> Compared:
    if trial is None or claim.name not in trial.config:
        return claim.name, "", None
    stored = trial.config[claim.name]
    name = f"trial {trial.number}: {claim.name.rpartition('.')[2]}"
    if claim.stated is None:
        return name, _value(stored), stored == claim.value
    assert isinstance(stored, int | float), "only numbers are compared with figures"
    said = claim.stated
    distance = abs(stored - said.value)
    if distance <= min(said.step / 2, 0.1 * abs(stored)) * (1 + 1e-6):
        return name, _value(stored), True
    error = said.decimals > 1 and (said.fits(trial.val_mse) or said.fits(trial.val_mae))
    return name, _value(stored), None if error else False


def _verdict(claim: Claim, trial: Tried | None, known: _Known) -> Compared:
    if trial is None:
        return "", "", None
    name = f"trial {trial.number}"
    judged = {True: "accepted", False: "rejected", None: "not judged"}[trial.accepted]
    stored = judged if trial.state == "completed" else trial.state
    denied = False if trial.accepted else None
    match claim.name:
        case "accepted":
            return name, stored, None if trial.accepted is None else trial.accepted
        case "rejected":
            turned_down = trial.state == "rejected" or trial.accepted is False
            return name, stored, turned_down or denied
        case "failed":  # also said of a trial that did not help
            ended = trial.state in ("failed", "crashed")
            return name, stored, ended or denied
    return name, stored, trial.state == claim.name or denied


def _change(claim: Claim, trial: Tried | None, known: _Known) -> Compared:
    said, other = _stated(claim), known.trial(claim.other, trial)
    if trial is None:
        return "", "", None
    shares: list[float] = []
    for own, base in (
        () if other is None else ((trial.val_mse, other.val_mse), (trial.val_mae, other.val_mae))
    ):
        if own and base:
            shares += [(base - own) / base, (base - own) / own]
    if claim.other == "incumbent" and isinstance(trial, TrialRow) and trial.improvement is not None:
        shares.append(trial.improvement)  # over the incumbent of that moment
    than = f"trial {other.number}" if other is not None else f"the {claim.other}"
    name = f"trial {trial.number} against {than}"
    if not shares:
        return name, "", None
    of_seeds = any(row is not None and row.spread is not None for row in (trial, other))
    agrees = any(said.fits(share) for share in shares)
    return name, _change_text(shares[0]), agrees or (None if of_seeds else False)


def _baseline(claim: Claim, trial: Tried | None, known: _Known) -> Compared:
    said, named = _stated(claim), _plain(claim.name)
    rows = [row for row in known.baselines if _alike(_plain(row.name), named)]
    if not rows:
        return named, "", None
    figures = [row.mae if claim.metric == "mae" else row.mse for row in rows]
    figures += [] if claim.metric else [row.mae for row in rows]
    row = next((row for row in rows if row.split == "val"), rows[0])
    stored = row.mae if claim.metric == "mae" else row.mse
    agrees = any(said.fits(figure) for figure in figures)
    return f"{row.name}: {row.split}_{claim.metric or 'mse'}", _text(stored), agrees


def _best(claim: Claim, trial: Tried | None, known: _Known) -> Compared:
    said, bests = _stated(claim), list(known.bests())
    if not bests:
        return "best val_mse", "", None
    stored = f"{_text(bests[-1].val_mse)} (trial {bests[-1].number})"
    if said.fits(bests[-1].val_mse):
        return "best val_mse", stored, True
    once = any(said.fits(best.val_mse) or _of_other_seeds(said, best) for best in bests)
    anyone = not claim.certain and any(said.fits(value) for value in known.values())
    return "best val_mse", stored, None if once or anyone else False


def _some(claim: Claim, trial: Tried | None, known: _Known) -> Compared:
    said, values = _stated(claim), known.values()
    values += [row.mse for row in known.baselines]
    near = min(values, key=lambda value: abs(value - said.value), default=None)
    if any(_of_other_seeds(said, tried) for tried in known.trials.values()):
        return "val_mse", _text(near), said.fits(near) or None
    return "val_mse", f"nearest {_text(near)}", None if near is None else said.fits(near)


# -- words --------------------------------------------------------------------------------------


def _stated(claim: Claim) -> Stated:
    assert claim.stated is not None, f"a claim of kind {claim.kind} states a figure"
    return claim.stated


def _parent(trial: Tried | None) -> int | None:
    """Return what a trial changed; without a parent it was the starting configuration."""
    if trial is None or trial.number == 0:
        return None
    return 0 if trial.parent is None else trial.parent


def _number(trial: Tried | None) -> int | None:
    return None if trial is None else trial.number


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def _value(value: Value) -> str:
    return f"{value:g}" if type(value) is float else str(value)


def _change_text(share: float) -> str:
    return f"{abs(share):.2%} {'worse' if share < 0 else 'better'}"


def _plain(name: str) -> str:
    text = name.lower().replace("’", "'").removesuffix("'s").replace("-", " ")
    return " ".join(text.split())


def _alike(stored: str, said: str) -> bool:
    """Tell whether a baseline is meant; "linear baseline" and "linear map" are the linear one."""
    return stored.startswith(said) or ("linear" in stored and "linear" in said)
