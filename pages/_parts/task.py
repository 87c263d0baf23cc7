"""The task of a new search: data, columns, look-back and horizon, for the forms that start one."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import streamlit as st

from data.registry import DataError, Dataset, find, names
from data.source import on_this_machine
from informer.config import Value, fields
from pages._parts.forms import setting
from pages._parts.text import plain

LENGTHS = {
    "data.seq_len": "Look-back",
    "data.label_len": "Label length",
    "data.pred_len": "Horizon",
}
TASK_SETTINGS = ("data.dataset", "data.features", "data.target", *LENGTHS)


def choose_task(start: Mapping[str, Value], prefix: str) -> dict[str, Value]:
    """Let all of it be chosen; `start` is what the form begins with, by dotted key."""
    left, right = st.columns([1, 1])
    with left:
        facts = choose_dataset(start, prefix)
    with right:
        features = choose_features(start, prefix)
    show_dataset(facts)
    return {
        "data.dataset": facts.name,
        "data.features": features,
        "data.target": choose_target(facts, features, start, prefix),
        **choose_lengths(facts, start, prefix, LENGTHS),
    }


def choose_dataset(start: Mapping[str, Value], prefix: str) -> Dataset:
    """Let the data set be chosen and return its facts; where it is gone, say so and stop."""
    name = setting("data.dataset", first_choice(start), prefix, "Data set", names())
    try:
        return find(str(name))
    except DataError as error:  # it was removed since the list was drawn
        st.error(plain(str(error)))
        st.stop()


def show_dataset(facts: Dataset) -> None:
    """Say what the data set is."""
    st.caption(f"{plain(facts.description)}. {missing_file(facts)}")


def choose_features(start: Mapping[str, Value], prefix: str) -> Value:
    """Let it be chosen which columns are seen and forecast."""
    chosen: Value = st.segmented_control(
        "Features",
        fields()["data.features"].options or (),
        default=start["data.features"],
        required=True,
        key=f"{prefix}-features",
        help=fields()["data.features"].help,
    )
    return chosen


def choose_target(
    facts: Dataset, features: Value, start: Mapping[str, Value], prefix: str
) -> Value:
    """Return the target; it is asked for where one column is forecast."""
    same = facts.name == start["data.dataset"] and start["data.target"] in facts.targets
    target = start["data.target"] if same else facts.target
    if features == "M":
        return target
    return setting("data.target", target, prefix, "Target", facts.targets)


def choose_lengths(
    facts: Dataset, start: Mapping[str, Value], prefix: str, shown: Collection[str]
) -> dict[str, Value]:
    """Let the lengths be chosen that are `shown`, side by side; return these."""
    begins = lengths_in_mind(facts, start)
    if begins is not start:  # another form: widgets of this one may hold other lengths
        prefix = f"{prefix}-{facts.name}"
    chosen: dict[str, Value] = {}
    for column, key in zip(st.columns(len(shown)), shown, strict=True):
        with column:
            chosen[key] = setting(key, begins[key], prefix, LENGTHS[key])
    return chosen


def missing_file(facts: Dataset) -> str:
    """Return what is to be said where the file of a published data set is not on this machine."""
    if facts.url is None or on_this_machine(facts.name) is not None:
        return ""
    return (
        f"It is not on this machine yet: the search begins by downloading {facts.size / 1e6:.1f} "
        f"MB, as `python -m data.fetch {facts.name}` does beforehand."
    )


def lengths_in_mind(facts: Dataset, start: Mapping[str, Value]) -> Mapping[str, Value]:
    """Return what the form begins with, with the look-back and horizon recorded with the data set.

    They count where the form itself names no data set of this name, as that of another search does.
    """
    if facts.seq_len is None or facts.pred_len is None or start["data.dataset"] == facts.name:
        return start
    label = min(int(start["data.label_len"]), facts.seq_len)
    return {
        **start,
        "data.seq_len": facts.seq_len,
        "data.label_len": label,
        "data.pred_len": facts.pred_len,
    }


def first_choice(start: Mapping[str, Value]) -> Value:
    """Return the data set that the address asks for, else the one that the form begins with."""
    asked = st.query_params.get("dataset")
    return asked if asked in names() else start["data.dataset"]
