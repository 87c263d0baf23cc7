"""Who forecasts and on what: two trials, a baseline, and a part of the data, from the address."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

import streamlit as st

from nas_engine.hindcasts import Name, Part, Wanted, of_baseline, of_run
from nas_engine.store.reader import Reader
from nas_engine.store.rows import BaselineRow, SearchRow, TrialRow
from nas_engine.store.table import Pulse, Query, known, page, pulse
from pages._parts.address import mirrored, word
from pages._parts.choice import task_differences
from pages._parts.figures import MUTED, colour, dash
from pages._parts.opening import nothing_yet, settings
from pages._parts.selection import Key, reference_of, trial_of
from pages._parts.text import error_text, plain, value_text

NONE = "none"
PARTS: dict[Part, str] = {"val": "Validation", "test": "Test"}
BASELINES: tuple[Name, ...] = get_args(Name)
MOST_OPTIONS = 100  # trials that can be chosen from a list; any other can be typed


@dataclass(frozen=True)
class Asked:
    """One of those who forecast, before its forecasts are there."""

    role: str
    name: str
    colour: str
    dash: str
    wanted: Wanted | str  # or why it cannot forecast


@dataclass(frozen=True)
class Choice:
    """What the page is about."""

    search: SearchRow
    part: Part
    a: TrialRow
    b: TrialRow | None
    baseline: Name | None
    target: str


def choose(reader: Reader, search: SearchRow) -> Choice:
    """Draw the choice of trials, baseline and part; where there is nothing yet, stop the page."""
    searches = {row.id: row for row in reader.searches()}
    alike = [key for key, row in searches.items() if not task_differences([search, row])]
    pulses = tuple(pulse(reader, key) for key in alike)
    values = _best(reader, str(settings().workspace.db), pulses)
    place = st.columns([3, 3, 2, 2], vertical_alignment="bottom")
    a = _trial(reader, search, searches, values, "a", place[0], _first(search, values))
    if a is None:
        nothing_yet(
            "No trial of this search has a result yet; its forecasts come with the first.",
            search.id,
        )
        st.stop()
    second = _second(search, values, (a.search_id, a.number))
    b = _trial(reader, search, searches, values, "b", place[1], second)
    baseline = _baseline(reader.baselines(search.id), place[2])
    part = word("part", PARTS, "val")
    with place[3]:
        st.segmented_control(
            "Windows of",
            list(PARTS),
            required=True,
            format_func=PARTS.__getitem__,
            help="All windows of this part; no part of a search reads those of test.",
            **mirrored("part", part, "val"),
        )
    if part == "test":
        st.caption("Test data: no part of a search reads it. Choose nothing by what you see here.")
    return Choice(search, part, a, b, baseline, str(search.spec.start()["data.target"]))


def _first(search: SearchRow, values: Mapping[Key, float]) -> Key | None:
    """Return the incumbent, else the best trial of the search."""
    own = [key for key in values if key[0] == search.id]
    incumbent = (search.id, search.incumbent if search.incumbent is not None else -1)
    return incumbent if incumbent[1] >= 0 else next(iter(own), None)


def _second(search: SearchRow, values: Mapping[Key, float], first: Key) -> Key | None:
    """Return trial 0 of the search, else the best that is not the first."""
    own = [key for key in values if key[0] == search.id and key != first]
    return (search.id, 0) if (search.id, 0) in own else next(iter(own), None)


@st.cache_data(max_entries=16, show_spinner=False)
def _best(_reader: Reader, db: str, pulses: tuple[Pulse, ...]) -> dict[Key, float]:
    """Return the trials with the lowest val_mse, and trial 0 of each search."""
    searches = tuple(row.search_id for row in pulses)
    rows = page(_reader, Query(searches, sort="val_mse", limit=MOST_OPTIONS))
    rows += _reader.listed([(search, 0) for search in searches])
    found = {(row.search_id, row.number): row.val_mse for row in rows}
    return {key: value for key, value in found.items() if value is not None}


def _trial(
    reader: Reader,
    search: SearchRow,
    searches: Mapping[int, SearchRow],
    values: Mapping[Key, float],
    name: str,
    place: st.delta_generator.DeltaGenerator,
    default: Key | None,
) -> TrialRow | None:
    """Draw the choice of a trial; any of the same task may be typed, listed or not."""
    asked = st.query_params.get(name)
    key, fault = default, ""
    if asked is not None:
        key, fault = _named(reader, search, searches, asked, default)
    if fault:
        st.error(fault)
    listed = [reference_of(one) for one in values]
    held = NONE if key is None else reference_of(key)
    options = list(dict.fromkeys([held, *listed, *([NONE] if name == "b" else [])]))
    incumbents = {reference_of((row.id, row.incumbent or 0)) for row in searches.values()}

    def label(option: str) -> str:
        of = trial_of(option)
        if of is None:
            return "nobody" if option == NONE else option
        star = " ★" if option in incumbents and searches[of[0]].incumbent is not None else ""
        return f"{option}{star} · val_mse {error_text(values[of])}" if of in values else option

    shown = mirrored(name, held, None if default is None else reference_of(default))
    place.selectbox(
        f"Trial {name.upper()}",
        options,
        format_func=label,
        accept_new_options=True,
        help="Of this search, or of another with the same task. Type search and number, such as "
        "1.5, for one that is not listed.",
        **shown,
    )
    return None if key is None else next(iter(reader.listed([key])), None)


def _named(
    reader: Reader,
    search: SearchRow,
    searches: Mapping[int, SearchRow],
    asked: str,
    default: Key | None,
) -> tuple[Key | None, str]:
    """Return the trial that the address names, or the default and what is wrong with it."""
    if asked == NONE:
        return None, ""
    key = trial_of(asked, search.id)
    if key is None or not known(reader, [key]):
        return default, f"There is no trial {plain(asked, 40)} in this workspace."
    if differing := task_differences([search, searches[key[0]]]):
        facts = "; ".join(
            f"{name.rpartition('.')[2]} {value_text(one)} there, {value_text(here)} here"
            for name, (here, one) in differing.items()
        )
        return default, f"Trial {plain(asked, 40)} is of another task: {plain(facts, 300)}."
    return key, ""


def _baseline(rows: Sequence[BaselineRow], place: st.delta_generator.DeltaGenerator) -> Name | None:
    ranked = [row.name for row in rows if row.split == "val"]  # the best first
    best = next((name for found in ranked for name in BASELINES if name == found), BASELINES[-1])
    chosen = word("base", [*BASELINES, NONE], best)
    place.selectbox(
        "Baseline",
        [*BASELINES, NONE],
        help="A forecast without training, from the look-back that the search began with.",
        **mirrored("base", chosen, best),
    )
    return next((name for name in BASELINES if name == chosen), None)


# -- what is asked of them ----------------------------------------------------------------------


def asked_of(reader: Reader, choice: Choice, part: Part) -> list[Asked]:
    """Return those who are to forecast a part, A first."""
    found = [_of_trial(reader, "A", choice.a, choice.search, part)]
    if choice.b is not None and _key(choice.b) != _key(choice.a):
        found.append(_of_trial(reader, "B", choice.b, choice.search, part))
    if choice.baseline is not None:
        wanted = of_baseline(choice.search.spec.base(), choice.baseline, part)
        found.append(Asked("baseline", choice.baseline, MUTED, "dot", wanted))
    return found


def _key(trial: TrialRow) -> Key:
    return trial.search_id, trial.number


def _of_trial(reader: Reader, role: str, trial: TrialRow, search: SearchRow, part: Part) -> Asked:
    """Return a trial as the run that stands for it forecasts."""
    key, first = _key(trial), int(trial.config["training.seed"])
    seeds = [run.seed for run in reader.runs(*key) if run.id == trial.run_id]
    wanted: Wanted | str = "No training was begun for this trial."
    if seeds:
        wanted = of_run(settings().workspace.seed_dir(*key, first, seeds[0]), part)
    star = " ★" if key == (search.id, search.incumbent) else ""
    name = f"trial {reference_of(key)}{star}"
    ink, line = colour(trial.number, trial.search_id), dash(trial.number, trial.search_id)
    return Asked(role, name, ink, line, wanted)
