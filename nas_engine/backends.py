"""What keeps a search from training on the cluster that it names, as far as is known beforehand."""

from __future__ import annotations

import importlib.util
import re
from pathlib import PurePath

from informer.config import RunConfig, short
from informer.cost import parameters
from nas_engine.search import SearchSpec

INSTALL = "pip install -r requirements-ray.txt"

SENT_CHECKPOINT_BYTES = 2**26
"""Of a checkpoint that a node sends to the engine, at most; larger ones need a folder of theirs."""

_ADDRESS = re.compile(r"auto|([\w.-]+|\[[\da-fA-F:.]+\]):\d{1,5}", re.ASCII)
_PASSWORD = re.compile(r"://[^/@]*:[^/]*@")

_WEIGHTS_IN_CHECKPOINT = 4  # the weights, the best so far, and two moments of the optimiser


def has_ray() -> bool:
    """Tell whether Ray can be used from here."""
    return importlib.util.find_spec("ray") is not None


def backend_problems(spec: SearchSpec) -> list[str]:
    """Return what is wrong with where a valid search would train, a sentence each."""
    backend = spec.backend
    if backend.name == "local":
        return []
    if not has_ray():
        return [f"Ray is not installed here: {INSTALL}, or train on this machine."]
    problems = []
    if not backend.address.strip():
        problems.append("Name the address of the Ray cluster: HOST:PORT, or auto for the one here.")
    if "://" in backend.address:
        problems.append(
            "An address with :// is one of Ray's client, which is not used here: make this machine "
            "part of the cluster (ray start --address=HOST:PORT), and name HOST:PORT."
        )
    elif backend.address.strip() and not _ADDRESS.fullmatch(backend.address):
        problems.append(
            f"{short(backend.address)} is no address of a Ray cluster: give HOST:PORT as `ray "
            "status` shows it, or auto for the one here."
        )
    folder = backend.checkpoints
    if _PASSWORD.search(folder):
        problems.append(
            "The folder for checkpoints has a password in it, which everybody would see who sees "
            "the search: leave it out, and give it to the nodes in their environment."
        )
    if folder and "://" not in folder and not PurePath(folder).is_absolute():
        problems.append(
            f"{folder} is no folder that all nodes reach under this name: give its whole path, or "
            "an address such as s3://bucket/nas."
        )
    if lost := lost_with_node(spec, spec.base()):
        problems.append(f"Trial 0 could not go on elsewhere. {lost}")
    return problems


def lost_with_node(spec: SearchSpec, config: RunConfig) -> str:
    """Return why a training begins anew if its node is lost, in a sentence; empty: it goes on."""
    backend = spec.backend
    size = 4 * _WEIGHTS_IN_CHECKPOINT * parameters(config)
    if backend.name == "local" or backend.checkpoints or size <= SENT_CHECKPOINT_BYTES:
        return ""
    return (
        f"A checkpoint of it has about {size / 1e6:,.0f} MB, and up to "
        f"{SENT_CHECKPOINT_BYTES / 1e6:,.0f} are sent to this machine: name a folder for "
        "checkpoints that all nodes reach."
    )
