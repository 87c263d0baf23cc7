"""`python -m tests.audit`: the pinned releases, looked up in PyPI's database of known holes.

The Python of an environment that has pip-audit runs it (`make audit`). The exit code is 0 where all
releases were looked up and nothing was found, 1 where something was, and 2 where some could not be
looked up: pip-audit itself passes over these and says that nothing was found.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
FILES = tuple(
    PROJECT / f"{name}.txt" for name in ("requirements", "requirements-ray", "constraints")
)


def main(files: list[Path]) -> int:
    """Print what is known of the releases that are pinned in `files`; return the exit code."""
    given = [part for file in files for part in ("--requirement", str(file))]
    command = [sys.executable, "-m", "pip_audit", "--no-deps", "--disable-pip", "--format", "json"]
    ended = subprocess.run(
        [*command, "--progress-spinner", "off", *given], capture_output=True, text=True
    )
    try:
        releases = json.loads(ended.stdout)["dependencies"]
    except ValueError:
        print(ended.stderr.strip().splitlines()[-1])
        print("No database of known holes can be reached from here: nothing was looked up.")
        return 2
    holes = [(release, hole) for release in releases for hole in release.get("vulns", ())]
    for release, hole in holes:
        mended = ", ".join(hole["fix_versions"]) or "no release"
        names = ", ".join([hole["id"], *hole["aliases"]])
        print(f"{release['name']} {release['version']}: {names}; mended in {mended}")
    missed = [release["name"] for release in releases if "skip_reason" in release]
    looked_up = len(releases) - len(missed)
    print(
        f"{looked_up} of {len(releases)} releases were looked up, {len(holes)} known holes found."
    )
    if missed:
        print(f"The database has no entry for {', '.join(missed)}.")
    return 1 if holes else 2 if missed or not releases else 0


if __name__ == "__main__":
    sys.exit(main([Path(name) for name in sys.argv[1:]] or list(FILES)))
