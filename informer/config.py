"""Every setting of one training run, written once.

`RunConfig` has three sections, `data`, `model` and `training`. A setting is named by its dotted key
(`model.d_model`). From the fields below come the validation, the planners' search space, the
prompt, the edit form, the columns of the compare page and the table in `docs/configuration.md`;
adding a field here is all it takes for it to appear in each of them.

The defaults are the published Informer (Zhou et al. 2021) on 96/48/24. This module knows no torch.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.fields import FieldInfo

from data.registry import DATASETS

Value = int | float | bool | str
StepType = Literal["small", "medium", "radical"]


@dataclass(frozen=True)
class Choices:
    """A field that planners pick from a list of values, in the order given."""

    step: StepType
    values: tuple[Value, ...]


@dataclass(frozen=True)
class Interval:
    """A field that planners draw from an interval, on a log scale where `log` is set."""

    step: StepType
    low: float
    high: float
    log: bool = False


Search = Choices | Interval


class Section(BaseModel):
    """A section of the configuration: immutable, strictly typed, without unknown keys."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, validate_default=True
    )


class DataConfig(Section):
    """What is forecast, from what."""

    dataset: str = Field("ETTh1", description="Name of the data set, as in data/registry.py")
    features: Literal["M", "S", "MS"] = Field(
        "M",
        description="M: all columns in and out; S: the target alone; MS: all in, the target out",
    )
    target: str = Field("OT", description="Column that S and MS forecast")
    seq_len: Annotated[int, Choices("medium", (48, 96, 168, 336, 720))] = Field(
        96, ge=8, le=4096, description="Look-back: time steps that the encoder sees"
    )
    label_len: int = Field(
        48, ge=0, le=4096, description="Known steps that the decoder starts from; at most seq_len"
    )
    pred_len: int = Field(24, ge=1, le=2048, description="Horizon: time steps that are forecast")
    batch_size: Annotated[int, Choices("small", (16, 32, 64, 128))] = Field(
        32, ge=1, le=4096, description="Windows per optimiser step"
    )


class ModelConfig(Section):
    """The architecture."""

    d_model: Annotated[int, Choices("medium", (32, 64, 128, 256, 512))] = Field(
        512, ge=4, le=2048, multiple_of=2, description="Width of the representation"
    )
    n_heads: Annotated[int, Choices("medium", (1, 2, 4, 8))] = Field(
        8, ge=1, le=64, description="Attention heads; must divide d_model"
    )
    e_layers: Annotated[int, Choices("medium", (1, 2, 3, 4))] = Field(
        2, ge=1, le=12, description="Encoder layers"
    )
    d_layers: Annotated[int, Choices("medium", (1, 2))] = Field(
        1, ge=1, le=12, description="Decoder layers"
    )
    d_ff: Annotated[int, Choices("medium", (64, 128, 256, 512, 1024, 2048))] = Field(
        2048, ge=4, le=8192, description="Width of the feed-forward layers"
    )
    factor: Annotated[int, Choices("small", (1, 3, 5, 8))] = Field(
        5, ge=1, le=64, description="ProbSparse factor c: c ln L queries are computed exactly"
    )
    dropout: Annotated[float, Interval("small", 0.0, 0.5)] = Field(
        0.05, ge=0.0, lt=1.0, description="Dropout probability"
    )
    attention: Annotated[Literal["prob", "full"], Choices("radical", ("prob", "full"))] = Field(
        "prob", description="Self-attention: ProbSparse or full softmax"
    )
    distil: Annotated[bool, Choices("radical", (True, False))] = Field(
        True, description="Halve the sequence between encoder layers; needs e_layers of 2 or more"
    )
    mix: Annotated[bool, Choices("radical", (True, False))] = Field(
        True,
        description="Mix time steps across heads in the decoder's self-attention, as published",
    )
    normalisation: Annotated[
        Literal["none", "standardise", "last"], Choices("radical", ("none", "standardise", "last"))
    ] = Field(
        "none",
        description="Normalisation of each window, undone on the output",
    )
    activation: Annotated[Literal["gelu", "relu"], Choices("small", ("gelu", "relu"))] = Field(
        "gelu", description="Activation of the feed-forward layers"
    )
    temporal: Annotated[bool, Choices("radical", (True, False))] = Field(
        True, description="Add an embedding of hour, weekday, day and day of year"
    )


class OptimizerParams(Section):
    """Arguments of the optimiser."""

    lr: Annotated[float, Interval("small", 1e-5, 1e-2, log=True)] = Field(
        1e-4, gt=0.0, le=1.0, description="Learning rate"
    )
    weight_decay: Annotated[float, Choices("small", (0.0, 1e-5, 1e-4, 1e-3, 1e-2))] = Field(
        0.0, ge=0.0, le=1.0, description="Weight decay"
    )


