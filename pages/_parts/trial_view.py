"""One trial as its page shows it: which one the address names, and what is read of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import streamlit as st

from informer.config import Value
from informer.rundir import RunDir
from nas_engine.evaluator import Figures, Noise
from nas_engine.liveness import LIVING, EngineState, engine_state
from nas_engine.standing import as_seen
from nas_engine.store import judging, trainings
from nas_engine.store.lineage import neighbours
from nas_engine.store.reader import Reader
from nas_engine.store.rows import BaselineRow, RunRow, SearchRow, TrainingRow, TrialRow
from pages._parts.all_trials import mean_seconds_and_noise
from pages._parts.effects import Effect, effect
from pages._parts.opening import NO_TRIAL, nothing_yet, search_labels, searched, settings
from pages._parts.selection import reference_of, trial_of
from pages._parts.text import plain, readable


@dataclass(frozen=True)
class View:
    """A trial with what stands around it."""

    search: SearchRow
    engine: EngineState
    trial: TrialRow
    parent: TrialRow | None
    incumbent: TrialRow | None
    before: int | None  # number of the trial before this one
    after: int | None
    runs: list[RunRow]  # from scratch: those of which it has its figures
    inherited: list[RunRow]  # begun with the weights of another trial
    training: list[TrainingRow]  # what trains of it now
    baselines: list[BaselineRow]
    noise: Noise | None
    used: Figures | None  # what its verdict used

    @property
    def reference(self) -> str:
        """What names it in addresses."""
        return reference_of((self.search.id, self.trial.number))

    @property
    def lives(self) -> bool:
        """Whether an engine works on its search."""
        return self.engine in LIVING

    @property
    def ticking(self) -> bool:
        """Whether the page changes by itself."""
        return self.lives and self.trial.ended_at is None

    @property
    def before_change(self) -> dict[str, Value]:
        """The configuration that was changed."""
        return self.search.spec.start() if self.parent is None else self.parent.config

    @property
    def baseline(self) -> BaselineRow | None:
        """The best baseline on validation data."""
        return next((row for row in self.baselines if row.split == "val"), None)

    @property
    def mark(self) -> tuple[object, ...]:
        """What changes with anything that a trial at rest shows."""
        trial, search = self.trial, self.search
        return (
            *(trial.state, trial.trial_version, trial.seeds, trial.verdict, trial.decision),
            *(search.incumbent, search.version, self.engine, self.after),
        )

    def against(self, other: TrialRow | None) -> Effect:
        """Compare its val_mse with that of another trial."""
        if other is None or other.number == self.trial.number:
            return Effect(None, None)
        return effect(
            self.trial.val_mse,
            self.trial.seeds,
            other.val_mse,
            other.seeds,
            self.noise,
            self.search.spec.rules.noise_multiple,
        )

    def folder(self, seed: int) -> RunDir:
        """Return the run folder of its training with a seed."""
        first = int(self.trial.config["training.seed"])
        return settings().workspace.seed_dir(self.search.id, self.trial.number, first, seed)


def read(search_id: int, number: int) -> View:
    """Read a trial; where it or its search does not exist, say so and stop the page."""
    with searched() as reader:
        search = reader.search(search_id)
        if search is None:
            st.error(f"There is no search {search_id} in this workspace.")
            st.stop()
        engine = engine_state(reader.engine(search_id))
        found = {
            row.number: row
            for row in as_seen(reader.listed(_around(reader, search, number)), engine)
        }
        if number not in found:
            st.error(f"Search {search_id} has no trial {number}.")
            st.stop()
        trial = found[number]
        before, after = neighbours(reader, search_id, number)
        runs = reader.runs(search_id, number, every=True)
        return View(
            search=search,
            engine=engine,
            trial=trial,
            parent=found.get(_parent(trial)),
            incumbent=None if search.incumbent is None else found.get(search.incumbent),
            before=before,
            after=after,
            runs=[run for run in runs if run.kind == "scratch"],
            inherited=[run for run in runs if run.kind != "scratch"],
            training=[row for row in trainings.training(reader, search_id) if row.number == number],
            baselines=reader.baselines(search_id),
            noise=mean_seconds_and_noise(reader, search_id)[1],
            used=judging.judged_by(reader, search_id, number).get(number),
        )


def _around(reader: Reader, search: SearchRow, number: int) -> list[tuple[int, int]]:
    trial = reader.trial(search.id, number)
    others = [search.incumbent, *([] if trial is None else [_parent(trial)])]
    return [(search.id, n) for n in dict.fromkeys([number, *others]) if n is not None]


def _parent(trial: TrialRow) -> int:
    """Return the trial that was changed; -1, which there never is, for trial 0.

    A proposal that names none changes the starting configuration, that of trial 0.
    """
    if trial.number == 0:
        return -1
    return 0 if trial.parent is None else trial.parent


# -- which training -----------------------------------------------------------------------------


def choose_folder(view: View, key: str) -> RunDir | None:
    """Let a person choose one of the trainings and return its folder, where there is one."""
    if not view.runs:
        st.caption("No training from scratch was begun for this trial, so it has no folder.")
        return None
    seeds = [run.seed for run in view.runs]
    seed = seeds[0]
    if len(seeds) > 1:
        chosen = st.segmented_control(
            "Seed", seeds, default=seed, required=True, format_func="seed {}".format, key=key
        )
        seed = seed if chosen is None else chosen
    folder = view.folder(seed)
    if not folder.path.is_dir():
        st.caption("This run has no folder on this machine:")
        st.code(readable(str(folder.path)), language=None, wrap_lines=True)
        return None
    return folder


# -- which trial --------------------------------------------------------------------------------


def choose_trial(title: str) -> tuple[int, int]:
    """Draw the page's head and return search and number of the trial to show.

    It is the address's, else the incumbent or the newest of the search last seen.
    """
    with searched(title) as reader:
        searches = {row.id: row for row in reader.searches()}
        labels = search_labels(reader, searches.values())
        search, number, fault = _asked(searches)
        last = None if search is None else neighbours(reader, search.id, 10**9)[0]
    if search is not None and number is None:
        number = search.incumbent if search.incumbent is not None else last
    _draw_head(title, labels, search, number, last)
    if search is None:
        st.error(fault)
        st.stop()
    st.session_state["chosen-search"] = search.id
    if number is None:
        nothing_yet(NO_TRIAL, search.id)
        st.stop()
    st.query_params.from_dict({"trial": f"{search.id}.{number}"})
    return search.id, number


def _asked(searches: Mapping[int, SearchRow]) -> tuple[SearchRow | None, int | None, str]:
    """Return the search and the number that the address names, or what is wrong with it."""
    reference, of_search = st.query_params.get("trial"), st.query_params.get("search")
    if reference is not None:
        if (named := trial_of(reference)) is None:
            return (
                None,
                None,
                f"{plain(reference, 40)} names no trial; a trial is named by its search and its "
                "number, such as 1.5.",
            )
        search_id, number = named
        return searches.get(search_id), number, f"There is no search {search_id} in this workspace."
    known = {str(search_id): search for search_id, search in searches.items()}
    if of_search is not None:
        fault = f"There is no search {plain(of_search, 40)} in this workspace."
        return known.get(of_search), None, fault
    newest = next(iter(searches.values()))
    return known.get(str(st.session_state.get("chosen-search")), newest), None, ""


def _draw_head(
    title: str,
    labels: Mapping[int, str],
    search: SearchRow | None,
    number: int | None,
    last: int | None,
) -> None:
    left, middle, right = st.columns([3, 4, 1], vertical_alignment="bottom")
    left.title(title, anchor=False)
    st.session_state["trial-search"] = None if search is None else search.id
    middle.selectbox(
        "Search",
        list(labels),
        format_func=labels.__getitem__,
        key="trial-search",
        placeholder="Choose a search",
        label_visibility="collapsed",
        on_change=_go_to_search,
    )
    if last is not None and search is not None:
        known = number is not None and number <= last
        st.session_state["trial-number"] = number if known else None
        right.number_input(
            "Trial",
            0,
            last,
            key="trial-number",
            label_visibility="collapsed",
            placeholder="Trial",
            on_change=_go_to_number,
            args=(search.id,),
        )


def _go_to_search() -> None:
    st.query_params.from_dict({"search": str(st.session_state["trial-search"])})


def _go_to_number(search_id: int) -> None:
    number = st.session_state["trial-number"]
    if number is not None:
        st.query_params.from_dict({"trial": f"{search_id}.{number}"})
