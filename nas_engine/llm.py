"""One question to a language model, with its answer checked, recorded and, if need be, repaired.

The answer is taken from the tool call, else from a JSON object in the text, both strictly. One that
is cut off, malformed or refused by `accept` is sent back with the reasons, twice at most. A service
that fails is asked again after a pause, and then left alone for longer and longer. What it has
answered for the same trial before its engine was lost is taken as it is: no answer is paid twice.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any, TypeVar

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from pydantic import BaseModel, TypeAdapter
from tenacity import RetryCallState, Retrying, retry_if_exception
from tenacity.stop import stop_after_attempt, stop_after_delay
from tenacity.wait import wait_exponential_jitter

from informer.failpoint import failpoint
from nas_engine.planners.base import AccessDenied
from nas_engine.service.cost import Booking, believed, beyond, reported, settle, worst_case
from nas_engine.service.fault import ErrorClass, Fault, Stopped
from nas_engine.service.form import plain, text_form, tool_form, tools_form
from nas_engine.service.http import LISTEN_SECONDS, Listen, post, stream
from nas_engine.service.patience import Patience
from nas_engine.service.redaction import Redaction
from nas_engine.service.reply import (
    Completion,
    Objection,
    ToolCall,
    read_answer,
    read_completion,
    storable,
    unfinished,
)
from nas_engine.settings import RoleName, Settings
from nas_engine.store import calling
from nas_engine.store.calling import LimitReached
from nas_engine.store.wishes import ReplayRow
from nas_engine.store.writer import Writer

Answer = TypeVar("Answer", bound=BaseModel)

REPAIRS = 2
LONGEST_RETRY_AFTER = 60.0
"""Seconds that a question waits at most; where the service asks for more, the search goes on."""

KEPT_CHARACTERS = 100_000
ECHOED_CHARACTERS = 8_000
"""Of an answer, kept in the transcript and sent back in a repair request."""

KEPT_OF_FAULTS = 400

_COMPLETION = TypeAdapter(Completion)

PROMPTS = Path(__file__).parent / "planners" / "prompts"


class NoAnswer(RuntimeError):
    """The model gave no usable answer; the search goes on without one."""

    def __init__(self, sentence: str, error_class: ErrorClass) -> None:
        super().__init__(sentence)
        self.error_class = error_class


def prompt(name: str, **values: str) -> str:
    """Return the prompt file `name` with its `$names` filled in; a missing name is an error."""
    return Template((PROMPTS / f"{name}.md").read_text("utf-8")).substitute(values)


class LanguageModel:
    """The model of one role, for one trial, one replay or one turn of a chat."""

    def __init__(
        self,
        settings: Settings,
        writer: Writer,
        patience: Patience,
        search_id: int,
        number: int | None,
        role: RoleName,
        on_limit: Callable[[Booking], None] = lambda worst: None,
        replay: ReplayRow | None = None,
        turn_id: int | None = None,
    ) -> None:
        """Prepare to ask.

        Args:
            settings: keys, addresses and models.
            writer: of whoever asks.
            patience: with the services.
            search_id: the search, whose budget it counts against.
            number: the trial that it is about, if it is about one.
            role: who is asked.
            on_limit: is told what a call could have cost that was not allowed.
            replay: that it is for, which may name another model.
            turn_id: the turn of a chat that it is for.
        """
        self._settings = settings
        self._on_limit = on_limit
        self._writer = writer
        self._patience = patience
        self._search_id = search_id
        self._number = number
        self._replay_id = replay.id if replay else None
        self._turn_id = turn_id
        self._role = settings.role(role)
        if replay and replay.model:
            self._role = dataclasses.replace(self._role, model=replay.model)
        self._redact = Redaction(settings.secrets())
        self._attempts = 0

    def unavailable(self) -> str | None:
        """Return why the model should not be asked now, in a sentence; None if it can be."""
        reason = self._reason_not_to_ask()
        return reason[1] if reason else None

    def ask(
        self,
        system: str,
        question: str,
        schema: type[Answer],
        accept: Callable[[Answer], list[str]],
    ) -> Answer:
        """Return an answer for which `accept` has no objections.

        Raises:
            NoAnswer: the model cannot be asked now, the service failed, or every answer was
                refused.
            AccessDenied: the key, the account or the model is refused.
        """
        messages: list[BaseMessage] = [SystemMessage(system), HumanMessage(question)]
        form = tool_form(schema)
        repairs = 0
        while True:
            exchange = self._complete(messages, form)
            found = _checked(exchange.completion, schema, accept)
            self._book(exchange, found if isinstance(found, Objection) else None)
            if not isinstance(found, Objection):
                return found
            reasons = " ".join(found.sentences)
            if found.error_class == "refused":
                raise NoAnswer(reasons, "refused")
            if repairs == REPAIRS:
                sentence = f"{1 + REPAIRS} answers were refused, the last because: {reasons}"
                raise NoAnswer(sentence, found.error_class)
            if not exchange.completion.calls:
                form = text_form(schema)  # it has shown that it does not call tools
            messages += _repair(exchange.completion, found)
            repairs += 1

    def say(
        self,
        messages: list[BaseMessage],
        tools: Sequence[type[BaseModel]],
        may_call: bool,
        listen: Listen,
    ) -> Completion:
        """Return what the model says next in a conversation: text, calls of tools, or both.

        Args:
            messages: the conversation.
            tools: what it may call, if it may.
            may_call: whether it may; else it can only answer.
            listen: hears it as it comes, and tells when it is enough.

        Raises:
            NoAnswer: as `ask` does; also where the service broke off or the model declined.
            AccessDenied: the key, the account or the model is refused.
            Stopped: it was enough.
        """
        exchange = self._complete(messages, tools_form(tools, may_call), listen)
        objection = unfinished(exchange.completion)
        declined = objection is not None and objection.error_class == "refused"
        self._book(exchange, objection if declined else None)  # one that was cut off is heard still
        if objection is not None and declined:
            raise NoAnswer(" ".join(objection.sentences), "refused")
        return exchange.completion

    def conclude(self) -> None:
        """Have what was answered so far taken no more: the next question is put anew."""
        calling.forget_answers(
            self._writer, self._search_id, self._number, self._role.name, self._replay_id
        )

    def _reason_not_to_ask(self) -> tuple[ErrorClass, str] | None:
        if waits := self._patience.waiting(self._role.base_url, self._role.model):
            return "waiting", waits
        search = self._writer.read.search(self._search_id)
        assert search is not None, "a search that asks exists"
        least = worst_case("", self._settings.llm_max_tokens, self._role)
        spend = self._writer.read.spend(self._search_id)
        if limit := beyond(search.spec.limits, spend, least):
            return "limit", limit
        return None

    # -- one answer, for as many requests as it takes -------------------------------------------

    def _complete(
        self, messages: list[BaseMessage], form: Mapping[str, Any], listen: Listen | None = None
    ) -> _Exchange:
        """Return the service's next answer; raises NoAnswer and AccessDenied."""
        if (kept := self._kept(plain(messages))) is not None:
            return kept
        if reason := self._reason_not_to_ask():
            raise NoAnswer(reason[1], reason[0])
        service = self._role.base_url, self._role.model
        retries = 0 if self._patience.failing(*service) else self._settings.llm_retries
        requests = Retrying(
            retry=retry_if_exception(_worth_another),
            stop=stop_after_attempt(1 + retries)
            # A service that hangs is asked twice, not more.
            | stop_after_delay(1.5 * self._settings.llm_deadline_seconds),
            wait=self._pause,
            sleep=lambda seconds: _rest(seconds, listen),
            reraise=True,
        )
        try:
            exchange = requests(self._request, messages, form, listen)
        except LimitReached as error:
            raise NoAnswer(str(error), "limit") from None
        except Fault as fault:
            if fault.of_service:
                self._patience.failed(*service, fault.retry_after)
            if fault.error_class == "denied":
                raise AccessDenied(self._advice(fault)) from None
            raise NoAnswer(self._told(fault), fault.error_class) from None
        self._patience.answered(*service)
        return exchange

    def _kept(self, messages: list[dict[str, str]]) -> _Exchange | None:
        """Return the answer that an engine which was lost has had to the same question."""
        if self._number is None and self._replay_id is None:
            return None
        read = self._writer.read
        call = read.answered_call(
            *(self._search_id, self._number, self._role.name, messages, self._replay_id)
        )
        if call is None:
            return None
        self._attempts = call.attempt + 1
        booked = Booking(call.booked_tokens, call.booked_usd)
        completion = _COMPLETION.validate_json(call.completion)
        return _Exchange(call.id, booked, call.seconds or 0.0, completion)

    def _request(
        self, messages: list[BaseMessage], form: Mapping[str, Any], listen: Listen | None
    ) -> _Exchange:
        """Make one HTTP request, booked before it is made; raises Fault, Stopped, LimitReached."""
        told = plain(messages)
        max_tokens = self._settings.llm_max_tokens
        worst = worst_case(json.dumps([told, form], ensure_ascii=False), max_tokens, self._role)
        failpoint("llm.before_booking")
        try:
            call = calling.reserve_call(
                self._writer,
                search_id=self._search_id,
                number=self._number,
                role=self._role.name,
                attempt=self._attempts,
                model=self._role.model,
                messages=told,
                worst=worst,
                base_url=self._role.public_url,
                temperature=self._role.temperature,
                max_tokens=max_tokens,
                replay_id=self._replay_id,
                turn_id=self._turn_id,
            )
        except LimitReached:
            self._on_limit(worst)
            raise
        failpoint("llm.booked")
        self._attempts += 1
        began = time.monotonic()
        try:
            completion = self._sent(messages, form, listen)
        except Stopped as stopped:
            calling.finish_call(
                self._writer,
                call,
                "used",
                reply=self._redact.of_beginning(str(stopped))[:KEPT_CHARACTERS],
                problem="It was stopped before its end; the worst case stays booked.",
                seconds=time.monotonic() - began,
            )
            raise
        except Fault as fault:
            calling.finish_call(
                self._writer,
                call,
                "failed",
                reply="",
                problem=self._told(fault),
                seconds=time.monotonic() - began,
                error_class=fault.error_class,
                booked=Booking(0, 0.0) if fault.free else None,
            )
            raise
        return _Exchange(call, worst, time.monotonic() - began, self._cleaned(completion))

    def _sent(
        self, messages: list[BaseMessage], form: Mapping[str, Any], listen: Listen | None
    ) -> Completion:
        """Return what the service answers; raises Fault and Stopped."""
        max_tokens, deadline = self._settings.llm_max_tokens, self._settings.llm_deadline_seconds
        if listen is None:
            response = post(self._role, messages, form, max_tokens, deadline)
            return read_completion(response.status, response.headers, response.body)
        heard = listen
        return stream(
            *(self._role, messages, form, max_tokens, deadline),
            listen=lambda text: heard(self._redact.of_beginning(text)),
        )

    def _book(self, exchange: _Exchange, objection: Objection | None) -> None:
        """Record what an answer said, cost and was good for."""
        usage = reported(exchange.completion.usage)
        whole = _COMPLETION.dump_json(exchange.completion).decode()
        failpoint("llm.answered")
        calling.finish_call(
            self._writer,
            exchange.call,
            "refused" if objection else "used",
            reply=exchange.completion.said()[:KEPT_CHARACTERS],
            completion=whole if len(whole) <= KEPT_CHARACTERS else "",
            problem=" ".join(objection.sentences) if objection else "",
            seconds=exchange.seconds,
            error_class=objection.error_class if objection else "",
            usage=usage,
            booked=settle(usage, exchange.worst, self._role),
        )
        failpoint("llm.recorded")

    def _told(self, fault: Fault) -> str:
        """Return what is kept of a fault: cut after the key is out, or half of it would remain."""
        return self._redact(str(fault))[:KEPT_OF_FAULTS]

    def _cleaned(self, completion: Completion) -> Completion:
        """Return an answer that can be kept: without keys, in text that can be stored."""

        def clean(text: str) -> str:
            return self._redact(str(storable(text)))

        return Completion(
            text=clean(completion.text),
            calls=tuple(
                ToolCall(clean(call.name), call.arguments and clean(call.arguments), clean(call.id))
                for call in completion.calls
            ),
            finish_reasons=tuple(map(clean, completion.finish_reasons)),
            refusal=clean(completion.refusal),
            usage=believed(completion.usage),
        )

    def _pause(self, state: RetryCallState) -> float:
        """Return the seconds before the next request: what the service asked for, or doubling."""
        first = self._settings.llm_retry_seconds
        own = wait_exponential_jitter(multiplier=first, max=30.0, jitter=first)(state)
        fault = state.outcome.exception() if state.outcome else None
        asked = fault.retry_after if isinstance(fault, Fault) else None
        return max(own, asked or 0.0)

    def _advice(self, fault: Fault) -> str:
        name = "EVALUATOR" if self._role.name == "evaluator" else "PLANNER"
        again = "ask again" if self._role.name in ("chat", "replay") else "resume"
        advice = {
            401: "check OPENROUTER_API_KEY in .env",
            402: "add credit to the account, or choose a cheaper model",
            403: "check what the key may be used for",
            404: f"check {name}_MODEL ({self._role.model}) and OPENAI_BASE_URL in .env",
        }[fault.status or 401]
        return (
            f"The language model service refused the request (HTTP {fault.status}): {advice}, then "
            f"{again}. Everything so far is kept."
        )


