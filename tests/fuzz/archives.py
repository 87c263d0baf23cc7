"""`python -m tests.fuzz.archives`: files of searches and folders of bundles, from outside.

An input is a JSON list of edits of a sound file that is made anew, so that one means the same after
the schema has changed. `[path, value]` sets something and `[path]` removes it. A path begins with
`search` or `bundle`, and goes on with the name of a part and what is inside it: numbers of rows,
columns, and keys of the JSON that is in texts; a number that is too large counts from the start
again, and one in place of a name stands for the name at that place. The sums of a manifest are of
what the edits left. Three more paths begin with

- `manifest`: what the manifest of the search's file says, whatever is true,
- `entry`: how a part stands in the zip: its `mode`, `method`, `flags`, or how many `times`,
- `bytes`: the bytes of the finished zip; removed, the file ends there.
"""

from __future__ import annotations

import copy
import functools
import io
import json
import random
import shutil
import tempfile
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from informer.bundle import Bundle, BundleError
from informer.bundle_format import (
    FILES,
    Manifest,
)
from nas_engine.exchange.archive import ExchangeError
from nas_engine.exchange.importing import import_search
from nas_engine.workspace import Workspace
from tests.engine.exchanged import all_rows, exported, members, packed, read_all
from tests.fuzz.mutation import changed as changed_value
from tests.fuzz.mutation import changed_json
from tests.fuzz.scratch import scratch
from tests.fuzz.sound_bundle import bundle
from tests.pages import seed
from tests.pages.folders import leave_folder

OUTCOMES = ("taken", "read", "refused")
LONGEST = 2000

Doc = dict[str, Any]


def judge(data: bytes) -> str:
    """Return what becomes of a file with edits: taken whole, or refused with nothing changed."""
    try:
        edits = json.loads(data)
    except (ValueError, RecursionError):
        edits = None
    if not isinstance(edits, list):
        return _import(data)
    of_bundle = [edit for edit in edits if _begins(edit, "bundle")]
    return _read_bundle(of_bundle) if of_bundle else _import(_file(edits))


def _begins(edit: Any, *names: str) -> bool:
    well = isinstance(edit, list) and 1 <= len(edit) <= 2 and isinstance(edit[0], list)
    return bool(well and edit[0] and edit[0][0] in names)


# -- a search -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """A workspace that takes files in, and one of which nothing is changed."""

    workspace: Workspace
    pristine: Path
    parts: Mapping[str, bytes]  # of a sound file
    rows: dict[str, list[tuple[Any, ...]]]


@functools.cache
def place() -> Place:
    """Return the workspace, made once."""
    folder = scratch()
    source = Workspace(folder / "source" / "nas.db")
    search = seed.eventful(source)
    run = leave_folder(source, search, 1)
    run.weights.write_bytes(b"weights")
    here = Workspace(folder / "here" / "nas.db")
    seed.small(here)
    here.runs.mkdir(exist_ok=True)
    parts = members(exported(source, search, "all"))
    pristine = folder / "pristine"
    shutil.copytree(here.db.parent, pristine)
    return Place(here, pristine, parts, all_rows(here))


def _import(content: bytes) -> str:
    here = place()
    before = _tree(here.workspace.db.parent)
    try:
        took = import_search(here.workspace, io.BytesIO(content), "search.nas.zip")
    except ExchangeError as error:
        require_sentences([str(error)])
        assert all_rows(here.workspace) == here.rows
        assert _tree(here.workspace.db.parent) == before
        return "refused"
    require_sentences([took.sentence])
    read_all(here.workspace, took.search_id)
    new = _tree(here.workspace.db.parent) - before
    assert all(str(path).startswith(f"nas.runs/{took.search_id}") for path in new), new
    with closing(io.BytesIO()) as again:  # what was taken can be given on
        again.write(exported(here.workspace, took.search_id))
    shutil.rmtree(here.workspace.db.parent)
    shutil.copytree(here.pristine, here.workspace.db.parent)
    return "taken"


def _tree(folder: Path) -> set[Path]:
    """Return all that lies in a workspace but what SQLite keeps beside a database."""
    found = {path.relative_to(folder) for path in folder.rglob("*")}
    return {path for path in found if not path.name.endswith(("-wal", "-shm"))}


