"""What is installed is at or above the releases that closed known holes."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from tests.test_architecture import PROJECT

FLOORS = {
    "torch": ("2.10.0", "CVE-2026-24747: weights that run code with weights_only=True"),
    "streamlit": ("1.54.0", "CVE-2026-33682"),
    "starlette": ("1.1.0", "CVE-2026-48710: paths by a forged Host; CVE-2026-48818"),
    "langgraph": ("1.0.10", "CVE-2026-28277: checkpoints that run code"),
    "langgraph-checkpoint": ("4.1.1", "CVE-2026-27794, CVE-2026-48775: the same"),
    "langgraph-checkpoint-sqlite": ("3.0.1", "CVE-2025-67644: SQL in the keys of a filter"),
    "langgraph-sdk": ("0.3.15", "CVE-2026-48776: names that lead to other paths"),
    "langchain-core": ("1.4.9", "CVE-2025-68664, CVE-2026-34070, CVE-2026-44843, CVE-2026-45134"),
    "h11": ("0.16.0", "CVE-2025-43859: smuggled requests"),
    "urllib3": ("2.6.0", "CVE-2025-66418, CVE-2025-66471: packed answers without a bound"),
    "requests": ("2.32.4", "CVE-2024-47081: credentials sent to another host"),
    "pyarrow": ("14.0.1", "CVE-2023-47248: files that run code"),
    "Jinja2": ("3.1.6", "CVE-2025-27516: templates that leave their sandbox"),
    "ray": ("2.55.0", "CVE-2026-27482, CVE-2026-32981: a dashboard that is open to web pages"),
}
"""Package -> the first release without the hole, and the hole."""


def installed(package: str) -> Version | None:
    try:
        return Version(version(package))
    except PackageNotFoundError:
        return None


@pytest.mark.parametrize("package", FLOORS)
def test_what_is_installed_has_no_known_hole(package: str) -> None:
    floor, hole = FLOORS[package]
    found = installed(package)
    assert found is None or found >= Version(floor), f"{package} {found}: {hole}"


def test_the_packages_that_read_what_comes_from_outside_are_installed_and_looked_at() -> None:
    assert all(installed(package) for package in ("torch", "streamlit", "langgraph", "pyarrow"))


def pins() -> dict[str, Version]:
    """Return every pinned release by the name of its package."""
    found = {}
    for file in PROJECT.glob("*.txt"):
        for line in file.read_text("utf-8").splitlines():
            text = line.partition("#")[0].strip()
            if text and not text.startswith("-"):
                requirement = Requirement(text)
                (specifier,) = requirement.specifier
                assert specifier.operator == "==", f"{file.name} leaves {text} open"
                found[requirement.name] = Version(specifier.version)
    return found


def test_every_release_is_pinned_at_or_above_its_floor() -> None:
    pinned = pins()
    assert len(pinned) > 100
    for package, (floor, hole) in FLOORS.items():
        assert pinned.get(package, Version(floor)) >= Version(floor), f"{package}: {hole}"