@dataclass(frozen=True)
class _Exchange:
    """A request that was answered: its row, its worst case, its seconds and the answer."""

    call: int
    worst: Booking
    seconds: float
    completion: Completion


def _checked(
    completion: Completion, schema: type[Answer], accept: Callable[[Answer], list[str]]
) -> Answer | Objection:
    answer = read_answer(completion, schema)
    if isinstance(answer, Objection):
        return answer
    sentences = accept(answer)
    return Objection("unacceptable", sentences) if sentences else answer


def _repair(completion: Completion, objection: Objection) -> list[BaseMessage]:
    """Return what is said after an answer that cannot be used: the answer, and why."""
    said = completion.said()[:ECHOED_CHARACTERS]
    problems = "\n".join(f"- {sentence}" for sentence in objection.sentences)
    return [AIMessage(said or "(empty)"), HumanMessage(prompt("repair", problems=problems))]


def _rest(seconds: float, listen: Listen | None) -> None:
    """Wait before the next request; raises Stopped where a listener has enough of waiting."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        time.sleep(left if listen is None else min(left, LISTEN_SECONDS))
        if listen is not None and listen(""):
            raise Stopped("")


def _worth_another(error: BaseException) -> bool:
    if not isinstance(error, Fault) or not error.retryable:
        return False
    return (error.retry_after or 0.0) <= LONGEST_RETRY_AFTER
