"""The marks of the fact check under a text."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest

from tests.pages.conftest import words
from tests.pages.seed import EVIL


def drawn(text: str) -> str:
    def page(text: str) -> None:
        from nas_engine.store.table import TriedRow
        from pages._parts.facts import show_facts

        trials = [
            TriedRow(number, {"model.dropout": 0.1}, "completed", mse, True, "", 9.0, 3)
            for number, mse in enumerate((0.7, 0.4481))
        ]
        show_facts(text, trials)

    app = AppTest.from_function(page, kwargs={"text": text}).run()
    assert not app.exception, app.exception
    return words(app)


def test_figures_as_stored_are_counted_and_wrong_ones_are_told_with_the_stored_one() -> None:
    shown = drawn("trial 1 (0.4481) used dropout 0.1; trial 0 reached 0.35")
    assert "2 claims as stored" in shown
    assert "✕ trial 0: val\\_mse: says 0\\.35, stored 0\\.7" in shown


def test_nothing_is_drawn_where_nothing_can_be_checked() -> None:
    assert drawn("A wider model should help.") == ""


def test_what_a_text_says_is_marked_as_plain_text() -> None:
    shown = drawn(f"trial 1 was accepted {EVIL} trial 1 had dropout 0.7 {EVIL}")
    assert "![x]" not in shown
    assert "<img" not in shown
