"""Live with more slots than there is room for cards: a table, the odd ones first."""

from __future__ import annotations

from typing import Any

from nas_engine.store.rows import TrainingRow
from nas_engine.store.trainings import set_load, set_worker
from nas_engine.trainers.base import Load, Worker
from nas_engine.workspace import Workspace
from pages._parts.many_slots import CARDS, HERE, LISTED, frame, in_order, summary
from tests.pages.conftest import Open, words
from tests.pages.seed import Seed


def row(number: int, **facts: Any) -> TrainingRow:
    return TrainingRow(
        **{
            "number": number,
            "seed": 2021,
            "attempt": 1,
            "slot": number,
            "worker_pid": 9,
            "epoch": 2,
            "step": 50,
            "steps": 100,
            "epochs": 10,
            "epoch_seconds": 10.0,
            "started_at": 1000.0,
            "cpu_percent": None,
            "memory_mb": None,
            "peak_memory_mb": None,
            "gpu_percent": None,
            "gpu_memory_mb": None,
            "node": "",
        }
        | facts
    )


def test_what_was_taken_up_again_or_has_no_epoch_comes_before_what_goes_well() -> None:
    trainings = [
        row(1),
        row(2, epoch_seconds=90.0),
        row(3, epoch=None, step=None, steps=None, epoch_seconds=None, started_at=500.0),
        row(4, epoch=1, epoch_seconds=None, started_at=100.0),
        row(5, attempt=2, epoch=9),
    ]
    assert [run.number for run in in_order(trainings)] == [5, 4, 3, 2, 1]


def test_the_summary_counts_slots_nodes_and_what_is_odd() -> None:
    trainings = [row(n, node=f"node-{n % 3}") for n in range(60)]
    trainings += [row(60, attempt=2, epoch=10, step=90), row(61, step=None, epoch_seconds=None)]
    text = summary(64, trainings)
    assert "62 of 64 slots train on 3 nodes" in text
    assert "the next one ends within about 1.0 s" in text
    assert "1 was taken up again" in text and "1 loads data" in text
    assert f"Listed are {LISTED}" in text
    assert "nodes" not in summary(64, [row(1), row(2)])


def test_a_row_tells_node_progress_and_what_the_worker_takes() -> None:
    found = frame(3, [row(7, node="a", memory_mb=512.0), row(8, step=None, epoch=None)])
    assert list(found["Trial"]) == ["./trial?trial=3.7", "./trial?trial=3.8"]
    assert list(found["Node"]) == ["a", HERE]
    assert list(found["Epoch"]) == ["2 of 10", "loading data"]
    assert list(found["Done"]) == [15.0, 0.0]
    assert found["Memory"][0] == 512.0 and found["CPU"].isna().all()


def many(workspace: Workspace, trainings: int) -> int:
    """Seed a search whose slots all train; its id."""
    seed = Seed(workspace, planner="tpe", slots=trainings + 4, max_trials=500)
    for number in range(trainings + 1):
        changes: dict[str, Any] = {"model.d_ff": 16 + number} if number else {}
        seed.propose(number, "tpe" if number else "default", 0 if number else None, changes)
    seed.train(0, 0.4962)
    for number in range(1, trainings + 1):
        run = seed.running(number)
        set_worker(seed.writer, run, Worker(40_000 + number, 0.0, number - 1, f"node-{number % 4}"))
        set_load(seed.writer, run, Load(99.0, 500_000_000))
    seed.lease(True)
    seed.close()
    return seed.id


def test_live_has_a_table_where_there_are_too_many_slots_for_cards(
    workspace: Workspace, open_page: Open
) -> None:
    many(workspace, LISTED + 10)
    app = open_page("live")
    assert not app.exception
    said = words(app)
    assert f"{LISTED + 10} of {LISTED + 14} slots train on 4 nodes" in said
    (table,) = (t.value for t in app.dataframe if "Left" in t.value)
    assert len(table) == LISTED
    assert next(iter(table["Node"])).startswith("node-")
    assert not [bar for bar in app.progress if "trains" in bar.text], "cards are drawn too"


def test_live_has_cards_for_a_few_slots(workspace: Workspace, open_page: Open) -> None:
    many(workspace, CARDS)
    app = open_page("live")
    assert not app.exception
    assert "slots train" not in words(app)
    assert not [t for t in app.dataframe if "Left" in t.value]