def _file(edits: list[Any]) -> bytes:
    """Return the file of the search as edits leave it."""
    document = copy.deepcopy(_document())
    for edit in edits:
        if _begins(edit, "search"):
            _apply(document, edit[0][1:], edit[1:])
    told = document.pop("manifest.json", {})
    named = {name.partition("\0")[0]: part for name, part in document.items()}  # as zipfile does
    parts = {name: _content(part) for name, part in named.items() if name}
    parts["manifest.json"] = json.dumps(told if isinstance(told, dict) else {}).encode()
    content = packed(parts)
    manifest = json.loads(members(content)["manifest.json"])
    for edit in edits:
        if _begins(edit, "manifest"):
            _apply(manifest, edit[0][1:], edit[1:])
    parts["manifest.json"] = json.dumps(manifest).encode("utf-8", "surrogatepass")
    entries: Doc = {name: {} for name in parts}
    for edit in edits:
        if _begins(edit, "entry"):
            _apply(entries, edit[0][1:], edit[1:])
    damaged = bytearray(_zip(parts, entries))
    for edit in edits:
        if _begins(edit, "bytes") and len(edit[0]) > 1 and isinstance(edit[0][1], int) and damaged:
            at = edit[0][1] % len(damaged)
            if len(edit) == 1:
                del damaged[at:]
            elif isinstance(edit[1], int):
                damaged[at] = edit[1] % 256
    return bytes(damaged)


def _plain(name: str, content: bytes) -> Any:
    if name.endswith(".jsonl"):
        return [json.loads(line) for line in content.splitlines()]
    return json.loads(content) if name.endswith(".json") else content.decode("latin-1")


def _content(part: Any) -> bytes:
    if isinstance(part, list):
        lines = (line if isinstance(line, str) else json.dumps(line) for line in part)
        return "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogatepass")
    text = part if isinstance(part, str) else json.dumps(part)
    return text.encode("utf-8", "surrogatepass")


def _zip(parts: Mapping[str, bytes], entries: Doc) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of two parts with one name
        for name, content in parts.items():
            told = entries.get(name)
            told = told if isinstance(told, dict) else {}
            info = zipfile.ZipInfo(name)
            stored = told.get("method") == zipfile.ZIP_STORED
            info.compress_type = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
            info.external_attr = (_whole(told.get("mode"), 0o100644) & 0xFFFF) << 16
            for _ in range(min(3, _whole(told.get("times"), 1))):
                archive.writestr(info, content)
        for info in archive.infolist():  # as the directory, which is yet to be written, has them
            told = entries.get(info.filename)
            if isinstance(told, dict):
                info.flag_bits |= _whole(told.get("flags"), 0) & 0xFFFF
                info.compress_type = _whole(told.get("method"), info.compress_type) & 0xFFFF
                info.file_size = _whole(told.get("size"), info.file_size) & 0xFFFFFFFF
    return file.getvalue()


def _whole(value: Any, otherwise: int) -> int:
    return value if isinstance(value, int) else otherwise


# -- edits --------------------------------------------------------------------------------------


def _apply(document: Any, path: list[Any], value: list[Any]) -> Any:
    """Return a document after an edit; where a path leads nowhere, as it was."""
    if not path:
        return value[0] if value else document
    step, *rest = path
    if isinstance(document, str) and document[:1] in ("{", "["):  # JSON in a cell
        try:
            inside = json.loads(document)
        except (ValueError, RecursionError):
            return document
        return json.dumps(_apply(inside, path, value))
    if isinstance(document, dict):
        if isinstance(step, int) and document:
            step = sorted(document)[step % len(document)]
        if isinstance(step, str):
            if rest or value:
                document[step] = _apply(document.get(step), rest, value)
            else:
                document.pop(step, None)
    elif isinstance(document, list) and isinstance(step, int) and document:
        at = step % len(document)
        if rest:
            document[at] = _apply(document[at], rest, value)
        else:
            document[at : at + 1] = value
    return document


# -- a bundle -----------------------------------------------------------------------------------


def _read_bundle(edits: list[Any]) -> str:
    document = json.loads(bundle())
    for edit in edits:
        _apply(document, edit[0][1:], edit[1:])
    contents = {str(name): _content(part) for name, part in document.items()}
    folder = Path(tempfile.mkdtemp(prefix="fuzz-bundle-"))
    try:
        for name, content in contents.items():
            if name in FILES or name == "extra":
                (folder / name).write_bytes(content)
        told = contents.pop("manifest.json", None)
        manifest = Manifest.of("2026-01-01T00:00:00Z", None, contents).text().encode()
        (folder / "manifest.json").write_bytes(told or manifest)
        try:
            found = Bundle.read(folder)
        except BundleError as error:
            require_sentences([str(error)])
            return "refused"
        assert found.roles.inputs and found.dataset.season >= 1 and found.choices
        assert np.isfinite(found.scaler.scale).all() and np.isfinite(found.known_scaler.scale).all()
        assert found.config.flat() and found.metrics.weights
        return "read"
    finally:
        shutil.rmtree(folder)


