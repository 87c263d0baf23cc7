"""The tab of trade-offs: the Pareto front of two figures, and how its hypervolume grew."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd
import streamlit as st

from nas_engine.search import SearchSpec
from pages._parts.address import mirrored, word
from pages._parts.analysis.frames import cut_text, left_out
from pages._parts.analysis.fronts import box, dominators
from pages._parts.analysis.pareto import (
    OBJECTIVES,
    Pair,
    hypervolume_figure,
    pareto_figure,
    places,
)
from pages._parts.analysis.picking import show_trials
from pages._parts.analysis.points import MOST_DRAWN
from pages._parts.live_chart import chart
from pages._parts.selection import Key, reference_of

USUAL: Pair = ("parameters", "val_mse")


def usual_pair(specs: Iterable[SearchSpec]) -> Pair:
    """Return the pair that is drawn unasked: what the first search with a cost trades."""
    return next(((spec.objectives[1], "val_mse") for spec in specs if spec.objectives[1:]), USUAL)


def show(
    results: pd.DataFrame, settings: pd.DataFrame, chosen: Sequence[Key], usual: Pair = USUAL
) -> str | None:
    """Draw the tab.

    Args:
        results: the trials in scope, as `frames.results_frame` returns them.
        settings: their settings, as `frames.settings_frame` returns them.
        chosen: the trials that are compared, which stand out.
        usual: the figures that are drawn where the address names none.

    Returns:
        The trial, "SEARCH.NUMBER", that has been clicked since the last run.
    """
    pair = _choose(usual)
    x, y = (OBJECTIVES[name].title for name in pair)
    if pair[0] == pair[1]:
        st.info("Choose two different figures.")
        return None
    both = results[results[list(pair)].notna().all(axis=1)]
    if both.empty:
        st.info(f"None of the {len(results):,} trials in scope has both {x} and {y}.")
        return None
    counts = pd.Series(dominators(places(both, pair)), index=both.index)
    front = both[counts == 0].sort_values(list(pair))
    clicked = _show_front(results, both, pair, counts, chosen)
    st.markdown(f"**The front: {len(front):,} trial{'' if len(front) == 1 else 's'}**")
    measured = [name for name in OBJECTIVES if front[name].notna().any()]
    table = front[[*measured, "source"]].join(settings)
    show_trials(table, "analysis-front", f"Trials on the Pareto front of {x} and {y}")
    _show_growth(both, pair)
    return clicked


def _choose(usual: Pair) -> Pair:
    names = list(OBJECTIVES)
    x, y = word("front-x", names, usual[0]), word("front-y", names, usual[1])
    left, right = st.columns(2)
    left.selectbox("Across", names, **mirrored("front-x", x, usual[0]))
    right.selectbox("Up", names, **mirrored("front-y", y, usual[1]))
    return x, y


def _show_front(
    results: pd.DataFrame,
    both: pd.DataFrame,
    pair: Pair,
    counts: pd.Series,
    chosen: Sequence[Key],
) -> str | None:
    first = counts.sort_values(kind="stable").head(MOST_DRAWN).index
    compared = both.index[both.index.isin([reference_of(trial) for trial in chosen])]
    drawn = first.union(compared, sort=False)
    x, y = (OBJECTIVES[name].title for name in pair)
    clicked = chart(
        pareto_figure(both.loc[drawn], pair, counts[drawn], chosen),
        key="analysis-pareto",
        alt=f"{y} over {x} of {len(drawn)} trials; {(counts == 0).sum()} are on the Pareto front, "
        f"{both[pair[0]].min():.4g} to {both.loc[counts == 0, pair[0]].max():.4g} along {x}",
        height=420,
    )
    notes = (
        "Both figures are the better the lower. Click a trial to open it. Filled: accepted; open: "
        "not; diamonds: compared.",
        cut_text(len(drawn), len(both), "those that the fewest dominate, and those compared"),
        left_out(results, dict(zip(pair, (x, y), strict=True))),
    )
    st.caption(" ".join(filter(None, notes)))
    return clicked


def _show_growth(both: pd.DataFrame, pair: Pair) -> None:
    within = box(places(both, pair))
    st.markdown("**Hypervolume over the trials**")
    x, y = (
        f"{OBJECTIVES[name].title} {value:{',.0f' if 1000 <= value < 1e15 else '.4g'}}"
        for name, value in zip(pair, within.reference, strict=True)
    )
    if not within.measures:
        st.info(
            f"Between the best of both figures and the reference point {x}, {y} lies no area that "
            "can be measured, so no hypervolume is drawn."
        )
        return
    last = both.groupby("search")["number"].max()
    figure = hypervolume_figure(both, pair, within)
    ends = ", ".join(f"{line['name']} {line['y'][-1]:.1%}" for line in figure["data"][:8])
    chart(
        figure,
        key="analysis-hypervolume",
        alt=f"Hypervolume by trial, after at most {last.max()} trials: {ends}",
        height=280,
    )
    st.caption(
        f"The area between the front so far and the reference point {x}, {y} (1.1 times the worst "
        "of the trials in scope), as a share of what a trial with the best of both would have."
    )
