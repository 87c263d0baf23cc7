"""How dates are written, and text read as dates in one format."""

from __future__ import annotations

import functools
import itertools
import re
from datetime import UTC, datetime

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from data.finding import shown
from data.registry import DataError

_DAYS = (
    *("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%Y-%m"),
    *("%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%d.%m.%Y", "%m.%d.%Y"),
    *("%d/%m/%y", "%m/%d/%y", "%d-%m-%y", "%m-%d-%y", "%d.%m.%y"),
    *("%d %b %Y", "%d-%b-%Y", "%b %d, %Y", "%b %d %Y", "%d %B %Y", "%B %d, %Y"),
)
_CLOCKS = (
    *("%H:%M", "%H:%M:%S", "%H:%M:%S.%f", "%H:%M:%S,%f", "%I:%M %p", "%I:%M:%S %p"),
    *("%H.%M.%S", "%H.%M", "%H"),
)
_ZONES = ("", "%z", " %z")
FORMATS = (
    *_DAYS,
    *(
        f"{day}{between}{clock}{zone}"
        for day, between, clock, zone in itertools.product(_DAYS, (" ", "T"), _CLOCKS, _ZONES)
    ),
)
EPOCHS = {"s": "seconds", "ms": "milliseconds"}
OFFSET = r":\d\d(?:[.,]\d+)?(?: [AaPp][Mm])? ?(Z|[+-]\d\d(?::?\d\d)?)$"
"""What ends a date that carries its offset from UTC."""


def looks_dated(texts: pd.Series) -> bool:
    """Tell whether the first cell that is not blank is a date."""
    filled = texts[texts != ""]
    return len(filled) > 0 and bool(formats_of(filled.iloc[0]))


def formats_of(text: str) -> tuple[str, ...]:
    """Return the formats in which one text is a date; a plain number is none."""
    number = text.lstrip("+-").replace(".", "", 1).isdecimal()
    if number or len(text) > 40 or not any(sign.isdigit() for sign in text):
        return ()
    return tuple(written for written in _by_shape().get(_shape(text), ()) if _fits(text, written))


def _shape(text: str) -> str:
    """Return what dates of one format have in common: their signs, whatever the figures."""
    shape = re.sub(OFFSET, lambda found: found[0].removesuffix(found[1]) + "~", text)
    return re.sub(r"\d+", "0", re.sub(r"[^\W\d_]+", "a", re.sub(r"\s+", " ", shape)))


@functools.cache
def _by_shape() -> dict[str, list[str]]:
    """Return the formats by shape: Python compiles each anew, and there are hundreds."""
    found: dict[str, list[str]] = {}
    for written in FORMATS:
        example = datetime(2020, 3, 4, 5, 6, 7, 89, UTC).strftime(written)
        found.setdefault(_shape(example), []).append(written)
    return found


def _fits(text: str, written: str) -> bool:
    try:
        datetime.strptime(text, written)
    except ValueError:
        return False
    return True


def parsed(texts: pd.Series, written: str) -> pd.Series:
    """Return each text as a time, NaT where it is none; times with an offset in UTC."""
    if (figures := _from_figures(texts, written)) is not None:
        return figures
    zoned = "%z" in written or written == "ISO8601"
    try:
        if written in EPOCHS:
            since = pd.to_numeric(texts, errors="coerce").astype("float64")
            return pd.to_datetime(since, unit="ms" if written == "ms" else "s", errors="coerce")
        times = pd.to_datetime(texts, format=written, errors="coerce", utc=zoned)
    except (ValueError, OverflowError, re.error) as error:
        raise DataError(
            f"{shown(written)} is no format of dates ({error}); write one such as %d/%m/%Y %H:%M."
        ) from None
    # A leap second would be read as the second after it.
    return times.mask(texts.str.contains(r":60(?:\D|$)", regex=True)) if "%S" in written else times


_FIGURES = {
    "Y": r"(\d{4})",
    "m": r"(0[1-9]|1[0-2])",
    "d": r"(0[1-9]|[12]\d|3[01])",
    "H": r"([01]\d|2[0-3])",
    "M": r"([0-5]\d)",
    "S": r"([0-5]\d)",
}


def _from_figures(texts: pd.Series, written: str) -> pd.Series | None:
    """Return what `parsed` does, many times as fast, where all dates are padded figures alone."""
    if written.startswith("%Y-%m-%d"):  # which pandas reads faster still
        return None
    order = re.findall("%(.)", written)
    if len(set(order)) < len(order) or not set("Ymd") <= set(order) <= set(_FIGURES):
        return None
    literal = written.replace(".", r"\.")
    padded = re.sub("%(.)", lambda sign: r"\d{4}" if sign[1] == "Y" else r"\d\d", literal)
    exact = re.sub("%(.)", lambda sign: _FIGURES[sign[1]], literal)
    cells = pa.Array.from_pandas(texts)
    if not pc.all(pc.match_substring_regex(cells, f"^({padded})?$"), min_count=0).as_py():
        return None
    part = {sign: f"\\{order.index(sign) + 1}" if sign in order else "00" for sign in _FIGURES}
    iso = pc.replace_substring_regex(
        pc.if_else(pc.match_substring_regex(cells, f"^{exact}$"), cells, pa.scalar(None, "string")),
        f"^{exact}$",
        "{Y}-{m}-{d} {H}:{M}:{S}".format(**part),
    )
    try:
        times = pc.cast(iso, pa.timestamp("s")).to_numpy()
    except pa.ArrowInvalid:  # a day that its month does not have
        return None
    return pd.Series(times.astype("datetime64[us]"), texts.index)
