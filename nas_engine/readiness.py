"""Whether a search can start, or go on: key, money, space, memory and disk."""

from __future__ import annotations

import shutil

from informer.cost import parameters
from informer.files import KEPT_CHECKPOINTS
from nas_engine.backends import backend_problems
from nas_engine.own_rules import OwnRulesError, load
from nas_engine.proposals import too_large, untimeable
from nas_engine.search import ASKING, SearchSpec
from nas_engine.service.cost import worst_case
from nas_engine.settings import Settings
from nas_engine.space import problems_of
from nas_engine.workspace import Workspace

RECORDS_BYTES = 10**6
"""Of a trial's log, figures and rows, about."""
LOOKED_AHEAD = 1000
"""Trials for which there must be room on the disk: other budgets may end a search before more."""


def reasons_not_to_start(
    spec: SearchSpec, settings: Settings, workspace: Workspace, finished: int = 0
) -> list[str]:
    """Return why a search cannot start, or go on after `finished` trials, a sentence each."""
    if spec.planner in ASKING and not settings.has_key:
        return [
            f"The planner {spec.planner} needs a key: set OPENROUTER_API_KEY in .env, or choose "
            "the planner portfolio, which needs none."
        ]
    usd = spec.limits.usd
    if usd is not None and spec.planner in ASKING:
        least = worst_case("", settings.llm_max_tokens, settings.role("planner")).usd
        if usd < least:
            return [
                f"usd: {usd:.4g} US dollars do not pay for a call of the language model, which can "
                f"cost {least:.4g} and more; allow more, or choose a planner that asks none."
            ]
    try:
        load(settings.nas_rules)
    except OwnRulesError as error:
        return [str(error)]
    if problems := problems_of(spec) or backend_problems(spec):
        return problems
    return [
        *(f"Trial 0: {sentence}" for sentence in too_large(spec, spec.base())),
        *untimeable(spec),
        *_too_little_room(spec, workspace, finished),
    ]


def disk_needed(spec: SearchSpec, trials: int) -> int:
    """Return the bytes that `trials` more take on the disk if they are as large as trial 0.

    Of each trial the weights are kept. A training under way has its checkpoints too: weights, best
    weights and two moments of the optimiser in each.
    """
    weights = 4 * parameters(spec.base())
    checkpoints = (KEPT_CHECKPOINTS + 1) * 4 * weights  # one more while it is being written
    return spec.slots * checkpoints + trials * (weights + RECORDS_BYTES)


def _too_little_room(spec: SearchSpec, workspace: Workspace, finished: int) -> list[str]:
    trials = min(LOOKED_AHEAD, max(0, spec.max_trials - finished))
    wanted = 2 * disk_needed(spec, trials)  # later trials may be larger than trial 0
    free = shutil.disk_usage(workspace.db.parent).free
    if free >= wanted:
        return []
    return [
        f"The disk of {workspace.db.parent} has {free / 1e9:,.1f} GB free, and the next {trials:,} "
        f"trials should have {wanted / 1e9:,.1f} GB: make room, or ask for fewer trials."
    ]
