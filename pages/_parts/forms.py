"""Widgets for settings, generated from the definition in `informer/config.py`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TypeVar

import streamlit as st
from pydantic import BaseModel, ValidationError

from informer.config import Interval, Value, fields
from pages._parts.text import plain

Figures = TypeVar("Figures", bound=BaseModel)

SECTIONS = {"data": "Data", "model": "Architecture", "training": "Training"}


def widget_key(key: str, prefix: str) -> str:
    """Return the key of the widget of a setting."""
    return f"{prefix}-{key.replace('.', '-').lower()}"


def held_settings(keys: Iterable[str], prefix: str) -> dict[str, Value]:
    """Return what the widgets of these settings hold, for callbacks; those not drawn are left out.

    A value may have been typed in the same moment in which a button was pressed.
    """
    held = {key: st.session_state.get(widget_key(key, prefix)) for key in keys}
    return {key: fields()[key].type(value) for key, value in held.items() if value is not None}


def setting(
    key: str,
    value: Value,
    prefix: str,
    label: str | None = None,
    options: Iterable[Value] | None = None,
) -> Value:
    """Draw the widget of one setting and return what it holds.

    Args:
        key: dotted key of the setting.
        value: what the widget begins with.
        prefix: of the widget's key, unique to the page and the form.
        label: in place of the dotted key.
        options: the valid values, where they depend on other settings.
    """
    field, widget = fields()[key], widget_key(key, prefix)
    shown = label or f"`{key}`"
    choices = list(options if options is not None else field.options or ())
    if field.type is bool:
        return st.toggle(shown, bool(value), key=widget, help=field.help)
    if choices:
        index = choices.index(value) if value in choices else 0
        chosen: Value = st.selectbox(shown, choices, index, key=widget, help=field.help)
        return chosen
    low, high = field.low, field.high
    if field.type is int:
        return int(
            st.number_input(
                shown,
                min_value=None if low is None else int(low),
                max_value=None if high is None else int(high),
                value=int(value),
                step=1,
                key=widget,
                help=field.help,
            )
        )
    if field.type is float:
        log = isinstance(field.search, Interval) and field.search.log
        return float(
            st.number_input(
                shown,
                min_value=low,
                max_value=high,
                value=float(value),
                step=1e-5 if log or (high == 1.0 and float(value) < 1e-3) else 0.01,
                format="%g",
                key=widget,
                help=field.help,
            )
        )
    return st.text_input(shown, str(value), key=widget, help=field.help)


def settings_by_section(
    keys: Iterable[str], values: Mapping[str, Value], prefix: str, faulty: Collection[str] = ()
) -> dict[str, Value]:
    """Draw the widgets of `keys` under the headings of their sections and return their values."""
    wanted = list(keys)
    held: dict[str, Value] = {}
    for section, heading in SECTIONS.items():
        inside = [key for key in wanted if key.startswith(f"{section}.")]
        if inside:
            st.markdown(f"**{heading}**")
            held |= settings_in_grid(inside, values, prefix, faulty)
    return held


def settings_in_grid(
    keys: Iterable[str], values: Mapping[str, Value], prefix: str, faulty: Collection[str] = ()
) -> dict[str, Value]:
    """Draw the widgets of `keys` side by side, the faulty ones marked, and return their values."""
    held: dict[str, Value] = {}
    with st.grid(4, min_column_width=190, vertical_alignment="bottom"):
        for key in keys:
            label = f":red[**✕** {key}]" if key in faulty else None
            held[key] = setting(key, values[key], prefix, label)
    return held


def figures_in_grid(start: Figures, prefix: str) -> Figures:
    """Draw a number for each field of a flat model of figures and return the model they make.

    An empty number stands for None, where the field may be None. What the model refuses is said,
    and the page ends there.
    """
    held: dict[str, float | int | None] = {}
    with st.grid(4, min_column_width=190, vertical_alignment="bottom"):
        for name, field in type(start).model_fields.items():
            value = getattr(start, name)
            whole = field.annotation in (int, int | None)
            held[name] = st.number_input(
                field.description or name,
                value=value,
                step=1 if whole else None,
                format="%d" if whole else "%g",
                key=f"{prefix}-{name}",
                placeholder="empty",
            )
    try:
        return type(start).model_validate(held)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        label = type(start).model_fields[str(fault["loc"][0])].description
        st.error(plain(f"{label}: {fault['msg']}."))
        st.stop()
