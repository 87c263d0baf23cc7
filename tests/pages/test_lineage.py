"""The tree of changes: how it is read, built from any rows, drawn, and shown on its page."""

from __future__ import annotations

import sqlite3
from typing import Any

import plotly.graph_objects as go
import pytest

from informer.config import Value
from nas_engine.evaluator import Noise
from nas_engine.store.lineage import Counts, Step, children, family, neighbours, offspring
from nas_engine.store.reader import Reader, reading
from nas_engine.workspace import Workspace
from pages._parts.effects import Effect, effect
from pages._parts.lineage import build, change, change_effect, layout, since_start
from pages._parts.lineage_chart import Edge, described, height, lineage, outline_frame, steps_frame
from tests.pages import seed
from tests.pages.conftest import Open, figure, words


def step(
    number: int,
    parent: int | None,
    val_mse: float | None = 0.5,
    accepted: bool | None = True,
    **changes: Value,
) -> Step:
    return Step(
        number=number,
        parent=parent,
        state="completed" if val_mse is not None else "failed",
        accepted=accepted,
        source="tpe",
        val_mse=val_mse,
        seeds=1,
        changes={f"model.{key}": value for key, value in changes.items()},
        differences={f"model.{key}": value for key, value in changes.items()},
    )


SOUND = [step(0, None, 0.7), step(1, 0, 0.5, d_ff=64), step(2, 0, 0.6), step(4, 1, 0.4, d_ff=128)]


# -- what is read -------------------------------------------------------------------------------


def test_accepted_trials_are_read_with_what_leads_to_them(workspace: Workspace) -> None:
    search_id = seed.eventful(workspace)
    with reading(workspace) as reader:
        assert reader is not None
        assert [row.number for row in family(reader, search_id, 300, rejected=False)] == [0, 1, 6]
        everything = family(reader, search_id, 300, rejected=True)
        assert [row.number for row in everything] == [0, 1, 2, 3, 4, 5, 6]
        assert everything[4].changes == {
            "training.optimizer_params.lr": 0.0005,
            "data.batch_size": 64,
        }
        assert offspring(reader, search_id) == {
            None: Counts(1, 0, 0),
            0: Counts(1, 0, 0),
            1: Counts(1, 4, 0),
            6: Counts(0, 0, 2),
        }
        assert [row.number for row in children(reader, search_id, 1)] == [2, 3, 4, 5, 6]
        assert children(reader, search_id, 8) == []
        assert neighbours(reader, search_id, 0) == (None, 1)
        assert neighbours(reader, search_id, 8) == (7, None)


def test_only_the_best_are_read_and_their_ancestors(workspace: Workspace) -> None:
    search_id = seed.small(workspace, trials=5)
    with reading(workspace) as reader:
        assert reader is not None
        best_only = family(reader, search_id, 1, rejected=False)
        assert [row.number for row in best_only] == [0, 4]


# -- effects ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text", "colour"),
    [
        (0.45, "▼ 10.00 % better", "green"),
        (0.55, "▲ 10.00 % worse", "red"),
        (0.5, "≈ the same", "gray"),
        (None, "– no result to compare", "gray"),
    ],
)
def test_an_effect_is_said_in_words_and_symbols(
    value: float | None, text: str, colour: str
) -> None:
    found = effect(value, 1, 0.5, 1, None, 2.0)
    assert (found.text, found.colour) == (text, colour)


def test_an_effect_inside_the_noise_is_called_so() -> None:
    found = effect(0.49, 1, 0.5, 3, Noise(0.02, 4), 2.0)
    assert found.text == "≈ 2.00 % better, inside the noise" and found.colour == "gray"
    assert effect(0.3, 1, 0.5, 3, Noise(0.02, 4), 2.0).text == "▼ 40.00 % better"


# -- the tree -----------------------------------------------------------------------------------


