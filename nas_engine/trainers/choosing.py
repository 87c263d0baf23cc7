"""Which trainer an engine has: workers on this machine, or on the nodes of a Ray cluster."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nas_engine.backends import INSTALL
from nas_engine.search import Backend, SearchSpec
from nas_engine.trainers.base import NodeSeen, Trainer, TrainerError
from nas_engine.trainers.local import LocalTrainer

if TYPE_CHECKING:
    from nas_engine.trainers.cluster import Cluster


class Trainers:
    """Makes the trainer of each slot of one engine; those on a cluster share one connection."""

    def __init__(
        self, local: Callable[[int, SearchSpec], LocalTrainer], data: Sequence[Path] = ()
    ) -> None:
        """Prepare; a cluster is connected to when the first training needs it.

        Args:
            local: makes the trainer of a slot on this machine.
            data: where to look first for the files of published data sets.
        """
        self._local, self._data = local, data
        self._cluster: Cluster | None = None
        self._connecting = threading.Lock()

    def __call__(self, slot: int, spec: SearchSpec) -> Trainer:
        """Return the trainer of a slot; raises TrainerError where Ray is not installed."""
        local = self._local(slot, spec)
        if spec.backend.name == "local":
            return local
        try:
            from nas_engine.trainers.ray import RayTrainer
        except ImportError as error:
            raise TrainerError(f"Ray is not installed here: {INSTALL}, then resume.") from error
        backend = spec.backend
        return RayTrainer(lambda: self._connected(backend), backend, local, slot)

    def nodes(self) -> Sequence[NodeSeen]:
        """Return the nodes of the cluster as they were last seen; none on this machine."""
        return self._cluster.nodes() if self._cluster is not None else []

    def close(self) -> None:
        """Leave the cluster, if any."""
        cluster, self._cluster = self._cluster, None
        if cluster is not None:
            cluster.close()

    def _connected(self, backend: Backend) -> Cluster:
        """Return the cluster at the address of `backend`, leaving that at another.

        Raises:
            TrainerError: it cannot be used.
        """
        from nas_engine.trainers.cluster import Cluster

        with self._connecting:
            if self._cluster is not None and (
                self._cluster.address != backend.address or self._cluster.lost
            ):
                self.close()
            if self._cluster is None:
                self._cluster = Cluster(backend.address, self._data)
            return self._cluster
