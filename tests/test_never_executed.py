"""Nothing that was received is ever code: the source has no way to run it, nor to put it into SQL.

What comes from a language model, a file, a bundle or a page is data. Here the source itself is
read, and each rule fails on a planted violation; test_forged.py forges what is received.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.test_architecture import PROJECT, sources

MODULES = frozenset(
    {
        *("pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "jsonpickle"),
        *("yaml", "code", "codeop", "runpy", "imp", "pty", "langchain_core.load", "langchain.load"),
        *("torch.hub", "torch.jit", "torch.package"),
    }
)
"""What runs or unpickles what it reads."""

CALLS = frozenset(
    {
        *("eval", "exec", "compile", "__import__", "breakpoint", "builtins.*"),
        *("os.system", "os.popen", "os.exec*", "os.spawn*", "os.posix_spawn*"),
        *("subprocess.getoutput", "subprocess.getstatusoutput", "asyncio.create_subprocess_shell"),
        *("*.read_pickle", "*.read_hdf", "torch.load", "torch.export.load"),
        *("importlib.import_module", "importlib.reload", "importlib.util.module_from_spec"),
        *("*.load_extension", "*.enable_load_extension", "*.unsafe_load", "*.fromfile"),
        *("st.html", "st.iframe", "st.components.v1.*", "*.read_csv", "urllib.request.*"),
    }
)
"""What no file may call, by name."""

ALLOWED = frozenset(
    {
        ("nas_engine/own_rules.py", "importlib.import_module"),  # of the person's own environment
        ("informer/program.py", "torch.export.load"),  # of what it has just written itself
        ("data/source.py", "pd.read_csv"),  # an open file of the published ones
        ("data/csvfile.py", "arrow.read_csv"),  # an open file
    }
)

FLAGS = {
    "shell": False,
    "unsafe_allow_html": False,
    "unsafe_allow_javascript": False,
    "allow_pickle": False,
    "weights_only": True,
    "trust_remote_code": False,
    "pickle_fallback": False,
}
"""What a keyword must be wherever it is given."""


def dotted(node: ast.expr) -> str:
    """Return a name such as os.path.join; a part that is no name is "?"."""
    match node:
        case ast.Name():
            return node.id
        case ast.Attribute():
            return f"{dotted(node.value)}.{node.attr}"
    return "?"


def named(name: str, patterns: frozenset[str]) -> bool:
    """Tell whether a name is one of these, in which * stands for any end or beginning."""
    return any(
        name == pattern
        or (pattern.endswith("*") and name.startswith(pattern[:-1]))
        or (pattern.startswith("*") and name.endswith(pattern[1:]))
        for pattern in patterns
    )


@functools.cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    """Return all nodes of a file, which is read once."""
    return tuple(ast.walk(ast.parse(path.read_text("utf-8"))))


def ways_to_run(path: Path, name: str) -> Iterator[str]:
    """Yield each place in a file that could run what it was given."""
    modules = set()  # the names under which the file has imported modules
    for node in nodes(path):
        loaded: list[str] = []
        if isinstance(node, ast.Import):
            loaded = [alias.name for alias in node.names]
            modules |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            loaded = [module, *(f"{module}.{alias.name}" for alias in node.names)]
        for module in loaded:
            if any(module == bad or module.startswith(f"{bad}.") for bad in MODULES):
                yield f"{name} imports {module}"
    for node in nodes(path):
        if isinstance(node, ast.Call):
            yield from (f"{name}:{node.lineno} {way}" for way in _ways(node, name, modules))


def _ways(call: ast.Call, name: str, modules: set[str]) -> Iterator[str]:
    called = dotted(call.func)
    if named(called, CALLS) and (name, called) not in ALLOWED:
        yield f"calls {called}"
    for keyword in call.keywords:
        if keyword.arg in FLAGS:
            value = keyword.value
            if not (isinstance(value, ast.Constant) and value.value is FLAGS[keyword.arg]):
                yield f"sets {keyword.arg}"
    if called in ("getattr", "setattr") and len(call.args) > 1:
        whose = dotted(call.args[0]).split(".")[0]
        if whose in modules and not isinstance(call.args[1], ast.Constant):
            yield f"takes a name out of {whose} by a text"


PLANTED = {
    "a call": "eval(reply)",
    "a statement": "exec(reply)",
    "a compiled text": "compile(reply, 'x', 'exec')",
    "a pickle": "import pickle",
    "a pickle, from": "from pickle import loads",
    "a shelf": "import shelve",
    "YAML": "import yaml\nyaml.load(reply)",
    "LangChain's own": "from langchain_core.load import loads",
    "a shell": "import subprocess\nsubprocess.run(reply, shell=True)",
    "a shell, unknown": "import subprocess\nsubprocess.run(reply, shell=flag)",
    "a command": "import os\nos.system(reply)",
    "another program": "import os\nos.execvp(reply, [])",
    "weights": "import torch\ntorch.load(path)",
    "weights, in full": "import torch\ntorch.load(path, weights_only=False)",
    "arrays": "import numpy as np\nnp.load(path, allow_pickle=True)",
    "a frame": "import pandas as pd\npd.read_pickle(path)",
    "an address": "import pandas as pd\npd.read_csv(given)",
    "a class by name": "import torch\ngetattr(torch.optim, given)",
    "a module by name": "import importlib\nimportlib.import_module(given)",
    "an extension": "connection.enable_load_extension(True)",
    "HTML": "import streamlit as st\nst.markdown(reply, unsafe_allow_html=True)",
    "HTML of its own": "import streamlit as st\nst.html(reply)",
}


def planted(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "planted.py"
    path.write_text(text)
    return path


def test_the_source_has_no_way_to_run_what_it_was_given() -> None:
    found = [
        way
        for path in sources(PROJECT)
        for way in ways_to_run(path, path.relative_to(PROJECT).as_posix())
    ]
    assert found == []


@pytest.mark.parametrize("text", PLANTED.values(), ids=PLANTED)
def test_a_planted_way_is_found(tmp_path: Path, text: str) -> None:
    assert list(ways_to_run(planted(tmp_path, text), "planted.py"))


def test_what_is_allowed_is_still_there() -> None:
    for name, called in ALLOWED:
        found = nodes(PROJECT / name)
        calls = {dotted(node.func) for node in found if isinstance(node, ast.Call)}
        assert called in calls, f"{name} no longer calls {called}: take it from the list"


# -- SQL ------------------------------------------------------------------------------------------

SQL = re.compile(
    r"\b(SELECT|INSERT INTO|UPDATE|DELETE FROM|ALTER TABLE|CREATE|DROP|PRAGMA|FROM|WHERE|ORDER BY"
    r"|JOIN|ATTACH|VACUUM)\b"
)
CONSTANT = re.compile(r"_?[A-Z][A-Z_]*")
RUNS_SQL = frozenset({"execute", "executemany", "executescript", "query", "fetch", "stream"})

IN_SQL: dict[str, frozenset[str]] = {
    "nas_engine/store/copying.py": frozenset(
        {
            "table",  # of TABLES
            "TABLES[table]",
            "', '.join(names)",  # of the columns of the schema, against which rows are checked
            "places",  # a placeholder for each of them
            "default or 'NULL'",  # of the schema itself
        }
    ),
    "nas_engine/store/lineage.py": frozenset({"common", "where"}),  # literals of its callers
    "nas_engine/store/listing.py": frozenset({"kept"}),  # of COLUMNS
    "nas_engine/store/provenance.py": frozenset({"', '.join('?' * len(OF_TRIALS))"}),
    "nas_engine/store/judging.py": frozenset({"columns", "one_or_all(number)"}),  # of Objective
    "nas_engine/store/migrations/agent.py": frozenset({"column"}),  # literals
    "nas_engine/store/migrations/calls.py": frozenset({"column"}),
    "nas_engine/store/migrations/settings.py": frozenset({"table"}),
    "nas_engine/store/reader.py": frozenset({"one_or_all(number)", "among"}),  # literals
    "nas_engine/store/schema.py": frozenset({"'FULL' if durable else 'NORMAL'"}),
    "nas_engine/store/table.py": frozenset(
        {
            "', '.join((expression for expression, _ in chosen))",  # of COLUMNS, or json_extract(?)
            "', '.join(COLUMNS.values())",
            "order",  # the same
            "where",  # of conditions that are made of these, of operators in a list and of ?
            "empty_last",
            "direction",
        }
    ),
    "nas_engine/store/wishes.py": frozenset({"one_or_all(number)", "condition"}),  # literals
    "nas_engine/store/writer.py": frozenset({"condition"}),
}
"""File -> what its SQL is put together of, beside constants: nothing that came from outside."""

STATEMENTS = frozenset({"sql", "statement", "query", "_inserting(table, tuple(row))"})
"""What may be run that is not spelt out where it runs: its text is looked at where it is made."""


def ways_into_sql(path: Path, name: str) -> Iterator[str]:
    """Yield each place in a file at which a text gets into SQL other than as a parameter."""
    known = IN_SQL.get(name, frozenset())
    for node in nodes(path):
        match node:
            case ast.JoinedStr():
                yield from (f"{name}:{node.lineno} {part}" for part in _unknown(node, known))
            case ast.BinOp(op=ast.Mod() | ast.Add()) if _is_sql(node.left) or _is_sql(node.right):
                yield f"{name}:{node.lineno} puts SQL together"
            case ast.Call(func=ast.Attribute(attr="format")) if _is_sql(node.func.value):
                yield f"{name}:{node.lineno} formats SQL"
            case ast.Call(func=ast.Attribute(attr=attribute)) if (
                attribute in RUNS_SQL and node.args
            ):
                given = node.args[0]
                if not isinstance(given, ast.Constant | ast.JoinedStr) and not (
                    ast.unparse(given) in STATEMENTS or CONSTANT.fullmatch(ast.unparse(given))
                ):
                    yield f"{name}:{node.lineno} runs {ast.unparse(given)}"


def _unknown(node: ast.JoinedStr, known: frozenset[str]) -> Iterator[str]:
    literal = " ".join(part.value for part in node.values if isinstance(part, ast.Constant))
    if SQL.search(literal):
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                text = ast.unparse(part.value)
                if not (CONSTANT.fullmatch(text) or text in known):
                    yield f"puts {text} into SQL"


def _is_sql(node: ast.expr) -> bool:
    return (
        isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and SQL.search(node.value) is not None
    )


def test_nothing_gets_into_sql_but_as_a_parameter() -> None:
    found = [
        way
        for path in sources(PROJECT)
        for way in ways_into_sql(path, path.relative_to(PROJECT).as_posix())
    ]
    assert found == []


@pytest.mark.parametrize(
    "text",
    [
        "connection.execute(f\"SELECT * FROM trials WHERE name = '{name}'\")",
        "connection.execute(\"SELECT * FROM trials WHERE name = '%s'\" % name)",
        'connection.execute("SELECT * FROM trials WHERE name = " + name)',
        'connection.execute("SELECT * FROM {}".format(name))',
        'sql = f"DELETE FROM {name}"\nconnection.execute(sql)',
        "connection.executescript(given)",
        "reader.fetch(name)",
    ],
)
def test_a_planted_way_into_sql_is_found(tmp_path: Path, text: str) -> None:
    assert list(ways_into_sql(planted(tmp_path, text), "planted.py"))
