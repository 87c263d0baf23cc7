"""The note that goes out when a proposal begins to wait: once, bounded, without a secret."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from nas_engine.api import load_agent_state
from nas_engine.commands import Control, Start, send
from nas_engine.search import SearchSpec
from nas_engine.service import webhook
from nas_engine.settings import Settings, SettingsError, load_settings
from nas_engine.store import proposing
from nas_engine.store.inbox import waiting
from nas_engine.store.reader import reading
from nas_engine.store.writer import Writer
from nas_engine.workspace import Workspace
from tests.engine.conftest import ONE_SEED, Bench
from tests.engine.test_control import Background, answered, until
from tests.fakes.llm_server import LLMServer, Reply, Request, Wire, serving, wire
from tests.pages import seed

SECRET = "T0000-a-secret-path"


@pytest.fixture
def listening() -> Iterator[LLMServer]:
    with serving(lambda request, index: (200, "ok")) as server:
        yield server


def test_a_note_names_trial_and_changes_and_nothing_that_a_model_wrote(
    workspace: Workspace,
) -> None:
    search_id = seed.eventful(workspace)
    with reading(workspace) as reader:
        assert reader is not None
        search, trial = reader.search(search_id), reader.trial(search_id, 8)
    assert search is not None and trial is not None
    said = webhook.note(search, trial, None)
    assert said["text"] == said["content"]
    assert said["text"].startswith("Trial 8 of search 1 (ETTh1 M 96→24 · hybrid) waits")
    assert "model.d_model = 128" in said["text"] and "198.51" not in said["text"]
    assert (said["search"], said["trial"], said["version"]) == (1, 8, 1)
    assert (said["source"], said["step"], said["proposal"]) == ("llm", "medium", trial.proposal_id)
    linked = webhook.note(search, trial, "http://here:8501/")
    assert linked["text"].endswith(" http://here:8501/review?search=1")
    many = replace(trial, changes={f"model.key_{n}": "x" * 500 for n in range(20)})
    assert " and 12 more." in webhook.note(search, many, None)["text"]
    assert len(webhook.note(search, many, None)["text"]) < 1500


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        ((204, ""), ""),
        ((500, "no"), "it answered 500"),
        (wire((302, ""), "Location: /v1"), "redirect (302), which is not followed"),
        (Wire(lambda line: line.reset()), "cannot be reached"),
    ],
)
def test_what_stands_in_the_way_is_said_without_the_address(reply: Reply, problem: str) -> None:
    with serving(lambda request, index: reply) as server:
        told = webhook.post(f"{server.url}/{SECRET}", {"text": "hello"})
        assert problem in told and bool(told) == bool(problem)
        assert SECRET not in told and server.url not in told
        assert len(server.requests) == 1


def test_an_address_that_does_not_answer_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "SECONDS", 0.3)

    def trickle(request: Request, index: int) -> Reply:
        return Wire(lambda line: [line.wait(0.1) or line.send(b"x") for _ in range(100)])

    with serving(trickle) as server:
        assert "no answer within 0.3 s" in webhook.post(server.url, {"text": "hello"})
        server.stop_listening()
        assert "cannot be reached" in webhook.post(server.url, {"text": "hello"})
    assert "cannot be reached" in webhook.post("http://localhost:99999/", {"text": "hello"})


def configured(monkeypatch: pytest.MonkeyPatch, address: str) -> Settings:
    monkeypatch.setenv("NAS_WEBHOOK", address)
    return load_settings()


def test_each_version_that_waits_is_announced_once_also_by_the_next_engine(
    bench: Bench,
    in_background: Background,
    listening: LLMServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    configured(monkeypatch, f"{listening.url}/{SECRET}")
    spec = SearchSpec.model_validate({"max_trials": 3, "mode": "review", "rules": ONE_SEED})
    in_background(send(bench.workspace, Start(spec=spec)))
    until(bench, lambda state: listening.requests)
    [said] = listening.requests
    assert (said["trial"], said["version"], said["source"]) == (1, 1, "tpe")
    answered(bench, Control(kind="pause"))
    writer = Writer(bench.workspace)
    [row] = waiting(writer.read)
    assert row.announced
    assert proposing.ask_again(writer, row.proposal_id, 1, "ada", "smaller")
    proposing.keep_proposal(writer, row.proposal_id)
    writer.close()
    in_background(send(bench.workspace, Control(kind="resume"), 1))
    until(bench, lambda state: len(listening.requests) == 2)
    assert [said["version"] for said in listening.requests] == [1, 2]
    answered(bench, Control(kind="stop"))
    until(bench, lambda state: state.search.state == "stopped")
    assert len(listening.requests) == 2


def test_a_webhook_that_fails_costs_one_warning_and_no_trial(
    bench: Bench, in_background: Background, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(lambda request, index: (404, "gone")) as server:
        configured(monkeypatch, f"{server.url}/{SECRET}")
        spec = SearchSpec.model_validate({"max_trials": 2, "mode": "review", "rules": ONE_SEED})
        in_background(send(bench.workspace, Start(spec=spec)))
        until(bench, lambda state: warnings(bench))
        answered(bench, Control(kind="stop"))
        until(bench, lambda state: state.search.state == "stopped")
    [text] = warnings(bench)
    assert text == "The webhook was not told that trial 1 waits: it answered 404."
    assert load_agent_state(bench.workspace.db).trials[0].state == "completed"
    assert SECRET.encode() not in bench.workspace.db.read_bytes()


def warnings(bench: Bench) -> list[str]:
    with reading(bench.workspace) as reader:
        assert reader is not None
        return [event.text for event in reader.events(1) if event.level == "warning"]


def test_what_is_secret_in_the_address_of_a_service_is_kept_like_a_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    address = "https://user-token:pass%21word@host/v1?api-key=0123456789&api-version=2024-10-21"
    monkeypatch.setenv("OPENAI_BASE_URL", address)
    settings = load_settings()
    found = set(settings.secrets())
    assert {"user-token", "pass%21word", "pass!word", "0123456789"} <= found
    assert "2024-10-21" not in found, "a date would be taken out of all that is kept"
    assert "OPENAI_BASE_URL" not in settings.worker_environment()


def test_the_address_is_kept_like_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = configured(monkeypatch, f"https://hooks.example/{SECRET}")
    assert f"https://hooks.example/{SECRET}" in settings.secrets()
    assert f"/{SECRET}" in settings.secrets()
    assert SECRET not in repr(settings)
    assert SECRET not in str(settings.worker_environment())
    monkeypatch.setenv("NAS_WEBHOOK", f"ftp://hooks.example/{SECRET}")
    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert "NAS_WEBHOOK" in str(refused.value) and SECRET not in str(refused.value)


def test_searches_that_are_put_away_call_nobody(workspace: Workspace) -> None:
    first, second = seed.eventful(workspace), seed.small(workspace)
    with reading(workspace) as reader:
        assert reader is not None
        [row] = waiting(reader)
        assert (row.search_id, row.number, row.version) == (first, 8, 1)
        assert abs(row.since - time.time()) < 60 and not row.announced
        assert waiting(reader, second) == []
    sample = Writer(workspace)
    sample.execute("UPDATE searches SET archived = 1 WHERE id = ?", (first,))
    assert waiting(sample.read) == []
    assert len(waiting(sample.read, first)) == 1
    sample.close()
