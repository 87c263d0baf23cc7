"""What a request says besides its messages: tools, or the form of the answer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel


def tool_form(schema: type[BaseModel]) -> dict[str, Any]:
    """Return what asks for a call of the one tool, whose arguments are the answer."""
    choice = {"type": "function", "function": {"name": schema.__name__}}
    return {"tools": [convert_to_openai_tool(schema)], "tool_choice": choice}


def text_form(schema: type[BaseModel]) -> dict[str, Any]:
    """Return what asks for JSON in the text."""
    form = {"name": schema.__name__, "schema": schema.model_json_schema()}
    return {"response_format": {"type": "json_schema", "json_schema": form}}


def tools_form(tools: Sequence[type[BaseModel]], may_call: bool) -> dict[str, Any]:
    """Return what offers tools, to be called or, where they have been, only to be known."""
    if not tools:
        return {}
    form: dict[str, Any] = {"tools": [convert_to_openai_tool(tool) for tool in tools]}
    return form | {"tool_choice": "auto" if may_call else "none"}


def plain(messages: Sequence[BaseMessage]) -> list[dict[str, str]]:
    """Return messages as the transcript keeps them."""
    return [{"role": message.type, "content": _said(message)} for message in messages]


def _said(message: BaseMessage) -> str:
    """Return the text of a message; calls of tools are part of it."""
    calls = message.tool_calls if isinstance(message, AIMessage) else []
    told = (f"{call['name']}({json.dumps(call['args'], ensure_ascii=False)})" for call in calls)
    return "\n".join([*([str(message.text)] if message.text or not calls else []), *told])
