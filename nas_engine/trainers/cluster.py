"""The connection of one engine to a Ray cluster: its nodes, and room for trainings on them.

Nothing that runs on the cluster outlives the connection: Ray ends the actors of an engine that is
lost. A thread asks for the nodes every few seconds; where no answer comes for a while the cluster
counts as lost, well before Ray would end this process for it (60 s).
"""

from __future__ import annotations

import logging
import socket
import tempfile
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

from data.registry import DataError
from nas_engine.trainers.base import NodeSeen, TrainerError
from nas_engine.trainers.messages import Machine
from nas_engine.trainers.node import Node
from nas_engine.trainers.shipped import Shipment, copy_code, shipment_of

NODES_SECONDS = 3.0
LOST_SECONDS = 15.0
CONNECT_SECONDS = 5.0
THREADS = 4
"""Calls that an actor answers at once: news wait, and others must not wait for them."""


@dataclass(frozen=True)
class Needs:
    """What a training reserves of a node."""

    cpus: float
    gpus: float
    memory: int  # bytes

    @property
    def text(self) -> str:
        """It, for sentences."""
        return _resources(self.cpus, self.gpus, self.memory)


class Cluster:
    """One engine's part of a Ray cluster."""

    def __init__(self, address: str, data: Sequence[Path] = ()) -> None:
        """Connect.

        Args:
            address: of the cluster, as Ray reads it.
            data: where to look first for the files of published data sets.

        Raises:
            TrainerError: the cluster cannot be reached, or has another version of Ray or Python.
        """
        self.address, self._data = address, data
        _demand_reachable(address)
        with tempfile.TemporaryDirectory(prefix="informer-nas-code-") as code:
            copy_code(Path(code))
            try:
                ray.init(
                    address=address,
                    namespace=f"informer-nas-{uuid.uuid4().hex}",
                    runtime_env={"working_dir": code},
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                )
            except (ConnectionError, RuntimeError, ValueError, OSError) as error:
                raise TrainerError(
                    f"The Ray cluster {address} cannot be used: {first_line(error)} "
                    "See that this machine is part of it (`ray status`), then resume."
                ) from error
        self._lock = threading.Lock()
        self._nodes: Mapping[str, dict[str, Any]] = {}
        self._machines: dict[str, Machine] = {}
        self._shipments: dict[str, tuple[Shipment | None, list[ray.ObjectRef[bytes]]]] = {}
        self._closed = threading.Event()
        self._look()
        threading.Thread(target=self._watch, daemon=True, name="cluster").start()

    @property
    def lost(self) -> str:
        """A sentence where the cluster has not answered for a while; empty while it does."""
        if time.monotonic() - self._answered < LOST_SECONDS:
            return ""
        return (
            f"The Ray cluster {self.address} does not answer any more. Trainings go on from their "
            "checkpoints: start the cluster again, then resume."
        )

    def nodes(self) -> list[NodeSeen]:
        """Return the nodes as they were last seen, those that are lost among them."""
        machines = dict(self._machines)
        names = [_name(node) for node in self._nodes.values()]
        return [
            _seen(id, node, names.count(_name(node)) > 1, machines.get(id))
            for id, node in self._nodes.items()
        ]

    def name(self, node: str) -> str:
        """Return what a node is called in sentences."""
        return next((seen.name for seen in self.nodes() if seen.node == node), node[:6])

    def demand_room(self, needs: Needs) -> None:
        """Require a node that could have a training if nothing else ran there.

        Raises:
            TrainerError: there is none, so that the training would wait for ever.
        """
        alive = [node["Resources"] for node in self._nodes.values() if node["Alive"]]
        if any(_fits(needs, resources) for resources in alive):
            return
        has = "; ".join(
            sorted({_resources(*(r.get(k, 0) for k in ("CPU", "GPU", "memory"))) for r in alive})
        )
        raise TrainerError(
            f"A training asks for {needs.text}, and no node of the cluster has that "
            f"({has or 'it has no nodes'}): ask for less, or add a node, then resume."
        )

    def share(self, node: str, needs: Needs) -> float:
        """Return which share of a node a training has: of its cores or its GPUs, if larger."""
        resources = self._nodes.get(node, {}).get("Resources", {})
        parts = (needs.cpus, resources.get("CPU")), (needs.gpus, resources.get("GPU"))
        return min(1.0, max((asked / has for asked, has in parts if has), default=1.0))

    def actor(
        self,
        needs: Needs,
        slot: int,
        dataset: str,
        environment: Mapping[str, str],
        command: Sequence[str],
    ) -> Any:
        """Return a new actor, which waits until a node has room for it."""
        shipment, content = self._shipment(dataset)
        options = ray.remote(Node).options(
            num_cpus=needs.cpus,
            num_gpus=needs.gpus,
            memory=needs.memory,
            max_concurrency=THREADS,
            max_restarts=0,
            scheduling_strategy="SPREAD",
        )
        threads, share = max(1, int(needs.cpus)), min(1.0, needs.gpus or 1.0)
        return options.remote(slot, threads, share, shipment, content, environment, command)

    def measured(self, node: str, machine: Machine) -> None:
        """Note what is in use of a node."""
        self._machines[node] = machine

    def close(self) -> None:
        """Leave the cluster; what still runs there for this engine is ended."""
        self._closed.set()
        if not self.lost:
            ray.shutdown()

    def _shipment(self, dataset: str) -> tuple[Shipment | None, list[ray.ObjectRef[bytes]]]:
        """Return the facts of a data set and where its bytes are, put there once."""
        with self._lock:
            if dataset not in self._shipments:
                try:
                    found = shipment_of(dataset, self._data)
                except (DataError, OSError) as error:
                    raise TrainerError(str(error)) from error
                shipment = None if found is None else found[0]
                self._shipments[dataset] = shipment, [ray.put(found[1])] if found else []
            return self._shipments[dataset]

    def _watch(self) -> None:
        while not self._closed.wait(NODES_SECONDS):
            with suppress(Exception):  # without an answer the cluster is lost, whatever was said
                self._look()

    def _look(self) -> None:
        """Ask for the nodes; one that is lost is told with what it had, others' are not."""
        known = dict(self._nodes)
        for node in ray.nodes():  # type: ignore[no-untyped-call]
            if node["Alive"]:
                known[node["NodeID"]] = node
            elif node["NodeID"] in known:
                known[node["NodeID"]] = {**known[node["NodeID"]], "Alive": False}
        self._nodes = known
        self._answered = time.monotonic()


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says, as a sentence."""
    line = str(error).strip().partition("\n")[0].rstrip(".")
    return f"{line or type(error).__name__}."


def _demand_reachable(address: str) -> None:
    """Require that something listens: Ray itself would try for minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not host or not port.isdecimal():
        return  # auto, or a name that Ray knows
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise TrainerError(
            f"The Ray cluster {address} cannot be reached ({error}): see that it runs (`ray "
            "status`) and that the address is right, then resume."
        ) from error


