"""`python -m tests.fuzz.configurations`: settings, as JSON and as people write narrowings.

An input is the content of a configuration file, settings by dotted key in JSON, or lines that
narrow a space.
"""

from __future__ import annotations

import functools
import json
import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from informer.config import (
    PRESETS,
    Choices,
    ConfigError,
    Interval,
    RunConfig,
    fields,
    from_flat,
    from_nested,
    problems,
)
from informer.configfile import read_config, read_settings
from informer.cost import parameters
from informer.estimate import training_seconds
from nas_engine.machine import memory_needed
from nas_engine.search import SearchSpec
from nas_engine.space import (
    SpaceError,
    contains,
    describe,
    in_order,
    parse_all,
    problems_of,
    space,
    written,
)
from tests.fuzz.mutation import changed_json, changed_lines
from tests.fuzz.scratch import scratch

OUTCOMES = ("valid", "refused")
LONGEST = 2000


@functools.cache
def _file() -> Path:
    return scratch() / "config.json"


def judge(data: bytes) -> str:
    """Return whether anything can be made of the input; all else must be told in sentences."""
    text = data.decode("utf-8", "replace")
    outcomes = [_of_file(data), _narrowings(text.splitlines()), _settings(text.splitlines())]
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, dict):
        outcomes.append(_flat(value))
    return "valid" if any(outcomes) else "refused"


def _of_file(data: bytes) -> bool:
    path = _file()
    path.write_bytes(data)
    try:
        config = read_config(path)
    except ConfigError as error:
        require_sentences(error.problems)
        return False
    require_sound(config)
    return True


def _flat(values: dict[str, Any]) -> bool:
    found = problems(values)
    require_sentences(found)
    assert problems(dict(reversed(values.items()))) == found or len(found) > 1
    if found:
        return False
    require_sound(from_flat(values))
    return True


def _settings(lines: list[str]) -> bool:
    try:
        values = read_settings(line for line in lines if line.strip())
        return bool(values) and _flat(values)
    except ConfigError as error:
        require_sentences(error.problems)
        return False


def _narrowings(lines: list[str]) -> bool:
    try:
        found = parse_all(line for line in lines if line.strip())
    except SpaceError as error:
        require_sentences([str(error)])
        return False
    assert parse_all(written(found)) == found
    try:
        spec = SearchSpec(space=found)
    except ValidationError:
        return False
    assert SearchSpec.model_validate_json(spec.model_dump_json()) == spec
    refused = problems_of(spec)
    require_sentences(refused)
    if refused or not found:
        return False
    start = spec.start()
    offered = space(spec)
    assert sorted(in_order(offered)) == sorted(offered)
    for key, dimension in offered.items():
        assert contains(dimension, fields()[key].in_type(start[key])) and describe(dimension)
        match dimension:
            case Choices(values=values):
                assert len(set(values)) == len(values) > 1
            case Interval(low=low, high=high):
                shares = [dimension.share(value) for value in (low, high)]
                assert all(math.isclose(a, b) for a, b in zip(shares, (0, 1), strict=True)), shares
                assert low <= dimension.at(0.5) <= high
    return True


def require_sentences(sentences: list[str]) -> None:
    """Raise AssertionError where one cannot be shown."""
    for sentence in sentences:
        assert 0 < len(sentence) <= LONGEST, len(sentence)
        assert sentence.strip()


def require_sound(config: RunConfig) -> None:
    """Raise AssertionError where a configuration does not survive being written and read."""
    flat = config.flat()
    assert flat.keys() == fields().keys()
    assert from_flat(flat) == config
    assert from_nested(json.loads(config.model_dump_json())) == config
    assert RunConfig.model_validate_json(json.dumps(config.model_dump(), allow_nan=False)) == config
    assert parameters(config) > 0 and memory_needed(config) > 0
    assert math.isfinite(training_seconds(config))
    inactive = config.inactive()
    assert inactive < flat.keys()
    assert all(problems({key: value}) == [] for key, value in flat.items() if key in PLAIN)


PLAIN = ("training.seed", "model.dropout", "training.optimizer_params.lr", "training.clip_norm")
"""Settings that go with every other."""

LINES = (
    *("model.d_model=32,64", "model.dropout=0.0..0.3", "model.attention!=full"),
    *("training.optimizer_params.lr=1e-5..1e-3", "data.batch_size=32..64", "model.distil=true"),
    *("model.head=decoder,linear", "training.clip_norm=0,1"),
)


def seeds() -> Iterator[bytes]:
    """Yield configurations of each form, and narrowings."""
    for preset in PRESETS.values():
        yield preset.config().model_dump_json().encode()
    yield json.dumps(PRESETS["small"].config().flat()).encode()
    for key, field in fields().items():
        yield json.dumps({key: field.default}).encode()
        yield f"{key}={field.default}".encode()
    yield json.dumps({"model": {"d_model": 64, "n_heads": 4}, "data": {"seq_len": 48}}).encode()
    yield "\n".join(LINES).encode()
    yield from (line.encode() for line in LINES)


WORDS = (
    *fields(),
    *(value for field in fields().values() for value in field.options or ()),
    *("data", "model", "training", "optimizer_params", "lr", "d_model", "synthetic", "ETTh1"),
    *(0, 1, 3, 4, 8, 12, 16, 24, 48, 96, 720, 2048, 4096, 0.5, 1e-5, 1.0, True, False),
)
_TOKENS = tuple(
    token.encode()
    for token in (
        *("..", "!=", "=", ",", "0", "1", "1e-320", "1e308", "-1", "true", "NaN", "1e999", "64"),
        *("0.1", "relu", '"x"', " ", "\u2028", "0..1", "1..0", "9" * 5000, *LINES, *fields()),
    )
)


def changed(data: bytes, draw: random.Random) -> bytes:
    """Return a configuration or narrowings that differ in something."""
    if not data.startswith(b"{"):
        return changed_lines(data, draw, _TOKENS)
    found = _sensible(data, draw) if draw.random() < 0.6 else None
    return found or changed_json(data, draw, WORDS)


def _sensible(data: bytes, draw: random.Random) -> bytes | None:
    """Return a flat configuration with another value of some setting; None where it is none."""
    try:
        values = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(values, dict) or not values.keys() <= fields().keys():
        return None
    field = draw.choice(list(fields().values()))
    known = [field.default, *(field.options or ())]
    if isinstance(field.search, Choices):
        known += field.search.values
    known += [field.type(bound) for bound in (field.low, field.high) if bound is not None]
    return json.dumps({**values, field.key: draw.choice(known)}).encode()


if __name__ == "__main__":
    from tests.fuzz.guided import main

    main("configurations")
