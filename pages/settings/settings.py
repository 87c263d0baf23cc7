"""Settings: models, keys as present or absent, limits, data, machine, notes, appearance."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import psutil
import streamlit as st
from pydantic import SecretStr

from data.registry import names
from informer.config import PRESETS
from nas_engine.machine import cores, default_slots, gpus, main_memory
from nas_engine.settings import Settings, origins, public_address
from nas_engine.store.migrations import known_versions
from pages._parts.desktop import show_switch
from pages._parts.opening import settings, stored
from pages._parts.text import count_text, plain, readable

REFRESH = "refresh-seconds"
"""In the session's state: how often Live reads the search; 0 for not at all."""
REFRESHES = (0, 1, 2, 5, 10)
THEMES = """
Light or dark follows your system or browser. The menu at the top right offers System, Light and
Dark; the browser remembers the choice. For one visit, add `?embed_options=dark_theme` or
`?embed_options=light_theme` to the address.
"""


def show_facts(facts: dict[str, str]) -> None:
    """Draw names and values, which may be of any text, as a list."""
    st.table({name: plain(value) or "–" for name, value in facts.items()}, border="horizontal")


def show_values(facts: dict[str, tuple[str, str]]) -> None:
    """Draw values with the names of their settings, and where each comes from."""
    whence = origins()
    rows = {fact: (plain(value), plain(whence[name])) for fact, (value, name) in facts.items()}
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=["Value", "From"])
    st.table(frame, border="horizontal")


# -- language models ----------------------------------------------------------------------------


def show_role(config: Settings, name: Literal["planner", "evaluator"]) -> None:
    """Draw whom a role asks, and where each part of that comes from."""
    role = config.role(name)
    own_address = getattr(config, f"{name}_base_url") is not None
    own_key = bool(getattr(config, f"{name}_api_key").get_secret_value())
    address = f"{name}_base_url" if own_address else "openai_base_url"
    key = f"{name}_api_key" if own_key else "openrouter_api_key"
    temperature = "the model's own" if role.temperature is None else f"{role.temperature:g}"
    present = f"present, as {key.upper()}" if role.key.get_secret_value() else "absent"
    st.subheader(name.title(), anchor=False)
    show_values(
        {
            "Model": (role.model, f"{name}_model"),
            "Address": (role.public_url, address),
            "Key": (present, key),
            "Temperature": (temperature, f"{name}_temperature"),
            "USD / million tokens in": (
                f"{role.usd_per_million_in:g}",
                f"{name}_usd_per_million_in",
            ),
            "USD / million tokens out": (
                f"{role.usd_per_million_out:g}",
                f"{name}_usd_per_million_out",
            ),
        }
    )


def show_limits(config: Settings) -> None:
    """Draw what holds for every request to a language model."""
    show_values(
        {
            "Tokens of an answer, at most": (count_text(config.llm_max_tokens), "llm_max_tokens"),
            "Seconds of a request, at most": (
                f"{config.llm_deadline_seconds:g}",
                "llm_deadline_seconds",
            ),
            "Retries where the service failed": (str(config.llm_retries), "llm_retries"),
            "Seconds before the first retry": (
                f"{config.llm_retry_seconds:g}",
                "llm_retry_seconds",
            ),
        }
    )


def show_notes(config: Settings) -> None:
    """Draw who is told when a proposal waits."""
    webhook = "present" if config.nas_webhook.get_secret_value() else "absent"
    dashboard = public_address(config.nas_dashboard_url) if config.nas_dashboard_url else "none"
    show_values(
        {
            "Webhook": (webhook, "nas_webhook"),
            "Dashboard, for its links": (dashboard, "nas_dashboard_url"),
        }
    )
    show_switch()


# -- this machine -------------------------------------------------------------------------------


def show_data(config: Settings) -> None:
    """Draw where data files are looked for."""
    folders = [Path(text).expanduser() for text in config.nas_data_dirs.split(os.pathsep) if text]
    if not folders:
        st.caption("`NAS_DATA_DIRS` names none: data files are taken from the cache, or fetched.")
    else:
        show_facts({plain(str(folder)): found_text(folder) for folder in folders})
    st.caption(f"Data sets that can be chosen: {', '.join(map(plain, names()))}.")


