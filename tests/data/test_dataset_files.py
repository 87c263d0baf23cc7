from __future__ import annotations

import dataclasses
import hashlib
import http.server
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from data.fetch import main as fetch
from data.registry import DATASETS, DataError, Dataset
from data.source import cache, load, locate, on_this_machine

ROW = "2016-07-01 0{}:00:00,1,2,3,4,5,6,7\n"
CSV = "date,HUFL,HULL,MUFL,MULL,LUFL,LULL,OT\n" + "".join(ROW.format(hour) for hour in range(6))


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("NAS_DATA_DIRS", str(tmp_path / "here"))
    (tmp_path / "here").mkdir()


def register(
    monkeypatch: pytest.MonkeyPatch, text: str, url: str = "http://127.0.0.1:1/f.csv"
) -> Dataset:
    dataset = dataclasses.replace(
        DATASETS["ETTh1"],
        name="file",
        url=url,
        sha256=hashlib.sha256(text.encode()).hexdigest(),
        split_rows=(2, 2, 2),
    )
    monkeypatch.setitem(DATASETS, "file", dataset)
    return dataset


def complaint(name: str) -> str:
    with pytest.raises(DataError) as caught:
        load(name)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_file_is_found_and_read_in_the_order_of_the_registry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(monkeypatch, CSV)
    (tmp_path / "here" / "f.csv").write_text(CSV)
    frame = load("file")
    assert frame.index.name == "date"
    assert tuple(frame.columns) == DATASETS["file"].columns
    assert frame["OT"].tolist() == [7.0] * 6


def test_a_directory_that_is_given_comes_before_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(monkeypatch, CSV)
    other = tmp_path / "other"
    other.mkdir()
    (other / "f.csv").write_text(CSV)
    assert locate("file", [other]) == other / "f.csv"


def test_a_file_is_found_in_a_folder_named_as_in_its_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(monkeypatch, CSV, "https://example.org/dataset/exchange/f.csv")
    assert on_this_machine("file") is None
    (tmp_path / "here" / "exchange").mkdir()
    (tmp_path / "here" / "exchange" / "f.csv").write_text(CSV)
    assert locate("file") == on_this_machine("file") == tmp_path / "here" / "exchange" / "f.csv"


def test_a_copy_with_other_line_ends_is_the_same_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    windows = CSV.replace("\n", "\r\n").encode()
    dataset = register(monkeypatch, CSV)
    same = (hashlib.sha256(windows).hexdigest(),)
    monkeypatch.setitem(DATASETS, "file", dataclasses.replace(dataset, same=same))
    (tmp_path / "here" / "f.csv").write_bytes(windows)
    assert load("file")["OT"].tolist() == [7.0] * 6


def test_odd_column_names_are_kept_as_the_file_has_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = ("% WEIGHTED ILI", "SWDR (W/m\ufffd)", "max. wv (m/s)", "0", "NUM. OF PROVIDERS", "1")
    text = "\ufeff" + CSV.replace("HUFL,HULL,MUFL,MULL,LUFL,LULL", ",".join(odd))
    dataset = register(monkeypatch, text)
    odd_set = dataclasses.replace(dataset, columns=(*odd, "OT"))
    monkeypatch.setitem(DATASETS, "file", odd_set)
    (tmp_path / "here" / "f.csv").write_text(text, "utf-8")
    assert tuple(load("file").columns) == odd_set.columns


@pytest.mark.parametrize("name", [name for name in DATASETS if name != "synthetic"])
def test_a_published_set_says_where_it_comes_from(name: str) -> None:
    dataset = DATASETS[name]
    assert dataset.url is not None
    assert re.search("/[0-9a-f]{40}/", dataset.url), "a branch may move"
    checksums = (dataset.sha256, *dataset.same)
    assert all(len(one) == 64 and set(one) <= set("0123456789abcdef") for one in checksums)
    assert dataset.size and dataset.licence and dataset.citation
    assert dataset.target in dataset.targets and len(set(dataset.columns)) == len(dataset.columns)
    assert min(dataset.split_rows) > dataset.season


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("ETTm1", (34_560, 11_520, 11_520)),
        ("Exchange", (5311, 760, 1517)),
        ("Weather", (36_887, 5270, 10_539)),
        ("ILI", (676, 97, 193)),
    ],
)
def test_published_sets_are_split_as_in_the_papers(name: str, split: tuple[int, ...]) -> None:
    assert DATASETS[name].split_rows == split


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    assert f"take one of {', '.join(DATASETS)}." in complaint("ETTh9")


