"""How many examples Hypothesis tries: few in every run of the tests, more where `FUZZ_DEPTH` asks.

The few are the same in every run, so that a run of the tests never fails by chance.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

DEPTH = int(os.environ.get("FUZZ_DEPTH", "1"))


def thorough(examples: int) -> settings:
    """Return settings for so many examples, times the depth."""
    return settings(
        max_examples=examples * DEPTH,
        deadline=None,
        database=None,
        derandomize=DEPTH == 1,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
