"""A language model service may do anything: the search goes on, and the books are honest."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from tests.fakes.llm_faults import FAULTS, KEY, Fault
from tests.faults.llm import holds_key, problems, run


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_the_search_goes_on_and_the_books_are_honest(fault: Fault, tmp_path: Path) -> None:
    assert problems(fault, run(fault, tmp_path)) == []


def test_every_fault_has_a_name_of_its_own() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= 60


@pytest.mark.parametrize(
    "text",
    [
        f"Bearer {KEY}",
        base64.b64encode(f"x{KEY}y".encode()).decode(),
        "".join(f"\\u{ord(letter):04x}" for letter in KEY),
        KEY.replace("/", "\\/"),
        KEY.replace("/", "%2F").replace("+", "%2B"),
    ],
)
def test_a_planted_key_is_found(text: str) -> None:
    assert holds_key(f"before {text} after")
    assert not holds_key("before [key] after")
