"""The option of `search` by which it learns from earlier ones."""

from __future__ import annotations

import click

from nas_engine import lessons
from nas_engine.cli.common import Refused
from nas_engine.search import SearchSpec
from nas_engine.settings import Settings
from nas_engine.store.reader import reading
from nas_engine.workspace import Workspace

AUTO = "auto"

learn_option = click.option(
    "--learn-from",
    "learned_from",
    metavar="ID[,ID]|auto",
    help="Earlier searches whose best configurations, findings and trials this one begins with; "
    "auto: up to 3 on data and tasks like these.",
)


def with_lessons(
    spec: SearchSpec, learned_from: str | None, settings: Settings, workspace: Workspace
) -> SearchSpec:
    """Return a search with the lessons that were asked for; raises Refused."""
    if not learned_from:
        return spec
    chosen = () if learned_from.strip() == AUTO else _ids(learned_from)
    with reading(workspace) as reader:
        if reader is None:
            raise Refused("There is no earlier search in this workspace to learn from.")
        if not chosen:
            chosen = lessons.proposed(reader, spec, settings)
            named = ", ".join(map(str, chosen)) or "no search: none is enough alike"
            click.echo(f"Learns from {named}.", err=True)
        spec = spec.model_copy(update={"lessons": chosen})
        if problems := lessons.problems(reader, spec):
            raise Refused(" ".join(problems))
    return spec


def _ids(text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and len(part) < 10 for part in parts):
        raise Refused(
            f"--learn-from takes ids of searches, as 3 or 3,5, or auto; not {text[:60]!r}."
        )
    return tuple(dict.fromkeys(map(int, parts)))
