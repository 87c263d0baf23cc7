"""What the server of the dashboard answers, to whom, and what people who log in can do there."""

from __future__ import annotations

import http.client
import importlib.util
import os
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from nas_engine.commands import Describe
from nas_engine.labels import describe
from nas_engine.store import wishes
from nas_engine.store.reader import reading
from nas_engine.workspace import PROJECT, Workspace
from pages._parts.serving import (
    FOREIGN_ORIGIN,
    HEADERS,
    NO_LOGIN,
    VIEWERS_UPLOAD_NOTHING,
    WITHOUT_LOGIN,
)
from tests.dashboard import Dashboard, free_port, living_engine, serving_dashboard
from tests.pages import seed
from tests.tab import PATIENCE_SECONDS, Tab

pytestmark = pytest.mark.xdist_group("server")

CANARY = "a search that nobody outside may know"
ROUTES = [
    "/_stcore/health",
    "/_stcore/host-config",
    "/_stcore/metrics",
    "/_stcore/stream",
    "/_stcore/upload_file/{session_id}/{file_id}",
    "/_stcore/bidi-components/{path:path}",
    "/_stcore/agent/interact",
    "/_stcore/agent/mcp",
    "/_stcore/agent/openapi.json",
    "/app/static/{path:path}",
    "/auth/login",
    "/auth/logout",
    "/component/{path:path}",
    "/media/{file_id:path}",
    "/oauth2callback",
]
"""Every route there is. One that is new is looked at, then written down here."""
SHELL = (
    "/_stcore/health",
    "/_stcore/host-config",
    "/auth/login",
    "/auth/logout",
    "/oauth2callback",
)
"""Those that answer somebody who has not logged in: to say that the server lives, and to log in."""
PAGES = ("", "live", "review", "steer", "ask", "start", "compare", "trial", "data", "settings")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="module")
def local(folder: Path) -> Iterator[Dashboard]:
    """The dashboard as it is out of the box."""
    with serving_dashboard(Workspace(folder / "local" / "nas.db"), {}, folder / "local.log") as own:
        yield own


