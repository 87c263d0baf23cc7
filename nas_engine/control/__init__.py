"""What the commands of people do to a search: each is checked as things stand, and applied or not.

The engine calls `apply` inside a transaction, in which the command is answered too: a command has
all of its effect or none, and has it once.
"""

from __future__ import annotations

from informer.config import ConfigError
from nas_engine.commands import (
    Ask,
    AskAgain,
    Change,
    Command,
    Control,
    Decide,
    Describe,
    Enqueue,
    Guide,
    Lift,
    OnTrial,
    Replay,
    Start,
    StopAnswer,
)
from nas_engine.control import beside, on_search, on_trials
from nas_engine.control.scope import Refused, Scope
from nas_engine.store import wishes


def apply(scope: Scope, command: Command, author: str) -> str:
    """Apply a command of `author` and return what is to be said of it; raises Refused."""
    try:
        return _applied(scope, command, author)
    except ConfigError as error:  # what a search starts from may be gone, as its data set
        raise Refused(" ".join(error.problems)) from None


def _applied(scope: Scope, command: Command, author: str) -> str:
    match command:
        case Start():
            return on_search.start(scope, command.spec)
        case Control():
            return on_search.control(scope, command)
        case Change():
            return on_search.change(scope, command)
        case Enqueue():
            return on_trials.enqueue(scope, command, author)
        case OnTrial():
            return on_trials.on_trial(scope, command, author)
        case Decide():
            return on_trials.decide(scope, command, author)
        case AskAgain():
            return on_trials.ask_again(scope, command, author)
        case Guide():
            return beside.guide(scope, command, author)
        case Lift():
            return beside.lift(scope, command, author)
        case Ask():
            return beside.ask(scope, command, author)
        case StopAnswer():
            if not wishes.stop_turn(scope.writer, command.turn_id):
                raise Refused("That answer has ended already.")
            return "The answer is stopped; what there is of it stays."
        case Replay():
            return beside.replay(scope, command, author)
        case Describe():  # applied where it is given; a row that waits is not of this project's
            raise Refused("A description is saved at once, without an engine; give it again.")
