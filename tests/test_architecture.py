"""Who may import whom. The table is the rule; the test fails on a planted violation."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]

# Part of the project -> what it may import of the project.
MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "app.py": ("data.actors", "pages._parts", "nas_engine.private", "nas_engine.settings"),
    "pages": (
        "pages._parts",
        "nas_engine.amounts",
        "nas_engine.audit",
        "nas_engine.backends",
        "nas_engine.bundling",
        "nas_engine.chat.looked_up",
        "nas_engine.calibration",
        "nas_engine.commands",
        "nas_engine.comparisons",
        "nas_engine.curves",
        "nas_engine.dry_run",
        "nas_engine.evaluator",
        "nas_engine.exchange.archive",
        "nas_engine.exchange.exporting",
        "nas_engine.exchange.importing",
        "nas_engine.facts",
        "nas_engine.findings",
        "nas_engine.front",
        "nas_engine.guidance",
        "nas_engine.hindcasts",
        "nas_engine.inheritance",
        "nas_engine.labels",
        "nas_engine.lessons",
        "nas_engine.liveness",
        "nas_engine.machine",
        "nas_engine.objectives",
        "nas_engine.plaintext",
        "nas_engine.private",
        "nas_engine.proposals",
        "nas_engine.relabel",
        "nas_engine.search",
        "nas_engine.settings",
        "nas_engine.significance",
        "nas_engine.similarity",
        "nas_engine.space",
        "nas_engine.standing",
        "nas_engine.store.inbox",
        "nas_engine.store.hindsight",
        "nas_engine.store.lineage",
        "nas_engine.store.nodes",
        "nas_engine.store.judging",
        "nas_engine.store.listing",
        "nas_engine.store.migrations",
        "nas_engine.store.outcomes",
        "nas_engine.store.provenance",
        "nas_engine.store.reader",
        "nas_engine.store.rows",
        "nas_engine.store.schema",
        "nas_engine.store.steering",
        "nas_engine.store.table",
        "nas_engine.store.trainings",
        "nas_engine.store.wishes",
        "nas_engine.supervisor",
        "nas_engine.transcript",
        "nas_engine.vocabulary",
        "nas_engine.workspace",
        "informer.baselines",
        "informer.config",
        "informer.cost",
        "informer.estimate",
        "informer.intervals",
        "informer.orders",
        "informer.records",
        "informer.rundir",
        "data.actors",
        "data.choices",
        "data.columnar",
        "data.finding",
        "data.intake",
        "data.limits",
        "data.openfile",
        "data.own",
        "data.parts",
        "data.profile",
        "data.quality",
        "data.registry",
        "data.series",
        "data.source",
        "data.splits",
        "data.table",
    ),
    "nas_engine": (
        "nas_engine",
        "informer.baselines",
        "informer.bundle",
        "informer.bundle_format",
        "informer.commit",
        "informer.config",
        "informer.cost",
        "informer.dry_run",
        "informer.export",
        "informer.estimate",
        "informer.failpoint",
        "informer.files",
        "informer.hindcast",
        "informer.orders",
        "informer.records",
        "informer.rundir",
        "informer.traits",
        "data.actors",
        "data.beside",
        "data.columnar",
        "data.own",
        "data.registry",
        "data.source",
        "data.spreadsheet",
        "data.traits",
    ),
    "informer": ("informer", "data"),
    "data": ("data",),
}

# Heavy library -> the only parts that may import it.
HEAVY: dict[str, tuple[str, ...]] = {
    "streamlit": ("app.py", "pages"),
    "plotly": ("pages",),
    "pyarrow": ("data",),
    "torch": ("informer", "data/windows.py"),
    "safetensors": ("informer",),
    "langchain": (),
    "langchain_core": (
        "nas_engine/llm.py",
        "nas_engine/service/form.py",
        "nas_engine/service/http.py",
        "nas_engine/graph.py",
        "nas_engine/chat/answering.py",
    ),
    "langchain_openai": ("nas_engine/service/http.py",),
    "openai": (),
    "httpx2": ("nas_engine/service/http.py", "nas_engine/service/webhook.py"),
    "tenacity": ("nas_engine/llm.py",),
    "langgraph": ("nas_engine/graph.py",),
    "optuna": (
        "nas_engine/exchange/from_optuna.py",
        "nas_engine/exchange/studies.py",
        "nas_engine/exchange/study_rows.py",
        "nas_engine/exchange/to_optuna.py",
        "nas_engine/pruning.py",
        "nas_engine/planners/portfolio.py",
        "nas_engine/planners/prior.py",
        "nas_engine/planners/tpe.py",
        "nas_engine/planners/question.py",
        "nas_engine/planners/llm.py",
    ),
    "sklearn": ("nas_engine/planners/surrogate.py",),
    "ray": (
        "nas_engine/trainers/cluster.py",
        "nas_engine/trainers/node.py",
        "nas_engine/trainers/ray.py",
    ),
    "fsspec": ("nas_engine/trainers/kept.py",),
    "sqlite_utils": ("nas_engine/store",),
}

# Modules that must stay light: importing them loads none of these.
LIGHT = {
    "informer.baselines": ("torch", "streamlit", "langchain_core", "optuna"),
    "informer.config": ("torch", "pandas", "numpy", "streamlit", "langchain_core", "optuna"),
    "informer.intervals": ("torch", "pandas", "streamlit", "langchain_core", "optuna"),
    "informer.predict": ("torch", "streamlit", "langchain_core", "langgraph", "optuna"),
    "informer.estimate": ("torch", "pandas", "streamlit", "langchain_core", "optuna"),
    "informer.bundle": ("torch", "streamlit", "langchain_core", "optuna"),
    "nas_engine.backends": ("torch", "langchain_core", "langgraph", "optuna", "streamlit"),
    "nas_engine.bundling": ("torch", "langchain_core", "langgraph", "optuna", "streamlit"),
    "nas_engine.reproduction": ("torch", "langchain_core", "langgraph", "optuna", "streamlit"),
    "nas_engine.supervisor": ("torch", "langchain_core", "langgraph", "optuna", "streamlit"),
    "nas_engine.store.reader": ("torch", "langchain_core", "langgraph", "optuna", "streamlit"),
    "nas_engine.guidance": ("torch", "numpy", "langchain_core", "optuna", "sqlite_utils"),
    "nas_engine.chat.looked_up": ("torch", "langchain_core", "optuna", "pydantic", "streamlit"),
    "nas_engine.inheritance": ("torch", "numpy", "langchain_core", "optuna", "sqlite_utils"),
    "nas_engine.hindcasts": ("torch", "langchain_core", "langgraph", "optuna", "streamlit"),
    "nas_engine.lessons": ("torch", "langchain_core", "langgraph", "optuna", "streamlit"),
    "nas_engine.similarity": ("torch", "langchain_core", "langgraph", "optuna", "streamlit"),
    "informer.traits": ("torch", "pandas", "streamlit", "langchain_core", "optuna"),
    "nas_engine.labels": ("torch", "langchain_core", "langgraph", "optuna", "streamlit"),
    "nas_engine.dry_run": ("torch", "langchain_core", "langgraph", "optuna", "streamlit"),
    "nas_engine.exchange.exporting": ("torch", "langchain_core", "optuna", "streamlit"),
    "nas_engine.exchange.importing": ("torch", "langchain_core", "langgraph", "optuna"),
    "nas_engine.evaluator": ("torch", "numpy", "langchain_core", "optuna", "sqlite_utils"),
    "nas_engine.findings": ("torch", "langchain_core", "langgraph", "optuna", "streamlit"),
    "nas_engine.front": ("torch", "langchain_core", "langgraph", "optuna", "streamlit"),
    "nas_engine.calibration": ("torch", "langchain_core", "langgraph", "optuna", "streamlit"),
    "nas_engine.relabel": ("torch", "langchain_core", "langgraph", "optuna", "streamlit"),
    "nas_engine.curves": ("torch", "langchain_core", "langgraph", "optuna", "streamlit"),
    "nas_engine.proposals": ("torch", "langchain_core", "langgraph", "optuna", "streamlit"),
    "nas_engine.facts": ("torch", "langchain_core", "langgraph", "optuna", "streamlit"),
    "nas_engine.transcript": ("torch", "langchain_core", "langgraph", "optuna", "streamlit"),
    "nas_engine.graph": ("torch", "streamlit"),
    "nas_engine.engine": ("torch", "streamlit", "ray"),
    "nas_engine.cli.main": ("torch", "streamlit", "langchain_core", "langgraph", "optuna"),
}

OURS = ("pages", "nas_engine", "informer", "data")


def sources(root: Path) -> list[Path]:
    return [root / "app.py", *(path for part in OURS for path in (root / part).rglob("*.py"))]


def imported(path: Path) -> set[str]:
    """Return the modules that a file imports, names taken from a package included."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            module = node.module or ""
            found |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
    return found


