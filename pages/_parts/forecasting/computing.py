"""Forecasts as they come: those that are there, how far others are, and what has failed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, cast

import streamlit as st

from nas_engine.hindcasts import Hindcast, Wanted, Working, begin, standing
from pages._parts.forecasting.choosing import Asked
from pages._parts.forecasting.figures import Forecaster
from pages._parts.opening import settings
from pages._parts.people import acting
from pages._parts.text import plain

TICK_SECONDS = 1.0
DIFFERS = 0.01
"""Share by which an error may differ from the recorded one: on another device, sums round
differently."""


def forecasters(asked: Sequence[Asked], key: str) -> list[Forecaster]:
    """Return those whose forecasts are there, and have the others computed.

    Args:
        asked: who is to forecast.
        key: of the place on the page, [a-z0-9_-].
    """
    found, pending = [], list[tuple[str, Wanted]]()
    for one in asked:
        if isinstance(one.wanted, str):
            st.warning(f"There are no forecasts of {plain(one.name)}: {plain(one.wanted)}")
            continue
        match _begun(one.wanted):
            case Hindcast() as made:
                role = cast('Literal["A", "B", "baseline"]', one.role)
                found.append(Forecaster(role, one.name, one.colour, one.dash, made))
                _show_difference(one, one.wanted, made)
            case Working():
                pending.append((one.name, one.wanted))
            case str(fault):
                _show_fault(one, one.wanted, fault, key)
    if pending:
        st.fragment(_show_progress, run_every=TICK_SECONDS)(pending)
    return _alike(found)


def _begun(wanted: Wanted) -> Hindcast | Working | str:
    folder = settings().workspace.forecasts
    if (found := standing(folder, wanted)) is not None:
        return found
    return begin(folder, wanted, settings()) or standing(folder, wanted) or Working()


def _show_progress(pending: Sequence[tuple[str, Wanted]]) -> None:
    """Draw how far the forecasts are; once one has ended, draw the page anew."""
    for name, wanted in pending:
        now = standing(settings().workspace.forecasts, wanted)
        if not isinstance(now, Working):
            st.rerun()
        share = now.done / now.of if now.of else 0.0
        where = f"window {now.done:,} of {now.of:,}" if now.of else "libraries and data are loaded"
        st.progress(share, text=f"Forecasts of {plain(name)}: {where}")
    st.caption("You may leave this page: the computation goes on, and is not begun twice.")


def _show_fault(one: Asked, wanted: Wanted, fault: str, key: str) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.error(f"The forecasts of {plain(one.name)} could not be computed: {plain(fault)}")
        st.button(
            "Try again",
            key=f"{key}-again-{one.role}",
            icon=":material/refresh:",
            on_click=_try_again,
            args=(wanted,),
            **acting(),
        )


def _try_again(wanted: Wanted) -> None:
    begin(settings().workspace.forecasts, wanted, settings())


def _show_difference(one: Asked, wanted: Wanted, made: Hindcast) -> None:
    """Say where the forecasts are not those that the training was judged by."""
    facts, recorded = made.facts, wanted.recorded
    if recorded is None or facts.mse is None or facts.every > 1:
        return
    if abs(facts.mse - recorded) > DIFFERS * recorded:
        st.warning(
            f"The forecasts of {plain(one.name)} have an MSE of {facts.mse:.4g}, but its training "
            f"recorded {recorded:.4g}: its weights or data are not what they were."
        )


def _alike(found: list[Forecaster]) -> list[Forecaster]:
    """Return those that forecast the same windows as the first; say which do not."""
    kept = []
    for one in found:
        if _windows(one.made) == _windows(found[0].made):
            kept.append(one)
        else:
            st.warning(f"{plain(one.name)} forecasts other windows and is left out.")
    return kept


def _windows(made: Hindcast) -> tuple[object, ...]:
    facts = made.facts
    return facts.windows, facts.every, facts.horizon, facts.columns, made.begins()[:1].tolist()
