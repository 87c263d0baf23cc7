"""A trial to take home: its bundle, written when it is asked for, and the zip file of it."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import streamlit as st

from nas_engine.bundling import BundlingError, order_of, place, write, zip_of, zipped
from pages._parts.opening import searched, settings
from pages._parts.people import acting
from pages._parts.text import clock_text, plain, readable
from pages._parts.trial_view import View

MOST_BYTES = 2**28
"""Of a download, which stays in the memory of the dashboard while it is fetched."""
SAID = "trial-bundle-said"


def show_bundle(view: View) -> None:
    """Draw the button that writes the bundle, and what there is of it."""
    finished = [run.ended_at or 0.0 for run in view.runs if run.state == "completed"]
    if not finished:
        st.caption("No training of this trial has finished; a bundle needs its weights.")
        return
    folder = place(settings().workspace, view.search.id, view.trial.number)
    st.caption(
        "Everything that it takes to use this model elsewhere, to judge it and to train it again: "
        "weights, data facts (not the data), errors of all seeds, model card, the exchange that "
        "led to it, a program that predicts."
    )
    if st.button(
        "Write the bundle",
        key="trial-bundle-write",
        icon=":material/inventory_2:",
        **acting(
            help="Forecasts validation and test once more to check the weights: up to some minutes."
        ),
    ):
        with st.spinner("Writing the bundle…", show_time=True):
            step = st.empty()
            said = _write(view, folder, lambda doing: step.caption(f"Now {plain(doing)}."))
            step.empty()
            st.session_state[SAID] = (view.reference, said)
    about, said = st.session_state.get(SAID, ("", ""))
    if said and about == view.reference:
        st.error(plain(said))
    if (written_at := _written_at(folder)) is not None:
        _show_written(folder, written_at, stale=max(finished) > written_at)


def _write(view: View, folder: Path, on_step: Callable[[str], object]) -> str:
    """Write the bundle; return what stood in its way, nothing where it is there."""
    try:
        with searched() as reader:
            workspace = settings().workspace
            order = order_of(reader, settings(), workspace, view.trial, folder, replace=True)
        write(order, settings(), on_step=on_step)
        zipped(folder)
    except BundlingError as error:
        return f"No bundle was written: {error}"
    return ""


def _written_at(folder: Path) -> float | None:
    try:
        return zip_of(folder).stat().st_mtime
    except OSError:
        return None


def _show_written(folder: Path, written_at: float, stale: bool) -> None:
    path = zip_of(folder)
    size = path.stat().st_size
    if stale:
        st.warning("A training of this trial has finished since the bundle was written.")
    if size <= MOST_BYTES:
        st.download_button(
            f"Download ({size / 1e6:.1f} MB)",
            _content(path),
            file_name=path.name,
            mime="application/zip",
            key="trial-bundle-download",
            icon=":material/download:",
            on_click="ignore",
        )
    else:
        st.caption(f"It has {size / 1e6:,.0f} MB: copy it from the folder.")
    st.caption(f"Written {clock_text(written_at)} to this folder, and as a zip file beside it:")
    st.code(readable(str(folder)), language=None, wrap_lines=True)
    st.caption("Predict the real future of a file, and train it again to compare the errors:")
    st.code(commands(folder), language="bash", wrap_lines=True)


def _content(path: Path) -> Callable[[], bytes]:
    return path.read_bytes


def commands(folder: Path) -> str:
    """Return the two commands that a bundle is for."""
    name = shlex.quote(readable(str(folder)))
    return (
        f"python -m informer.predict --bundle {name} --input recent.csv --output forecast.csv\n"
        f"python -m nas_engine replay --bundle {name}"
    )
