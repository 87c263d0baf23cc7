"""The section of Start that says what is wanted low, and what the Trial page tells of it."""

from __future__ import annotations

import pytest

from informer.orders import Timing
from nas_engine.commands import Start
from nas_engine.search import SearchSpec
from nas_engine.workspace import Workspace
from pages._parts.aims import start_text
from pages._parts.trial_costs import timing_text
from tests.pages import seed
from tests.pages.conftest import Engine, Open


def test_objectives_bounds_and_timing_go_into_the_search(open_page: Open, engine: Engine) -> None:
    app = open_page("start")
    assert not [box for box in app.number_input if "latency" in str(box.key)]
    app.button_group(key="start-objectives").set_value(["parameters"]).run()
    app.text_input(key="start-under").set_value("under 900k parameters and 5 ms").run()
    app.number_input(key="start-latency-batch").set_value(16).run()
    assert any("within the bounds of 900k parameters" in text.value for text in app.caption)
    app.button(key="start-go").click().run()
    [(command, _)] = engine.given
    assert isinstance(command, Start)
    assert command.spec.objectives == ("val_mse", "parameters")
    assert command.spec.at_most == {"parameters": 900_000, "latency_ms": 5}
    assert command.spec.timing == Timing(batch=16)


def test_bounds_that_cannot_be_read_are_told_and_nothing_is_started(
    open_page: Open, engine: Engine
) -> None:
    app = open_page("start")
    app.text_input(key="start-under").set_value("![x](http://198.51.100.7/x) fast").run()
    (told,) = [error.value for error in app.error]
    assert "is not clear" in told and "200k parameters, 5 ms" in told and "![x]" not in told
    app.button(key="start-go").click().run()
    assert engine.given == []


def test_pruning_with_several_objectives_is_refused_in_a_sentence(open_page: Open) -> None:
    app = open_page("start")
    app.button_group(key="start-objectives").set_value(["flops"]).run()
    app.button_group(key="start-pruning").set_value("hyperband").run()
    assert any(error.value.startswith("Pruning compares errors alone") for error in app.error)


def test_trial_0_is_held_against_the_bounds_before_anything_is_trained() -> None:
    spec = SearchSpec()
    assert start_text(spec, spec.base()) == ""
    kept = spec.model_copy(update={"at_most": {"parameters": 1e9}})
    assert "within the bounds of 1000M parameters" in start_text(kept, spec.base())
    broken = spec.model_copy(update={"at_most": {"parameters": 10.0, "latency_ms": 5.0}})
    text = start_text(broken, spec.base())
    assert "beyond the bounds" in text and text.endswith("trained all the same, as the reference.")


@pytest.mark.parametrize(
    ("number", "bounds", "latency"),
    [
        (2, "✓ Keeps the bounds: ", "1.6 ms"),
        (0, "✕ Breaks the bounds: ", "4.1 ms"),
        (6, "✕ Breaks the bounds: ", "12.3 ms"),  # too slow to be trained
        (7, "is not known yet; to be measured: Latency", "–"),  # trains now
    ],
)
def test_the_trial_page_tells_costs_and_whether_the_bounds_are_kept(
    open_page: Open, workspace: Workspace, number: int, bounds: str, latency: str
) -> None:
    search = seed.traded(workspace, at_most={"latency_ms": 4.0, "flops": 1e12})
    app = open_page("trial", trial=f"{search}.{number}")
    assert any(bounds in text.value for text in app.markdown)
    metrics = {metric.label: metric for metric in app.metric}
    assert metrics["Latency ↓"].value == latency
    assert "FLOPs a forecast" in metrics["Parameters"].delta


def test_without_objectives_or_bounds_the_trial_page_tells_no_latency(
    open_page: Open, workspace: Workspace
) -> None:
    seed.small(workspace)
    app = open_page("trial", trial="1.0")
    assert "Latency ↓" not in {metric.label for metric in app.metric}
    assert not any("the bounds" in text.value for text in app.markdown)


def test_how_a_latency_was_measured_is_told() -> None:
    assert timing_text(Timing(threads=2), "cpu") == "batch of 1 on cpu, 2 threads"
    assert timing_text(Timing(batch=8, device="cuda"), "cpu") == "batch of 8 on cuda"
    assert timing_text(Timing(), "NVIDIA H200") == "batch of 1 on NVIDIA H200"
    assert timing_text(Timing(), None) == "batch of 1 on the device that trains"
