"""One question through HTTP: what is asked, whom, how often, at what price, and when not."""

from __future__ import annotations

import io
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Literal

import pytest
from pydantic import BaseModel, SecretStr
from sqlite_utils import Database

from nas_engine.engine import log_handler
from nas_engine.llm import LanguageModel, NoAnswer
from nas_engine.planners.base import AccessDenied
from nas_engine.search import Limits, SearchSpec
from nas_engine.service.cost import Booking, reported, settle, worst_case
from nas_engine.service.http import is_this_machine
from nas_engine.service.patience import FIRST_PAUSE, LONGEST_PAUSE, Patience
from nas_engine.service.redaction import Redaction
from nas_engine.settings import Settings, SettingsError, load_settings
from nas_engine.store.migrations import MIGRATIONS
from nas_engine.store.rows import LLMCallRow, Spend
from nas_engine.store.writer import Writer
from nas_engine.workspace import Workspace
from tests.engine.conftest import Bench
from tests.fakes.llm_server import (
    LLMServer,
    Reply,
    Request,
    failure,
    serving,
    text,
    tool_call,
    wire,
)

KEY = "sk-or-v1-canary-0123456789abcdef"


class Plan(BaseModel):
    """What is asked for here."""

    width: int


GOOD = tool_call("Plan", {"width": 64})


class Desk:
    """Asks questions of a scripted service, in one search."""

    def __init__(self, workspace: Workspace, server: LLMServer, limits: Limits) -> None:
        self.workspace = workspace
        self.writer = Writer(workspace)
        self.search_id = self.writer.open_search(SearchSpec(planner="llm", limits=limits))
        self.now = 1000.0
        self.asked = 0
        self.patience = Patience(clock=lambda: self.now)
        self.settings = Settings(
            openrouter_api_key=SecretStr(KEY),
            openai_base_url=server.url,
            llm_retries=1,
            llm_retry_seconds=0.0,
            llm_deadline_seconds=30.0,
        )

    def model(self, role: Literal["planner", "evaluator"] = "planner") -> LanguageModel:
        return LanguageModel(self.settings, self.writer, self.patience, self.search_id, 1, role)

    def ask(self, accept: Callable[[Plan], list[str]] = lambda plan: []) -> Plan:
        self.asked += 1
        return self.ask_again(accept)

    def ask_again(self, accept: Callable[[Plan], list[str]] = lambda plan: []) -> Plan:
        return self.model().ask("You plan.", f"What next? ({self.asked})", Plan, accept)

    def calls(self) -> list[LLMCallRow]:
        return self.writer.read.llm_calls(self.search_id)


Open = Callable[..., tuple[Desk, LLMServer]]


@pytest.fixture
def at_desk(workspace: Workspace) -> Iterator[Open]:
    """Open a desk before a service that answers from a script."""
    opened: list[Any] = []

    def at_desk(script: Callable[[Request, int], Reply], **limits: Any) -> tuple[Desk, LLMServer]:
        service = serving(script)
        server = service.__enter__()
        desk = Desk(workspace, server, Limits(**limits))
        opened.extend((desk, service))
        return desk, server

    yield at_desk
    for desk, service in zip(opened[::2], opened[1::2], strict=True):
        service.__exit__(None, None, None)
        desk.writer.close()


def in_turn(*replies: Reply) -> Callable[[Request, int], Reply]:
    return lambda request, index: replies[min(index, len(replies) - 1)]


# -- what is asked and kept ---------------------------------------------------------------------


