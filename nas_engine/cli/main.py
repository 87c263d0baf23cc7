"""All commands of `python -m nas_engine`."""

from __future__ import annotations

import click

from nas_engine.cli.hindsight import COMMANDS as HINDSIGHT
from nas_engine.cli.looking import COMMANDS as LOOKING
from nas_engine.cli.searching import COMMANDS as SEARCHING
from nas_engine.cli.steering import COMMANDS as STEERING


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def main() -> None:
    """Search for a better Informer. Each search runs in a background process of its own."""


for command in (*SEARCHING, *LOOKING, *STEERING, *HINDSIGHT):
    main.add_command(command)
