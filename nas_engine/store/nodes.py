"""The machines of a cluster that train a search, as its engine last saw them."""

from __future__ import annotations

from typing import NamedTuple

from nas_engine.store.reader import Reader


class NodeRow(NamedTuple):
    """A machine of a cluster, and what is in use of it, whoever uses it; None: not measured."""

    node: str  # the cluster's id of it
    name: str
    alive: bool
    cpus: float
    gpus: float
    cpu_percent: float | None  # of all its cores
    memory_mb: float | None
    memory_total_mb: float | None
    gpu_percent: float | None
    gpu_memory_mb: float | None
    seen_at: float  # when it was last alive, in seconds since 1970
    trainings: int  # of this search, now


def nodes(reader: Reader, search_id: int, since: float) -> list[NodeRow]:
    """Return the nodes that were alive at or after `since`, lost ones first, then by name."""
    rows = reader.fetch(
        """SELECT node, name, alive, cpus, gpus, cpu_percent, memory_mb, memory_total_mb,
        gpu_percent, gpu_memory_mb, seen_at,
        (SELECT count(*) FROM runs r WHERE r.search_id = n.search_id AND r.node = n.node
         AND r.state = 'running')
        FROM nodes n WHERE search_id = ? AND seen_at >= ? ORDER BY alive, name, node""",
        (search_id, since),
    )
    found = (NodeRow._make(row) for row in rows)
    return [row._replace(alive=bool(row.alive)) for row in found]


def node_names(reader: Reader, search_id: int) -> dict[str, str]:
    """Return what the nodes are called that a search has ever seen, by their ids."""
    rows = reader.fetch("SELECT node, name FROM nodes WHERE search_id = ?", (search_id,))
    return {str(node): str(name) for node, name in rows}