def require_sentences(sentences: list[str]) -> None:
    """Raise AssertionError where one cannot be shown."""
    for sentence in sentences:
        assert 0 < len(sentence) <= LONGEST, len(sentence)
        assert sentence.encode("utf-8")


# -- inputs -------------------------------------------------------------------------------------


def seeds() -> Iterator[bytes]:
    """Yield edits of every part, and the zips of none and of one part."""
    yield b"[]"
    yield b'[[["bundle"]]]'
    edits: list[Any] = []
    for name, content in place().parts.items():
        plain = _plain(name, content)
        for column in sorted(plain[0]) if isinstance(plain, list) and plain else ():
            edits.append([["search", name, 0, column], 1])
        edits.append([["search", name, 0]])
        edits.append([["search", name]])
        edits.append([["entry", name, "mode"], 0o120777])
        edits.append([["manifest", "members", name, "bytes"], 7])
    edits += [
        [["search", "../x.jsonl"], "text"],
        [["search", "searches.jsonl", 0, "spec", "settings", "model.d_model"], 64],
        [["search", "proposals.jsonl", 1, "config", "model.dropout"], 0.3],
        [["manifest", "format"], 2],
        [["entry", "runs.jsonl", "times"], 2],
        [["bytes", 4000]],
        [["bytes", 40], 255],
        [["bundle", "config.json", "model", "d_model"], 64],
        [["bundle", "data.json", "columns", 0], "OT"],
        [["bundle", "data.json", "scaler", "scale", 0], 0.0],
        [["bundle", "metrics.json", "seeds", 0, "seed"], 2],
        [["bundle", "../x"], "text"],
        [["bundle", "extra"], "text"],
        [["bundle", "manifest.json"], "{}"],
        [["bundle", "intervals.json"], "{}"],
    ]
    yield from (json.dumps([edit]).encode() for edit in edits)


WORDS = (
    *("search", "bundle", "manifest", "entry", "bytes", "mode", "method", "flags", "times", "size"),
    *(
        f"{name}.jsonl"
        for name in ("searches", "trials", "proposals", "runs", "epochs", "verdicts")
    ),
    *("files.jsonl", "manifest.json", *FILES, "data/dataset.json", "data/values", "../x", "/x"),
    *("weights/trial-0001.safetensors", "weights/trial-9999.safetensors", "spec", "config", "id"),
    *("search_id", "number", "proposal_id", "run_id", "state", "changes", "settings", "payload"),
    *("val_mse", "epoch", "text", "run", "name", "members", "sha256", "rows", "schema_version"),
    *("data", "columns", "scaler", "scale", "frequency", "h", "season", "target", "split_rows"),
    *(0, 1, 2, 3, 4, 5, 8, 9, 12, 14, 99, 0o120777, 0o40755, 0xFFFFFFFF, 0.4, "ETTh1", "running"),
)


def changed(data: bytes, draw: random.Random) -> bytes:
    """Return edits that differ in something; as a rule one more changes what is there."""
    if draw.random() < 0.4:
        return changed_json(data, draw, WORDS)
    try:
        before = json.loads(data)
    except (ValueError, RecursionError):
        before = []
    listed = before[:4] if isinstance(before, list) else []
    if listed and draw.random() < 0.5:
        del listed[draw.randrange(len(listed))]
    return json.dumps([*listed, _edit(draw)]).encode("utf-8", "surrogatepass")


def _edit(draw: random.Random) -> list[Any]:
    """Return an edit of something that the sound search or bundle has."""
    whole = draw.choice(("search", "search", "bundle"))
    node: Any = json.loads(bundle()) if whole == "bundle" else _document()
    path: list[Any] = [whole]
    while len(path) < 2 or draw.random() < 0.9:
        if isinstance(node, str) and node[:1] in ("{", "["):
            with suppress(ValueError):  # a text that only begins like JSON
                node = json.loads(node)
        if not isinstance(node, dict | list) or not node:
            break
        step = draw.choice(list(node)) if isinstance(node, dict) else draw.randrange(len(node))
        path.append(step)
        node = node[step]
    return [path] if draw.random() < 0.1 else [path, changed_value(node, draw, WORDS)]


@functools.cache
def _document() -> Doc:
    return {name: _plain(name, content) for name, content in place().parts.items()}


if __name__ == "__main__":
    from tests.fuzz.guided import main

    main("archives")
