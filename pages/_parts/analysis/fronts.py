"""Points of two figures, both the better the lower: dominance, fronts and hypervolumes."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

_BEYOND = 1.1  # of the worst figure: the reference point of a hypervolume

Point = tuple[float, float]


@dataclass(frozen=True)
class Box:
    """What a hypervolume is measured in: from the best of each figure to the reference point."""

    best: Point
    reference: Point

    @property
    def area(self) -> float:
        """The hypervolume of a trial that is best in both figures."""
        return (self.reference[0] - self.best[0]) * (self.reference[1] - self.best[1])

    @property
    def measures(self) -> bool:
        """Whether shares of its area can be told: figures of 0 leave none, huge ones overflow."""
        return 0 < self.area < math.inf


def dominators(points: Sequence[Point]) -> list[int]:
    """Return for each point how many are no worse in both figures and better in one.

    From the left: what lies below a point among those no further right is worse in nothing. Equal
    points do not dominate each other. O(n log n) comparisons.
    """
    order = sorted(range(len(points)), key=lambda row: points[row])
    same = Counter(points)
    heights: list[float] = []
    counts = [0] * len(points)
    for _, column in groupby(order, key=lambda row: points[row][0]):
        rows = list(column)
        for row in rows:
            insort(heights, points[row][1])
        for row in rows:
            counts[row] = bisect_right(heights, points[row][1]) - same[points[row]]
    return counts


def box(points: Sequence[Point]) -> Box:
    """Return the box around points, its reference a tenth beyond the worst of each figure."""
    x, y = [point[0] for point in points], [point[1] for point in points]
    return Box((min(x), min(y)), (_BEYOND * max(x), _BEYOND * max(y)))


def hypervolumes(points: Sequence[Point], reference: Point) -> list[float]:
    """Return the area between the front and `reference`, after each point in turn; exact.

    The front is kept from left to right. A new point adds the area under the stairs above it and
    removes the points that it dominates, each of them once: O(n log n) and moves within a list.
    """
    front: list[Point] = []
    area, areas = 0.0, []
    for x, y in points:
        area += _add(front, (x, y), reference)
        areas.append(area)
    return areas


def _add(front: list[Point], point: Point, reference: Point) -> float:
    """Put a point into the front, unless it is dominated, and return the area that it adds."""
    x, y = point
    if x >= reference[0] or y >= reference[1]:
        return 0.0
    at = bisect_left(front, point)
    roof = front[at - 1][1] if at else reference[1]
    if roof <= y:
        return 0.0
    end, area, left = at, 0.0, x
    while end < len(front) and front[end][1] >= y:
        area += (front[end][0] - left) * (roof - y)
        left, roof = front[end]
        end += 1
    right = front[end][0] if end < len(front) else reference[0]
    front[at:end] = [point]
    return area + (right - left) * (roof - y)