def test_a_call_is_kept_with_all_its_circumstances(at_desk: Open) -> None:
    desk, server = at_desk(in_turn(GOOD))
    desk.settings = desk.settings.model_copy(
        update={
            "planner_temperature": 0.25,
            "llm_max_tokens": 321,
            "openai_base_url": server.url.replace("http://", "http://user:secret-word@"),
        }
    )
    assert desk.ask() == Plan(width=64)
    (call,) = desk.calls()
    assert (call.temperature, call.max_tokens, call.base_url) == (0.25, 321, server.url)
    assert (call.outcome, call.error_class, call.problem) == ("used", "", "")
    assert (call.prompt_tokens, call.completion_tokens, call.cost_usd) == (100, 20, 0.001)
    assert (call.booked_tokens, call.booked_usd) == (120, 0.001)
    request = server.requests[0]
    assert request["temperature"] == 0.25
    assert request["max_completion_tokens"] == 321
    assert server.headers[0]["accept-encoding"] == "identity"


def test_the_same_question_about_a_trial_is_not_paid_twice(at_desk: Open) -> None:
    desk, server = at_desk(in_turn(text("Wider, I would say."), GOOD))
    assert desk.ask() == Plan(width=64)
    spent, calls = desk.writer.read.spend(desk.search_id), desk.calls()
    assert len(server.requests) == len(calls) == 2
    assert desk.ask_again() == Plan(width=64)  # as an engine does after one that was killed
    assert len(server.requests) == 2
    assert desk.calls() == calls
    assert desk.writer.read.spend(desk.search_id) == spent


def test_what_was_concluded_is_asked_anew(at_desk: Open) -> None:
    desk, server = at_desk(in_turn(GOOD))
    desk.ask()
    desk.model().conclude()
    desk.ask_again()
    assert len(server.requests) == 2
    assert [call.reply for call in desk.calls()] == [desk.calls()[0].reply] * 2


def test_roles_have_models_addresses_keys_and_prices_of_their_own(at_desk: Open) -> None:
    desk, common = at_desk(in_turn(GOOD))
    with serving(in_turn(GOOD)) as own:
        desk.settings = desk.settings.model_copy(
            update={
                "evaluator_model": "judge",
                "evaluator_base_url": own.url,
                "evaluator_api_key": SecretStr("another-key"),
            }
        )
        desk.ask()
        desk.model("evaluator").ask("You judge.", "Well?", Plan, lambda plan: [])
    assert [len(common.requests), len(own.requests)] == [1, 1]
    assert own.requests[0]["model"] == "judge" != common.requests[0]["model"]
    assert common.headers[0]["authorization"] == f"Bearer {KEY}"
    assert own.headers[0]["authorization"] == "Bearer another-key"


def test_a_model_that_calls_no_tool_is_asked_for_json(at_desk: Open) -> None:
    desk, server = at_desk(in_turn(text("Well."), text('{"width": 32}')))
    assert desk.ask() == Plan(width=32)
    assert server.requests[0]["tool_choice"]["function"]["name"] == "Plan"
    assert "tools" not in server.requests[1]
    assert server.requests[1]["response_format"]["json_schema"]["name"] == "Plan"


def test_an_objection_is_sent_back_and_three_end_it(at_desk: Open) -> None:
    desk, server = at_desk(in_turn(GOOD))
    with pytest.raises(NoAnswer, match=r"3 answers were refused, .* too wide") as caught:
        desk.ask(lambda plan: ["It is too wide."])
    assert caught.value.error_class == "unacceptable"
    assert [call.error_class for call in desk.calls()] == ["unacceptable"] * 3
    assert "It is too wide." in server.requests[1]["messages"][-1]["content"]


# -- limits -------------------------------------------------------------------------------------


def test_calls_are_limited_and_the_sentence_says_so(at_desk: Open) -> None:
    desk, server = at_desk(in_turn(GOOD), calls=2)
    assert desk.model().unavailable() is None
    desk.ask()
    desk.ask()
    assert "may call language models 2 times" in str(desk.model().unavailable())
    with pytest.raises(NoAnswer, match="2 times") as caught:
        desk.ask()
    assert caught.value.error_class == "limit"
    assert len(server.requests) == len(desk.calls()) == 2


