"""Configurations as the command lines get them: a JSON file, and settings written KEY=VALUE."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

import click

from informer.config import ConfigError, RunConfig, Value, fields, from_nested, short


class Refusal(click.ClickException):
    """Ends a command with one sentence on stderr."""

    exit_code = 2

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the sentence, without click's prefix."""
        click.echo(" ".join(self.message.split()), file=file, err=True)


def read_config(path: Path) -> RunConfig:
    """Return the configuration of a JSON file, which may leave settings out.

    Raises:
        ConfigError: the file cannot be read or is no valid configuration.
    """
    try:
        values = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError([f"{path} cannot be read ({error.strerror})."]) from None
    except (ValueError, RecursionError) as error:
        raise ConfigError([f"{path} is not JSON ({error})."]) from None
    if not isinstance(values, dict):
        raise ConfigError([f"{path} must hold an object with data, model and training."])
    return from_nested(values)


def read_settings(settings: Iterable[str]) -> dict[str, Value]:
    """Return settings written KEY=VALUE by dotted key, each value in the type of its field.

    Values that do not fit the type stay text, for the configuration to refuse.

    Raises:
        ConfigError: a setting has no '='.
    """
    changes: dict[str, Value] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise ConfigError([f"--set {short(setting)} must be written KEY=VALUE."])
        changes[key] = _value(text, fields()[key].type if key in fields() else str)
    return changes


def _value(text: str, kind: type) -> Value:
    if kind is bool:
        return {"true": True, "false": False}.get(text.lower(), text)
    try:
        value: Value = kind(text)
    except ValueError:
        return text
    return value
