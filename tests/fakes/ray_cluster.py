"""A Ray cluster of several nodes on this machine, small enough for tests."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

STORE_BYTES = 80_000_000
HEALTH = {"health_check_period_ms": 1000, "health_check_initial_delay_ms": 1000}
"""A node that is lost is found to be so in about five seconds, not fifteen."""


@contextmanager
def ray_cluster(nodes: int = 2) -> Iterator[Any]:
    """Run a head, which trains nothing, and nodes with one CPU each; all is ended and removed."""
    import ray
    from ray.cluster_utils import Cluster

    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))  # sockets need short paths
    own_environment = {
        "RAY_TMPDIR": str(folder),
        "RAY_AUTH_MODE": "disabled",
        "XDG_CACHE_HOME": str(folder / "cache"),  # for data sets that the nodes fetch
    }
    os.environ.update(own_environment)
    (folder / "ray").mkdir()
    own = {"object_store_memory": STORE_BYTES, "include_dashboard": False}
    head = {"num_cpus": 0, "_system_config": HEALTH, **own}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        for _ in range(nodes):
            cluster.add_node(num_cpus=1, **own)
        yield cluster
    finally:
        ray.shutdown()  # else the nodes cannot be ended
        cluster.shutdown()
        shutil.rmtree(folder, ignore_errors=True)
        for name in own_environment:
            del os.environ[name]
