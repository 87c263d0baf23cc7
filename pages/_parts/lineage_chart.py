"""The tree of changes as a figure, and as tables: pure functions."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from nas_engine.store.lineage import Step
from pages._parts.effects import Effect
from pages._parts.figures import MUTED, colour
from pages._parts.lineage import Tree, layout, since_start
from pages._parts.live_chart import Figure
from pages._parts.states import SOURCES, trial_state
from pages._parts.text import error_text, readable

_LEVEL, _LOW, _TALLEST = 76, 26, 2400  # pixels: of a depth with labels, at least, of the chart
_LABELLED = 44  # pixels of a depth from which labels fit
_LETTERS = 30  # of a change on an edge; the hover text has all of it
_FEW = 4  # columns beside each other that leave room for labels
_NUMBERED = 16  # columns beside each other that leave room for numbers
_CROWD = 40  # columns beside each other from which marks must be small
_INDENTED = 6  # depths that the outline shows by an indentation


@dataclass(frozen=True)
class Edge:
    """What a trial changed in its parent, and what that did."""

    change: str
    effect: Effect


def height(tree: Tree) -> int:
    """Return the height of the figure in pixels."""
    depths = 1 + max((depth for _, depth in tree.order()), default=0)
    return min(_TALLEST, max(180, 40 + depths * (_LEVEL if depths <= 30 else _LOW)))


def lineage(
    tree: Tree,
    edges: Mapping[int, Edge],
    rejected: Mapping[int, int],
    search_id: int,
) -> Figure:
    """Draw the tree from top to bottom, the incumbent's path on the left.

    Args:
        tree: what is drawn.
        edges: by the number of the child.
        rejected: how many rejected children of a trial are not drawn.
        search_id: of the trials, for their colours and for what a click names.
    """
    places = layout(tree)
    columns = 1 + max((column for column, _ in places.values()), default=0)
    depths = 1 + max((depth for _, depth in places.values()), default=0)
    labelled = height(tree) / depths >= _LABELLED
    path = set(tree.path)
    rest = [number for number in tree.steps if number not in path]
    taken = [number for number in rest if tree.steps[number].accepted]
    spoken = [*tree.path, *(rest if columns <= _FEW else [])] if labelled else []
    data = [
        _lines(tree, places, taken, "accepted change", 1.6, "solid"),
        _lines(tree, places, [n for n in rest if n not in set(taken)], "rejected", 1.2, "dot"),
        _lines(tree, places, tree.path, "way to the incumbent", 4, "solid"),
        _changes(tree, places, edges, [number for number in spoken if number in edges], path),
        _nodes(tree, places, edges, rejected, set(spoken), search_id),
    ]
    room = max(1.2, 0.9 * columns)  # on the left, for the labels of the path
    return {
        "data": [trace for trace in data if trace["x"]],
        "layout": {
            "xaxis": {"visible": False, "range": [-room, columns - 1 + max(1.2, 0.3 * columns)]},
            "yaxis": {"visible": False, "range": [depths - 0.4, -0.5]},
            "margin": {"l": 4, "r": 4, "t": 4, "b": 4},
            "hovermode": "closest",
            "showlegend": True,
            "uirevision": f"lineage-{search_id}",
        },
    }


def described(tree: Tree, accepted: int) -> str:
    """Return what the figure shows, in words."""
    depth = max((depth for _, depth in tree.order()), default=0)
    way = ", ".join(str(number) for number in tree.path)
    best = (
        f"the incumbent is trial {tree.path[-1]}, by way of trials {way}"
        if tree.path
        else "there is no incumbent"
    )
    return f"Tree of {len(tree.steps)} trials ({accepted} accepted), {depth} changes deep; {best}"


def _lines(
    tree: Tree,
    places: Mapping[int, tuple[int, int]],
    numbers: Sequence[int],
    name: str,
    width: float,
    dash: str,
) -> dict[str, object]:
    x: list[int | None] = []
    y: list[int | None] = []
    for number in numbers:
        if (parent := tree.parents[number]) is not None:
            x += [places[parent][0], places[number][0], None]
            y += [places[parent][1], places[number][1], None]
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": x,
        "y": y,
        "line": {"color": MUTED, "width": width, "dash": dash},
        "hoverinfo": "skip",
    }


def _changes(
    tree: Tree,
    places: Mapping[int, tuple[int, int]],
    edges: Mapping[int, Edge],
    numbers: Sequence[int],
    path: set[int],
) -> dict[str, object]:
    middles = []
    for number in numbers:
        (x, y), (above_x, above_y) = places[number], places[tree.parents[number] or 0]
        middles.append(((x + above_x) / 2, (y + above_y) / 2))
    return {
        "type": "scatter",
        "mode": "text",
        "showlegend": False,
        "x": [x for x, _ in middles],
        "y": [y for _, y in middles],
        "text": [
            f" {_short(edges[number].change)} <br> {edges[number].effect.text} "
            for number in numbers
        ],
        "textposition": ["middle left" if n in path else "middle right" for n in numbers],
        "textfont": {"size": 11, "color": [edges[number].effect.ink for number in numbers]},
        "hoverinfo": "skip",
        "cliponaxis": False,
    }


def _nodes(
    tree: Tree,
    places: Mapping[int, tuple[int, int]],
    edges: Mapping[int, Edge],
    rejected: Mapping[int, int],
    spoken: set[int],
    search_id: int,
) -> dict[str, object]:
    numbers = list(tree.steps)
    incumbent = tree.path[-1] if tree.path else None

    def symbol(number: int) -> str:
        if number == incumbent:
            return "star"
        return "circle" if tree.steps[number].accepted else "circle-open"

    def text(number: int) -> str:
        star = " ★" if number == incumbent else ""
        more = f"<br> +{rejected[number]} rejected " if number in rejected else ""
        value = error_text(tree.steps[number].val_mse)
        if number in spoken:
            return f" <b>{number}{star}</b> · {value} {more}"
        return f" {number} " if columns <= _NUMBERED else ""

    columns = 1 + max((column for column, _ in places.values()), default=0)
    colours = [colour(number, search_id) for number in numbers]
    size = 12 if columns < _CROWD else 7
    return {
        "type": "scatter",
        "mode": "markers+text",
        "showlegend": False,
        "x": [places[number][0] for number in numbers],
        "y": [places[number][1] for number in numbers],
        "text": [text(number) for number in numbers],
        "textposition": ["middle left" if n in tree.path else "middle right" for n in numbers],
        "cliponaxis": False,
        "marker": {
            "symbol": [symbol(number) for number in numbers],
            "size": [17 if number == incumbent else size for number in numbers],
            "color": colours,
            "line": {"width": 2, "color": colours},
            "opacity": 1,
        },
        "customdata": [f"{search_id}.{number}" for number in numbers],
        "hovertext": [_hover(tree.steps[number], edges, rejected) for number in numbers],
        "hoverinfo": "text",
    }


def _hover(step: Step, edges: Mapping[int, Edge], rejected: Mapping[int, int]) -> str:
    lines = [f"Trial {step.number} · {verdict_word(step)} · val_mse {error_text(step.val_mse)}"]
    if (edge := edges.get(step.number)) is not None:
        lines += [*_wrapped(edge.change), f"{edge.effect.text} (against trial {step.parent})"]
    if step.number in rejected:
        lines.append(f"and {rejected[step.number]} rejected changes of it")
    return "<br>".join(html.escape(line) for line in [*lines, "Click to open it"])


def _wrapped(text: str, width: int = 70) -> list[str]:
    parts = text.split(", ")
    lines = [parts[0]]
    for part in parts[1:]:
        if len(lines[-1]) + len(part) + 2 <= width:
            lines[-1] += f", {part}"
        else:
            lines.append(part)
    return lines


def _short(text: str) -> str:
    return html.escape(text if len(text) <= _LETTERS else f"{text[: _LETTERS - 1]}…")


def verdict_word(step: Step) -> str:
    """Return what became of a trial, with a symbol."""
    if step.accepted is None:
        return trial_state(step.state)
    if step.accepted:
        return "✓ accepted"
    return "✕ rejected" if step.state == "completed" else trial_state(step.state)


# -- the same as tables -------------------------------------------------------------------------


def address(search_id: int, number: int) -> str:
    """Return the address of a trial's page, for a column of links."""
    return f"./trial?trial={search_id}.{number}"


