"""One HTTP request to the service: bounded in time and size, its response kept as it came."""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx2
from langchain_core.messages import BaseMessage
from langchain_openai import ChatOpenAI

from nas_engine.service.fault import Fault, Stopped
from nas_engine.service.reply import MAX_BYTES, Completion, read_completion
from nas_engine.service.stream import MAX_STREAM_BYTES, EventStream, is_stream
from nas_engine.service.tracing import trace_nothing
from nas_engine.settings import Role

trace_nothing()

LISTEN_SECONDS = 0.25
"""Between two moments at which a listener is told what was said so far."""

Listen = Callable[[str], bool]
"""Takes all that was said so far and returns whether that is enough."""


@dataclass(frozen=True)
class Response:
    """A response that came whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def post(
    role: Role,
    messages: list[BaseMessage],
    form: Mapping[str, Any],
    max_tokens: int,
    deadline_seconds: float,
) -> Response:
    """Ask for a completion and return the response, whatever its status; raises Fault.

    Args:
        role: model, address, key and temperature.
        messages: the conversation.
        form: what else the request says: tools, or the form of the answer.
        max_tokens: tokens of the answer, at most.
        deadline_seconds: for all of it, from the connection to the last byte.
    """
    client = asyncio.run(_post(role, messages, form, max_tokens, deadline_seconds, None))
    assert client.response is not None, "a call that ends well has had a response"
    return client.response


def stream(
    role: Role,
    messages: list[BaseMessage],
    form: Mapping[str, Any],
    max_tokens: int,
    deadline_seconds: float,
    listen: Listen,
) -> Completion:
    """Ask for a completion, let `listen` hear it as it comes, and return it.

    The other arguments are those of `post`.

    Raises:
        Fault: as in `post` and `read_completion`; `begun` where something was heard already.
        Stopped: it was enough; the connection is closed.
    """
    client = asyncio.run(_post(role, messages, form, max_tokens, deadline_seconds, listen))
    assert client.response is not None, "a call that ends well has had a response"
    try:
        if client.events is not None:
            return client.events.completion()
        response = client.response
        return read_completion(response.status, response.headers, response.body)
    except Fault as fault:
        fault.begun = bool(client.said)
        raise


def is_this_machine(address: str) -> bool:
    """Tell whether an address names this machine: localhost, or one of its loopback numbers."""
    host = urlsplit(address).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


@functools.cache
def certificates() -> ssl.SSLContext:
    """Return whom to trust, read once: it takes 50 ms, as much as all else of a request."""
    return httpx2.create_ssl_context()


async def _post(
    role: Role,
    messages: list[BaseMessage],
    form: Mapping[str, Any],
    max_tokens: int,
    deadline_seconds: float,
    listen: Listen | None,
) -> _Recorder:
    # ChatOpenAI makes the request; the response is read from its bytes. The parser of
    # langchain-openai 1.7 keeps the last of two equal keys, takes NaN for a number, reads empty
    # arguments as {} and raises five kinds of error of its own on bodies that it does not know.
    # A proxy of the environment leads to other machines; this one is asked directly.
    proxied = not is_this_machine(role.base_url)
    async with _Recorder(timeout=None, verify=certificates(), trust_env=proxied) as client:
        client.streaming = listen is not None
        model = ChatOpenAI(
            model=role.model,
            api_key=role.key,
            base_url=role.base_url,
            temperature=role.temperature,
            max_completion_tokens=max_tokens,
            use_responses_api=False,
            max_retries=0,
            http_async_client=client,
            extra_body={"usage": {"include": True}} if role.is_openrouter else None,
            streaming=client.streaming,
            stream_usage=client.streaming,
        )
        asked = asyncio.ensure_future(model.bind(**form).ainvoke(messages))
        try:
            async with asyncio.timeout(deadline_seconds):
                await _heard(asked, client, listen)
        except TimeoutError:
            raise client.begun(_too_late(deadline_seconds)) from None
        finally:
            asked.cancel()
        if (error := asked.exception()) is not None:
            if client.fault is not None:
                raise client.begun(client.fault) from None
            if client.response is None:
                raise client.begun(_of_client(error, deadline_seconds)) from None
        return client


async def _heard(asked: asyncio.Future[Any], client: _Recorder, listen: Listen | None) -> None:
    """Wait for a response, and tell the listener meanwhile; raises Stopped."""
    if listen is None:
        await asyncio.wait({asked})
        return
    while not asked.done():
        await asyncio.wait({asked}, timeout=LISTEN_SECONDS)
        if listen(client.said):
            raise Stopped(client.said)


class _Recorder(httpx2.AsyncClient):
    """Reads a response within the size limit and keeps it, or the fault that it met.

    Nothing is decompressed: `Accept-Encoding: identity` is asked for, all else is refused.
    """

    streaming = False  # whether a stream was asked for
    response: Response | None = None
    events: EventStream | None = None  # that the response consists of
    fault: Fault | None = None

    @property
    def said(self) -> str:
        """What was said so far, of a stream."""
        return self.events.text if self.events else ""

    def begun(self, fault: Fault) -> Fault:
        """Return a fault that says whether a part of the answer came before it."""
        fault.begun = bool(self.said)
        return fault

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """Send a request, follow no redirect, and read at most MAX_BYTES, of a stream more."""
        request.headers["Accept-Encoding"] = "identity"
        options |= {"stream": True, "follow_redirects": False}
        response = await super().send(request, **options)
        headers = {name.lower(): value for name, value in response.headers.items()}
        if self.streaming and is_stream(response.status_code, headers):
            self.events = EventStream()
        try:
            body = await self._read(response)
        except Fault as fault:
            self.fault = fault
            raise
        finally:
            await response.aclose()
        self.response = Response(response.status_code, headers, body)
        return httpx2.Response(
            response.status_code, headers=response.headers, content=body, request=request
        )

    async def _read(self, response: httpx2.Response) -> bytes:
        encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding not in ("", "identity"):
            sentence = f"The service compressed its answer ({encoding}) unasked"
            raise Fault("bad_gateway", sentence)
        most = MAX_STREAM_BYTES if self.events else MAX_BYTES
        body, size = bytearray(), 0
        async for chunk in response.aiter_raw():
            size += len(chunk)
            if size > most:
                raise Fault("too_large", f"The service sent more than {most:,} bytes")
            if self.events:
                self.events.feed(chunk)  # nobody reads it again
            else:
                body += chunk
        return bytes(body)


def _too_late(deadline_seconds: float) -> Fault:
    return Fault("timeout", f"The service gave no complete answer within {deadline_seconds:g} s")


def _of_client(error: BaseException, deadline_seconds: float) -> Fault:
    """Return the fault that an exception of the HTTP client means."""
    causes = [error]
    while (cause := causes[-1].__cause__) is not None:
        causes.append(cause)
    if any(isinstance(cause, httpx2.TimeoutException) for cause in causes):
        return _too_late(deadline_seconds)
    last = causes[-1]
    what = f"{type(last).__name__}: {last}"
    unsent = any(isinstance(cause, httpx2.ConnectError) for cause in causes)
    return Fault("connection", f"The service cannot be reached ({what})", free=unsent)