class TrainingConfig(Section):
    """How the model is trained."""

    epochs: int = Field(6, ge=1, le=1000, description="Passes over the training windows, at most")
    patience: int = Field(
        3, ge=1, le=1000, description="Epochs without a better val_mse before training stops"
    )
    steps_per_epoch: int = Field(
        0, ge=0, le=1_000_000, description="Optimiser steps per epoch; 0 means all windows"
    )
    optimizer_class: Annotated[
        Literal["Adam", "AdamW", "SGD"], Choices("small", ("Adam", "AdamW", "SGD"))
    ] = Field("Adam", description="Optimiser of torch.optim")
    optimizer_params: OptimizerParams = Field(default_factory=OptimizerParams)
    scheduler_class: Annotated[
        Literal["Halving", "StepLR", "CosineAnnealingLR", "Constant"],
        Choices("small", ("Halving", "StepLR", "CosineAnnealingLR", "Constant")),
    ] = Field(
        "Halving",
        description="Learning rate over epochs: halved after each epoch from the second on "
        "(as published), x 0.1 after each third of the epochs, cosine to zero, or constant",
    )
    criterion_class: Annotated[
        Literal["MSELoss", "L1Loss", "SmoothL1Loss", "HuberLoss"],
        Choices("small", ("MSELoss", "L1Loss", "SmoothL1Loss", "HuberLoss")),
    ] = Field("MSELoss", description="Training loss of torch.nn; val_mse judges in any case")
    seed: int = Field(2021, ge=0, le=2**31 - 1, description="Seed of weights, order and dropout")
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="Where to train; auto takes the GPU where there is one"
    )


class RunConfig(Section):
    """The configuration of one run."""

    data: DataConfig = Field(default_factory=DataConfig)
    model: ModelConfig = Field(default_factory=ModelConfig)
    training: TrainingConfig = Field(default_factory=TrainingConfig)

    @model_validator(mode="after")
    def _fields_agree(self) -> Self:
        if found := list(_conflicts(self)):
            raise ValueError("\n".join(found))
        return self

    def flat(self) -> dict[str, Value]:
        """Return all settings by dotted key."""
        return dict(_flatten(self.model_dump()))

    def with_changes(self, changes: Mapping[str, Value]) -> RunConfig:
        """Return a copy with `changes` (dotted keys) applied.

        Raises:
            ConfigError: a key or value is not valid; its `problems` say which and why.
        """
        return from_flat({**self.flat(), **changes})


def _conflicts(config: RunConfig) -> Iterator[str]:
    """Yield a sentence for each pair of fields that cannot go together."""
    data, model = config.data, config.model
    if (dataset := DATASETS.get(data.dataset)) is None:
        yield f"data.dataset must be one of {', '.join(DATASETS)}, but got {data.dataset!r}."
    elif data.target not in dataset.columns:
        yield (
            f"data.target must be a column of {data.dataset} ({', '.join(dataset.columns)}), "
            f"but got {data.target!r}."
        )
    elif (longest := min(dataset.split_rows)) < data.pred_len or dataset.split_rows[0] < (
        data.seq_len + data.pred_len
    ):
        yield (
            f"data.seq_len ({data.seq_len}) + data.pred_len ({data.pred_len}) do not fit into the "
            f"parts of {data.dataset}: training has {dataset.split_rows[0]} rows, and "
            f"data.pred_len may be at most {longest}."
        )
    if data.label_len > data.seq_len:
        yield (
            f"data.label_len ({data.label_len}) must not exceed data.seq_len ({data.seq_len}): "
            "the decoder starts from the end of the look-back."
        )
    if model.d_model % model.n_heads:
        yield f"model.n_heads ({model.n_heads}) must divide model.d_model ({model.d_model})."
    if model.distil and model.e_layers < 2:
        yield (
            f"model.distil needs model.e_layers of 2 or more, but got {model.e_layers}: "
            "distilling happens between encoder layers."
        )
    if model.distil and data.seq_len / 2 ** (model.e_layers - 1) < 6:
        yield (
            f"model.distil with model.e_layers {model.e_layers} leaves fewer than 6 of the "
            f"data.seq_len {data.seq_len} steps; take fewer layers or a longer look-back."
        )


# -- presets ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Preset:
    """Where a search starts: values that differ from the defaults, and narrower choices."""

    description: str
    values: Mapping[str, Value]
    narrowed: Mapping[str, tuple[Value, ...]]

    def config(self, changes: Mapping[str, Value] | None = None) -> RunConfig:
        """Return the preset's configuration with `changes` applied; raises ConfigError."""
        return RunConfig().with_changes({**self.values, **(changes or {})})


