"""Settings that configurations of before did not name, said in those that are recorded."""

from __future__ import annotations

import json
from typing import Any

from sqlite_utils import Database

# Settings that came after the first version, with the values that they had unsaid until then: the
# model was the published Informer, faults and all.
_UNSAID = {
    "data.drop_last": False,
    "model.decomposition": "none",
    "model.kernel": 25,
    "model.skip": False,
    "model.tokens": "step",
    "model.patch_len": 16,
    "model.patch_stride": 8,
    "model.channels": "mixed",
    "model.positional": "sinusoidal",
    "model.padding": "circular",
    "model.sampled_keys": "per_query",
    "model.sparsity": "published",
    "model.lazy": "sum",
    "model.norm": "post",
    "model.ffn": "dense",
    "model.head": "decoder",
    "training.warmup_steps": 0,
    "training.clip_norm": 0.0,
    "training.precision": "auto",
    "training.compile": False,
}
_PUBLISHED = {"model.mix": True, "model.sparsity": "published", "model.lazy": "sum"}


def m002_structure(db: Database) -> None:
    """Say in recorded configurations what was unsaid, and name the kind of calendar embedding."""
    for key, *texts in db.execute("SELECT id, changes, original, config FROM proposals").fetchall():
        changes, original, config = (_with_named_calendar(json.loads(text)) for text in texts)
        db.execute(
            "UPDATE proposals SET changes = ?, original = ?, config = ? WHERE id = ?",
            [*(json.dumps(v) for v in (changes, original, _UNSAID | config)), key],
        )
    for key, text in db.execute("SELECT id, spec FROM searches").fetchall():
        spec = json.loads(text)
        spec["settings"] = _with_named_calendar(_PUBLISHED | spec.get("settings", {}))
        db.execute("UPDATE searches SET spec = ? WHERE id = ?", [json.dumps(spec), key])


def _with_named_calendar(values: dict[str, Any]) -> dict[str, Any]:
    if isinstance(given := values.get("model.temporal"), bool):
        return values | {"model.temporal": "linear" if given else "none"}
    return values


CYCLE = {"model.cycle": "none"}


def m013_cycle(db: Database) -> None:
    """Say in recorded configurations that no cycle was learned, for which there was no setting."""
    for table in ("proposals", "revisions", "replays"):
        for key, text in db.execute(
            f"SELECT id, config FROM {table} WHERE config <> '{{}}'"  # noqa: S608
        ).fetchall():
            config = json.dumps(CYCLE | json.loads(text))
            db.execute(f"UPDATE {table} SET config = ? WHERE id = ?", [config, key])  # noqa: S608
