"""All commands of `python -m nas_engine`."""

from __future__ import annotations

import click

from nas_engine.cli.asking import COMMANDS as ASKING
from nas_engine.cli.bundles import COMMANDS as BUNDLES
from nas_engine.cli.exchanging import COMMANDS as EXCHANGING
from nas_engine.cli.hindsight import COMMANDS as HINDSIGHT
from nas_engine.cli.looking import COMMANDS as LOOKING
from nas_engine.cli.searching import COMMANDS as SEARCHING
from nas_engine.cli.steering import COMMANDS as STEERING
from nas_engine.cli.trying import COMMANDS as TRYING


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def main() -> None:
    """Search for a better Informer. Each search runs in a background process of its own."""


for command in (
    *SEARCHING,
    *LOOKING,
    *TRYING,
    *STEERING,
    *ASKING,
    *HINDSIGHT,
    *BUNDLES,
    *EXCHANGING,
):
    main.add_command(command)
