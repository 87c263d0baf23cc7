"""The words by which people call settings, their values and numbers.

What `informer/config.py` says of a field is read from there; the tables hold only what cannot be.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping

from informer.config import Choices, FieldSpec, Interval, Value, fields

EVERYDAY: Mapping[str, tuple[str, ...]] = {
    "training.optimizer_params.lr": ("learning rate",),
    "training.optimizer_params.weight_decay": ("weight decay",),
    "training.optimizer_class": ("optimiser", "optimizer"),
    "training.scheduler_class": (
        *("scheduler", "schedule", "learning rate schedule", "learning rate scheduler"),
        *("lr schedule", "lr scheduler"),
    ),
    "training.criterion_class": ("loss", "loss function", "training loss", "criterion"),
    "training.clip_norm": ("clip_norm", "gradient clipping", "clipping", "gradient norm"),
    "training.warmup_steps": ("warmup_steps", "warmup", "warm-up", "warm up", "warm-up steps"),
    "data.seq_len": (
        *("look-back", "lookback", "look back", "input length", "sequence length"),
        *("context length", "look-back window", "lookback window"),
    ),
    "data.batch_size": ("batch size",),
    "model.d_model": ("d_model", "width", "model width", "hidden size", "model dimension"),
    "model.d_ff": ("d_ff", "feed-forward width", "feedforward width", "feed forward width"),
    "model.n_heads": ("heads", "head count"),
    "model.e_layers": ("e_layers", "layers", "layer", "encoder layer", "depth", "encoder depth"),
    "model.d_layers": ("d_layers", "decoder layer", "decoder depth"),
    "model.attention": ("attention", "attention kind", "attention type"),
    "model.normalisation": ("normalisation", "normalization"),
    "model.cycle": ("cycle", "learned cycle", "recurrent cycle"),
    "model.decomposition": ("decomposition", "series decomposition"),
    "model.tokens": ("tokens", "token", "tokenisation", "tokenization"),
    "model.patch_len": ("patch_len", "patch length", "patch size"),
    "model.patch_stride": ("patch_stride", "stride"),
    "model.distil": ("distil", "distill", "distilling", "distillation"),
    "model.skip": ("skip", "skip connection", "linear skip"),
    "model.norm": ("norm", "layer norm"),
    "model.positional": ("positional", "positional embedding", "position embedding"),
    "model.temporal": ("temporal", "temporal embedding", "time embedding"),
}
"""Names besides those derived; the first is how a setting is called in sentences."""

VALUES: Mapping[str, tuple[str, ...]] = {
    "prob": ("probsparse", "sparse"),
    "auto_correlation": ("autocorrelation",),
    "patch": ("patches", "patched"),
    "moving_average": ("moving averages",),
    "day": ("daily",),
    "week": ("weekly",),
    "CosineAnnealingLR": ("cosine",),
    "OneCycleLR": ("one cycle", "one-cycle"),
    "MSELoss": ("squared error",),
    "L1Loss": ("mae", "absolute error"),
}
"""Names of values besides those derived."""

_SCALES = {"k": 1e3, "thousand": 1e3, "m": 1e6, "mio": 1e6, "million": 1e6}
_SPELT = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
NUMBER = (
    r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:e[-+]?\d+)?(?:\s?(?:%|percent\b|thousand\b|"
    r"million\b|mio\b|[km](?![\w/])))?|\.\d+|" + rf"\b(?:{'|'.join(_SPELT)})\b"
)
"""A number as people write it, for a pattern of lower-case text."""

_WRITTEN = re.compile(r"([-+]?[\d.]+(?:e[-+]?\d+)?)\s?(\S*)")
_OFF = ("none", False)


def label(key: str) -> str:
    """Return the name of a setting for sentences and chips."""
    return EVERYDAY[key][0] if key in EVERYDAY else key.rsplit(".", 1)[-1]


@functools.cache
def names() -> Mapping[str, str]:
    """Return the dotted keys by the names of the settings, in lower case."""
    found: dict[str, str] = {}
    for key, field in fields().items():
        last = key.rsplit(".", 1)[-1]
        head = re.split("[:;]", field.help)[0].lower()
        plain = re.fullmatch(r"(?!of |between )[a-z-]{2,}(?: [a-z-]+)?", head)
        derived = [head] if plain else []
        for name in (key, last, last.replace("_", " "), *derived):
            found.setdefault(name, key)
    found |= {name: key for key, listed in EVERYDAY.items() for name in listed}
    return found | {name.replace(" ", "-"): key for name, key in found.items()}


MARK = r"@\d+"
"""What stands for a name in a marked text, for a pattern."""


def mark_names(text: str) -> str:
    """Return a text of lower case with a mark in the place of each name, the longest first.

    A name inside that of a value, such as the cycle in one cycle, is none.
    """
    return _any_name().sub(lambda found: _mark(found[0]), text)


def _mark(name: str) -> str:
    return f"@{list(fields()).index(names()[name])}" if name in names() else name


def marked_key(mark: str) -> str:
    """Return the dotted key for which a mark stands."""
    return list(fields())[int(mark[1:])]


@functools.cache
def _any_name() -> re.Pattern[str]:
    values = (name for listed in VALUES.values() for name in listed if " " in name)
    longest_first = sorted({*names(), *values}, key=len, reverse=True)
    return re.compile(rf"(?<![\w.@-])(?:{'|'.join(map(re.escape, longest_first))})(?![\w-])")


def number(text: str) -> float | None:
    """Return a number as people write it, such as 2 million, 1e-4 or 30 %; None for no number."""
    text = text.strip().lower()
    if text in _SPELT:
        return float(_SPELT.index(text))
    found = _WRITTEN.fullmatch(re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text))
    if found is None:
        return None
    digits, unit = found.groups()
    try:
        value = float(digits)
    except ValueError:
        return None
    if unit in ("%", "percent"):
        return float(f"{value / 100:.12g}")
    if unit in _SCALES:
        return float(f"{value * _SCALES[unit]:.12g}")
    return value if not unit and abs(value) < 1e300 else None


def number_of(key: str, text: str) -> float | None:
    """Return the number that is written for a setting of numbers; None where it is not one."""
    field = fields()[key]
    value = number(text)
    if field.type not in (int, float) or value is None:
        return None
    shares = field.type is float and (field.high or 0) <= 1
    return None if re.search("%|percent", text) and not shares else value


def value_of(key: str, text: str) -> Value | None:
    """Return the value of a setting that a text names; None where it names none."""
    field, text = fields()[key], text.strip().lower()
    if field.type is bool:
        return {"true": True, "on": True, "yes": True, "false": False, "off": False}.get(text)
    if field.type is str:
        return _value_names(key).get(text)
    value = number_of(key, text)
    if value is None or field.type is float:
        return value
    return int(value) if value.is_integer() else None


@functools.cache
def _value_names(key: str) -> Mapping[str, Value]:
    """Return the values of a setting of texts by their names, in lower case."""
    found: dict[str, Value] = {}
    for value in fields()[key].options or ():
        name = str(value)
        plain = re.sub("(?<=.)(Loss|LR)$", "", name).lower()
        spaced = (plain, plain.replace("_", " "), plain.replace("_", "-"))
        found |= dict.fromkeys((name.lower(), *spaced, *VALUES.get(name, ())), value)
    return found


def key_of_value(text: str) -> str | None:
    """Return the one setting that planners vary and that has a value of this name; else None."""
    text = text.strip().lower()
    found = [
        key
        for key, field in fields().items()
        if field.search is not None and field.type is str and text in _value_names(key)
    ]
    return found[0] if len(found) == 1 else None


def off(field: FieldSpec) -> Value | None:
    """Return the value that takes a setting away: none, false or a 0; None where it has none."""
    if field.options is not None:
        return next((value for value in _OFF if value in field.options), None)
    match field.search:
        case Interval(low=0.0) | Choices(values=(0.0, *_)):
            return 0.0 if field.type is float else 0
    return None
