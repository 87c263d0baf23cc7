"""A search as it stood at a moment: what was known then, and nothing that came after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from nas_engine.commands import COMMAND, Change, Start, changed, started_again
from nas_engine.guidance import SteeringRow
from nas_engine.search import SearchSpec
from nas_engine.store import wishes
from nas_engine.store.reader import Reader
from nas_engine.store.rows import RevisionRow, SearchRow, TrialRow


def trials_before(reader: Reader, trial: TrialRow) -> list[TrialRow]:
    """Return the trials that had been proposed before one was, as they were known then.

    Those that had ended are whole. The others are open and have nothing but their proposal, in the
    version of that moment. One that was trained again later is open too: what it had shown by then
    is not kept.
    """
    moment, versions = trial.created_at, wishes.revisions(reader, trial.search_id)
    return [
        row
        if row.ended_at is not None and row.ended_at <= moment
        else _open(row, [version for version in versions if version.number == row.number], moment)
        for row in reader.trials(trial.search_id)
        if (row.created_at, row.number) < (moment, trial.number)
    ]


def spec_at(reader: Reader, search: SearchRow, moment: float) -> SearchSpec:
    """Return what defined a search at a moment, with the budgets and modes of then."""
    spec: SearchSpec | None = None
    for row in wishes.commands(reader, search.id):
        if row.state != "applied" or row.answered_at is None or row.answered_at > moment:
            continue
        try:
            match COMMAND.validate_json(row.payload):
                case Start(spec=given):
                    spec = started_again(spec, given) if spec else given
                case Change() as change if spec:
                    spec = changed(spec, change)
        except ValidationError:  # of an earlier version: as if it had not been given
            continue
    now = search.spec.model_copy(update={"max_trials": search.max_trials})
    kept = {"max_trials", "limits", "slots", "mode", "timer"}
    return now if spec is None else now.model_copy(update={k: getattr(spec, k) for k in kept})


def steering_at(reader: Reader, search_id: int, moment: float) -> list[SteeringRow]:
    """Return what people had told a search by then and was in force, oldest first."""
    return [
        replace(row, ended_at=None, ended_by="")
        for row in wishes.steering(reader, search_id, in_force=False)
        if row.created_at <= moment and (row.ended_at is None or row.ended_at > moment)
    ]


def _open(row: TrialRow, versions: Sequence[RevisionRow], moment: float) -> TrialRow:
    """Return a trial as one that has only been proposed, in the version of a moment."""
    begun = row.started_at is not None and row.started_at <= moment
    before = [version for version in versions if version.created_at <= moment]
    later = [version for version in versions if version.created_at > moment]
    edits = [version for version in before if version.why == "edited"]
    if before and before[-1].why == "asked again" and (row.waiting_since or 0.0) > moment:
        shown: TrialRow | RevisionRow = before[-1]  # the planner was being asked anew
    else:
        shown = later[0] if later else row
    return replace(
        row,
        state="running" if begun else "queued",
        source=shown.source,
        step_type=shown.step_type,
        hypothesis=shown.hypothesis,
        reasons=shown.reasons,
        changes=shown.changes,
        config=shown.config,
        original=edits[-1].changes if edits else shown.changes,
        expected_low=shown.expected_low,
        expected_high=shown.expected_high,
        decision="edited" if edits else None,
        author=edits[-1].author if edits else "",
        comment=edits[-1].comment if edits else "",
        started_at=row.started_at if begun else None,
        **_UNKNOWN,
    )


_UNKNOWN: dict[str, Any] = {
    **dict.fromkeys(("val_mse", "val_mae", "test_mse", "test_mae", "spread"), None),
    **dict.fromkeys(("accepted", "rule", "improvement", "margin", "verdict", "opinion"), None),
    **dict.fromkeys(("run_id", "attempt", "worker_pid", "epoch", "step", "steps"), None),
    **dict.fromkeys(("best_epoch", "epochs", "parameters", "seconds", "device", "slot"), None),
    **dict.fromkeys(("latency_ms", "flops", "memory_mb"), None),
    **dict.fromkeys(("surrogate_low", "surrogate_high", "waiting_since", "ended_at"), None),
    **dict.fromkeys(("error_class", "error", "hint"), ""),
    **dict.fromkeys(("version", "seeds", "trial_version", "priority", "round", "wanted"), 0),
    **dict.fromkeys(("stopping", "asked_again"), False),
    "asked_seconds": 0.0,
    "spark": [],
}
"""What is not known of a trial that has not ended."""
