from __future__ import annotations

import re

import pytest

from pages._parts.text import (
    changes_text,
    clock_text,
    error_text,
    percent_text,
    plain,
    readable,
    seconds_text,
    value_text,
)
from tests.pages.seed import EVIL


@pytest.mark.parametrize(
    "text",
    [
        "![x](http://example.com/a.png)",
        "[x](javascript:alert(1))",
        "<img src=x onerror=alert(1)>",
        "`code` *bold* _it_ ~~no~~ # head | cell $x$ ^up^ &amp;",
        EVIL,
    ],
)
def test_no_character_of_markdown_is_left_bare(text: str) -> None:
    assert re.search(r"(?<!\\)[`*_{}\[\]()#+!|<>~$^&-]", plain(text)) is None


@pytest.mark.parametrize(
    "text",
    ["https://example.com", "www.example.com", "me@example.com", ":material/home:", ":red[x]"],
)
def test_addresses_and_icons_are_split(text: str) -> None:
    assert re.search(r"://|www\.|www\\\.|@\w|:\w", plain(text)) is None
    assert plain(text).replace("\u2060", "").replace("\\", "") == text


def test_lines_are_joined_and_long_text_is_cut() -> None:
    assert plain("a\n\n# b") == r"a \# b"
    assert len(plain("x" * 5000, limit=100)) == 101


def test_marks_that_hide_or_reorder_text_are_dropped() -> None:
    assert readable("a\u202eb\x00c\u200bd\ue000\n\te") == "abcd\ue000\n\te"


def test_numbers() -> None:
    assert [error_text(value) for value in (0.39, 1.30421, None)] == ["0.3900", "1.304", "–"]
    assert percent_text(-0.0115) == "−1.15 %"
    assert [seconds_text(value) for value in (1.234, 42.4, 61, 3661, None)] == [
        "1.2 s",
        "42 s",
        "1 min 01 s",
        "1 h 01 min",
        "–",
    ]
    assert [value_text(value) for value in (True, 1e-4, 64, "prob", None)] == [
        "yes",
        "0.0001",
        "64",
        "prob",
        "–",
    ]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", clock_text(0.0))


def test_changes() -> None:
    assert changes_text({}) == "the starting configuration"
    assert changes_text({"model.d_model": 128}, {"model.d_model": 64}) == "d_model 64 → 128"
    assert changes_text({"model.d_model": 128}) == "d_model = 128"
