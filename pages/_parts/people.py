"""Who looks at the dashboard: this machine's user, or people who log in.

With a section [auth] in Streamlit's secrets.toml, people log in by OpenID Connect, and without a
login there is no page. Operators may do everything. Viewers may look: what writes asks
`data.actors`, which asks `actor`; that buttons are disabled for them is a courtesy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypedDict
from urllib.parse import urlsplit

import streamlit as st
from streamlit import auth_util, config
from streamlit.runtime.scriptrunner import get_script_run_ctx

from data import actors
from data.actors import Actor
from nas_engine.private import close_to_others
from nas_engine.settings import Settings, SettingsError, load_settings
from pages._parts.text import plain

Role = Literal["operator", "viewer"]

NOT_LOGGED_IN = "Log in first."
UNREADABLE = (
    "The login cannot be used, since secrets.toml cannot be read: mend it, then start the "
    "dashboard again."
)
NO_TLS = (
    "People log in over a connection that is not encrypted: let a proxy with TLS stand before the "
    "dashboard, and begin redirect_uri with https://, as docs/security.md shows."
)


@dataclass(frozen=True)
class Person:
    """Somebody who has logged in and may look."""

    email: str
    role: Role


# -- the login ----------------------------------------------------------------------------------


def login_needed() -> bool:
    """Tell whether people must log in; so they must where it cannot be told."""
    return bool(auth_util.get_secrets_auth_section()) or secrets_unreadable()


def secrets_unreadable() -> bool:
    """Tell whether there is a secrets.toml that Streamlit cannot read, and so takes for none."""
    there = any(Path(file).exists() for file in config.get_option("secrets.files"))
    return there and not st.secrets.load_if_toml_exists()


def close_secrets() -> None:
    """Take from others what they may do with secrets.toml, by which logins could be forged."""
    for file in config.get_option("secrets.files"):
        close_to_others(Path(file))


def login_address() -> str:
    """Return where the identity provider sends people back to, empty where none is set."""
    return auth_util.get_redirect_uri(auth_util.get_secrets_auth_section()) or ""


def unencrypted() -> bool:
    """Tell whether people log in over a connection that others can read."""
    parts = urlsplit(login_address())
    return parts.scheme == "http" and parts.hostname not in ("localhost", "127.0.0.1", "::1")


def providers() -> list[str]:
    """Return the names of the identity providers in secrets.toml; none where there is but one."""
    section = auth_util.get_secrets_auth_section()
    return [name for name in section if isinstance(section[name], Mapping) and name != "default"]


# -- roles --------------------------------------------------------------------------------------


def person(claims: Mapping[str, object], settings: Settings) -> Person | str:
    """Return whom an identity provider has named, or a sentence why they may not even look.

    Args:
        claims: of the provider, and `is_logged_in`.
        settings: name operators and viewers.
    """
    if claims.get("is_logged_in") is not True:
        return NOT_LOGGED_IN
    email = str(claims.get("email") or "").strip().lower()
    if "@" not in email:
        return "Your identity provider tells no e-mail address, by which people are known here."
    if claims.get("email_verified") in (False, "false"):
        return f"Your identity provider has not verified that {email} is yours."
    if _listed(email, settings.nas_operators):
        return Person(email, "operator")
    if not settings.nas_viewers.strip() or _listed(email, settings.nas_viewers):
        return Person(email, "viewer")
    return (
        f"{email} may not look at this dashboard: ask whoever runs it to name you in NAS_VIEWERS."
    )


def _listed(email: str, listed: str) -> bool:
    """Tell whether an address is in a list; an entry such as @lab.example stands for all there."""
    entries = {entry.lower() for entry in listed.replace(",", " ").split()}
    return email in entries or f"@{email.rpartition('@')[2]}" in entries


def actor() -> Actor:
    """Return who acts in the session at hand; outside of one, with a login, nobody may."""
    if not login_needed():
        return actors.of_process()
    if get_script_run_ctx(suppress_warning=True) is None:
        return Actor("", NOT_LOGGED_IN)
    try:
        found = person(st.user.to_dict(), load_settings())
    except SettingsError as error:
        return Actor("", str(error))
    if isinstance(found, str):
        return Actor("", found)
    if found.role == "viewer":
        return Actor(
            found.email,
            f"{found.email} may look, not act: ask whoever runs this dashboard to name you in "
            "NAS_OPERATORS.",
        )
    return Actor(found.email)


# -- on pages -----------------------------------------------------------------------------------


def admit() -> None:
    """Let those pass who may look, and stop the page of everybody else."""
    if not login_needed():
        return
    if secrets_unreadable():
        st.error(UNREADABLE)
        st.stop()
    try:
        found = person(st.user.to_dict(), load_settings())
    except SettingsError as error:
        st.error(plain(str(error)))
        st.stop()
    if isinstance(found, Person):
        return
    st.title("Informer search", anchor=False)
    if found == NOT_LOGGED_IN:
        for name in providers() or [""]:
            st.button(
                f"Log in with {plain(name)}" if name else "Log in",
                key=f"people-login-{name}",
                type="primary",
                on_click=st.login,
                args=(name or None,),
            )
    else:
        st.error(plain(found))
        st.button("Log out", key="people-logout", on_click=st.logout)
    st.stop()


def show_person() -> None:
    """Draw who is logged in and in which role; nothing where nobody needs to."""
    if not login_needed():
        return
    found = actors.current()
    with st.container(horizontal=True, vertical_alignment="center"):
        role = "viewer" if found.refusal else "operator"
        st.caption(f"{plain(found.name)} · {role}", help=found.refusal or None)
        st.button("Log out", key="people-logout", type="tertiary", on_click=st.logout)
    if unencrypted() and not found.refusal:
        st.warning(NO_TLS)


class Barring(TypedDict):
    """How a button is drawn that not everybody may press."""

    disabled: bool
    help: str | None


def acting(disabled: bool = False, help: str | None = None) -> Barring:
    """Return how a button is drawn that writes: disabled, with the reason, for who may only look.

    Args:
        disabled: whether it is for operators, too.
        help: what it says to them.
    """
    refusal = actors.current().refusal
    return Barring(disabled=disabled or bool(refusal), help=refusal or help)
