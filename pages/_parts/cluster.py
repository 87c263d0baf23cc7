"""Where trials are trained: the choice on Start, and the nodes of a cluster on Live."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pandas as pd
import streamlit as st

from nas_engine.backends import INSTALL, has_ray
from nas_engine.search import Backend
from nas_engine.store.nodes import NodeRow, nodes
from pages._parts.opening import searched
from pages._parts.snapshot import Snapshot
from pages._parts.text import plain, readable, seconds_text

BACKENDS = {"local": "This machine", "ray": "Ray cluster"}
BACKEND_HELP = (
    "This machine: a process for each slot. Ray cluster: the nodes of a cluster that runs already; "
    "this machine must be part of it (`ray start --address=HOST:PORT`), and every node needs the "
    "same requirements. docs/scaling.md says how to set one up."
)
ROWS = 8
"""Of the table of nodes, seen without scrolling."""


# -- Start --------------------------------------------------------------------------------------


def choose_backend(start: Backend, prefix: str) -> Backend:
    """Let it be chosen where trials are trained; without Ray, say how to have it."""
    with st.expander("Where trials are trained", key=f"{prefix}-backend-expander"):
        if not has_ray():
            st.caption(f"On this machine. To train on the nodes of a Ray cluster: `{INSTALL}`.")
            return Backend()
        name = st.segmented_control(
            "Backend",
            list(BACKENDS),
            default=start.name,
            required=True,
            format_func=BACKENDS.__getitem__,
            key=f"{prefix}-backend",
            help=BACKEND_HELP,
        )
        return _cluster(start, prefix) if name == "ray" else Backend()


def _cluster(start: Backend, prefix: str) -> Backend:
    """Let the cluster be named, and what a training reserves of a node."""
    told = Backend.model_fields
    address, checkpoints = st.columns(2)
    with st.grid(3, min_column_width=190, vertical_alignment="bottom"):
        cpus = st.number_input(
            str(told["cpus"].description), 0.01, 1024.0, start.cpus, 1.0, key=f"{prefix}-cpus"
        )
        gpus = st.number_input(
            str(told["gpus"].description), 0.0, 64.0, start.gpus, 0.25, key=f"{prefix}-gpus"
        )
        memory = st.number_input(
            "MB of memory of each",
            1,
            None,
            start.memory_mb,
            500,
            key=f"{prefix}-memory",
            placeholder="as estimated",
            help=told["memory_mb"].description,
        )
    return Backend(
        name="ray",
        address=address.text_input(
            "Address of the cluster",
            start.address or "auto",
            max_chars=500,
            key=f"{prefix}-address",
            help="HOST:PORT as `ray status` shows it; auto: the cluster that runs on this machine",
        ).strip(),
        checkpoints=checkpoints.text_input(
            "Folder for checkpoints",
            start.checkpoints,
            max_chars=1000,
            key=f"{prefix}-checkpoints",
            placeholder="small ones are sent to this machine",
            help=(
                "A folder that all nodes reach under this name, such as `/shared/nas` or "
                "`s3://bucket/nas`. A training whose node is lost goes on from there."
            ),
        ).strip(),
        cpus=cpus,
        gpus=gpus,
        memory_mb=memory,
    )


# -- Live ---------------------------------------------------------------------------------------


def show_nodes(snapshot: Snapshot) -> None:
    """Draw the nodes of the cluster that trains a search; nothing where this machine does."""
    backend, engine = snapshot.search.spec.backend, snapshot.engine_row
    if backend.name == "local" or engine is None or not snapshot.lives:
        return
    with searched() as reader:
        rows = nodes(reader, snapshot.search.id, engine.started_at)
    if not rows:
        st.caption("No node of the cluster has been seen yet.")
        return
    waiting = sum(run.worker_pid is None for run in snapshot.trainings)
    with st.expander(
        f"**Nodes** · {plain(summary(rows, backend, waiting))}",
        key="live-nodes",
        icon=":material/dns:",
        expanded=True,
    ):
        st.dataframe(
            frame(rows, backend, time.time()),
            key="live-nodes-table",
            hide_index=True,
            height="content" if len(rows) <= ROWS else 36 * (ROWS + 1),
            placeholder="–",
            column_config=COLUMNS,
            column_order=[name for name in COLUMNS if name not in GPU or _have_gpus(rows)],
            alt=f"{len(rows)} nodes of the cluster",
        )


def summary(rows: Sequence[NodeRow], backend: Backend, waiting: int) -> str:
    """Return how many nodes there are, what is reserved of them, and what is odd."""
    alive = [row for row in rows if row.alive]
    trains = sum(row.trainings for row in alive)
    parts = [
        f"{len(alive)} alive",
        f"{trains} training{'s' * (trains != 1)} here",
        f"{trains * backend.cpus:g} of {sum(row.cpus for row in alive):g} CPUs reserved",
    ]
    if backend.gpus:
        gpus = sum(row.gpus for row in alive)
        parts.append(f"{trains * backend.gpus:g} of {gpus:g} GPUs reserved")
    if lost := len(rows) - len(alive):
        parts.insert(1, f"{lost} lost")
    if waiting:
        parts.append(f"{waiting} queued for room on the cluster")
    return " · ".join(parts)


def frame(rows: Sequence[NodeRow], backend: Backend, now: float) -> pd.DataFrame:
    """Return a row for each node, in the order given."""
    return pd.DataFrame(
        {
            "Node": [readable(row.name) for row in rows],
            "State": [_state(row, now) for row in rows],
            "Trainings": [row.trainings for row in rows],
            "CPUs": [f"{row.trainings * backend.cpus:g} of {row.cpus:g}" for row in rows],
            "Load": pd.array([row.cpu_percent for row in rows], dtype="Float64"),
            "Memory": [_memory(row) for row in rows],
            "GPUs": [f"{row.trainings * backend.gpus:g} of {row.gpus:g}" for row in rows],
            "GPU": pd.array([row.gpu_percent for row in rows], dtype="Float64"),
            "GPU memory": pd.array([row.gpu_memory_mb for row in rows], dtype="Float64"),
        }
    )


def _state(row: NodeRow, now: float) -> str:
    if row.alive:
        return "● alive"
    return f"✕ lost {seconds_text(max(0.0, now - row.seen_at))} ago"


def _memory(row: NodeRow) -> str | None:
    if row.memory_mb is None or row.memory_total_mb is None:
        return None
    return f"{row.memory_mb / 1e3:.1f} of {row.memory_total_mb / 1e3:.1f} GB"


def _have_gpus(rows: Sequence[NodeRow]) -> bool:
    return any(row.gpus for row in rows)


_NUMBER, _TEXT = st.column_config.NumberColumn, st.column_config.TextColumn

GPU = ("GPUs", "GPU", "GPU memory")

COLUMNS = {
    "Node": _TEXT(pinned=True, width=150),
    "State": _TEXT(width=130),
    "Trainings": _NUMBER(width=80, format="%d", help="Of this search, now"),
    "CPUs": _TEXT(width=85, help="That this search reserves, of all that the node has"),
    "Load": _NUMBER("CPU %", width=70, format="%.0f", help="Of all cores, whoever uses them"),
    "Memory": _TEXT(width=140, help="In use, whoever uses it; measured where this search trains"),
    "GPUs": _TEXT(width=85, help="That this search reserves, of all that the node has"),
    "GPU": _NUMBER("GPU %", width=70, format="%.0f", help="Mean of its GPUs, whoever uses them"),
    "GPU memory": _NUMBER("GPU MB", width=85, format="localized"),
}