def test_the_path_to_the_incumbent_is_drawn_first() -> None:
    tree = build(SOUND, 4)
    assert tree.path == [0, 1, 4] and tree.faults == []
    assert tree.order() == [(0, 0), (1, 1), (4, 2), (2, 1)]
    assert layout(tree) == {0: (0, 0), 1: (0, 1), 4: (0, 2), 2: (1, 1)}
    assert since_start(tree, 4) == pytest.approx(3 / 7)
    assert change(tree, 4, {"model.d_ff": 256}) == "d_ff 64 → 128"
    assert change(tree, 1, {"model.d_ff": 256}) == "d_ff 256 → 64"
    assert change_effect(tree, 4, None, 2.0).improvement == pytest.approx(0.2)
    assert change_effect(tree, 0, None, 2.0) == Effect(None, None)


def test_a_circle_and_an_unknown_parent_are_told_and_drawn_apart() -> None:
    damaged = [*SOUND, step(5, 7), step(6, 5), step(7, 6), step(8, 99), step(9, 9)]
    tree = build(damaged, 4)
    assert tree.roots == [0, 5, 8, 9]
    assert len(tree.order()) == len(damaged)
    assert "Trial 5 descends from itself (trials 5, 6, 7)" in " ".join(tree.faults)
    assert "Trial 8 names trial 99 as its parent" in " ".join(tree.faults)
    assert "Trial 9 descends from itself" in " ".join(tree.faults)