def found_text(folder: Path) -> str:
    """Return whether a directory of data is there, in a few words."""
    try:
        files = sum(path.suffix == ".csv" for path in folder.iterdir())
    except OSError as error:
        return f"✕ not found ({error.strerror})"
    return f"✓ found, {files} CSV file{'' if files == 1 else 's'}"


def show_workspace(config: Settings) -> None:
    """Draw what the workspace holds and how much room there is."""
    db = config.workspace.db
    with stored() as reader:
        searches = len(reader.searches()) if reader else 0
    files = [db, db.with_name(f"{db.name}-wal"), config.workspace.checkpoints]
    size = sum(path.stat().st_size for path in files if path.exists())
    place = next(folder for folder in db.parents if folder.exists())
    free = shutil.disk_usage(place).free
    show_facts(
        {
            "Database": str(db),
            "Size": size_text(size) if db.exists() else "not made yet: the first search makes it",
            "Searches": count_text(searches),
            "Version of its tables": known_versions()[-1],
            "Run folders": str(config.workspace.runs),
            "Free on its disk": size_text(free),
        }
    )


def show_machine(config: Settings) -> None:
    """Draw what trainings can use here."""
    found = [f"{gpu.name}, {size_text(gpu.memory)}" for gpu in gpus()]
    slots = {
        f"Slots proposed for {name}": str(default_slots(preset.config()))
        for name, preset in PRESETS.items()
    }
    show_facts(
        {
            "CPU cores": str(cores()),
            "Memory": size_text(main_memory()),
            "Memory free now": size_text(psutil.virtual_memory().available),
            "NVIDIA GPUs": "; ".join(found) or "none found",
            "USD / hour of training": f"{config.nas_usd_per_hour:g}",
            **slots,
        }
    )


def size_text(size: int) -> str:
    """Return a number of bytes in the largest unit that it fills."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= factor:
            return f"{size / factor:,.1f} {unit}"
    return f"{size} bytes"


# -- all variables ------------------------------------------------------------------------------


def variables(config: Settings) -> pd.DataFrame:
    """Return every variable of the environment that is read; of a key, whether there is one."""
    whence = origins()
    return pd.DataFrame(
        [
            {
                "Variable": name.upper(),
                "Value": shown(name, getattr(config, name)),
                "From": whence[name],
            }
            for name in Settings.model_fields
        ]
    )


def shown(name: str, value: Any) -> str:
    """Return a value as it may be shown: nothing of a key, of an address only what is public."""
    if isinstance(value, SecretStr):
        return "present" if value.get_secret_value() else "absent"
    if value is None or value == "":
        return "–"
    address = name.endswith(("base_url", "dashboard_url"))
    return readable(public_address(value) if address else str(value))


# -- page ---------------------------------------------------------------------------------------

st.title("Settings", anchor=False)
config = settings()
st.caption(
    "From the environment, else from `.env`, else the default. Change `.env` and reload this page; "
    "a search that runs keeps what its engine began with."
)
left, right = st.columns(2)
with left, st.container(border=True, height="stretch"):
    show_role(config, "planner")
with right, st.container(border=True, height="stretch"):
    show_role(config, "evaluator")
left, right = st.columns(2)
with left, st.container(border=True, height="stretch"):
    st.subheader("Workspace", anchor=False)
    show_workspace(config)
with right, st.container(border=True, height="stretch"):
    st.subheader("This machine", anchor=False)
    show_machine(config)
left, right = st.columns(2)
with left, st.container(border=True, height="stretch"):
    st.subheader("Requests to language models", anchor=False)
    show_limits(config)
with right, st.container(border=True, height="stretch"):
    st.subheader("Directories with data", anchor=False)
    show_data(config)
left, right = st.columns(2)
with left, st.container(border=True, height="stretch"):
    st.subheader("When a proposal waits", anchor=False)
    show_notes(config)
with right, st.container(border=True, height="stretch"):
    st.subheader("Appearance", anchor=False)
    st.segmented_control(
        "Live reads a running search every",
        REFRESHES,
        default=1,
        required=True,
        format_func=lambda seconds: f"{seconds} s" if seconds else "Off",
        key=REFRESH,
        persist_state="session",
        help="Holds in this tab until it is closed or reloaded.",
    )
    st.caption(THEMES)
with st.expander("All variables", key="settings-variables"):
    st.dataframe(
        variables(config), hide_index=True, alt="Variables of the environment, and their values"
    )
