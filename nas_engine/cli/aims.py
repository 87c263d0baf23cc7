"""Options that say what a search wants low beside the error, and what a model must keep to."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import click

from nas_engine.cli.common import Refused
from nas_engine.objectives import COSTS, EXAMPLE, BoundsError, parse_bounds

Aims = Mapping[str, Any]
"""Fields of `SearchSpec` that the options name: `objectives`, `at_most` and `timing`."""

_TIMING = {
    "batch": (int, "Windows that are forecast at once where latency is measured.  [default: 1]"),
    "device": (str, "Where latency is measured: cpu, cuda or mps.  [default: where it trains]"),
    "threads": (int, "CPU threads that forecast where latency is measured.  [default: 1]"),
}


def aims_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options, whose values it gets together as `aims`."""

    @functools.wraps(command)
    def gathered(*args: Any, objective: tuple[str, ...], under: str, **kwargs: Any) -> Any:
        timing = {name: kwargs.pop(f"latency_{name}") for name in _TIMING}
        try:
            bounds = parse_bounds(under)
        except BoundsError as error:
            raise Refused(f"--under: {error}") from None
        aims = {
            "objectives": ("val_mse", *dict.fromkeys(objective)),
            "at_most": bounds,
            "timing": {name: value for name, value in timing.items() if value is not None},
        }
        return command(*args, aims=aims, **kwargs)

    decorated: Callable[..., Any] = gathered
    for name, (kind, text) in reversed(_TIMING.items()):
        option = click.option(f"--latency-{name}", f"latency_{name}", type=kind, help=text)
        decorated = option(decorated)
    decorated = click.option(
        "--under",
        default="",
        metavar="BOUNDS",
        help=f"What a model must keep to, such as '{EXAMPLE}'.",
    )(decorated)
    return click.option(
        "--objective",
        multiple=True,
        type=click.Choice(COSTS),
        help="What the error is traded against; repeatable.",
    )(decorated)
