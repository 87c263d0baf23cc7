"""Where trials are trained: the choice on Start, and the nodes of a cluster on Live."""

from __future__ import annotations

import pytest

from nas_engine import backends
from nas_engine.commands import Start
from nas_engine.search import Backend
from nas_engine.store import trainings
from nas_engine.store.nodes import NodeRow
from nas_engine.store.writer import Writer
from nas_engine.trainers.base import NodeSeen, Worker
from nas_engine.workspace import Workspace
from pages._parts.cluster import COLUMNS, summary
from tests.pages import seed
from tests.pages.conftest import Engine, Open, words

GIB = 2**30
EVIL = "![x](http://evil.example/x.png)"


def on_cluster(workspace: Workspace) -> int:
    """Seed a busy search whose two trainings run on a cluster, one node of which is lost."""
    search_id = seed.busy(workspace)
    writer = Writer(workspace)
    with writer.transaction():
        writer.execute(  # as `change` does
            "UPDATE searches SET spec = json_set(spec, '$.backend', json(?))",
            ('{"name": "ray", "address": "head:6379", "cpus": 2, "gpus": 0.5}',),
        )
        writer.execute("UPDATE engines SET started_at = started_at - 60")
    one = NodeSeen("aaa", "trainer-1", True, 16, 2, 71.5, 9 * GIB, 64 * GIB, 55.0, 3 * GIB)
    other, third = NodeSeen("bbb", EVIL, True, 16, 2), NodeSeen("ccc", "trainer-3", True, 8, 0)
    trainings.see_nodes(writer, search_id, [one, other, third])
    trainings.see_nodes(writer, search_id, [one, other])
    for number, slot, node in ((5, 0, "aaa"), (6, 1, "bbb")):
        (run,) = writer.read.runs(search_id, number)
        trainings.set_worker(writer, run.id, Worker(41_200 + slot, 0.0, slot, node))
    writer.close()
    return search_id


def test_live_shows_the_nodes_the_lost_one_first_and_what_is_reserved_of_them(
    workspace: Workspace, open_page: Open
) -> None:
    app = open_page("live", search=str(on_cluster(workspace)))
    (table,) = [t.value for t in app.dataframe if list(t.value.columns) == [*COLUMNS]]
    assert table["Node"].tolist() == ["trainer-3", EVIL, "trainer-1"]
    states = table["State"].tolist()
    assert states[0].startswith("✕ lost") and states[1:] == ["● alive", "● alive"]
    assert table["CPUs"].tolist() == ["0 of 8", "2 of 16", "2 of 16"]
    assert table["GPUs"].tolist()[2] == "0.5 of 2" and table["Load"][2] == 71.5
    assert table["Memory"].tolist()[2] == "9.7 of 68.7 GB" and table["Memory"].isna()[1]
    said = words(app)
    assert "2 alive · 1 lost · 2 trainings here · 4 of 32 CPUs reserved" in said
    assert "node trainer\\-1" in said and EVIL not in said


def test_a_search_on_this_machine_has_no_nodes(workspace: Workspace, open_page: Open) -> None:
    app = open_page("live", search=str(seed.busy(workspace)))
    assert "Nodes" not in words(app)


def test_a_search_is_started_on_the_cluster_that_is_named(
    workspace: Workspace, open_page: Open, engine: Engine
) -> None:
    app = open_page("start")
    app.segmented_control(key="start-backend").set_value("ray").run()
    app.text_input(key="start-address").set_value(" head:6379 ")
    app.number_input(key="start-cpus").set_value(2.0)
    app.text_input(key="start-checkpoints").set_value("nas").run()
    assert any("no folder that all nodes reach" in error.value for error in app.error)
    app.text_input(key="start-checkpoints").set_value("/shared/nas").run()
    assert not app.error
    app.button(key="start-go").click().run()
    command, _ = engine.given[0]
    assert isinstance(command, Start)
    chosen = command.spec.backend
    assert (chosen.name, chosen.address, chosen.cpus) == ("ray", "head:6379", 2.0)
    assert chosen.checkpoints == "/shared/nas" and chosen.memory_mb is None


def test_without_ray_start_says_how_to_have_it(
    workspace: Workspace, open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pages._parts.cluster.has_ray", lambda: False)
    assert backends.INSTALL in words(open_page("start"))


def test_one_training_is_told_in_the_singular() -> None:
    node = NodeRow("a", "trainer-1", True, 16.0, 0.0, *(None,) * 5, seen_at=0.0, trainings=1)
    assert summary([node], Backend(), 0) == "1 alive · 1 training here · 1 of 16 CPUs reserved"
