"""The sentences that the code may say, as `docs/troubleshooting.md` quotes them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
UNKNOWN = "…"
"""Stands for what is put into a sentence, and for what it is joined to."""


def said() -> str:
    """Return all literal texts of the project's code, one a line, values being `UNKNOWN`."""
    files = [path for part in ("nas_engine", "informer", "data", "pages") for path in code(part)]
    texts = [text for file in files for text in literals(ast.parse(file.read_text("utf-8")))]
    makefile = re.sub(r"\$\(\w+\)", UNKNOWN, (PROJECT / "Makefile").read_text("utf-8"))
    return "\n".join([*(" ".join(text.split()) for text in texts), makefile])


def code(part: str) -> Iterator[Path]:
    yield from (PROJECT / part).rglob("*.py")


def literals(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.JoinedStr):
            yield "".join(
                str(part.value) if isinstance(part, ast.Constant) else UNKNOWN
                for part in node.values
            )


def quoted(page: str) -> list[str]:
    """Return the sentences in the tables of a page that begin with *you read*."""
    tables = re.findall(r"^\| you read \|.*\n\|.*\n((?:\|.*\n)+)", page, re.MULTILINE)
    return [
        re.split(r"(?<!\\) \| ", line.removeprefix("| "))[0].replace("\\|", "|").strip()
        for table in tables
        for line in table.splitlines()
    ]