@pytest.mark.parametrize("limits", [{"tokens": 6000}, {"usd": 0.07}])
def test_a_call_that_could_exceed_a_limit_is_not_made(
    at_desk: Open, limits: dict[str, float]
) -> None:
    desk, server = at_desk(in_turn(GOOD), **limits)
    with pytest.raises(NoAnswer, match="one more call can") as caught:
        for _ in range(100):
            desk.ask()
    assert caught.value.error_class == "limit"
    assert server.requests
    spend = desk.writer.read.spend(desk.search_id)
    assert spend.booked_tokens == server.charged.tokens <= limits.get("tokens", 1e9)
    assert spend.booked_usd == pytest.approx(server.charged.usd)
    assert spend.booked_usd <= limits.get("usd", 1e9)


@pytest.mark.parametrize("reply", [text("no"), failure(500, "x")])
def test_a_limit_ends_repairs_and_retries_too(at_desk: Open, reply: Reply) -> None:
    desk, server = at_desk(in_turn(reply), calls=1)
    with pytest.raises(NoAnswer) as caught:
        desk.ask()
    assert caught.value.error_class == "limit"
    assert len(server.requests) == 1


def test_calls_in_flight_count_so_that_no_crowd_slips_under_a_limit(at_desk: Open) -> None:
    together = threading.Barrier(8)

    def slow(request: Request, index: int) -> Reply:
        time.sleep(0.2)
        return GOOD

    desk, server = at_desk(slow, usd=0.2)
    refused: list[str] = []

    def ask() -> None:
        writer = Writer(desk.workspace)
        model = LanguageModel(desk.settings, writer, desk.patience, desk.search_id, 1, "planner")
        together.wait()
        try:
            model.ask("You plan.", "What next?", Plan, lambda plan: [])
        except NoAnswer as error:
            refused.append(error.error_class)
        writer.close()

    crowd = [threading.Thread(target=ask) for _ in range(8)]
    for member in crowd:
        member.start()
    for member in crowd:
        member.join()
    one = worst_case("You plan. What next?", 4096, desk.settings.role("planner")).usd
    assert 1 <= len(server.requests) <= 0.2 / one
    assert refused == ["limit"] * (8 - len(server.requests))


@pytest.mark.parametrize(
    ("usage", "booking"),
    [
        ({"prompt_tokens": 100, "completion_tokens": 20, "cost": 0.5}, Booking(120, 0.5)),
        ({"prompt_tokens": 100, "completion_tokens": 20}, Booking(120, 0.0006)),
        ({"prompt_tokens": 100, "completion_tokens": 20, "cost": -1}, Booking(120, 0.0006)),
        ({"prompt_tokens": 100, "completion_tokens": 20, "cost": 10**400}, Booking(120, 0.0006)),
        ({"prompt_tokens": 9000, "completion_tokens": 9000, "cost": 0}, Booking(18_000, 0.0)),
        ({"cost": 0.25}, Booking(1500, 0.25)),
        ({}, Booking(1500, 0.01)),
        ({"prompt_tokens": 100, "completion_tokens": 10**9}, Booking(1500, 0.01)),
        ({"prompt_tokens": -1, "completion_tokens": 20}, Booking(1500, 0.01)),
        ({"prompt_tokens": 0, "completion_tokens": 0}, Booking(1500, 0.01)),
        ({"prompt_tokens": 100.0, "completion_tokens": True, "cost": True}, Booking(1500, 0.01)),
    ],
)
def test_a_report_is_believed_as_far_as_it_can_be_true(
    usage: dict[str, Any], booking: Booking
) -> None:
    settled = settle(reported(usage), Booking(1500, 0.01), load_settings().role("planner"))
    assert settled.tokens == booking.tokens
    assert settled.usd == pytest.approx(booking.usd)