def test_a_found_file_with_another_checksum_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(monkeypatch, CSV)
    (tmp_path / "here" / "f.csv").write_text(CSV + "\n")
    said = complaint("file")
    assert "is not the published file" in said and "remove it or replace it" in said


def test_a_missing_column_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = CSV.replace("OT", "XX")
    register(monkeypatch, text)
    (tmp_path / "here" / "f.csv").write_text(text)
    assert "has no column OT" in complaint("file")


def test_text_among_the_numbers_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = CSV.replace(",7\n", ",seven\n", 1)
    register(monkeypatch, text)
    (tmp_path / "here" / "f.csv").write_text(text)
    assert "no date or number" in complaint("file")


def test_a_file_that_is_too_short_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "".join(CSV.splitlines(keepends=True)[:4])
    register(monkeypatch, text)
    (tmp_path / "here" / "f.csv").write_text(text)
    assert "has 3 rows" in complaint("file")


def test_without_a_connection_the_sentence_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound, but never listening: refuses every connection
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/f.csv"
        register(monkeypatch, CSV, url)
        said = complaint("file")
    assert url in said and "NAS_DATA_DIRS" in said and "'synthetic'" in said
    assert DATASETS["file"].sha256 in said and str(cache()) in said


class _Server(http.server.BaseHTTPRequestHandler):
    url = ""
    body = b""
    promised = 0

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(self.promised))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def serve() -> Iterator[type[_Server]]:
    handler: type[_Server] = type("Handler", (_Server,), {})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        handler.url = f"http://127.0.0.1:{server.server_port}/f.csv"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield handler
        server.shutdown()
        thread.join()


def test_a_download_goes_to_the_cache_and_is_found_there_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, serve: type[_Server]
) -> None:
    register(monkeypatch, CSV, serve.url)
    serve.body, serve.promised = CSV.encode(), len(CSV)
    found = locate("file")
    assert found.is_relative_to(tmp_path / "cache")
    serve.body = b"changed"
    assert locate("file") == found == on_this_machine("file")


def test_a_download_tells_how_far_it_is(
    monkeypatch: pytest.MonkeyPatch, serve: type[_Server]
) -> None:
    dataset = register(monkeypatch, CSV, serve.url)
    monkeypatch.setitem(DATASETS, "file", dataclasses.replace(dataset, size=len(CSV)))
    serve.body, serve.promised = CSV.encode(), len(CSV)
    told: list[tuple[int, int]] = []
    locate("file", told=lambda arrived, size: told.append((arrived, size)))
    assert told[-1] == (len(CSV), len(CSV))


def test_fetching_by_name_downloads_once_and_says_where_the_file_lies(
    monkeypatch: pytest.MonkeyPatch, serve: type[_Server]
) -> None:
    register(monkeypatch, CSV, serve.url)
    serve.body, serve.promised = CSV.encode(), len(CSV)
    listed = CliRunner().invoke(fetch, [])
    assert "file       not here" in listed.output and str(cache()) in listed.output
    first = CliRunner().invoke(fetch, ["file", "synthetic"])
    assert first.exit_code == 0 and f"file lies in {cache() / 'f.csv'}." in first.output
    assert "synthetic is generated and needs no file." in first.output
    serve.body = b"changed"
    assert CliRunner().invoke(fetch, ["file"]).exit_code == 0
    unknown = CliRunner().invoke(fetch, ["ETTh9"])
    assert unknown.exit_code == 2 and "is not known" in unknown.output


@pytest.mark.parametrize("body", [CSV[:50], CSV + "x"], ids=["breaks off", "other content"])
def test_a_download_that_goes_wrong_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, serve: type[_Server], body: str
) -> None:
    register(monkeypatch, CSV, serve.url)
    serve.body, serve.promised = body.encode(), max(len(body), len(CSV))
    said = complaint("file")
    assert "could not be downloaded" in said and "NAS_DATA_DIRS" in said
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_synthetic_is_the_same_every_time_and_shaped_like_etth1() -> None:
    first, second = load("synthetic"), load("synthetic")
    assert first.equals(second)
    assert first.shape == (17_420, 7)
    assert str(first.index[0]) == "2016-07-01 00:00:00"
    daily = first["OT"].autocorr(24)
    assert 0.5 < daily < 1
    assert np.abs(np.corrcoef(first.to_numpy().T) - np.eye(7)).max() > 0.5


def test_reading_a_configuration_loads_no_heavy_library() -> None:
    code = (
        "import sys, informer.config, informer.rundir; "
        "sys.exit(', '.join({'pandas', 'numpy', 'torch', 'pooch'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    code = code.replace("informer.rundir", "informer.cost").replace("'numpy', ", "")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
