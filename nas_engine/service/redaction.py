"""Keys are taken out of every text before it is kept or shown."""

from __future__ import annotations

import base64
import logging
import re
import sys
import threading
from collections.abc import Iterable
from types import TracebackType
from urllib.parse import quote

from nas_engine.plaintext import readable

SHORTEST_SECRET = 8
"""A shorter key is a placeholder, as local servers take one."""

SHORTEST_BEGINNING = 4
"""Characters at the end of a text that may be the beginning of a key; fewer end many words."""

REDACTED = "[key]"
_ESCAPE = re.compile(r"\\+u([0-9a-fA-F]{4})")


class Redaction:
    """Knows secrets, and takes them out of text: plain, URL-encoded, in base64 or JSON escapes."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = [secret for secret in secrets if len(secret) >= SHORTEST_SECRET]
        forms = {form for secret in self._secrets for form in _forms(secret)}
        self._forms = sorted(forms, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, self._forms))) if forms else None

    def __call__(self, text: str) -> str:
        """Return the text without secrets; withheld as a whole where escapes spell one."""
        if self._pattern is None:
            return text
        text = self._pattern.sub(REDACTED, text)
        if "\\" in text:
            plain = _ESCAPE.sub(lambda found: chr(int(found[1], 16)), text).replace("\\/", "/")
            if self._pattern.search(plain):
                return "[withheld: it spelt the key in escapes]"
        return text

    def of_beginning(self, text: str) -> str:
        """Return the beginning of a text without secrets, nor an end where one may have begun."""
        begun = (
            length
            for form in self._forms
            for length in range(len(form) - 1, SHORTEST_BEGINNING - 1, -1)
            if text.endswith(form[:length])
        )
        return self(text[: len(text) - max(begun, default=0)])


KEPT_OF_EVENT = 20_000
"""Characters of an event in a log."""


class RedactingFormatter(logging.Formatter):
    """A formatter of log lines, tracebacks included, that lets no secret through.

    An event begins a line, and all that follows of it is indented: no text can pass for an event
    of its own, nor for a command to a terminal.
    """

    def __init__(self, pattern: str, redact: Redaction) -> None:
        super().__init__(pattern)
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        """Return the event without secrets and control characters."""
        text = self._redact(super().format(record))
        text = text if len(text) <= KEPT_OF_EVENT else f"{text[:KEPT_OF_EVENT]}…"
        return "\n    ".join(readable(line) for line in text.splitlines())


def log_uncaught(log: logging.Logger) -> None:
    """Have what nobody catches written to a log instead of printed, where it may hold a secret."""

    def uncaught(
        kind: type[BaseException], error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not SystemExit:
            log.critical("Ended by %s", kind.__name__, exc_info=error)

    sys.excepthook = uncaught
    threading.excepthook = lambda thread: uncaught(
        thread.exc_type, thread.exc_value, thread.exc_traceback
    )


def _forms(secret: str) -> Iterable[str]:
    yield secret
    yield quote(secret)
    yield quote(secret, safe="")
    yield "".join(f"%{byte:02x}" for byte in secret.encode())
    yield "".join(f"%{byte:02X}" for byte in secret.encode())
    # Inside a longer text, base64 of the secret depends on where it begins within three bytes; the
    # characters that it shares with its neighbours are left out.
    data = secret.encode()
    for shift in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            text = encode(bytes(shift) + data).decode()
            yield text[-(-8 * shift // 6) : 8 * (shift + len(data)) // 6]
