"""A user's own rules: a Python function that the environment names, and nothing else can.

`NAS_RULES=package.module:function` in the environment or `.env`. The function is called with the
figures of each trial, before the built-in rules, and returns a verdict, or None to leave it to
them. It runs inside the engine with the rights of the user, as all code that they start.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import replace

from nas_engine.evaluator import Figures, Verdict

OwnRules = Callable[[Figures], Verdict | None]


class OwnRulesError(RuntimeError):
    """Rules of the user that cannot be used; the message is one sentence that says what to do."""


def load(name: str) -> OwnRules | None:
    """Return the rules named `package.module:function`; None where no name is given.

    What is returned raises OwnRulesError in place of whatever the function raises.

    Raises:
        OwnRulesError: there is no such function.
    """
    if not name:
        return None
    module, _, attribute = name.partition(":")
    try:
        function = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # a module that is imported may raise anything
        raise _error(name, f"cannot be loaded ({_explain(error)})") from error
    if not callable(function):
        raise _error(name, "is not a function")

    def rules(figures: Figures) -> Verdict | None:
        try:
            verdict = function(figures)
        except Exception as error:
            raise _error(name, f"raised an error ({_explain(error)})") from error
        if verdict is None:
            return None
        if not isinstance(verdict, Verdict):
            raise _error(name, f"returned {type(verdict).__name__}, not a Verdict or None")
        if verdict.accepted and figures.value is None:
            raise _error(name, "accepted a trial that has no result")
        return replace(verdict, figures=figures)

    return rules


def _error(name: str, problem: str) -> OwnRulesError:
    return OwnRulesError(
        f"NAS_RULES={name} {problem}; mend it or take it out of the environment or .env, then "
        "resume. Everything so far is kept."
    )


def _explain(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