def within(module: str, allowed: str) -> bool:
    return module == allowed or module.startswith(f"{allowed}.")


def violations(root: Path) -> list[str]:
    found = []
    for path in sources(root):
        name = path.relative_to(root).as_posix()
        allowed = MAY_IMPORT[name.split("/")[0]]
        modules = imported(path)
        for module in modules:
            top = module.split(".")[0]
            leads = any(within(rule, module) or within(module, rule) for rule in allowed)
            if top in OURS and not leads:
                found.append(f"{name} imports {module}")
            if top in HEAVY and not any(
                name == part or name.startswith(f"{part}/") for part in HEAVY[top]
            ):
                found.append(f"{name} imports {module}")
    return found


def test_imports_point_one_way() -> None:
    assert violations(PROJECT) == []


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("pages/search/live.py", "import torch"),
        ("pages/search/live.py", "from langgraph.graph import StateGraph"),
        ("pages/_parts/figures.py", "from nas_engine.engine import Engine"),
        ("pages/_parts/figures.py", "import sqlite_utils"),
        ("nas_engine/engine.py", "import torch"),
        ("pages/_parts/cluster.py", "import ray"),
        ("nas_engine/graph.py", "from informer.model import Informer"),
        ("nas_engine/store/reader.py", "import streamlit"),
        ("informer/train.py", "from nas_engine.settings import Settings"),
        ("data/splits.py", "from informer.config import RunConfig"),
    ],
)
def test_a_planted_violation_is_found(tmp_path: Path, file: str, line: str) -> None:
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / "app.py").write_text("")
    (tmp_path / file).write_text(f"{line}\n")
    assert violations(tmp_path)


