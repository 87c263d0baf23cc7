"""A browser tab without a browser: cookies, redirects, and Streamlit's own protocol.

It shows what the server would do for any client, not what the front end lets a person press.
"""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.cookiejar import CookieJar
from typing import Any

from google.protobuf.text_format import MessageToString
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.Element_pb2 import Element
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.sync.client import ClientConnection, connect

XSRF = "_streamlit_xsrf"
PATIENCE_SECONDS = 600.0  # however busy the machine is; nothing waits longer than it must


class Tab:
    """A tab of a browser of its own, at the address of a server."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.jar = CookieJar()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.jar))
        self.elements: list[Element] = []
        """What the last run of the page has drawn, in the order of its arrival."""
        self.redirect = ""
        self.session = ""
        self._socket: ClientConnection | None = None

    def get(self, path: str, method: str = "GET", **headers: str) -> tuple[int, bytes]:
        """Return status and body of an answer, redirects followed."""
        asked = urllib.request.Request(f"{self.url}{path}", headers=headers, method=method)
        try:
            with self._opener.open(asked, timeout=PATIENCE_SECONDS) as answer:
                return int(answer.status), answer.read()
        except urllib.error.HTTPError as error:
            return int(error.code), error.read()

    def cookies(self) -> dict[str, str]:
        return {cookie.name: cookie.value or "" for cookie in self.jar}

    @contextmanager
    def open(self, page: str = "", query: str = "") -> Iterator[None]:
        """Open a page and keep its connection."""
        self.get("/_stcore/health")  # sets the cookie against forged requests
        held = self.cookies()
        with connect(
            f"ws{self.url.removeprefix('http')}/_stcore/stream",
            origin=self.url,  # type: ignore[arg-type]  # a plain text
            subprotocols=["streamlit", held.get(XSRF, "none")],  # type: ignore[list-item]
            additional_headers={"Cookie": "; ".join(f"{k}={v}" for k, v in held.items())},
            max_size=None,
            open_timeout=PATIENCE_SECONDS,
            close_timeout=PATIENCE_SECONDS,
            ping_interval=None,
        ) as self._socket:
            self.run(page, query)
            yield
        self._socket = None

    def run(
        self,
        page: str = "",
        query: str = "",
        press: str = "",
        widgets: Any = (),
        fragment: str = "",
    ) -> None:
        """Have the page drawn, as by a browser whose widgets say this, and a button was pressed."""
        asked = BackMsg()
        state = asked.rerun_script
        state.page_name, state.query_string, state.fragment_id = page, query, fragment
        state.widget_states.widgets.extend(widgets)
        if press:
            state.widget_states.widgets.append(WidgetState(id=press, trigger_value=True))
        assert self._socket is not None, "the tab is open"
        self._socket.send(asked.SerializeToString())
        self._read()

    def _read(self) -> None:
        assert self._socket is not None
        self.elements, self.redirect = [], ""
        while True:
            message = ForwardMsg()
            got = self._socket.recv(timeout=PATIENCE_SECONDS)
            message.ParseFromString(got if isinstance(got, bytes) else got.encode())
            match message.WhichOneof("type"):
                case "new_session":
                    self.session = message.new_session.initialize.session_id or self.session
                case "delta" if message.delta.WhichOneof("type") == "new_element":
                    self.elements.append(message.delta.new_element)
                case "auth_redirect":
                    self.redirect = message.auth_redirect.url
                case "script_finished":
                    return

    def words(self) -> str:
        """Return all that the page says, however it is drawn."""
        return "\n".join(MessageToString(element, as_utf8=True) for element in self.elements)

    def buttons(self) -> dict[str, Any]:
        """Return the buttons of the page by their labels."""
        found = (e.button for e in self.elements if e.WhichOneof("type") == "button")
        return {button.label: button for button in found}

    def log_in(self) -> None:
        """Log in as the identity provider decides."""
        with self.open():
            self.run(press=self.buttons()["Log in"].id)
            assert self.redirect, self.words()
        status, _ = self.get(self.redirect)
        assert status == 200