def test_a_call_lost_in_a_crash_stays_booked_at_its_worst(at_desk: Open) -> None:
    desk, _ = at_desk(in_turn(GOOD), usd=0.1)

    def crash(plan: Plan) -> list[str]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        desk.ask(crash)
    (call,) = desk.calls()
    assert call.outcome == "reserved"
    assert call.booked_usd > 0.06
    with pytest.raises(NoAnswer) as caught:
        desk.ask()
    assert caught.value.error_class == "limit"


def test_a_later_start_may_raise_what_a_search_may_spend(bench: Bench) -> None:
    poor, rich = (Limits(usd=usd, parameters=200_000) for usd in (0.5, 1.0))
    bench.search(limits=poor, max_trials=1)
    state = bench.search(limits=rich, max_trials=2)
    assert state.search.spec.limits == rich
    state = bench.search(limits=Limits(parameters=200_000), max_trials=3)
    assert state.search.spec.limits == rich, "a limit that is not given stays"


# -- patience -----------------------------------------------------------------------------------


def test_a_dead_service_is_left_alone_for_longer_and_longer(at_desk: Open) -> None:
    desk, server = at_desk(in_turn(failure(500, "x")))
    pauses, began = [], desk.now
    for _ in range(10):
        with pytest.raises(NoAnswer, match="HTTP 500"):
            desk.ask()
        failed_at = desk.now
        while reason := desk.model().unavailable():
            with pytest.raises(NoAnswer, match="is not asked again before"):
                desk.ask()
            assert "not asked again before" in reason
            desk.now += FIRST_PAUSE / 2
        pauses.append(desk.now - failed_at)
    assert pauses == [min(FIRST_PAUSE * 2**n, LONGEST_PAUSE) for n in range(10)]
    assert len(server.requests) == 2 + 9  # a retry at first, then one try of the service each time
    assert desk.now - began > 5 * 3600


def test_a_service_that_answers_again_is_trusted_again(at_desk: Open) -> None:
    desk, server = at_desk(in_turn(*[failure(503, "x")] * 2, GOOD, *[failure(503, "x")] * 2, GOOD))
    for _ in range(2):
        with pytest.raises(NoAnswer):
            desk.ask()
        desk.now += FIRST_PAUSE
        assert desk.ask() == Plan(width=64)
    assert len(server.requests) == 6


def test_no_call_is_made_before_the_time_that_a_service_named(at_desk: Open) -> None:
    busy = wire(failure(429, "busy"), "Retry-After: 3600")
    desk, server = at_desk(in_turn(busy, GOOD))
    with pytest.raises(NoAnswer, match="HTTP 429"):
        desk.ask()
    for _ in range(59):
        desk.now += 60
        with pytest.raises(NoAnswer) as caught:
            desk.ask()
        assert caught.value.error_class == "waiting"
    assert len(server.requests) == 1
    desk.now += 61
    assert desk.ask() == Plan(width=64)


def test_a_short_retry_after_is_kept(at_desk: Open) -> None:
    at: list[float] = []

    def script(request: Request, index: int) -> Reply:
        at.append(time.monotonic())
        return wire(failure(429, "busy"), "Retry-After: 1") if index == 0 else GOOD

    desk, _ = at_desk(script)
    desk.ask()
    assert at[1] - at[0] >= 1.0  # a lower bound: load can only lengthen it


def test_the_models_of_a_service_are_left_alone_one_by_one() -> None:
    patience = Patience(clock=lambda: 0.0)
    patience.failed("http://a", "one", None)
    assert patience.waiting("http://a", "one")
    assert patience.waiting("http://a", "two") is None
    assert patience.waiting("http://b", "one") is None


def test_a_refused_account_is_told_apart_from_a_service_that_fails(at_desk: Open) -> None:
    desk, server = at_desk(in_turn(failure(402, "no credit"), GOOD))
    with pytest.raises(AccessDenied, match="HTTP 402"):
        desk.ask()
    assert desk.ask() == Plan(width=64)
    assert len(server.requests) == 2