PRESETS: Mapping[str, Preset] = {
    "paper": Preset("The published sizes, for GPUs", {}, {}),
    "small": Preset(
        "Width 64 and sizes that train in seconds per epoch on CPUs",
        {"model.d_model": 64, "model.n_heads": 4, "model.d_ff": 256},
        {
            "data.seq_len": (48, 96, 168),
            "data.batch_size": (32, 64, 128),
            "model.d_model": (32, 64, 128),
            "model.d_ff": (64, 128, 256, 512),
            "model.e_layers": (1, 2, 3),
        },
    ),
}


# -- reading the definition ---------------------------------------------------------------------


@dataclass(frozen=True)
class FieldSpec:
    """One setting as every reader of the definition sees it."""

    key: str
    type: type
    default: Value
    help: str
    options: tuple[Value, ...] | None  # all valid values, where they are enumerable
    low: float | None
    high: float | None
    search: Search | None  # None: not the planners' to change


@functools.cache
def fields() -> Mapping[str, FieldSpec]:
    """Return every setting by dotted key, in the order of definition."""
    return {spec.key: spec for spec in _walk(RunConfig, "")}


def _walk(section: type[BaseModel], prefix: str) -> Iterator[FieldSpec]:
    for name, info in section.model_fields.items():
        annotation = info.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield from _walk(annotation, f"{prefix}{name}.")
        else:
            yield _spec(f"{prefix}{name}", info)


def _spec(key: str, info: FieldInfo) -> FieldSpec:
    literal = get_origin(info.annotation) is Literal
    options: tuple[Value, ...] | None = get_args(info.annotation) if literal else None
    if info.annotation is bool:
        options = (True, False)
    if key == "data.dataset":
        options = tuple(DATASETS)
    bounds: dict[str, float] = {}
    search: Search | None = None
    for item in info.metadata:
        match item:
            case Ge(ge=bound) | Gt(gt=bound):
                bounds["low"] = float(bound)  # type: ignore[arg-type]  # all bounds above are numbers
            case Le(le=bound) | Lt(lt=bound):
                bounds["high"] = float(bound)  # type: ignore[arg-type]
            case Choices() | Interval():
                search = item
    return FieldSpec(
        key=key,
        type=info.annotation if isinstance(info.annotation, type) else str,
        default=info.default,
        help=info.description or "",
        options=options,
        low=bounds.get("low"),
        high=bounds.get("high"),
        search=search,
    )


# -- from dotted keys ---------------------------------------------------------------------------


class ConfigError(ValueError):
    """A configuration that cannot be used; `problems` holds a sentence for each fault."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__(" ".join(problems))
        self.problems = problems


def from_flat(values: Mapping[str, Any]) -> RunConfig:
    """Build a configuration from dotted keys; keys that are absent take their defaults.

    Raises:
        ConfigError: with a sentence for each unknown key, bad value or conflict.
    """
    unknown = [key for key in values if key not in fields()]
    if unknown:
        raise ConfigError([_unknown_key(key) for key in unknown])
    return from_nested(_nest(values))


def from_nested(values: Mapping[str, Any]) -> RunConfig:
    """Build a configuration from nested sections, as in `config.json`; raises ConfigError."""
    try:
        return RunConfig.model_validate(values)
    except ValidationError as error:
        raise ConfigError(_sentences(error)) from None


def problems(values: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each fault of a flat configuration; an empty list means valid."""
    try:
        from_flat(values)
    except ConfigError as error:
        return error.problems
    return []


def _unknown_key(key: object) -> str:
    return f"{_short(key)} is not a setting; the settings are listed in docs/configuration.md."


def _short(value: object, limit: int = 60) -> str:
    """Return `value` for a sentence, cut so that hostile input cannot flood it."""
    if isinstance(value, int) and value.bit_length() > 200:
        return f"a number of about {math.floor(value.bit_length() * math.log10(2))} digits"
    text = repr(value)
    return text if len(text) <= limit else f"{text[:limit]}…"


def _sentences(error: ValidationError) -> list[str]:
    found = []
    for item in error.errors(include_url=False):
        key = ".".join(str(part) for part in item["loc"])
        if item["type"] == "value_error":
            found += str(item["ctx"]["error"]).splitlines()
        elif item["type"] == "extra_forbidden":
            found.append(_unknown_key(key))
        else:
            rule = item["msg"].replace("Input should", "must")
            found.append(f"{key} {rule}, but got {_short(item['input'])}.")
    return found


def _flatten(section: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Value]]:
    for name, value in section.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _nest(values: Mapping[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for key, value in values.items():
        *sections, name = key.split(".")
        place = nested
        for section in sections:
            place = place.setdefault(section, {})
        place[name] = value
    return nested