def test_places_are_taken_once_and_lines_do_not_cross() -> None:
    many = [step(0, None), *(step(n, (n - 1) // 3, 0.5 - n / 1000) for n in range(1, 200))]
    tree = build(many, 199)
    places = layout(tree)
    assert len(set(places.values())) == len(many)
    for depth in {depth for _, depth in places.values()}:
        row = sorted((column, n) for n, (column, at) in places.items() if at == depth)
        above = [places[p][0] for _, n in row if (p := tree.parents[n]) is not None]
        assert above == sorted(above)


def test_about_as_many_are_drawn_as_are_asked_for_and_none_without_its_parent() -> None:
    many = [step(0, None), *(step(n, n // 2, 1.0 / n) for n in range(1, 2000))]
    tree = build(many, 1999, most=50)
    assert len(tree.steps) <= 50 and {0, 1999} <= set(tree.steps)
    assert all(p is None or p in tree.steps for p in tree.parents.values())
    long = [step(0, None), *(step(n, n - 1) for n in range(1, 400))]
    assert len(build(long, 399, most=50).path) == 400


def test_an_empty_tree_and_a_single_trial_are_laid_out() -> None:
    assert layout(build([], None)) == {}
    alone = build([step(0, None, None, None)], None)
    assert layout(alone) == {0: (0, 0)} and alone.path == []
    assert "there is no incumbent" in described(alone, 0)
    go.Figure(lineage(alone, {}, {}, 1))


# -- the figure ---------------------------------------------------------------------------------


def drawn(most: int = 300, **more: Any) -> dict[str, Any]:
    tree = build(SOUND, 4, most)
    edges = {
        n: Edge(change(tree, n, {}), change_effect(tree, n, None, 2.0)) for n in tree.steps if n
    }
    return lineage(tree, edges, {1: 14}, 3, **more)


def test_plotly_accepts_the_tree_and_a_click_names_the_trial() -> None:
    made = drawn()
    go.Figure(made)
    nodes = made["data"][-1]
    assert nodes["customdata"] == ["3.0", "3.1", "3.2", "3.4"]
    assert nodes["marker"]["symbol"] == ["circle", "circle", "circle", "star"]
    assert "+14 rejected" in nodes["text"][1]
    labels = next(trace for trace in made["data"] if trace["mode"] == "text")
    assert any("▼ 20.00 % better" in text for text in labels["text"])


def test_hostile_names_of_settings_stay_text() -> None:
    tree = build([step(0, None), step(1, 0, 0.4, evil="<img src=x>")], 1)
    edges = {1: Edge(change(tree, 1, {}), Effect(0.2, None))}
    text = str(lineage(tree, edges, {}, 1)["data"])
    assert "<img" not in text and "&lt;img" in text


def test_a_deep_tree_is_no_taller_than_a_screen_can_scroll() -> None:
    deep = build([step(0, None), *(step(n, n - 1) for n in range(1, 300))], 299)
    assert height(deep) <= 2400
    go.Figure(lineage(deep, {}, {}, 1))


def test_the_tables_say_the_same() -> None:
    tree = build(SOUND, 4)
    edges = {n: Edge(change(tree, n, {}), change_effect(tree, n, None, 2.0)) for n in (1, 2, 4)}
    path = steps_frame(tree, edges, 1)
    assert list(path["Trial"]) == ["0", "1", "4 ★"]
    assert list(path["Since trial 0"]) == ["–", "▼ 28.57 % better", "▼ 42.86 % better"]
    outline = outline_frame(tree, edges, {1: 14}, 1)
    assert list(outline["Trial"]) == ["0", "· 1", "· · 4 ★", "· 2"]
    assert outline.loc[1, "Not drawn"] == "+14 rejected"
    assert outline.loc[3, "Open"] == "./trial?trial=1.2"


# -- the page -----------------------------------------------------------------------------------


def test_the_page_draws_the_accepted_and_counts_the_rejected(
    open_page: Open, workspace: Workspace
) -> None:
    search_id = seed.eventful(workspace)
    app = open_page("lineage", search=str(search_id))
    assert "3 accepted · 4 rejected, failed or ended early · 2 not judged yet" in words(app)
    assert "2 changes from the start, val_mse −44.72 %" in words(app)
    assert list(app.dataframe[0].value["Trial"]) == ["0", "1", "6 ★"]
    assert "seq_len 96 → 168" in app.dataframe[0].value.loc[2, "Change"]
    app.toggle(key="lineage-rejected").set_value(True).run()
    assert app.query_params["rejected"] in ("1", ["1"])
    assert len(app.dataframe[1].value) == 7
    assert "+4 rejected" not in str(figure(app))


def test_each_odd_search_is_told(open_page: Open, workspace: Workspace) -> None:
    empty = seed.untouched(workspace)
    assert "No trial of this search has begun yet." in words(
        open_page("lineage", search=str(empty))
    )
    failed = seed.all_failed(workspace)
    assert "No trial has been accepted yet" in words(open_page("lineage", search=str(failed)))
    alone = seed.small(workspace)
    assert "no change has helped yet" in words(open_page("lineage", search=str(alone)))


def test_of_thousands_the_best_are_drawn_and_all_are_counted(
    open_page: Open, workspace: Workspace
) -> None:
    search_id = seed.small(workspace, trials=2)
    many(workspace, search_id, 3000)
    with reading(workspace) as reader:
        assert reader is not None
        tree = build(family(reader, search_id, 300, rejected=True), 1)
        assert len(tree.steps) == len(layout(tree)) == 300
        assert total(reader, search_id) == 3000
    app = open_page("lineage", search=str(search_id), rejected="1")
    verdicts = list(app.dataframe[-1].value["Verdict"])
    assert "✕ rejected" in verdicts and "✓ accepted" in verdicts and len(verdicts) <= 300
    assert "accepted trials are left out" in words(app)


def total(reader: Reader, search_id: int) -> int:
    found = offspring(reader, search_id).values()
    return sum(counts.accepted + counts.rejected + counts.open for counts in found)


def many(workspace: Workspace, search_id: int, trials: int) -> None:
    """Let a search have so many trials, copies of its last, each third one accepted."""
    with sqlite3.connect(workspace.db) as db:
        for table, changed in {
            "proposals": {"id": "NULL", "number": "n", "parent": "n / 2"},
            "trials": {"number": "n", "proposal_id": "n + 1", "val_mse": "1.0 / n"},
            "verdicts": {"id": "NULL", "number": "n", "accepted": "n % 3 = 0"},
        }.items():
            names = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
            picked = ", ".join(changed.get(name, name) for name in names)
            db.execute(
                f"""WITH RECURSIVE c(n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM c WHERE n < ?)
                INSERT INTO {table} ({", ".join(names)})
                SELECT {picked} FROM c, {table} o WHERE o.search_id = ? AND o.number = 1""",
                (trials - 1, search_id),
            )
    db.close()