# -- settings and keys --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OPENROUTER_API_KEY", f"{KEY} {KEY}"),
        ("OPENROUTER_API_KEY", f"{KEY}\n{KEY}"),
        ("EVALUATOR_API_KEY", f"{KEY}…"),
        ("OPENAI_BASE_URL", "openrouter.ai/api/v1"),
        ("PLANNER_BASE_URL", "ftp://host/v1"),
        ("PLANNER_TEMPERATURE", "3"),
        ("PLANNER_TEMPERATURE", "warm"),
        ("EVALUATOR_USD_PER_MILLION_IN", "-1"),
        ("EVALUATOR_USD_PER_MILLION_OUT", "nan"),
        ("LLM_MAX_TOKENS", "0"),
        ("LLM_DEADLINE_SECONDS", "0"),
        ("LLM_RETRIES", "-1"),
    ],
)
def test_a_setting_that_cannot_be_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=name) as caught:
        load_settings()
    assert KEY not in str(caught.value)


def test_white_space_around_a_key_is_no_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENROUTER_API_KEY", f" {KEY}\r\n")
    assert load_settings().openrouter_api_key.get_secret_value() == KEY


def test_empty_settings_mean_the_common_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PLANNER_BASE_URL", "PLANNER_API_KEY", "PLANNER_TEMPERATURE"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    role = load_settings().role("planner")
    assert role.base_url == "https://openrouter.ai/api/v1" and role.is_openrouter
    assert role.key.get_secret_value() == KEY
    assert role.temperature is None


def test_only_openrouter_is_taken_for_openrouter() -> None:
    for url in ("https://openrouter.ai.evil.example/v1", "http://host/openrouter.ai"):
        assert not Settings(openai_base_url=url).role("planner").is_openrouter


def test_a_model_on_this_machine_is_asked_without_a_proxy() -> None:
    for host in ("127.0.0.1:8080", "127.8.9.1", "localhost", "me.localhost", "[::1]:8080"):
        assert is_this_machine(f"http://{host}/v1"), host
    for host in ("openrouter.ai", "10.0.0.1", "127.0.0.1.evil.example", "localhost.evil.example"):
        assert not is_this_machine(f"https://{host}/v1"), host


def test_a_placeholder_for_a_key_is_no_secret() -> None:
    redact = Redaction(["local", ""])
    assert redact("a local server") == "a local server"


def test_neither_a_line_nor_a_traceback_of_the_log_has_the_key() -> None:
    written = io.StringIO()
    handler = log_handler(Settings(openrouter_api_key=SecretStr(KEY)), written)
    logger = logging.Logger("library")
    logger.addHandler(handler)
    logger.debug("Authorization: Bearer %s", KEY)
    try:
        raise ValueError(f"bad header {KEY!r}")
    except ValueError:
        logger.exception("failed")
    assert "[key]" in written.getvalue() and "ValueError" in written.getvalue()
    assert KEY not in written.getvalue()


def test_calls_of_an_older_version_keep_what_they_cost(workspace: Workspace) -> None:
    workspace.create()
    db = Database(workspace.db)
    MIGRATIONS.apply(db, stop_before="m003_calls")
    db.execute(
        "INSERT INTO searches (id, fingerprint, spec, max_trials, state, created_at) "
        "VALUES (1, 'f', ?, 5, 'paused', 0)",
        [SearchSpec().model_dump_json()],
    )
    for tokens, usd in ((100, 0.5), (None, None)):
        db.execute(
            "INSERT INTO llm_calls (search_id, number, role, attempt, model, messages, outcome, "
            "prompt_tokens, completion_tokens, cost_usd, created_at) "
            "VALUES (1, 1, 'planner', 0, 'm', '[]', 'used', ?, ?, ?, 0)",
            [tokens, tokens, usd],
        )
    db.close()
    writer = Writer(workspace)
    assert writer.read.spend(1) == Spend(2, 100, 100, 0.5, 200, 0.5)
    assert [call.error_class for call in writer.read.llm_calls(1)] == ["", ""]
    writer.close()
