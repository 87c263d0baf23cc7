"""Options that say where a search trains: on this machine or on a Ray cluster."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, get_args

import click

from nas_engine.cli.common import Refused
from nas_engine.search import Backend, BackendName

Given = Mapping[str, Any]
"""The fields of `Backend` that options name."""

_OPTIONS = {
    "backend": ("name", click.Choice(get_args(BackendName)), "Where trials are trained."),
    "ray-address": (
        "address",
        str,
        "Of the Ray cluster: HOST:PORT; auto: the one here.",
    ),
    "ray-cpus": ("cpus", float, "CPU cores that a training reserves on its node."),
    "ray-gpus": ("gpus", float, "GPUs that a training reserves; a share such as 0.25 is fine."),
    "ray-memory-mb": ("memory_mb", int, "MB of memory that a training reserves."),
    "ray-checkpoints": (
        "checkpoints",
        str,
        "Folder that all nodes reach, such as s3://bucket/nas.",
    ),
}


def backend_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options, whose values it gets together as `backend`."""

    @functools.wraps(command)
    def gathered(*args: Any, **kwargs: Any) -> Any:
        said = {field: kwargs.pop(f"backend_{field}") for field, _, _ in _OPTIONS.values()}
        given = {field: value for field, value in said.items() if value is not None}
        return command(*args, backend=given, **kwargs)

    decorated: Callable[..., Any] = gathered
    for name, (field, kind, text) in reversed(_OPTIONS.items()):
        option = click.option(f"--{name}", f"backend_{field}", type=kind, help=text)
        decorated = option(decorated)
    return decorated


def backend_of(given: Given, before: Backend | None = None) -> Backend:
    """Return the backend that options name, what they do not name being as it was before.

    Whoever names something of a cluster means to train on one, by default that of this machine.

    Raises:
        ValidationError: a value is not possible.
        Refused: something of a cluster is named for a search on this machine.
    """
    if given.get("name") == "local" and len(given) > 1:
        named = [f"--{option}" for option, (field, _, _) in _OPTIONS.items() if field in given]
        raise Refused(
            f"{', '.join(named[1:])} can be said of a Ray cluster alone: leave it out, or "
            "--backend local."
        )
    facts = {**(before or Backend()).model_dump(), **given}
    if "name" not in given and given:
        facts["name"] = "ray"
    if facts["name"] == "local":
        return Backend()
    return Backend.model_validate({**facts, "address": facts["address"] or "auto"})
