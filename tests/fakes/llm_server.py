"""An OpenAI-compatible server that answers from a script and keeps what it was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Request = dict[str, Any]
Reply = tuple[int, dict[str, Any] | str]


class LLMServer:
    """Answers request after request with `script(request, index)`."""

    def __init__(self, script: Callable[[Request, int], Reply]) -> None:
        self.requests: list[Request] = []
        self.headers: list[dict[str, str]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with outer._lock:
                    index = len(outer.requests)
                    outer.requests.append(body)
                    outer.headers.append(dict(self.headers))
                status, answer = script(body, index)
                data = (answer if isinstance(answer, str) else json.dumps(answer)).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def serving(script: Callable[[Request, int], Reply]) -> Iterator[LLMServer]:
    server = LLMServer(script)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def tool_call(name: str, arguments: dict[str, Any] | str) -> Reply:
    """Return a reply that calls a tool; arguments given as text are sent as they are."""
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    call = {"id": "call_1", "type": "function", "function": {"name": name, "arguments": text}}
    return _completion({"role": "assistant", "content": None, "tool_calls": [call]}, "tool_calls")


def text(content: str, finish_reason: str = "stop") -> Reply:
    """Return a reply of plain text."""
    return _completion({"role": "assistant", "content": content}, finish_reason)


def failure(status: int, message: str) -> Reply:
    """Return an error as OpenAI-compatible services send it."""
    return status, {"error": {"message": message, "type": "error", "code": status}}


def proposal(changes: dict[str, Any], hypothesis: str = "It should help.") -> Reply:
    """Return a planner's proposal."""
    return tool_call(
        "ProposeChange",
        {
            "hypothesis": hypothesis,
            "reasons": "The trials so far say so.",
            "changes": [{"path": key, "value": value} for key, value in changes.items()],
        },
    )


def _completion(message: dict[str, Any], finish_reason: str) -> Reply:
    return 200, {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "scripted",
        "choices": [{"index": 0, "message": message, "finish_reason": finish_reason}],
        "usage": {
            "prompt_tokens": 100,
            "completion_tokens": 20,
            "total_tokens": 120,
            "cost": 0.001,
        },
    }
