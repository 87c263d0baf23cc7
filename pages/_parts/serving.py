"""What stands before Streamlit's server: who is answered at all, and with which headers.

Streamlit compares `Host` with `server.allowedHosts` for WebSockets alone, and to judge a foreign
`Origin` it asks a web service for this machine's address. Both are settled here first.
"""

from __future__ import annotations

import html
import ipaddress
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from starlette._utils import get_route_path
from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import HTMLResponse
from streamlit import auth_util, config
from streamlit.web.server.server_util import AUTH_COOKIE_NAME, get_cookie_secret
from streamlit.web.server.starlette.starlette_app_utils import decode_signed_value
from streamlit.web.server.starlette.starlette_websocket import is_host_allowed

from nas_engine.settings import SettingsError, load_settings
from pages._parts.people import (
    NO_TLS,
    UNREADABLE,
    login_address,
    login_needed,
    person,
    secrets_unreadable,
    unencrypted,
)

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

NO_LOGIN = (
    "This dashboard can be reached from other computers, and no login is set up, so that it shows "
    "nothing. Set one up as docs/security.md tells, or serve it on 127.0.0.1."
)
WITHOUT_LOGIN = (
    "NAS_WITHOUT_LOGIN is set: whoever reaches the port of this dashboard may do everything."
)
FOREIGN_HOST = (
    "The dashboard does not answer under this name: open it as http://127.0.0.1, or add the name "
    "to server.allowedHosts as docs/security.md tells."
)
FOREIGN_ORIGIN = "The dashboard does not answer to pages of other sites."
VIEWERS_UPLOAD_NOTHING = "Viewers may not upload files."

HEADERS = {
    "Content-Security-Policy": "; ".join(
        (
            "default-src 'self'",
            "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",  # Streamlit's own front end
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "font-src 'self' data:",
            "media-src 'self' data: blob:",
            "worker-src 'self' blob:",
            "object-src 'none'",
            "base-uri 'self'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        )
    ),
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
FORWARDED = frozenset({"forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip"})
"""Headers by which a proxy says that it asks for somebody else."""
HEALTH = "_stcore/health"
DATA = ("media/", "app/", "component/", "_stcore/")
"""Where routes begin that answer with more than the empty shell of a page."""
OPEN = (HEALTH, "_stcore/host-config", "_stcore/stream")
"""What of these is needed to show the login; the stream shows nothing else before it."""


class Door:
    """Answers who may be answered, and adds headers to each answer; ASGI middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request or a WebSocket."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                _add_headers(MutableHeaders(scope=message))
            await send(message)

        refusal = refused(HTTPConnection(scope), scope.get("method", "GET"))
        if not refusal:
            await self._app(scope, receive, sending)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await HTMLResponse(_page(refusal), 403)(scope, receive, sending)


def refused(asked: HTTPConnection, method: str) -> str:
    """Return why somebody is not answered, empty where they are.

    Args:
        asked: the request, or the handshake of a WebSocket.
        method: of HTTP; GET for a handshake.
    """
    host, origin = asked.headers.get("host"), asked.headers.get("origin")
    if (origin is not None and not _same_site(origin, host)) or _loaded_elsewhere(asked):
        return FOREIGN_ORIGIN
    base = config.get_option("server.baseUrlPath").strip("/")
    path = get_route_path(asked.scope).lstrip("/").removeprefix(f"{base}/" if base else "")
    if path == HEALTH:
        return ""
    if reachable(asked) and not login_needed() and not _without_login():
        return NO_LOGIN
    if not is_host_allowed(host):
        return FOREIGN_HOST
    if login_needed() and path.startswith(DATA) and path not in OPEN:
        return _not_admitted(asked, method)
    return ""


def _same_site(origin: str, host: str | None) -> bool:
    _, _, named = origin.partition("://")
    return bool(named) and (
        named == host or origin in config.get_option("server.corsAllowedOrigins")
    )


def _loaded_elsewhere(asked: HTTPConnection) -> bool:
    """Tell whether a page of another site loads this, as an image or a script, which says so.

    A link that is followed is no such thing, nor is what a browser without these headers asks.
    """
    site = asked.headers.get("sec-fetch-site", "none")
    return site in ("cross-site", "same-site") and asked.headers.get("sec-fetch-mode") != "navigate"


def reachable(asked: HTTPConnection | None = None) -> bool:
    """Tell whether other computers can reach the dashboard, as far as its settings say.

    Args:
        asked: a request, whose address on this side counts too, and whether a proxy has sent it.
    """
    if asked and not FORWARDED.isdisjoint(asked.headers):
        return True
    names = [config.get_option("server.address") or "", *config.get_option("server.allowedHosts")]
    if not config.get_option("server.allowedHosts"):
        return True  # it answers under every name
    server = asked.scope.get("server") if asked else None
    if server is not None and server[1] is not None:  # a socket file has no port
        names.append(server[0])
    return not all(map(_of_this_computer, names))


def _of_this_computer(name: str) -> bool:
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False


def _without_login() -> bool:
    try:
        return load_settings().nas_without_login
    except SettingsError:
        return False


def _not_admitted(asked: HTTPConnection, method: str) -> str:
    """Return why the person of the cookie gets no data, empty where they do."""
    try:
        found = person(_claims(asked.cookies), load_settings())
    except SettingsError as error:
        return str(error)
    if isinstance(found, str):
        return found
    if method not in ("GET", "HEAD", "OPTIONS") and found.role != "operator":
        return VIEWERS_UPLOAD_NOTHING
    return ""


def _claims(cookies: dict[str, str]) -> dict[str, object]:
    """Return what Streamlit's signed cookie says of a person; nothing where it is not genuine."""

    def signed(name: str) -> bytes | None:
        if (value := cookies.get(name)) is None:
            return None
        return decode_signed_value(get_cookie_secret(), name, value.encode("latin-1"))

    try:
        claims = json.loads(auth_util.get_cookie_with_chunks(signed, AUTH_COOKIE_NAME) or b"{}")
    except ValueError:
        return {}
    return claims if isinstance(claims, dict) else {}


def _add_headers(headers: MutableHeaders) -> None:
    for name, value in HEADERS.items():
        headers[name] = value
    if login_address().startswith("https://"):
        secure = [
            (name, value + b"; Secure" if name == b"set-cookie" else value)
            for name, value in headers.raw
        ]
        headers.raw[:] = secure


def _page(refusal: str) -> str:
    return f"<!doctype html><title>Informer search</title><p>{html.escape(refusal)}</p>\n"


def cautions() -> Iterator[str]:
    """Yield what whoever starts the server is to know, a sentence each."""
    if secrets_unreadable():
        yield UNREADABLE
    elif not login_needed() and reachable():
        yield WITHOUT_LOGIN if _without_login() else NO_LOGIN
    elif unencrypted():
        yield NO_TLS
