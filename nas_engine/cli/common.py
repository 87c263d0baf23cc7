"""What the commands share: options, and refusals in one sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from pathlib import Path
from typing import Literal, ParamSpec, TypeVar

import click
from pydantic import ValidationError

from data.registry import DataError
from informer.config import ConfigError, Value
from nas_engine.api import SearchError, load_agent_state
from nas_engine.search import Timer
from nas_engine.settings import SettingsError, load_settings
from nas_engine.space import SpaceError, value_of
from nas_engine.store.schema import StoreError
from nas_engine.workspace import Workspace

P = ParamSpec("P")
R = TypeVar("R")


class Refused(click.ClickException):
    """Something that cannot be done as asked: one sentence, exit code 2."""

    exit_code = 2


def plainly(command: Callable[P, R]) -> Callable[P, R]:
    """Turn the errors that a person can mend into one sentence and exit code 2."""

    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except (
            ConfigError,
            SearchError,
            StoreError,
            SettingsError,
            SpaceError,
            DataError,
        ) as error:
            raise Refused(str(error)) from None
        except ValidationError as error:
            fault = error.errors()[0]
            where, said = ".".join(map(str, fault["loc"])), fault["msg"]
            said = said.removeprefix("Value error, ")
            raise Refused(f"{where}: {said}." if where else f"{said}.") from None

    return wrapped


db_option = click.option(
    "--db",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Database of the workspace; NAS_DB, else workspace/nas.db.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
search_argument = click.argument("search_id", metavar="[SEARCH]", type=int, required=False)


timer_option = click.option(
    "--timer",
    metavar="MINUTES:approve|reject",
    help="What becomes of a proposal on which nobody has decided for so long; none: it waits.",
)


def timer_of(text: str | None) -> Timer | Literal["none"] | None:
    """Read MINUTES:approve, MINUTES:reject or none; raises Refused."""
    if text is None:
        return None
    if text == "none":
        return "none"
    minutes, _, then = text.partition(":")
    try:
        return Timer.model_validate({"minutes": minutes, "then": then})
    except ValidationError:
        raise Refused(
            f"--timer {text[:40]}: write minutes above 0 and what is decided then, such as "
            "30:approve or 30:reject, or none."
        ) from None


def workspace_of(db: Path | None) -> Workspace:
    """Return the workspace that a command is for."""
    return load_settings().workspace if db is None else Workspace(db.expanduser().absolute())


def known_search(workspace: Workspace, search_id: int | None) -> int:
    """Return the search that is meant, the newest by default; raises SearchError."""
    return load_agent_state(workspace.db, search_id).search.id


def assignments(texts: Iterable[str]) -> dict[str, Value]:
    """Read several KEY=VALUE; a value is JSON where it can be, else text."""
    found: dict[str, Value] = {}
    for text in texts:
        key, equals, raw = text.partition("=")
        if not equals or not key:
            raise Refused(f"{text[:80]!r} must have the form KEY=VALUE.")
        found[key] = value_of(raw)
    return found
