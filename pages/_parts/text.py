"""Words and numbers as pages show them, and the one sanitiser of text from outside.

Text of language models, of people and of errors may hold anything. It is shown by `st.text`,
`st.code` or a table cell, which interpret nothing, or goes through `plain` where Streamlit would
read Markdown (labels, captions, alerts).
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping

from informer.config import Value
from nas_engine.plaintext import readable as readable

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>~$^&])")
_JOINED = re.compile(r"(?<=[:@])(?=\S)|(?<=www)(?=\\?\.)", re.IGNORECASE)
_WORD_JOINER = "\u2060"


def plain(text: str, limit: int = 2000) -> str:
    """Return text that Markdown shows as it stands: no link, image, HTML, formula or icon."""
    shown = readable(text)
    shown = shown if len(shown) <= limit else f"{shown[:limit]}…"
    return unlinked(_MARKDOWN.sub(r"\\\1", " ".join(shown.split())))


def unlinked(text: str) -> str:
    """Return text in which no bare address, mail address, mention or `:icon:` is found.

    They are looked for after escapes are resolved, so an invisible word joiner splits them.
    """
    return _JOINED.sub(_WORD_JOINER, text)


def error_text(value: float | None) -> str:
    """Return an error figure with 4 significant digits."""
    return "–" if value is None else f"{value:#.4g}"


def mean_text(value: float | None, spread: float | None, seeds: int) -> str:
    """Return the mean of an error over seeds, with its standard deviation where there is one."""
    if spread is None:
        return error_text(value)
    return f"{error_text(value)} ± {spread:.2g} ({seeds} seeds)"


def percent_text(share: float | None) -> str:
    """Return a signed share as percent."""
    return "–" if share is None else f"{100 * share:+.2f} %".replace("-", "−")


def expected_text(low: float | None, high: float | None) -> str:
    """Return the improvement that a proposer expects, empty where it named none."""
    if low is None or high is None:
        return ""
    return f"Expects val_mse {percent_text(low)} to {percent_text(high)} better than the parent's."


def count_text(value: int | None) -> str:
    """Return a count with thousands separated."""
    return "–" if value is None else f"{value:,}"


def seconds_text(seconds: float | None) -> str:
    """Return a duration in its two largest units."""
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def clock_text(moment: float) -> str:
    """Return a time of day on this machine, with the date unless it is today's."""
    when, today = time.localtime(moment), time.localtime()
    same_day = when[:3] == today[:3]
    return time.strftime("%H:%M:%S" if same_day else "%Y-%m-%d %H:%M:%S", when)


def value_text(value: Value | None) -> str:
    """Return a setting's value."""
    match value:
        case None:
            return "–"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:g}"
        case _:
            return readable(str(value))


def changes_text(changes: Mapping[str, Value], parent: Mapping[str, Value] | None = None) -> str:
    """Return changes in one line, with the parent's values where they are known."""
    if not changes:
        return "the starting configuration"
    return ", ".join(
        f"{key.rpartition('.')[2]} {value_text(parent[key])} → {value_text(value)}"
        if parent and key in parent
        else f"{key.rpartition('.')[2]} = {value_text(value)}"
        for key, value in changes.items()
    )
