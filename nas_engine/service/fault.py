"""What can be wrong with an exchange, in one set of words."""

from __future__ import annotations

from typing import Literal

ErrorClass = Literal[
    "connection",  # no connection, or one that broke
    "timeout",  # the deadline passed
    "rate_limit",  # HTTP 429
    "server",  # HTTP 5xx, or an error in place of an answer
    "bad_gateway",  # bytes that are no completion: HTML, nothing, half of one
    "too_large",  # more bytes than any answer needs
    "redirect",  # HTTP 3xx, never followed
    "rejected",  # HTTP 4xx: this request cannot be served
    "denied",  # HTTP 401, 402, 403, 404: key, account or model
    "truncated",  # the answer was cut off at its length limit
    "refused",  # the model or a filter declined
    "malformed",  # no answer of the form that was asked for
    "unacceptable",  # of that form, but not allowed
    "limit",  # a limit of the search forbids the call
    "waiting",  # it is too early to ask again
]

DENIED = (401, 402, 403, 404)
_RETRYABLE: frozenset[ErrorClass] = frozenset(
    ("connection", "timeout", "rate_limit", "server", "bad_gateway")
)
_OF_SERVICE = _RETRYABLE | {"too_large", "redirect"}


class Fault(Exception):
    """An exchange that brought no completion; the text is one sentence, not yet cut or redacted.

    `status` is the HTTP status, `retry_after` the seconds that the service asked to be left alone,
    `free` says that it cannot have been charged, and `begun` that a part of an answer came before.
    """

    def __init__(
        self,
        error_class: ErrorClass,
        sentence: str,
        *,
        status: int | None = None,
        retry_after: float | None = None,
        free: bool = False,
    ) -> None:
        super().__init__(sentence)
        self.error_class = error_class
        self.status = status
        self.retry_after = retry_after
        self.free = free
        self.begun = False

    @property
    def retryable(self) -> bool:
        """Whether the same request may succeed a little later, and nothing was heard yet."""
        return self.error_class in _RETRYABLE and not self.begun

    @property
    def of_service(self) -> bool:
        """Whether the service as a whole seems to be ill."""
        return self.error_class in _OF_SERVICE


class Stopped(Exception):
    """Who listened to an answer wanted no more of it; the text is what there was."""


def fault_of_status(status: int, message: str, retry_after: float | None = None) -> Fault:
    """Return the fault that an HTTP status of 300 or more means."""
    what = f"HTTP {status}: {message or 'no message'}"
    if status in DENIED:
        return Fault("denied", what, status=status, free=True)
    if status == 429:
        return Fault("rate_limit", what, status=status, retry_after=retry_after, free=True)
    if status == 408:
        return Fault("timeout", what, status=status, retry_after=retry_after)
    if 300 <= status < 400:
        sentence = f"HTTP {status}: redirects are not followed; set the base URL to the new address"
        return Fault("redirect", sentence, status=status, free=True)
    if status < 500:
        return Fault("rejected", what, status=status, free=True)
    return Fault("server", what, status=status, retry_after=retry_after)
