"""Values that stand for no value, such as -200 or -999: found where they look like it, and told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from data.choices import Choices
from data.finding import Finding, option, shown
from data.table import Floats, Table

_USUAL = (-99.0, -200.0, -999.0, -9999.0, -99999.0, -999.9, -9999.9, 999.0, 9999.0, 99999.0)


def suspects(table: Table, names: Sequence[str]) -> dict[float, list[str]]:
    """Return the columns in which a value looks as if it stood for none, by that value."""
    found: dict[float, list[str]] = {}
    for name in names:
        numbers = table.number(name)
        for value in _USUAL:
            if _suspect(numbers, value):
                found.setdefault(value, []).append(name)
    return found


def _suspect(numbers: Floats, value: float) -> bool:
    """Tell whether a value is the extreme of (T,), and lies apart from all others.

    Apart means half the range of the others away, or the only negative one, more than once.
    """
    lowest, highest = np.fmin.reduce(numbers), np.fmax.reduce(numbers)
    if value not in (lowest, highest):
        return False
    others = numbers[np.isfinite(numbers) & (numbers != value)]
    if not len(others):
        return False
    low, high = others.min(), others.max()
    gap = low - value if value < 0 else value - high
    if value == lowest and low >= 0 > value and len(numbers) - len(others) > 1:
        return True
    return bool(gap > (high - low) / 2)


def about(found: Mapping[float, Sequence[str]]) -> list[Finding]:
    """Ask of each value whether it stands for none."""
    return [
        Finding(
            "warning",
            f"{value:g} is {'the lowest' if value < 0 else 'the highest'} value of "
            f"{_listed(columns)}, and far from the others; if it stands for a missing value, "
            "choose so, and gaps are told as such.",
            (option("--missing", f"{value:g}"),),
        )
        for value, columns in found.items()
    ]


def done(table: Table, names: Sequence[str], choices: Choices) -> list[str]:
    """Return how many cells were read as missing because they hold what was chosen."""
    if not choices.missing:
        return []
    marked = [table.columns[name].marked for name in names]
    columns = sum(count > 0 for count in marked)
    return [
        f"Read {sum(marked):,} cell{'s' * (sum(marked) != 1)} of {columns:,} "
        f"column{'s' * (columns != 1)} as missing, for {' or '.join(choices.missing)}."
    ]


def _listed(columns: Sequence[str]) -> str:
    if len(columns) == 1:
        return f"column {shown(columns[0])}"
    more = f" and {len(columns) - 3:,} more" if len(columns) > 3 else ""
    return f"{len(columns):,} columns ({', '.join(map(shown, columns[:3]))}{more})"
