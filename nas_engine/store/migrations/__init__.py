"""The tables, as numbered migrations. A released migration is never edited; a change is a new one.

Times are seconds since the epoch (UTC). Errors are on scaled data. Non-finite figures are never
stored: a missing figure is NULL, and a run without a finite result is `failed`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

from nas_engine.store.migrations.agent import m005_expected, m010_agent
from nas_engine.store.migrations.calls import m003_calls, m007_answers, m009_sums
from nas_engine.store.migrations.initial import m001_initial
from nas_engine.store.migrations.pages import m008_watched
from nas_engine.store.migrations.settings import CYCLE, m002_structure, m013_cycle
from nas_engine.store.migrations.trainings import m004_seeds, m006_slots, m011_data, m012_many

MIGRATIONS = Migrations("nas_engine")
for _migration in (
    *(m001_initial, m002_structure, m003_calls, m004_seeds, m005_expected, m006_slots),
    *(m007_answers, m008_watched, m009_sums, m010_agent, m011_data, m012_many, m013_cycle),
):
    MIGRATIONS()(_migration)

_ADDED: Mapping[str, Mapping[str, Any]] = {"m013_cycle": CYCLE}


def settings_after(version: str | None) -> frozenset[str]:
    """Return the settings that configurations lack which were recorded under a version.

    None is the newest version. Of those of before the first export nothing is said.
    """
    known = known_versions()
    later = known[known.index(version) + 1 :] if version else []
    return frozenset(key for name in later for key in _ADDED.get(name, {}))


def known_versions() -> list[str]:
    """Return the names of the migrations that this version knows, oldest first."""
    empty = Database(memory=True)
    try:
        return [migration.name for migration in MIGRATIONS.pending(empty)]
    finally:
        empty.close()
