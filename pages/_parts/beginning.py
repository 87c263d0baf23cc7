"""What the form of Start begins with: a search, what the address names, or what suits here."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import streamlit as st
from pydantic import ValidationError

from informer.config import ConfigError, Value, fields
from nas_engine.machine import gpus
from nas_engine.search import SearchSpec, default_planner
from nas_engine.settings import Settings
from nas_engine.space import value_of
from pages._parts.opening import is_number, stored
from pages._parts.text import plain

PLAIN = ("preset", "max_trials")
"""Fields of a search that the address may name beside its settings and `hours`."""


@dataclass(frozen=True)
class Origin:
    """What the form begins with."""

    spec: SearchSpec
    like: int | None = None  # the search
    named: Mapping[str, str] | None = None  # what the address names

    @property
    def form(self) -> str:
        """Prefix of the keys of the widgets: another beginning is another form."""
        if self.named:
            return f"start-{zlib.crc32(repr(sorted(self.named.items())).encode()):08x}"
        return "start" if self.like is None else f"start-like-{self.like}"


def origin(config: Settings) -> Origin:
    """Return what the form begins with; where what the address asks for is not valid, say so."""
    usual = SearchSpec(
        preset="paper" if gpus() else "small", planner=default_planner(config.has_key)
    )
    asked = st.query_params.get("like")
    if asked is None:
        return _named(usual, st.query_params.to_dict())
    with stored() as reader:
        like = reader.search(int(asked)) if reader and is_number(asked) else None
    if like is None:
        st.error(f"There is no search {plain(asked, 40)} in this workspace to start from.")
        return Origin(usual)
    try:
        like.spec.base()
    except ConfigError as error:
        st.error(plain(f"The settings of search {like.id} are no longer valid: {error}"))
        return Origin(usual)
    return Origin(like.spec, like.id)


def address(spec: SearchSpec) -> dict[str, str]:
    """Return the parts of an address with which the form begins as `spec`, as far as one can."""
    named = {
        key: value if isinstance(value, str) else json.dumps(value)
        for key, value in spec.settings.items()
    }
    named |= {name: str(getattr(spec, name)) for name in PLAIN}
    if spec.limits.hours is not None:
        named["hours"] = str(spec.limits.hours)
    return named


def _named(usual: SearchSpec, query: Mapping[str, str]) -> Origin:
    """Return the usual beginning, changed by what the address names."""
    keys = [*PLAIN, "hours", *fields()]
    named = {key: query[key] for key in keys if key in query}
    if not named:
        return Origin(usual)
    try:
        spec = SearchSpec.model_validate(
            {
                **usual.model_dump(),
                **{name: named[name] for name in PLAIN if name in named},
                "settings": {key: _value(key, named[key]) for key in fields() if key in named},
                "limits": {"hours": named.get("hours")},
            }
        )
        spec.base()
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        problem = f"{fault['loc'][-1]}: {fault['msg'][0].lower()}{fault['msg'][1:]}."
    except ConfigError as error:
        problem = str(error)
    else:
        return Origin(spec, named=named)
    st.error(plain(f"The form does not begin as this address asks: {problem}"))
    return Origin(usual)


def _value(key: str, text: str) -> Value:
    return text if fields()[key].type is str else value_of(text)
