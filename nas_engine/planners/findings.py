"""What many trials say together, in lines that stay short however long the search has run.

Each line names its support: how many trials it rests on. Errors have six significant digits.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence

from informer.config import Interval, Search, Value, fields
from nas_engine.comparisons import of_trials
from nas_engine.evaluator import Noise
from nas_engine.findings import learned
from nas_engine.search import SearchSpec
from nas_engine.store.rows import TrialRow

TESTED = 8
"""Tested findings that are told, at most."""


def findings(trials: Sequence[TrialRow], space: Mapping[str, Search]) -> list[str]:
    """Return a line for each setting of which several values were tried, largest effect first.

    The effect is the distance between the medians of the best and the worst value. A confounded
    comparison is still one: the lines state what was seen, not what was the cause.
    """
    lines = [found for key in space if (found := _of_setting(key, space[key], trials)) is not None]
    return [line for _, line in sorted(lines, key=lambda found: -found[0])]


def borne_out(trials: Sequence[TrialRow], spec: SearchSpec, noise: Noise | None) -> list[str]:
    """Return a line for each finding that was tested against other changes, the surest first."""
    found = learned(of_trials(trials, spec.start()), spec, noise)
    return [
        f"tested: {finding.sentence}; so did {finding.others[0]} of {finding.others[1]} other "
        "changes to the same parents"
        for finding in found.findings[:TESTED]
    ]


def failures(trials: Sequence[TrialRow]) -> list[str]:
    """Return a line for each class of error: its trials, and what they alone have in common."""
    failed: dict[str, list[TrialRow]] = defaultdict(list)
    for trial in trials:
        if trial.state in ("failed", "crashed"):
            failed[trial.error_class or trial.state].append(trial)
    sound = [trial for trial in trials if trial.val_mse is not None]
    return [_of_class(name, members, sound) for name, members in failed.items()]


def _of_setting(key: str, search: Search, trials: Sequence[TrialRow]) -> tuple[float, str] | None:
    """Return effect and line of one setting, None where fewer than two values have results."""
    groups: dict[str, list[TrialRow]] = defaultdict(list)
    for trial in trials:
        if trial.state != "rejected" and fields()[key].active(trial.config):
            groups[_group(search, trial.config[key])].append(trial)
    medians = {
        name: statistics.median(values)
        for name, rows in groups.items()
        if (values := _values(rows))
    }
    if len(medians) < 2:
        return None
    parts = [_of_value(name, groups[name]) for name in sorted(medians, key=medians.__getitem__)]
    parts += [_of_value(name, rows) for name, rows in groups.items() if name not in medians]
    effect = max(medians.values()) - min(medians.values())
    return effect, f"{key}: {'; '.join(parts)}"


def _of_value(name: str, rows: Sequence[TrialRow]) -> str:
    values = _values(rows)
    text = f"{name} ({_count(rows)}"
    if values:
        text += f", median {statistics.median(values):.6g}"
        text += f", best {min(values):.6g}" if len(values) > 1 else ""
    for what, states in (("pruned", ("pruned",)), ("failed", ("failed", "crashed"))):
        lost = sum(trial.state in states for trial in rows)
        text += f", {lost} {what}" if lost else ""
    return f"{text})"


def _of_class(name: str, failed: Sequence[TrialRow], sound: Sequence[TrialRow]) -> str:
    shared = [
        f"{key}={value}"
        for key, value in failed[0].config.items()
        if all(trial.config.get(key) == value for trial in failed)
        and not any(trial.config.get(key) == value for trial in sound)
    ]
    numbers = ", ".join(str(trial.number) for trial in failed[-10:])
    common = f"; they alone have {', '.join(shared[:8])}" if shared else ""
    return f"{name}: {_count(failed)} (numbers {numbers}){common}"


def _group(search: Search, value: Value) -> str:
    """Return the name under which a value is counted: itself, or the third of its interval."""
    if not isinstance(search, Interval):
        return str(value)
    edges = [search.at(third / 3) for third in range(4)]
    at = sum(float(value) > edge for edge in edges[1:-1])
    return f"{edges[at]:.3g} to {edges[at + 1]:.3g}"


def _values(rows: Sequence[TrialRow]) -> list[float]:
    return [trial.val_mse for trial in rows if trial.val_mse is not None]


def _count(rows: Sequence[TrialRow]) -> str:
    return f"{len(rows)} trial{'s' if len(rows) != 1 else ''}"
