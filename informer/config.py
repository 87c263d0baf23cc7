"""Every setting of one training run, written once.

`RunConfig` has three sections, `data`, `model` and `training`. A setting is named by its dotted key
(`model.d_model`). From the fields below come the validation, the planners' search space, the
prompt, the edit form, the columns of the compare page and the table in `docs/configuration.md`;
adding a field here is all it takes for it to appear in each of them.

The defaults are the published Informer (Zhou et al. 2021) on 96/48/24, corrected where
`PUBLISHED` says. This module knows no torch.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.fields import FieldInfo

from data import calendar
from data.registry import PUBLISHED_BATCH, DataError, Dataset, Features, find, names, some

Value = int | float | bool | str
SEEDS = 2**31
"""How many seeds there are, from 0."""
StepType = Literal["small", "medium", "radical"]
Device = Literal[
    "auto", "cpu", "cuda", "cuda:0", "cuda:1", "cuda:2", "cuda:3", "cuda:4", "cuda:5", "cuda:6",
    "cuda:7",
]  # fmt: skip


@dataclass(frozen=True)
class Choices:
    """A field that planners pick from a list of values, in the order given."""

    step: StepType
    values: tuple[Value, ...]


LEAST = 1e-300
"""The least number on a log scale."""


@dataclass(frozen=True)
class Interval:
    """A field that planners draw from an interval, on a log scale where `log` is set."""

    step: StepType
    low: float
    high: float
    log: bool = False

    def share(self, value: float) -> float:
        """Return where a value lies: 0 at the low end, 1 at the high end."""
        if self.log:
            return math.log(max(value, LEAST) / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def at(self, share: float) -> float:
        """Return the value that lies at `share`."""
        if self.log:
            return self.low * math.exp(math.log(self.high / self.low) * share)
        return self.low + (self.high - self.low) * share


Search = Choices | Interval


MOST_LAYERS = 12


@dataclass(frozen=True)
class Only:
    """A field that matters only while another, named by its dotted key, has one of these values."""

    key: str
    values: tuple[Value, ...]


@dataclass(frozen=True)
class Either:
    """A field that matters only while one of these holds."""

    of: tuple[Only, ...]

    def holds(self, values: Mapping[str, Value]) -> bool:
        """Tell whether one of them does beside `values`, by dotted key."""
        return any(values[only.key] in only.values for only in self.of)

    @property
    def text(self) -> str:
        """Say it in words, such as "model.tokens patch or model.head decoder"."""
        return " or ".join(
            f"{only.key} {' or '.join(map(str, only.values[:4]))}" for only in self.of
        )


class Section(BaseModel):
    """A section of the configuration: immutable, strictly typed, without unknown keys."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, validate_default=True
    )


class DataConfig(Section):
    """What is forecast, from what."""

    dataset: str = Field(
        "ETTh1", description="Name of the data set: built in, or added as your own"
    )
    features: Features = Field(
        "M",
        description="M: all columns in and out; S: the target alone; MS: all in, the target out",
    )
    target: str = Field("OT", description="Column that S and MS forecast")
    seq_len: Annotated[int, Choices("medium", (48, 96, 168, 336, 720))] = Field(
        96, ge=8, le=4096, description="Look-back: time steps that the encoder sees"
    )
    label_len: Annotated[int, Only("model.head", ("decoder",))] = Field(
        48, ge=0, le=4096, description="Known steps that the decoder starts from; at most seq_len"
    )
    pred_len: int = Field(24, ge=1, le=2048, description="Horizon: time steps that are forecast")
    batch_size: Annotated[int, Choices("small", (16, 32, 64, 128))] = Field(
        32, ge=1, le=4096, description="Windows per optimiser step"
    )
    drop_last: bool = Field(
        False,
        description="Judge on whole batches of 32 windows alone, as published tables do; "
        "the result says so",
    )


