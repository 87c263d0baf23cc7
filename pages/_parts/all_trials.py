"""The results of all trials of searches, kept until they change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from nas_engine.evaluator import Noise
from nas_engine.store import judging, trainings
from nas_engine.store.reader import Reader
from nas_engine.store.table import Pulse, Results, TriedRow, pulse, results, tried
from pages._parts.opening import settings

BY_MARK: dict[str | type, Callable[[Any], Any]] = {Results: lambda found: found.mark}
"""How what is computed from results is kept: by which reading of them it was."""


def all_results(reader: Reader, searches: Sequence[int]) -> Results:
    """Return the results of searches; not to be changed, since all sessions share them."""
    pulses = tuple(pulse(reader, search_id) for search_id in searches)
    return _results(str(settings().workspace.db), pulses, reader)


def mean_seconds_and_noise(reader: Reader, search_id: int) -> tuple[float | None, Noise | None]:
    """Return how long a trial takes and how far trainings of one lie apart; None: not known."""
    return _means(str(settings().workspace.db), pulse(reader, search_id), reader)


@st.cache_resource(max_entries=64, show_spinner=False)
def _means(db: str, of: Pulse, _reader: Reader) -> tuple[float | None, Noise | None]:
    return trainings.mean_trial_seconds(_reader, of.search_id), judging.noise(_reader, of.search_id)


@st.cache_resource(max_entries=8, show_spinner=False)
def _results(db: str, pulses: tuple[Pulse, ...], _reader: Reader) -> Results:
    return results(_reader, [row.search_id for row in pulses])


def all_tried(reader: Reader, search_id: int) -> list[TriedRow]:
    """Return all trials of a search as its proposals are checked against them."""
    return _tried(all_results(reader, [search_id]))


@st.cache_resource(max_entries=4, show_spinner=False, hash_funcs=BY_MARK)
def _tried(found: Results) -> list[TriedRow]:
    return tried(found)
