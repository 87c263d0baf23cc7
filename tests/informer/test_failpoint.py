"""A failpoint does nothing until it is armed, and then kills at the pass that was asked for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]

PASSES = """
from informer.failpoint import arm, failpoint
{arm}
for number in range(1, 5):
    print(number, flush=True)
    failpoint("here")
"""


@pytest.mark.parametrize(
    ("arm", "environment", "passes"),
    [
        ("", {}, 4),
        ("arm('here')", {}, 1),
        ("arm('here', 3)", {}, 3),
        ("arm('elsewhere')", {}, 4),
        ("", {"NAS_FAILPOINT": "here:2"}, 2),
        ("", {"NAS_FAILPOINT": "here"}, 1),
        ("", {"NAS_FAILPOINT": "elsewhere:1"}, 4),
    ],
)
def test_a_process_is_killed_at_the_pass_that_was_armed(
    arm: str, environment: dict[str, str], passes: int
) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PASSES.format(arm=arm)],
        cwd=PROJECT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    assert len(ended.stdout.split()) == passes
    assert ended.returncode == (0 if passes == 4 else -signal.SIGKILL)
