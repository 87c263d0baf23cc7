"""Pages as AppTest runs them: in this process, without a browser."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator

import pytest
import streamlit as st
from streamlit.components.v2 import manifest_scanner
from streamlit.proto.WidgetStates_pb2 import WidgetStates
from streamlit.testing.v1 import AppTest

from nas_engine import liveness, supervisor
from nas_engine.commands import Command
from nas_engine.store import writer
from nas_engine.supervisor import Answer
from nas_engine.workspace import PROJECT, Workspace
from pages._parts import controls

PAGES = {  # that read the workspace
    "overview": "pages/search/overview.py",
    "first": "pages/search/first.py",
    "start": "pages/search/start.py",
    "live": "pages/search/live.py",
    "review": "pages/agent/review.py",
    "steer": "pages/agent/steer.py",
    "ask": "pages/agent/ask.py",
    "compare": "pages/runs/compare.py",
    "forecast": "pages/runs/forecast.py",
    "trial": "pages/runs/trial.py",
    "lineage": "pages/runs/lineage.py",
    "transcript": "pages/agent/transcript.py",
    "hindsight": "pages/agent/hindsight.py",
    "settings": "pages/settings/settings.py",
}
OF_NO_SEARCH = ("overview", "first", "start", "settings")
WITHOUT_A_WORKSPACE = {"data": "pages/data/data.py"}

Open = Callable[..., AppTest]


class Engine:
    """Takes commands in the place of a real engine and answers them."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.given: list[tuple[object, int | None]] = []

    def request(
        self,
        workspace: Workspace,
        command: Command,
        search_id: int | None,
        wait_seconds: float = 30.0,
    ) -> Answer:
        self.given.append((command, search_id))
        return self.answer


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    stand_in = Engine(Answer(True, "Done.", 1))
    monkeypatch.setattr(supervisor, "request", stand_in.request)
    monkeypatch.setattr("pages._parts.opening.request", stand_in.request)
    return stand_in


@pytest.fixture(scope="session", autouse=True)
def components() -> Iterator[None]:
    """Look for components in the installed packages once, not for each page: it takes longest."""
    found = functools.cache(manifest_scanner.scan_component_manifests)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest_scanner, "scan_component_manifests", found)
        yield


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no time pass for leases, however long a page takes to be drawn."""
    now = liveness.boot_clock()
    for module in (liveness, writer, controls):
        monkeypatch.setattr(module, "boot_clock", lambda: now)


@pytest.fixture
def open_page(still: None) -> Open:
    """Open a page of the dashboard by its address."""
    st.cache_data.clear()

    def open_(name: str, **query: str) -> AppTest:
        app = AppTest.from_file(str(PROJECT / "app.py"), default_timeout=30)
        app.run()
        for key, value in query.items():
            app.query_params[key] = value
        app.switch_page((PAGES | WITHOUT_A_WORKSPACE)[name]).run()
        assert not app.exception, app.exception
        return app

    return open_


def browser_states(app: AppTest, row: int | None = None) -> WidgetStates:
    """Return what a browser would send now, with a row of the first table selected or not."""
    states = app._tree.get_widget_states()
    if row is not None:
        selection = {"rows": [row], "columns": [], "cells": []}
        table = states.widgets.add(id=app.dataframe[0].proto.id)
        table.string_value = json.dumps({"selection": selection})
    return states


def words(app: AppTest) -> str:
    """Return all text of a page outside of charts and tables."""
    kinds = (
        *("title", "subheader", "markdown", "caption", "text", "code"),
        *("error", "warning", "info", "success"),
    )
    found = [str(getattr(element, "value", "")) for kind in kinds for element in app.get(kind)]
    found += [f"{metric.label} {metric.value} {metric.delta}" for metric in app.metric]
    found += [
        str(getattr(block, "label", ""))
        for kind in ("expander", "status")
        for block in app.get(kind)
    ]
    return "\n".join(found)


def figure(app: AppTest, index: int = 0) -> dict[str, object]:
    """Return the figure of a chart as it was sent to the browser."""
    chart = app.get("bidi_component")[index].proto
    data: dict[str, object] = json.loads(chart.json)["figure"]
    return data