def test_the_pages_folder_holds_no_page_directly() -> None:
    # With files there, a deep link to a fresh server takes Streamlit's legacy path past app.py.
    assert list((PROJECT / "pages").glob("*.py")) == []


@pytest.mark.parametrize("heavy", sorted(set(LIGHT.values())), ids="-".join)
def test_light_modules_load_nothing_heavy(heavy: tuple[str, ...]) -> None:
    """Those of which the same is said share a process: what none of them loads, all lack."""
    modules = [module for module, without in LIGHT.items() if without == heavy]
    program = f"""
import importlib, sys
for module in {modules!r}:
    importlib.import_module(module)
    print(*[f"{{module}} loads {{name}}" for name in {heavy!r} if name in sys.modules], end="")
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert ended.stdout == ""


LONG_FILE, LONG_FUNCTION = 400, 50

# Lines that are more than that, each with the reason. What is no longer long must be taken off.
LONG_FILES: dict[str, str] = {
    "data/dates.py": "one question, which form of date a column has, asked from several sides",
    "data/quality.py": "the checks of a table, in the order in which a person reads what they find",
    "data/registry.py": "what a data set is, and the ones that are known by name",
    "informer/config.py": "every setting of a run with what it excludes, written once",
    "informer/training.py": "one training from its first step to its result",
    "nas_engine/engine.py": "one process: one class whose parts share what is under way",
    "nas_engine/evaluator.py": "the rules and the order in which they decide, read as one",
    "nas_engine/graph.py": "one workflow: its nodes and what they ask",
    "nas_engine/lessons.py": "what a search takes from others: found, weighed, kept",
    "nas_engine/llm.py": "one question to a language model, with every way in which it can fail",
    "nas_engine/store/table.py": "one query language: parsed, turned to SQL, answered",
}
LONG_FUNCTIONS: dict[str, str] = {
    "data/dates.py:_choose_format": "one decision by cases",
    "data/dialect.py:find": "one decision by cases",
    "data/quality.py:inspect": "the list of all checks, in their order",
    "informer/forecasts.py:forecasts": "one pass over the windows",
    "informer/hindcast.py:make": "one pass over the windows",
    "nas_engine/cli/searching.py:search": "its options are its lines",
    "nas_engine/graph.py:_train": "one training, with the points at which a process may be lost",
    "nas_engine/llm.py:_request": "one request and what can come of it",
    "nas_engine/store/judging.py:save_verdict": "one transaction, most of it SQL",
    "nas_engine/store/proposing.py:decide": "one transaction, most of it SQL",
    "nas_engine/store/proposing.py:propose": "one transaction, most of it SQL",
    "nas_engine/store/trainings.py:complete": "one transaction, most of it SQL",
    "pages/_parts/comparing/curves.py:choose_look": "the controls of a form, one after another",
    "pages/_parts/comparing/downloads.py:show": "a page's part from top to bottom",
    "pages/_parts/data_choices.py:make_choices": "the controls of a form, one after another",
    "pages/_parts/data_file.py:choose_reading": "the controls of a form, one after another",
    "pages/_parts/data_look.py:show_seasons": "a page's part from top to bottom",
    "pages/_parts/enqueue.py:show_enqueue": "the controls of a form, one after another",
    "pages/_parts/forms.py:setting": "one control for each kind of setting",
    "pages/_parts/searches.py:search_columns": "the columns of a table, one after another",
    "pages/_parts/trial_head.py:show_figures": "a page's part from top to bottom",
}


def long_parts(root: Path) -> tuple[set[str], set[str]]:
    """Return the files and the functions that have more lines than they should."""
    files, functions = set(), set()
    for path in sources(root):
        name, text = path.relative_to(root).as_posix(), path.read_text("utf-8")
        if len(text.splitlines()) > LONG_FILE:
            files.add(name)
        functions |= {
            f"{name}:{node.name}"
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and (node.end_lineno or 0) - node.lineno + 1 > LONG_FUNCTION
        }
    return files, functions


def test_files_and_functions_are_short_unless_there_is_a_reason() -> None:
    files, functions = long_parts(PROJECT)
    assert files == LONG_FILES.keys()
    assert functions == LONG_FUNCTIONS.keys()


def test_what_is_too_long_is_found(tmp_path: Path) -> None:
    for name, lines in (("short", LONG_FUNCTION - 1), ("long", LONG_FUNCTION)):
        body = "    x = 1\n" * lines
        (tmp_path / "data").mkdir(exist_ok=True)
        (tmp_path / "data" / f"{name}.py").write_text(f"def {name}():\n{body}")
    (tmp_path / "app.py").write_text("x = 1\n" * (LONG_FILE + 1))
    assert long_parts(tmp_path) == ({"app.py"}, {"data/long.py:long"})