class ModelConfig(Section):
    """The architecture: how a window is prepared, cut into tokens, mixed, and turned to a forecast.

    A learned cycle may be taken off, and added in the end. A window is normalised; a slow part may
    be split off and forecast by a linear map; the rest becomes tokens, passes the encoder and a
    head; a linear map past all of it may be added.
    """

    # -- before and beside the network
    cycle: Annotated[
        Literal["none", "day", "week"], Choices("radical", ("none", "day", "week"))
    ] = Field(
        "none",
        description="A learned mean of each time of the day, or of the week, of each column: taken "
        "off the look-back, added to the forecast",
    )
    normalisation: Annotated[
        Literal["none", "standardise", "revin", "last"],
        Choices("radical", ("none", "standardise", "revin", "last")),
    ] = Field(
        "none",
        description="Of each window, undone on the output: by mean and deviation, the same with "
        "learned scale and shift (revin), or by its last value",
    )
    decomposition: Annotated[
        Literal["none", "moving_average"], Choices("radical", ("none", "moving_average"))
    ] = Field(
        "none",
        description="Forecast the moving average of a window by a linear map, the rest by the "
        "network",
    )
    kernel: Annotated[
        int, Choices("medium", (7, 13, 25, 49)), Only("model.decomposition", ("moving_average",))
    ] = Field(25, ge=3, le=1025, description="Steps of the moving average; odd")
    skip: Annotated[bool, Choices("radical", (False, True))] = Field(
        False, description="Add a linear map from look-back to horizon to the network's forecast"
    )

    # -- tokens
    tokens: Annotated[
        Literal["step", "patch", "inverted"], Choices("radical", ("step", "patch", "inverted"))
    ] = Field(
        "step",
        description="What attention sees as one token: a time step, a patch of steps, or the whole "
        "look-back of a column",
    )
    patch_len: Annotated[
        int, Choices("medium", (8, 16, 24, 32)), Only("model.tokens", ("patch",))
    ] = Field(16, ge=1, le=512, description="Steps of a patch")
    patch_stride: Annotated[
        int, Choices("medium", (4, 8, 16)), Only("model.tokens", ("patch",))
    ] = Field(8, ge=1, le=512, description="Steps from one patch to the next; at most patch_len")
    channels: Annotated[
        Literal["mixed", "independent"], Choices("radical", ("mixed", "independent"))
    ] = Field(
        "mixed",
        description="All columns together, or each forecast from its own past by the same network",
    )
    positional: Annotated[
        Literal["sinusoidal", "learned", "none"],
        Choices("radical", ("sinusoidal", "learned", "none")),
        Only("model.tokens", ("step", "patch")),
    ] = Field("sinusoidal", description="Embedding of a token's position")
    temporal: Annotated[
        Literal["linear", "learned", "none"], Choices("radical", ("linear", "learned", "none"))
    ] = Field(
        "linear",
        description="Embedding of hour, weekday, day and day of year: a linear map, a table for "
        "each, or none",
    )
    padding: Annotated[
        Literal["circular", "zeros", "replicate"],
        Choices("small", ("circular", "zeros", "replicate")),
        Only("model.tokens", ("step", "patch")),
        Either((Only("model.tokens", ("step",)), Only("model.distil", (True,)))),
    ] = Field(
        "circular",
        description="Of the convolutions over time; circular, as published, lets the first and "
        "last step see each other",
    )

    # -- encoder
    attention: Annotated[
        Literal["prob", "full", "auto_correlation", "none"],
        Choices("radical", ("prob", "full", "auto_correlation", "none")),
    ] = Field(
        "prob",
        description="Between tokens: ProbSparse, full softmax, correlation at lags, or none",
    )
    factor: Annotated[
        int,
        Choices("small", (1, 3, 5, 8)),
        Only("model.attention", ("prob", "auto_correlation")),
    ] = Field(
        5, ge=1, le=64, description="c: c ln L queries are computed exactly, or c ln L lags kept"
    )
    sampled_keys: Annotated[
        Literal["per_query", "shared"],
        Choices("small", ("per_query", "shared")),
        Only("model.attention", ("prob",)),
    ] = Field(
        "per_query",
        description="Keys that ProbSparse measures queries on: drawn for each query, as published, "
        "or one draw for all, which is linear in time and memory",
    )
    sparsity: Annotated[
        Literal["mean", "published"],
        Choices("small", ("mean", "published")),
        Only("model.attention", ("prob",)),
    ] = Field(
        "mean",
        description="Measure of ProbSparse: largest score less the mean of the sample, or less "
        "its sum over the number of all keys, as published",
    )
    lazy: Annotated[
        Literal["mean", "sum"],
        Choices("small", ("mean", "sum")),
        Only("model.attention", ("prob",)),
        Only("model.head", ("decoder",)),
    ] = Field(
        "mean",
        description="What causal ProbSparse gives the other queries: the mean of the values so "
        "far, or their sum, as published",
    )
    e_layers: Annotated[int, Choices("medium", (0, 1, 2, 3, 4))] = Field(
        2, ge=0, le=MOST_LAYERS, description="Encoder layers; 0 leaves the linear maps alone"
    )
    distil: Annotated[
        bool,
        Choices("radical", (True, False)),
        Only("model.e_layers", tuple(range(2, MOST_LAYERS + 1))),
        Only("model.tokens", ("step", "patch")),
    ] = Field(True, description="Halve the sequence between encoder layers")
    norm: Annotated[Literal["post", "pre", "none"], Choices("radical", ("post", "pre", "none"))] = (
        Field("post", description="Layer norm after each residual sum, before each part, or none")
    )
    ffn: Annotated[Literal["dense", "gated"], Choices("medium", ("dense", "gated"))] = Field(
        "dense", description="Feed-forward layers: two maps, or a gated one of three"
    )
    activation: Annotated[
        Literal["gelu", "relu", "silu"], Choices("small", ("gelu", "relu", "silu"))
    ] = Field("gelu", description="Activation of the feed-forward layers")
    d_model: Annotated[int, Choices("medium", (16, 32, 64, 128, 256, 512))] = Field(
        512, ge=4, le=2048, multiple_of=2, description="Width of the representation"
    )
    n_heads: Annotated[
        int,
        Choices("medium", (1, 2, 4, 8)),
        Either((Only("model.attention", ("prob", "full")), Only("model.head", ("decoder",)))),
    ] = Field(8, ge=1, le=64, description="Attention heads; must divide d_model")
    d_ff: Annotated[int, Choices("medium", (64, 128, 256, 512, 1024, 2048))] = Field(
        2048, ge=4, le=8192, description="Width of the feed-forward layers"
    )
    dropout: Annotated[float, Interval("small", 0.0, 0.5)] = Field(
        0.05, ge=0.0, lt=1.0, description="Dropout probability"
    )

    # -- head
    head: Annotated[
        Literal["decoder", "linear", "step_linear"],
        Choices("radical", ("decoder", "linear", "step_linear")),
    ] = Field(
        "decoder",
        description="From tokens to forecast: the generative decoder, one map of all tokens, or "
        "a map of each token followed by one over time",
    )
    d_layers: Annotated[int, Choices("medium", (1, 2)), Only("model.head", ("decoder",))] = Field(
        1, ge=1, le=12, description="Decoder layers"
    )
    mix: Annotated[
        bool,
        Choices("radical", (False, True)),
        Only("model.head", ("decoder",)),
        Only("model.attention", ("prob", "full", "auto_correlation")),
    ] = Field(
        False,
        description="Read the context of the decoder's self-attention across heads, as "
        "published, which mixes time steps",
    )

    @property
    def distils(self) -> bool:
        """Whether anything is halved: there must be two layers, and tokens along time."""
        return self.distil and self.e_layers >= 2 and self.tokens != "inverted"


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
        Literal["Halving", "StepLR", "CosineAnnealingLR", "OneCycleLR", "Constant"],
        Choices("small", ("Halving", "StepLR", "CosineAnnealingLR", "OneCycleLR", "Constant")),
    ] = Field(
        "Halving",
        description="Learning rate over epochs: halved after each epoch from the second on "
        "(as published), x 0.1 after each third of the epochs, cosine to zero, one cycle up and "
        "down step by step, or constant",
    )
    warmup_steps: Annotated[
        int,
        Choices("small", (0, 100, 500)),
        Only("training.scheduler_class", ("Halving", "StepLR", "CosineAnnealingLR", "Constant")),
    ] = Field(
        0,
        ge=0,
        le=100_000,
        description="Steps over which the learning rate rises linearly; one cycle has its own rise",
    )
    clip_norm: Annotated[float, Choices("small", (0.0, 0.5, 1.0, 5.0))] = Field(
        0.0, ge=0.0, le=1000.0, description="Largest norm of the gradient; 0 means no limit"
    )
    criterion_class: Annotated[
        Literal["MSELoss", "L1Loss", "SmoothL1Loss", "HuberLoss"],
        Choices("small", ("MSELoss", "L1Loss", "SmoothL1Loss", "HuberLoss")),
    ] = Field("MSELoss", description="Training loss of torch.nn; val_mse judges in any case")
    seed: int = Field(2021, ge=0, le=SEEDS - 1, description="Seed of weights, order and dropout")
    device: Device = Field(
        "auto", description="Where to train; auto takes the first GPU where there is one"
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto",
        description="Of matrix products; auto takes bfloat16 on GPUs that have it, float32 "
        "elsewhere",
    )
    compile: bool = Field(
        False, description="Compile the model with torch.compile; pays on long trainings on GPUs"
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

    def inactive(self) -> set[str]:
        """Return the keys that change nothing, because another setting leaves them no part."""
        flat = self.flat()
        return {key for key, field in fields().items() if not field.active(flat)}

    def with_changes(self, changes: Mapping[str, Value]) -> RunConfig:
        """Return a copy with `changes` (dotted keys) applied.

        Raises:
            ConfigError: a key or value is not valid; its `problems` say which and why.
        """
        return from_flat({**self.flat(), **changes})


_WITHOUT_NETWORK = (
    *("model.cycle", "model.normalisation", "model.decomposition", "model.kernel", "model.skip"),
    *("model.e_layers", "model.head"),
)


def _conflicts(config: RunConfig) -> Iterator[str]:
    """Yield a sentence for each pair of fields that cannot go together."""
    data, model = config.data, config.model
    dataset: Dataset | None = None
    with contextlib.suppress(DataError):
        dataset = find(data.dataset)
    if dataset is None:
        yield f"data.dataset must be one of {', '.join(names())}, but got {short(data.dataset)}."
    elif data.target not in dataset.targets:
        yield (
            f"data.target must be a column of {data.dataset} that can be forecast "
            f"({some(dataset.targets)}), but got {short(data.target)}."
        )
    elif (longest := min(dataset.split_rows)) < data.pred_len or dataset.split_rows[0] < (
        data.seq_len + data.pred_len
    ):
        yield (
            f"data.seq_len ({data.seq_len}) + data.pred_len ({data.pred_len}) do not fit into the "
            f"parts of {data.dataset}: training has {dataset.split_rows[0]} rows, and "
            f"data.pred_len may be at most {longest}."
        )
    elif data.drop_last and (left := min(dataset.split_rows[1:]) - data.pred_len + 1) < (
        PUBLISHED_BATCH
    ):
        yield (
            f"data.drop_last leaves nothing to judge: with data.pred_len ({data.pred_len}) a part "
            f"of {data.dataset} has {left} windows, fewer than a batch of {PUBLISHED_BATCH}."
        )
    else:
        yield from _training_conflicts(data, config.training, dataset)
    if dataset is not None:
        yield from _cycle_conflicts(model, dataset)
    yield from _token_conflicts(data, model)
    yield from _encoder_conflicts(data, model)
    yield from _head_conflicts(data, model)


def _training_conflicts(
    data: DataConfig, training: TrainingConfig, dataset: Dataset
) -> Iterator[str]:
    windows = dataset.split_rows[0] - data.seq_len - data.pred_len + 1
    if data.batch_size > windows:
        yield (
            f"data.batch_size ({data.batch_size}) must not exceed the {windows} windows that "
            f"data.seq_len {data.seq_len} and data.pred_len {data.pred_len} leave of "
            f"{data.dataset}."
        )
        return
    steps = training.epochs * epoch_steps(data, training, windows)
    if training.scheduler_class != "OneCycleLR" and training.warmup_steps >= steps:
        yield (
            f"training.warmup_steps ({training.warmup_steps}) must be fewer than the {steps} "
            "steps of training (training.epochs, data.batch_size): the learning rate would never "
            "be reached."
        )


def epoch_steps(data: DataConfig, training: TrainingConfig, windows: int) -> int:
    """Return the optimiser steps of an epoch over `windows` windows.

    As published, the last windows of an epoch that fill no batch are left out.
    """
    steps = max(1, windows // data.batch_size)
    return min(steps, training.steps_per_epoch or steps)


def _cycle_conflicts(model: ModelConfig, dataset: Dataset) -> Iterator[str]:
    frequency = dataset.frequency
    if model.cycle == "day" and calendar.steps_a_day(frequency) == 1:
        yield (
            f"model.cycle day needs time steps shorter than a day, and those of data.dataset "
            f"{dataset.name} are not ({frequency}): its days have no course."
        )
    if model.cycle == "week" and "dayofweek" not in calendar.names(frequency):
        yield (
            f"model.cycle week needs time steps of a day or shorter, and those of data.dataset "
            f"{dataset.name} are longer ({frequency})."
        )


def _token_conflicts(data: DataConfig, model: ModelConfig) -> Iterator[str]:
    if model.tokens == "patch" and model.patch_len > data.seq_len:
        yield (
            f"model.patch_len ({model.patch_len}) must not exceed data.seq_len ({data.seq_len}): "
            "a patch is cut from the look-back."
        )
    if model.tokens == "patch" and model.patch_stride > model.patch_len:
        yield (
            f"model.patch_stride ({model.patch_stride}) must not exceed model.patch_len "
            f"({model.patch_len}): steps between patches would be lost."
        )
    if model.tokens == "inverted" and model.channels == "independent":
        yield (
            "model.tokens inverted needs model.channels mixed: its tokens are the columns, and an "
            "independent column would be alone."
        )
    if model.tokens == "inverted" and model.temporal == "learned":
        yield (
            "model.temporal learned does not go with model.tokens inverted: a table embeds steps, "
            "not columns; take model.temporal linear or none."
        )
    if model.decomposition == "moving_average" and model.kernel % 2 == 0:
        yield (
            f"model.kernel ({model.kernel}) must be odd for model.decomposition moving_average: "
            "the average is centred."
        )
    if model.decomposition == "moving_average" and model.kernel > data.seq_len:
        yield (
            f"model.kernel ({model.kernel}) must not exceed data.seq_len ({data.seq_len}): the "
            "average is taken inside the look-back."
        )


def _encoder_conflicts(data: DataConfig, model: ModelConfig) -> Iterator[str]:
    if model.d_model % model.n_heads:
        yield f"model.n_heads ({model.n_heads}) must divide model.d_model ({model.d_model})."
    if model.e_layers == 0 and not model.skip:
        yield (
            "model.e_layers 0 needs model.skip true: without layers the linear maps are all that "
            "forecasts."
        )
    if model.norm == "none" and (model.attention != "none" or model.head == "decoder"):
        yield (
            "model.norm none needs model.attention none and no decoder: attention without a norm "
            "grows from layer to layer; take model.norm post or pre."
        )
    if model.attention == "auto_correlation" and model.tokens == "inverted":
        yield (
            "model.attention auto_correlation does not go with model.tokens inverted: columns have "
            "no order in which to be shifted."
        )
    if model.distils and (count := token_count(data, model)) / 2 ** (model.e_layers - 1) < 6:
        yield (
            f"model.distil with model.e_layers {model.e_layers} leaves fewer than 6 of the "
            f"{count} tokens that data.seq_len {data.seq_len} gives; take fewer layers or a longer "
            "look-back."
        )


def _head_conflicts(data: DataConfig, model: ModelConfig) -> Iterator[str]:
    if model.head != "linear" and model.e_layers == 0:
        yield (
            f"model.head {model.head} needs model.e_layers of 1 or more; with 0 layers take "
            "model.head linear."
        )
    elif model.head == "decoder" and model.tokens != "step":
        yield (
            f"model.head decoder does not go with model.tokens {model.tokens}: the decoder "
            "continues time steps; take model.head linear."
        )
    elif model.head == "decoder" and data.label_len > data.seq_len:
        yield (
            f"data.label_len ({data.label_len}) must not exceed data.seq_len ({data.seq_len}): "
            "the decoder starts from the end of the look-back."
        )
    elif model.head == "step_linear" and model.tokens == "inverted":
        yield (
            "model.head step_linear does not go with model.tokens inverted: its second map runs "
            "over time, which inverted tokens hold inside; take model.head linear."
        )


def token_count(data: DataConfig, model: ModelConfig) -> int:
    """Return the tokens of a look-back, (N), where they lie along time: steps or patches.

    The last value is repeated for `patch_stride` more steps, so that no step is left out (Nie et
    al. 2023, section 3.1).
    """
    if model.tokens == "patch":
        return (data.seq_len - model.patch_len) // model.patch_stride + 2
    return data.seq_len


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


PUBLISHED: Mapping[str, Value] = {
    "model.mix": True,
    "model.sparsity": "published",
    "model.lazy": "sum",
}
"""What undoes the corrections of the published implementation; docs/model.md has the list."""

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
            "model.e_layers": (0, 1, 2, 3),
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
    only: tuple[Either, ...]  # all must hold for the setting to matter

    def active(self, values: Mapping[str, Value]) -> bool:
        """Tell whether the setting has a part to play beside `values`, by dotted key."""
        return all(either.holds(values) for either in self.only)

    def in_type(self, value: Value) -> Value:
        """Return a whole number as the float that the setting holds; all else as it is."""
        whole = self.type is float and type(value) is int and abs(value) < 10**300
        return float(value) if whole else value


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
    bounds: dict[str, float] = {}
    search: Search | None = None
    only: list[Either] = []
    for item in info.metadata:
        match item:
            case Ge(ge=bound) | Gt(gt=bound):
                bounds["low"] = float(bound)  # type: ignore[arg-type]  # all bounds above are numbers
            case Le(le=bound) | Lt(lt=bound):
                bounds["high"] = float(bound)  # type: ignore[arg-type]
            case Choices() | Interval():
                search = item
            case Only():
                only.append(Either((item,)))
            case Either():
                only.append(item)
    if key.startswith("model.") and key not in _WITHOUT_NETWORK:
        only.append(Either((Only("model.e_layers", tuple(range(1, MOST_LAYERS + 1))),)))
    return FieldSpec(
        key=key,
        type=info.annotation if isinstance(info.annotation, type) else str,
        default=info.default,
        help=info.description or "",
        options=options,
        low=bounds.get("low"),
        high=bounds.get("high"),
        search=search,
        only=tuple(only),
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
        raise ConfigError([unknown_key(key) for key in unknown])
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


def unknown_key(key: object) -> str:
    """Return the sentence that refuses a setting that there is not."""
    return f"{short(key)} is not a setting; the settings are listed in docs/configuration.md."


def short(value: object, limit: int = 60) -> str:
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
            found.append(unknown_key(key))
        else:
            rule = item["msg"].replace("Input should", "must")
            found.append(f"{key} {rule}, but got {short(item['input'])}.")
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
