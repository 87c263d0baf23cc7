"""The address of a page as the one place of its state: widgets mirror it.

What a person sets is written there at once, and the next run of the page reads it, so that a copy
of the address shows the same in another browser. Streamlit's own binding would write labels instead
of names, and carry the values on to the other pages.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any, TypeVar

import streamlit as st

Name = TypeVar("Name", bound=str)


def word(name: str, options: Collection[Name], default: Name) -> Name:
    """Return which of `options` the address names, else `default`."""
    asked = st.query_params.get(name)
    return next((option for option in options if option == asked), default)


def flag(name: str) -> bool:
    """Tell whether the address asks for something that is not done unasked."""
    return st.query_params.get(name) == "yes"


def number(name: str, default: float, low: float, high: float) -> float:
    """Return the number that the address names, brought into bounds, else `default`."""
    try:
        asked = float(st.query_params[name])
    except (KeyError, ValueError):
        return default
    return min(max(asked, low), high) if math.isfinite(asked) else default


def words(name: str) -> list[str]:
    """Return the words of a list in the address, each once."""
    text = st.query_params.get(name, "")
    return list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def mirrored(name: str, value: object, default: object = "", drops: str = "") -> dict[str, Any]:
    """Return the arguments of a widget that shows `value` and writes what is set to the address.

    Args:
        name: in the address; the widget's key is `compare-NAME`.
        value: that the widget shows.
        default: that needs no place in the address.
        drops: what else of the address no longer holds once the value changes.
    """
    key = f"compare-{name}"
    st.session_state[key] = value
    return {"key": key, "on_change": _keep, "args": (name, default, drops)}


def write(name: str, value: object, default: object = "") -> None:
    """Put a value into the address; the default needs no place there."""
    if value is None or value == default or value == []:
        st.query_params.pop(name, None)
    else:
        st.query_params[name] = _text(value)


def _keep(name: str, default: object, drops: str) -> None:
    write(name, st.session_state[f"compare-{name}"], default)
    st.query_params.pop(drops, None)


def _text(value: object) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:g}"
        case list() | tuple():
            return ",".join(map(_text, value))
        case _:
            return str(value)