def _seen(id: str, node: Mapping[str, Any], ambiguous: bool, machine: Machine | None) -> NodeSeen:
    resources, alive = node["Resources"], bool(node["Alive"])
    return NodeSeen(
        node=id,
        name=f"{_name(node)} ({id[:6]})" if ambiguous else _name(node),
        alive=alive,
        cpus=float(resources.get("CPU", 0.0)),
        gpus=float(resources.get("GPU", 0.0)),
        cpu_percent=machine.cpu_percent if machine and alive else None,
        memory=machine.memory if machine and alive else None,
        memory_total=machine.memory_total if machine else None,
        gpu_percent=machine.gpu_percent if machine and alive else None,
        gpu_memory=machine.gpu_memory if machine and alive else None,
    )


def _name(node: Mapping[str, Any]) -> str:
    given = str(node.get("NodeName") or "")
    own = given if given != node["NodeManagerAddress"] else ""
    return own or str(node["NodeManagerHostname"] or node["NodeManagerAddress"])


def _fits(needs: Needs, has: Mapping[str, float]) -> bool:
    wanted = {"CPU": needs.cpus, "GPU": needs.gpus, "memory": needs.memory}
    return all(has.get(name, 0.0) >= amount for name, amount in wanted.items())


def _resources(cpus: float, gpus: float, memory: float) -> str:
    parts = [f"{cpus:g} CPU{'s' * (cpus != 1)}", f"{memory / 1e9:.2g} GB of memory"]
    if gpus:
        parts.insert(1, f"{gpus:g} GPU{'s' * (gpus != 1)}")
    return ", ".join(parts)
