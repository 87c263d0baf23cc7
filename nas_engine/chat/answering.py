"""One turn of a chat: the model looks up rows, answers, and is heard while it does.

Whatever it says stands in the turn's row as it comes, so that any page, and the command line, can
show it; so do the rows that it was given. A turn that an engine was lost in begins anew.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Set
from dataclasses import dataclass, field

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from pydantic import BaseModel

from nas_engine.chat.draft import DraftProposal, draft
from nas_engine.chat.looked_up import LookedUp
from nas_engine.chat.question import earlier, told
from nas_engine.chat.tools import LOOKING, NotFound, Tool, name_of
from nas_engine.llm import LanguageModel, NoAnswer, prompt
from nas_engine.planners.base import AccessDenied
from nas_engine.planners.question import estimated_tokens
from nas_engine.service.fault import ErrorClass, Stopped
from nas_engine.service.form import tools_form
from nas_engine.service.reply import Completion, Objection, ToolCall, read_arguments, unfinished
from nas_engine.store import wishes
from nas_engine.store.rows import SearchRow
from nas_engine.store.table import QueryError
from nas_engine.store.wishes import TurnRow
from nas_engine.store.writer import Writer

ROUNDS = 6
"""In which the model may look things up before it must answer."""

MOST_LOOKUPS = 16
"""Of one turn."""

LEAST_ROOM = 1200
"""Characters of a result that are told, however full the conversation is."""

_FORMS: tuple[type[BaseModel], ...] = (*LOOKING, DraftProposal)
TOOLS = {name_of(form): form for form in _FORMS}

_OFFER = estimated_tokens(json.dumps(tools_form(list(TOOLS.values()), may_call=True)))
"""Tokens in which they are offered, about."""


def answer(
    writer: Writer,
    model: LanguageModel,
    search_id: int,
    turn_id: int,
    at_work: Callable[[], Set[int]],
    ending: Callable[[], None],
) -> None:
    """Answer a turn, and leave it answered, stopped or failed, with a sentence that says why.

    Args:
        writer: of the engine, for this thread.
        model: whom to ask.
        search_id: what is asked about.
        turn_id: the question.
        at_work: tells which trials are being planned, trained or judged.
        ending: raises what shall end the answer here, and leave the turn to the next engine.
    """
    search, turn = writer.read.search(search_id), wishes.turn(writer.read, turn_id)
    assert search is not None and turn is not None, "only questions that were put are answered"
    if turn.stopping:
        wishes.end_turn(writer, turn_id, "stopped")
        return
    speaker = _Speaker(writer, model, search, turn, at_work, ending)
    try:
        problem = speaker.speak()
    except Stopped:
        wishes.end_turn(writer, turn_id, "stopped")
    except AccessDenied as error:
        wishes.end_turn(writer, turn_id, "failed", str(error))
    except NoAnswer as error:
        wishes.end_turn(
            writer, turn_id, "failed", f"{error} {_ADVICE.get(error.error_class, _OTHERWISE)}"
        )
    else:
        wishes.end_turn(writer, turn_id, "answered", problem)


_LATER = "Ask again a little later; OPENAI_BASE_URL in .env says which service is asked."
_OTHERWISE = "Ask again, or in other words."
_ADVICE: dict[ErrorClass, str] = {
    "limit": "Raise that limit under Change on the Live page, then ask again.",
    "waiting": "Ask again then.",
    "rejected": "Ask more briefly, or set another PLANNER_MODEL in .env.",
    **dict.fromkeys(
        ("connection", "timeout", "rate_limit", "server", "bad_gateway", "too_large", "redirect"),
        _LATER,
    ),
}


@dataclass
class _Speaker:
    """An answer that is being given."""

    writer: Writer
    model: LanguageModel
    search: SearchRow
    turn: TurnRow
    at_work: Callable[[], Set[int]]
    ending: Callable[[], None]
    said: list[str] = field(default_factory=list)  # in the rounds so far
    looked_up: list[LookedUp] = field(default_factory=list)
    kept: tuple[str, int] | None = None  # what of it stands in the store
    tools: list[type[BaseModel]] = field(default_factory=lambda: list(TOOLS.values()))
    opened: int = 0  # messages up to the question

    def speak(self) -> str:
        """Answer; return what is wrong with the answer, in a sentence, or nothing.

        Raises:
            NoAnswer, AccessDenied, Stopped: as `LanguageModel.say`.
        """
        messages = self._opening()
        for round_ in range(ROUNDS + 1):
            may_call = round_ < ROUNDS and self._room(messages) > 0
            completion = self._next(messages, may_call)
            if text := completion.text.strip():
                self.said.append(text)
            if not completion.calls or not may_call:
                break
            messages += self._called(completion, messages)
        self._listen("")
        if not self.said:
            raise NoAnswer("The language model said nothing in words.", "malformed")
        cut = unfinished(completion)
        return "It was cut off at its length limit (LLM_MAX_TOKENS in .env)." if cut else ""

    def _next(self, messages: list[BaseMessage], may_call: bool) -> Completion:
        """Return what the model says next; one that knows no tools has what it was told."""
        try:
            return self.model.say(messages, self.tools, may_call, self._listen)
        except NoAnswer as error:
            if error.error_class != "rejected" or not self.tools or len(messages) > self.opened:
                raise
        self.tools = []
        return self.model.say(messages, [], False, self._listen)

    def _opening(self) -> list[BaseMessage]:
        """Return the conversation up to the question."""
        read, spec = self.writer.read, self.search.spec
        known = told(read, self.search, self.turn.question)
        self.looked_up = list(known.rows)
        before = [turn for turn in wishes.turns(read, self.search.id) if turn.id < self.turn.id]
        messages: list[BaseMessage] = [SystemMessage(prompt("chat_system"))]
        for question, said in earlier(before, spec.limits.prompt_tokens // 4):
            messages += [HumanMessage(question), AIMessage(said)]
        messages.append(HumanMessage(known.text))
        self.opened = len(messages)
        return messages

    def _listen(self, text: str) -> bool:
        """Keep what is said so far; return whether somebody wants it stopped."""
        self.ending()
        whole = "\n\n".join([*self.said, *([text.strip()] if text.strip() else [])])
        now = whole, len(self.looked_up)
        if now == self.kept:
            turn = wishes.turn(self.writer.read, self.turn.id)
            return turn is not None and turn.stopping
        self.kept = now
        rows = [found.plain() for found in self.looked_up]
        return wishes.answer_so_far(self.writer, self.turn.id, whole, rows)

    def _room(self, messages: list[BaseMessage]) -> int:
        """Return for how many more characters there is room in the conversation."""
        used = sum(estimated_tokens(str(message.text)) for message in messages) + _OFFER
        return 3 * (self.search.spec.limits.prompt_tokens - used)

    # -- tools ----------------------------------------------------------------------------------

    def _called(self, completion: Completion, before: list[BaseMessage]) -> list[BaseMessage]:
        """Return what the model said and the results of what it called."""
        named = [
            (call.id or f"call_{len(before)}_{place}", call)
            for place, call in enumerate(completion.calls)
        ]
        calls = [
            {"type": "tool_call", "id": key, "name": call.name, "args": _arguments(call)}
            for key, call in named
        ]
        messages: list[BaseMessage] = [AIMessage(completion.text, tool_calls=calls)]
        for key, call in named:
            room = max(self._room([*before, *messages]), LEAST_ROOM)
            messages.append(ToolMessage(self._result(call, room), tool_call_id=key))
        return messages

    def _result(self, call: ToolCall, room: int) -> str:
        """Return what a call found, or a sentence that says why it found nothing."""
        if (form := TOOLS.get(call.name)) is None:
            return f"There is no tool {call.name[:60]!r}; there are {', '.join(TOOLS)}."
        if len(self.looked_up) >= MOST_LOOKUPS:
            return "That was enough looking up for one question: answer now."
        wish = read_arguments(call, form)
        if isinstance(wish, Objection):
            return " ".join(wish.sentences)
        try:
            found = self._found(wish)
        except (NotFound, QueryError) as error:
            return str(error)
        self.looked_up.append(found)
        return found.told(room)

    def _found(self, wish: BaseModel) -> LookedUp:
        if isinstance(wish, Tool):
            return wish.look(self.writer.read, self.search)
        assert isinstance(wish, DraftProposal), "there are no other tools"
        return draft(self.writer, self.search.id, self.turn.id, wish, self.at_work)


def _arguments(call: ToolCall) -> dict[str, object]:
    """Return the arguments of a call as they are sent back; none where they were no object."""
    try:
        arguments = json.loads(call.arguments or "{}")
    except (ValueError, RecursionError):
        return {}
    return arguments if isinstance(arguments, dict) else {}
