"""`python -m tests.audit`: the pinned releases, looked up in PyPI's database of known holes.

The Python of an environment that has pip-audit runs it (`make audit`). The exit code is 0 where
nothing was found, 1 where something was, and 2 where nothing could be looked up.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
FILES = ("requirements.txt", "requirements-ray.txt", "constraints.txt")
UNREACHED = ("ConnectionError", "Max retries", "NameResolution", "Failed to establish", "HTTPError")


def main() -> int:
    """Print what pip-audit finds, or that nothing could be looked up; return the exit code."""
    given = [part for name in FILES for part in ("--requirement", str(PROJECT / name))]
    command = [sys.executable, "-m", "pip_audit", "--no-deps", "--disable-pip", *given]
    ended = subprocess.run([*command, "--progress-spinner", "off"], capture_output=True, text=True)
    print(ended.stdout, ended.stderr, sep="")
    if ended.returncode and any(sign in ended.stderr for sign in UNREACHED):
        print("No database of known holes can be reached from here: nothing was looked up.")
        return 2
    return ended.returncode


if __name__ == "__main__":
    sys.exit(main())