def steps_frame(tree: Tree, edges: Mapping[int, Edge], search_id: int) -> pd.DataFrame:
    """Return the incumbent's path: a row for each step from where it began."""
    return pd.DataFrame(
        [
            {
                "Step": place,
                "Trial": f"{number} ★" if number == tree.path[-1] else str(number),
                "Open": address(search_id, number),
                "Change": edges[number].change if number in edges else "–",
                "By": SOURCES.get(tree.steps[number].source, tree.steps[number].source),
                "val_mse ↓": error_text(tree.steps[number].val_mse),
                "Effect of the step": edges[number].effect.text if number in edges else "–",
                "Since trial 0": Effect(since_start(tree, number), None).text if place else "–",
            }
            for place, number in enumerate(tree.path)
        ]
    )


def outline_frame(
    tree: Tree, edges: Mapping[int, Edge], rejected: Mapping[int, int], search_id: int
) -> pd.DataFrame:
    """Return the whole tree, a row for each trial, indented by its depth."""
    incumbent = tree.path[-1] if tree.path else None
    return pd.DataFrame(
        [
            {
                "Trial": f"{_indent(depth)}{number}{' ★' if number == incumbent else ''}",
                "Open": address(search_id, number),
                "Parent": "–" if (parent := tree.parents[number]) is None else str(parent),
                "Change": edges[number].change if number in edges else "–",
                "By": readable(SOURCES.get(step.source, step.source)),
                "Verdict": verdict_word(step),
                "val_mse ↓": error_text(step.val_mse),
                "Effect on the parent": edges[number].effect.text if number in edges else "–",
                "Not drawn": f"+{rejected[number]} rejected" if number in rejected else "",
            }
            for number, depth in tree.order()
            if (step := tree.steps[number])
        ]
    )


def _indent(depth: int) -> str:
    return "· " * depth if depth <= _INDENTED else f"{'· ' * _INDENTED}({depth}) "