class Answer(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    body: bytes


def answer(port: int, path: str, method: str = "GET", **headers: str) -> Answer:
    """Ask for a path as it is written here, whatever a browser would make of it."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
    given = {"Host": f"127.0.0.1:{port}"} | headers
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    for name, value in given.items():
        connection.putheader(name, value)
    connection.endheaders()
    with closing(connection), connection.getresponse() as found:
        return Answer(found.status, found.headers, found.read())


def handshake(port: int, host: str, origin: str | None) -> int:
    """Return how the server answers to a WebSocket that asks to be opened."""
    lines = [
        *("GET /_stcore/stream HTTP/1.1", f"Host: {host}", "Connection: Upgrade"),
        *("Upgrade: websocket", "Sec-WebSocket-Version: 13"),
        *("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol: streamlit"),
        *([f"Origin: {origin}"] if origin is not None else []),
    ]
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS) as connection:
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        return int(connection.recv(4096).split()[1])


# -- out of the box -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "origin", "opens"),
    [
        ("127.0.0.1:PORT", "http://127.0.0.1:PORT", True),
        ("localhost:PORT", "http://localhost:PORT", True),
        ("LOCALHOST.:PORT", "http://LOCALHOST.:PORT", True),  # the same name
        ("[::1]:PORT", "http://[::1]:PORT", True),
        ("127.0.0.1:PORT", None, True),  # no browser: a program of this machine's user
        ("evil.example:PORT", "http://evil.example:PORT", False),
        ("evil.example:PORT", None, False),
        ("127.0.0.1.evil.example:PORT", "http://127.0.0.1.evil.example:PORT", False),
        ("127.0.0.1:PORT", "http://evil.example", False),
        ("127.0.0.1:PORT", "null", False),
        ("127.0.0.1:PORT", "http://127.0.0.1:1", False),  # another server of this machine
        ("127.0.0.1:PORT", "http://localhost:PORT", False),
        ("2130706433:PORT", "http://2130706433:PORT", False),  # 127.0.0.1 as one number
        ("user@127.0.0.1:PORT", "http://user@127.0.0.1:PORT", False),
        ("0.0.0.0:PORT", "http://0.0.0.0:PORT", False),
    ],
)
def test_a_page_of_another_site_opens_no_connection(
    local: Dashboard, host: str, origin: str | None, opens: bool
) -> None:
    own = host.replace("PORT", str(local.port))
    site = origin and origin.replace("PORT", str(local.port))
    assert handshake(local.port, own, site) == (101 if opens else 403)


def test_another_name_is_answered_with_a_sentence_alone(local: Dashboard) -> None:
    for path in ("/", "/live", "/media/x", "/static/x.js"):
        found = answer(local.port, path, Host=f"evil.example:{local.port}")
        assert found.status == 403 and b"does not answer under this name" in found.body


def test_a_foreign_origin_never_makes_the_server_ask_for_its_own_address(local: Dashboard) -> None:
    """Streamlit would ask a web service, to compare; so no request of the kind reaches it."""
    for path in ("/_stcore/health", "/_stcore/host-config", "/media/x", "/"):
        found = answer(local.port, path, Origin="http://evil.example")
        assert found.status == 403 and FOREIGN_ORIGIN.encode() in found.body


def test_what_another_site_loads_from_here_is_refused_and_its_links_are_followed(
    local: Dashboard,
) -> None:
    asked: list[tuple[str, str, int]] = [
        ("cross-site", "no-cors", 403),
        ("same-site", "no-cors", 403),  # another server of this machine
        ("cross-site", "navigate", 200),
        ("same-origin", "no-cors", 200),
        ("none", "navigate", 200),
    ]
    for site, mode, status in asked:
        fetched = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode}
        assert answer(local.port, "/static/x.js", **fetched).status in (status, 404), fetched
        assert answer(local.port, "/", **fetched).status == status, fetched


def test_what_a_proxy_asks_for_somebody_else_needs_a_login(local: Dashboard) -> None:
    for name in ("X-Forwarded-For", "Forwarded", "Via"):
        found = answer(local.port, "/", **{name: "192.0.2.7"})
        assert found.status == 403 and NO_LOGIN.encode() in found.body


def concrete(route: str) -> str:
    return (
        route.replace("{session_id}/{file_id}", "0/0")
        .replace("{path:path}", "x")
        .replace("{file_id:path}", "x")
    )


def test_every_answer_forbids_to_be_framed_and_to_be_guessed_at(local: Dashboard) -> None:
    for path in ("/", "/live", "/live/deep", "/nowhere", *map(concrete, ROUTES)):
        found = answer(local.port, path)
        assert {name: found.headers[name] for name in HEADERS} == HEADERS, path
    policy = HEADERS["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in policy and "default-src 'self'" in policy
    assert "http:" not in policy and "https:" not in policy and "*" not in policy


def test_no_route_leads_out_of_its_folder(local: Dashboard) -> None:
    """What a traversal would find is the project's own file, and one of the machine."""
    ups = [
        *("../", "..%2f", "%2e%2e/", "%2e%2e%2f", "..%252f", "..%5c", "..\\", "....//", "%2e./"),
        *("..%c0%af", "..;/", "..%00/", "./../"),
    ]
    starts = ("/", "/media/", "/app/static/", "/component/x/", "/static/", "/_stcore/")
    targets = (("pyproject.toml", b"informer-nas"), ("etc/passwd", b"root:"))
    asked = 0
    for start in starts:
        for up in ups:
            for target, content in targets:
                for depth in (1, 6):
                    found = answer(local.port, f"{start}{up * depth}{target}")
                    assert content not in found.body, (start, up, target)
                    asked += 1
    assert asked >= 200


def test_the_routes_are_those_that_are_known() -> None:
    program = (
        "from app import app; routes = app._build_starlette_app().routes; "
        "print(*sorted({getattr(route, 'path', '') for route in routes}))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert set(ended.stdout.split()) == set(ROUTES)


def test_it_listens_on_this_machine_alone_wherever_it_is_started(folder: Path) -> None:
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    port = free_port()
    environment = {**os.environ, "NAS_DB": str(folder / "elsewhere.db")}
    with (folder / "elsewhere.log").open("wb") as log:
        server = psutil.Popen(
            [
                *(sys.executable, "-m", "streamlit", "run", str(PROJECT / "app.py")),
                *("--server.port", str(port)),
            ],
            cwd=elsewhere,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_for(port, server)
        listening = {c.laddr.ip for c in server.net_connections() if c.status == "LISTEN"}
        assert listening == {"127.0.0.1"}
        assert answer(port, "/", Host="evil.example").status == 403
        assert answer(port, "/").headers["X-Frame-Options"] == "DENY"
    finally:
        server.terminate()
        server.wait(PATIENCE_SECONDS)


def wait_for(port: int, server: psutil.Popen) -> None:
    """Wait until a server answers, for as long as it lives."""
    while server.poll() is None:
        try:
            answer(port, "/_stcore/health")
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError("the server has ended")


def test_on_a_public_address_without_a_login_there_is_a_refusal_and_nothing_else(
    folder: Path,
) -> None:
    workspace = Workspace(folder / "public" / "nas.db")
    log = folder / "public.log"
    with serving_dashboard(workspace, {"STREAMLIT_SERVER_ADDRESS": "0.0.0.0"}, log) as public:
        for path in ("/", "/live", *map(concrete, ROUTES)):
            found = answer(public.port, path)
            if path != "/_stcore/health":
                assert found.status == 403 and NO_LOGIN.encode() in found.body, path
        own = f"127.0.0.1:{public.port}"
        assert handshake(public.port, own, f"http://{own}") == 403
    assert NO_LOGIN in log.read_text()


def test_a_container_can_be_served_without_a_login_where_that_is_wanted(folder: Path) -> None:
    environment = {"STREAMLIT_SERVER_ADDRESS": "0.0.0.0", "NAS_WITHOUT_LOGIN": "true"}
    log = folder / "container.log"
    with serving_dashboard(Workspace(folder / "c" / "nas.db"), environment, log) as container:
        own = f"127.0.0.1:{container.port}"
        assert answer(container.port, "/").status == 200
        assert handshake(container.port, own, f"http://{own}") == 101
        assert handshake(container.port, "evil.example", "http://evil.example") == 403
    assert WITHOUT_LOGIN in log.read_text()


# -- people who log in --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shared(folder: Path) -> Iterator[tuple[Dashboard, Tab, Tab]]:
    """A dashboard with a login, a tab of a viewer and one of an operator, both logged in."""
    if importlib.util.find_spec("authlib") is None:
        message = "Authlib is missing: pip install -r requirements-login.txt"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    from tests.fakes.oidc import CLIENT, SECRET, provider

    workspace, secrets = Workspace(folder / "shared" / "nas.db"), folder / "secrets.toml"
    search_id = seed.eventful(workspace)
    assert describe(workspace, search_id, Describe(edition=1, name=CANARY)).ok
    environment = {
        "STREAMLIT_SECRETS_FILES": str(secrets),
        "NAS_OPERATORS": "ada@lab.example",
        "NAS_VIEWERS": "@lab.example",
    }
    dashboard = Dashboard(workspace, environment, folder / "shared.log")
    with provider() as identity:
        secrets.write_text(
            f'[auth]\nredirect_uri = "{dashboard.url}/oauth2callback"\n'
            f'cookie_secret = "{"0123456789abcdef" * 2}"\nclient_id = "{CLIENT}"\n'
            f'client_secret = "{SECRET}"\n'
            f'server_metadata_url = "{identity.url}/.well-known/openid-configuration"\n'
        )
        dashboard.start()
        try:
            tabs = []
            for email in ("vera@lab.example", "ada@lab.example", "eve@elsewhere.example"):
                identity.claims = {"email": email, "email_verified": True}
                tabs.append(Tab(dashboard.url))
                tabs[-1].log_in()
            STRANGER.append(tabs.pop())
            yield dashboard, tabs[0], tabs[1]
        finally:
            dashboard.stop()


STRANGER: list[Tab] = []
"""Somebody who has logged in but is on no list, once `shared` is served."""
Shared = tuple[Dashboard, Tab, Tab]


def counts(workspace: Workspace) -> dict[str, int]:
    """Return how many rows there are of all that people write."""
    with sqlite3.connect(f"file:{workspace.db}?mode=ro", uri=True) as db:
        return {
            table: db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in ("commands", "views", "searches", "proposals", "turns", "steering")
        }


def test_without_a_login_there_is_no_page(shared: Shared) -> None:
    dashboard, *_ = shared
    tab = Tab(dashboard.url)
    for page in PAGES:
        with tab.open(page, "search=1"):
            assert list(tab.buttons()) == ["Log in"], page
            assert CANARY not in tab.words(), page
    for route in ROUTES:
        path = concrete(route)
        if route not in (*SHELL, "/_stcore/stream"):
            for method in ("GET", "POST", "PUT", "DELETE"):
                found = answer(dashboard.port, path, method)
                assert found.status == 403 and b"Log in first." in found.body, (method, route)


def test_the_shell_that_answers_without_a_login_holds_nothing(shared: Shared) -> None:
    dashboard, *_ = shared
    for path in ("/", "/live", *SHELL):
        found = answer(dashboard.port, path)
        assert CANARY.encode() not in found.body and b"lab.example" not in found.body
        assert found.status == 200 or (found.status == 302 and not found.body), path


def test_a_login_that_is_made_up_or_changed_is_none(shared: Shared) -> None:
    dashboard, viewer, _ = shared
    genuine = viewer.cookies()["_streamlit_user"]
    for forged in ("", "x", genuine[:-1], genuine[::-1], "0" + genuine):
        found = answer(dashboard.port, "/_stcore/metrics", Cookie=f"_streamlit_user={forged}")
        assert found.status == 403, forged
    found = answer(dashboard.port, "/_stcore/metrics", Cookie=f"_streamlit_user={genuine}")
    assert found.status != 403


def test_who_is_on_no_list_is_told_so_and_sees_nothing(shared: Shared) -> None:
    (stranger,) = STRANGER
    with stranger.open("live", "search=1"):
        assert "may not look at this dashboard" in stranger.words()
        assert list(stranger.buttons()) == ["Log out"] and CANARY not in stranger.words()
    assert stranger.get("/_stcore/metrics")[0] == 403


OTHERS = ("review", "steer", "ask", "overview", "start", "trial")


@pytest.mark.parametrize(
    "page", ["live", *(pytest.param(page, marks=pytest.mark.long) for page in OTHERS)]
)
def test_a_viewer_who_presses_every_button_writes_nothing(page: str, shared: Shared) -> None:
    """Also those that the front end would not let anybody press."""
    dashboard, viewer, _ = shared
    before, query, pressed = counts(dashboard.workspace), "search=1&trial=1.1", 0
    with viewer.open(page, query):
        assert CANARY in viewer.words() or page == "start", "a viewer sees everything"
        for button in viewer.buttons().values():
            viewer.run(page, query, press=button.id)
            assert counts(dashboard.workspace) == before, button.label
            pressed += 1
    assert pressed >= (8 if page == "live" else 1)


def test_a_viewer_uploads_nothing(shared: Shared) -> None:
    _, viewer, operator = shared
    for tab, refused in ((viewer, True), (operator, False)):
        with tab.open("settings"):
            _, body = tab.get(f"/_stcore/upload_file/{tab.session}/1", "PUT")
            assert (VIEWERS_UPLOAD_NOTHING.encode() in body) == refused


def test_what_an_operator_does_has_their_name(shared: Shared) -> None:
    dashboard, _, operator = shared
    workspace, ended = dashboard.workspace, threading.Event()

    def answer_commands() -> None:
        """Answer in the place of an engine."""
        with sqlite3.connect(workspace.db, timeout=30) as db:
            while not ended.wait(0.05):
                db.execute(
                    "UPDATE commands SET state = 'applied', answer = 'Done.', answered_at = 1 "
                    "WHERE state = 'pending'"
                )
                db.commit()

    engine = threading.Thread(target=answer_commands)
    engine.start()
    try:
        with living_engine(workspace, 1), operator.open("live", "search=1"):
            assert "example · operator" in operator.words()
            before = counts(workspace)["commands"]
            operator.run("live", "search=1", press=operator.buttons()["Pause"].id)
    finally:
        ended.set()
        engine.join()
    assert counts(workspace)["commands"] == before + 1
    with reading(workspace) as reader:
        assert reader is not None
        given = wishes.command(reader, before + 1)
    assert given is not None and (given.kind, given.author) == ("pause", "ada@lab.example")


def test_cookies_that_another_site_sends_log_nobody_in(shared: Shared) -> None:
    dashboard, viewer, _ = shared
    stolen = Tab(f"http://localhost:{dashboard.port}")  # the cookies, but from another site
    stolen.jar = viewer.jar
    with stolen.open("live", "search=1"):
        assert list(stolen.buttons()) == ["Log in"] and CANARY not in stolen.words()
