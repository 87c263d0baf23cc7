"""`python -m tests.hostile COUNT`: hostile proposals through the check, under an audit hook.

Prints what happened as JSON: how many were accepted, which forbidden events came, and the longest
answer. A process of its own, because an audit hook can never be removed.
"""

from __future__ import annotations

import functools
import json
import random
import sys
from typing import Any

from pydantic import ValidationError

from informer.config import fields
from nas_engine.facts import checked
from nas_engine.plaintext import code_span, fenced
from nas_engine.planners.base import View
from nas_engine.planners.llm import ProposeChange, objections
from nas_engine.proposals import Record, check
from nas_engine.search import TASK_KEYS, SearchSpec
from nas_engine.space import contains
from nas_engine.store.rows import Spend
from nas_engine.store.table import TriedRow
from tests.engine.rows import no_epochs

FORBIDDEN = ("exec", "compile", "import", "open", "socket.", "subprocess.", "os.", "ctypes.")
SPEC = SearchSpec(planner="llm")
TRIED = TriedRow(0, SPEC.start(), "completed", 0.5, True, "", 9.0, 3)
VIEW = View(1, 5, SPEC, 20, None, [], [], no_epochs, None, Spend(0, 0, 0, 0.0, 0, 0.0))

CODE = (
    "__import__('os').system('id')",
    "import os; os.remove('nas.db')",
    "${7*7} {{7*7}} {0.__class__.__mro__}",
    "'; DROP TABLE trials; --",
    "../../../../etc/passwd",
    "file:///etc/passwd",
    "http://198.51.100.7/x",
    "!!python/object/apply:os.system ['id']",
    "\ud800\u0000\u202e",
    "%s" * 2000,
    "A" * 100_000,
)
KEYS = (
    *(
        "__class__",
        "model.__init__",
        "model",
        "model.",
        ".d_model",
        "",
        "os.system",
        "model.D_MODEL",
    ),
    *(
        "training.optimizer_params",
        "training.optimizer_params.lr.lr",
        "model.d_model\u0000",
        "a" * 50_000,
    ),
    *(
        "nas_engine.settings.openrouter_api_key",
        "model.d_model; import os",
        "\ud800",
        "model\u2024d_model",
    ),
)
VALUES: tuple[Any, ...] = (
    *(10**5000, -(10**5000), 2**63, -1, 0, 1e308, -1e308, 1e-320, float("nan"), float("inf")),
    *(None, [], {}, [64], {"value": 64}, (), b"64", "64", "", " ", "true", "None", 64.5, object),
    *CODE,
)


def hostile(draw: random.Random) -> dict[Any, Any]:
    """Return changes of which at least one can never be tried, among ones that could."""
    offered = VIEW.space
    changes: dict[Any, Any] = {}
    for key in draw.sample(sorted(offered), draw.randrange(3)):
        search = offered[key]
        changes[key] = draw.choice(search.values) if hasattr(search, "values") else search.low
    match draw.randrange(5):
        case 0:
            changes[draw.choice(KEYS)] = draw.choice([*VALUES, 64, 0.1, True])
        case 1:
            changes[draw.choice(TASK_KEYS)] = draw.choice(VALUES)
        case 2:
            changes[draw.choice([7, None, 1.5, True, (), b"model.d_model"])] = 64
        case 3:
            unvaried = [key for key in fields() if key not in offered and key not in TASK_KEYS]
            key = draw.choice(unvaried)
            changes[key] = draw.choice([v for v in VALUES if v != VIEW.parent[key]])
        case _:
            changes[draw.choice(sorted(offered))] = draw.choice(VALUES[:10] + VALUES[10:])
    if all(harmless(key, value) for key, value in changes.items()):
        changes["training.seed"] = 7
    return changes


def harmless(key: Any, value: Any) -> bool:
    """Tell whether the space offers the value, which then is no attack."""
    if key not in VIEW.space:
        return False
    return contains(VIEW.space[key], fields()[key].in_type(value))


def answer(changes: dict[Any, Any]) -> Any:
    """Return the changes in the form of a language model's answer."""
    listed = [{"path": key, "value": value} for key, value in changes.items()]
    return {"step_type": "small", "hypothesis": "h", "plan": "p", "changes": listed}


@functools.cache
def read(text: str) -> None:
    """Read a text about trials for the fact check, and write it for a transcript; once each."""
    checked(f"trial 0 ({text}) reached {text}, trial 0 used {text} 0.3", [TRIED])
    fenced(text), code_span(text)


def judge(changes: dict[Any, Any]) -> tuple[bool, list[str]]:
    """Return whether any way in accepted the changes, and all sentences that came back."""
    for part in (part for pair in changes.items() for part in pair if isinstance(part, str)):
        read(part)
    sentences = check(Record(SPEC, []), VIEW.parent, changes, by="planner")
    accepted = not sentences
    try:
        refused = objections(VIEW, ProposeChange.model_validate(answer(changes)))
    except ValidationError:
        return accepted, sentences
    return accepted or not refused, sentences + refused


def main(count: int) -> None:
    draw = random.Random(2026)
    cases = [hostile(draw) for _ in range(count)]
    judge(cases[0])  # what is loaded on first use is loaded before the watch begins
    events: list[str] = []
    watching = [True]

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if watching[0] and event.startswith(FORBIDDEN):
            events.append(f"{event} {str(arguments)[:200]}")

    sys.addaudithook(hook)
    outcomes = [judge(case) for case in cases]
    watching[0] = False
    print(
        json.dumps(
            {
                "judged": len(outcomes),
                "accepted": [
                    ascii(case)[:500]
                    for case, (accepted, _) in zip(cases, outcomes, strict=True)
                    if accepted
                ],
                "events": events[:20],
                "most_sentences": max(len(sentences) for _, sentences in outcomes),
                "longest": max(len(text) for _, sentences in outcomes for text in sentences),
            }
        )
    )


if __name__ == "__main__":
    main(int(sys.argv[1]))
