"""One question to a language model, with its answer checked, recorded and, if need be, repaired.

The answer is taken from the tool call, else from a JSON object in the text, both strictly. One that
is cut off, malformed or refused by `accept` is sent back with the reasons, twice at most.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from string import Template
from typing import Any, Literal, TypeVar

import openai
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.runnables import Runnable
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, ValidationError

from nas_engine.planners.base import AccessDenied
from nas_engine.settings import Settings
from nas_engine.store.writer import Writer

Answer = TypeVar("Answer", bound=BaseModel)

REPAIRS = 2
TIMEOUT_SECONDS = 90.0
PROMPTS = Path(__file__).parent / "planners" / "prompts"


class NoAnswer(RuntimeError):
    """The model gave no usable answer; the search goes on without one."""


def prompt(name: str, **values: str) -> str:
    """Return the prompt file `name` with its `$names` filled in; a missing name is an error."""
    return Template((PROMPTS / f"{name}.md").read_text("utf-8")).substitute(values)


class LanguageModel:
    """The model of one role, for one trial."""

    def __init__(
        self,
        settings: Settings,
        writer: Writer,
        search_id: int,
        number: int,
        role: Literal["planner", "evaluator"],
    ) -> None:
        self._writer = writer
        self._search_id = search_id
        self._number = number
        self._role = role
        self._model = settings.planner_model if role == "planner" else settings.evaluator_model
        self._key = settings.openrouter_api_key
        openrouter = "openrouter.ai" in settings.openai_base_url
        self._client = ChatOpenAI(
            model=self._model,
            api_key=settings.openrouter_api_key,
            base_url=settings.openai_base_url,
            use_responses_api=False,
            timeout=TIMEOUT_SECONDS,
            max_retries=2,
            extra_body={"usage": {"include": True}} if openrouter else None,
        )

    def ask(
        self,
        system: str,
        question: str,
        schema: type[Answer],
        accept: Callable[[Answer], list[str]],
    ) -> Answer:
        """Return an answer for which `accept` has no objections.

        Raises:
            NoAnswer: the service failed, or every answer was refused.
            AccessDenied: the key, the account or the model is refused.
        """
        messages: list[BaseMessage] = [SystemMessage(system), HumanMessage(question)]
        found: list[str] = []
        as_text = False  # set once a model has shown that it does not call tools
        for attempt in range(1 + REPAIRS):
            call = self._writer.reserve_call(
                self._search_id, self._number, self._role, attempt, self._model, _plain(messages)
            )
            began = time.monotonic()
            try:
                reply = self._bound(schema, as_text).invoke(messages)
            except Exception as error:  # five faults of a server escape openai's own classes
                problem = self._redact(_explain(error))
                self._writer.finish_call(call, "failed", "", problem, time.monotonic() - began)
                if _is_denied(error):
                    raise AccessDenied(self._denied(error)) from None
                raise NoAnswer(problem) from None
            text = self._redact(_text(reply))
            as_text = not (reply.tool_calls or reply.invalid_tool_calls)
            answer, found = _read(reply, schema)
            if answer is not None:
                found = accept(answer)
            self._writer.finish_call(
                call,
                "refused" if found else "used",
                text,
                " ".join(found),
                time.monotonic() - began,
                **_usage(reply),
            )
            if answer is not None and not found:
                return answer
            repair = prompt("repair", problems="\n".join(f"- {problem}" for problem in found))
            messages += [AIMessage(text or "(empty)"), HumanMessage(repair)]
        raise NoAnswer(f"{1 + REPAIRS} answers were refused, the last because: {' '.join(found)}")

    def _bound(
        self, schema: type[BaseModel], as_text: bool
    ) -> Runnable[list[BaseMessage], AIMessage]:
        """Return the client that asks for `schema`: as a tool call, or as JSON of that form."""
        if not as_text:
            return self._client.bind_tools([schema], tool_choice=schema.__name__)
        form = {"name": schema.__name__, "schema": schema.model_json_schema()}
        return self._client.bind(response_format={"type": "json_schema", "json_schema": form})

    def _redact(self, text: str) -> str:
        key = self._key.get_secret_value()
        return text.replace(key, "[key]") if key else text

    def _denied(self, error: Exception) -> str:
        status = getattr(error, "status_code", None)
        advice = {
            401: "check OPENROUTER_API_KEY in .env",
            402: "add credit to the account, or choose a cheaper model",
            403: "check what the key may be used for",
            404: f"check {self._role.upper()}_MODEL ({self._model}) and OPENAI_BASE_URL in .env",
        }[int(status or 401)]
        return (
            f"The language model service refused the request (HTTP {status}): {advice}, then "
            "resume. Everything so far is kept."
        )


def _is_denied(error: Exception) -> bool:
    return isinstance(error, openai.APIStatusError) and error.status_code in (401, 402, 403, 404)


def _explain(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:500] if lines else 'no message'}"


def _read(reply: AIMessage, schema: type[Answer]) -> tuple[Answer | None, list[str]]:
    """Return the answer in a reply, or None and the reasons why there is none."""
    if reply.response_metadata.get("finish_reason") == "length":
        return None, ["The answer was cut off at the length limit; be brief."]
    if reply.tool_calls:
        return _validated(schema, reply.tool_calls[0]["args"])
    if reply.invalid_tool_calls:
        return None, [f"The arguments of {schema.__name__} were not valid JSON."]
    return _from_text(str(reply.text), schema)


def _from_text(text: str, schema: type[Answer]) -> tuple[Answer | None, list[str]]:
    fenced = re.search(r"```(?:json)?\s*(\{.*\})\s*```", text, re.DOTALL)
    try:
        value = json.loads(fenced.group(1) if fenced else text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return None, [f"Answer by calling {schema.__name__}, or with one JSON object of its form."]
    return _validated(schema, value)


def _validated(schema: type[Answer], value: Any) -> tuple[Answer | None, list[str]]:
    try:
        return schema.model_validate(_clean(value)), []
    except ValidationError as error:
        return None, [
            f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}."
            for item in error.errors(include_url=False, include_input=False)[:10]
        ]


def _clean(value: Any) -> Any:
    """Return the value with lone surrogates, which JSON may smuggle in, escaped in all its text."""
    match value:
        case str():
            return value.encode("utf-8", "backslashreplace").decode("utf-8")
        case dict():
            return {_clean(key): _clean(item) for key, item in value.items()}
        case list():
            return [_clean(item) for item in value]
        case _:
            return value


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _text(reply: AIMessage) -> str:
    calls = [
        f"{call['name']}({json.dumps(call['args'], ensure_ascii=False)})"
        for call in reply.tool_calls
    ]
    calls += [f"{call['name']}({call['args']})" for call in reply.invalid_tool_calls]
    return "\n".join([part for part in (str(reply.text), *calls) if part])


def _usage(reply: AIMessage) -> dict[str, Any]:
    counted = reply.usage_metadata
    cost = (reply.response_metadata.get("token_usage") or {}).get("cost")
    return {
        "prompt_tokens": counted["input_tokens"] if counted else None,
        "completion_tokens": counted["output_tokens"] if counted else None,
        "cost_usd": float(cost) if isinstance(cost, int | float) else None,
    }


def _plain(messages: list[BaseMessage]) -> list[dict[str, str]]:
    return [{"role": message.type, "content": str(message.text)} for message in messages]
