"""Files as people have them: each is read as it is meant, or refused in an exact sentence.

Never is one read shifted, in half, or as something else than it says.
"""

from __future__ import annotations

import pytest

from data.choices import Choices
from data.intake import read_bytes
from data.quality import Report, inspect
from data.registry import DataError
from tests.data.bad_files import CASES, A, B, Case


def checked(case: Case) -> Report:
    content = case.content if isinstance(case.content, bytes) else case.content.encode()
    choices = Choices.model_validate(case.choices)
    return inspect(read_bytes(content, choices), choices, 4, 1)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_file_is_read_as_it_is_meant_or_refused_in_an_exact_sentence(case: Case) -> None:
    try:
        report = checked(case)
    except DataError as error:
        assert str(error) == case.said
        return
    blocking = [finding.text for finding in report.findings if finding.blocks]
    assert blocking[:1] == ([case.said] if case.said else [])
    if not case.said:
        assert report.frame is not None
        assert report.frame.iloc[:, 0].tolist() == list(case.reads)
        rows = set(report.frame.itertuples(index=False, name=None))
        assert len(rows - set(zip(A, B, strict=True))) <= 1, "a value belongs to its row"
