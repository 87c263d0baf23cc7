"""Published designs in the terms of the space, with their sources, and as proposals of a search.

Papers on forecasting are results that a search need not repeat: a portfolio of them comes first, as
configurations that were good on other data do in Feurer, Springenberg and Hutter (2015). Sizes and
rates are those of the authors' scripts, for ETTh1 where they have one.

A design is *projected* onto a search: what may vary takes the nearest value that is allowed, what
is pinned stays, and what a design says nothing of is as in trial 0. One without its idea (PatchTST
without patches) is no proposal.

A learning rate belongs to the length of a training: Adam moves a weight by at most about the rate a
step (Kingma and Ba 2015, section 2.1). Where a search trains for fewer steps than the authors did,
the rate is raised by as much; it is never lowered. On ETTh1 (24 steps ahead, look-back 96) PatchTST
came in 660 steps to a val_mse of 0.397 at the rate so raised, 1e-3, and to 0.423 at 2e-4.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from informer.config import Interval, RunConfig, Search, Value, from_flat, problems, short
from informer.cost import steps_per_epoch
from nas_engine.planners.base import View
from nas_engine.proposals import Proposal, active_changes
from nas_engine.space import contains
from nas_engine.store.rows import TrialRow

RATE = "training.optimizer_params.lr"


@dataclass(frozen=True)
class Design:
    """A published model: its settings, and how long its authors trained it."""

    name: str
    paper: str
    idea: tuple[str, ...]  # keys of what it cannot be without
    settings: Mapping[str, Value]
    steps: int  # of their training, at most

    @property
    def title(self) -> str:
        """How its hypothesis begins."""
        return f"{self.name} ({self.paper})"


_LINEAR: Mapping[str, Value] = {
    "model.skip": True,
    "model.e_layers": 0,
    "model.head": "linear",
    "model.tokens": "step",
    "data.seq_len": 336,
    RATE: 5e-3,
}
"""The linear map from look-back to horizon, without a network, as LTSF-Linear trains it."""

_ENCODER: Mapping[str, Value] = {
    "model.decomposition": "none",
    "model.skip": False,
    "model.head": "linear",
    "model.distil": False,
}

_MLP: Mapping[str, Value] = {
    **_ENCODER,
    "model.tokens": "inverted",
    "model.channels": "mixed",
    "model.attention": "none",
    "model.norm": "none",
    "model.temporal": "none",
    "model.activation": "relu",
    "model.e_layers": 1,
    "model.d_model": 256,
    "model.d_ff": 512,
    "model.dropout": 0.0,
    "data.seq_len": 336,
}
"""The look-back of each column through the same two layers, without a norm between them."""

DESIGNS: tuple[Design, ...] = (
    Design(
        "NLinear",
        "Zeng et al. 2023",
        ("model.normalisation", "model.e_layers", "model.head"),
        {**_LINEAR, "model.normalisation": "last", "data.batch_size": 32},
        steps=10 * 256,
    ),
    Design(
        "RMLP",
        "Li et al. 2023",
        ("model.tokens", "model.attention", "model.norm"),
        {
            **_MLP,
            "model.normalisation": "revin",
            "data.batch_size": 128,
            RATE: 5e-3,
        },
        steps=15 * 64,
    ),
    Design(
        "PatchTST",
        "Nie et al. 2023",
        ("model.tokens", "model.head"),
        {
            **_ENCODER,
            "model.normalisation": "revin",
            "model.tokens": "patch",
            "model.patch_len": 16,
            "model.patch_stride": 8,
            "model.channels": "independent",
            "model.attention": "full",
            "model.positional": "learned",
            "model.temporal": "none",
            "model.e_layers": 3,
            "model.d_model": 16,
            "model.n_heads": 4,
            "model.d_ff": 128,
            "model.dropout": 0.3,
            "data.seq_len": 336,
            "data.batch_size": 128,
            RATE: 1e-4,
        },
        steps=100 * 64,
    ),
    Design(
        "CycleNet",
        "Lin et al. 2024",
        ("model.cycle", "model.tokens", "model.attention", "model.norm"),
        {
            **_MLP,
            "model.cycle": "day",
            "model.normalisation": "standardise",
            RATE: 2e-3,
        },
        steps=30 * 32,  # of batches of 256
    ),
    Design(
        "TSMixer",
        "Chen et al. 2023",
        ("model.attention", "model.tokens", "model.head"),
        {
            **_ENCODER,
            "model.head": "step_linear",
            "model.normalisation": "revin",
            "model.tokens": "step",
            "model.channels": "mixed",
            "model.attention": "none",
            "model.temporal": "none",
            "model.e_layers": 2,
            "model.d_ff": 64,
            "data.seq_len": 336,
            "data.batch_size": 32,
            RATE: 1e-3,
        },
        steps=100 * 256,
    ),
    Design(
        "iTransformer",
        "Liu et al. 2024",
        ("model.tokens",),
        {
            **_ENCODER,
            "model.normalisation": "standardise",
            "model.tokens": "inverted",
            "model.channels": "mixed",
            "model.attention": "full",
            "model.e_layers": 2,
            "model.d_model": 256,
            "model.n_heads": 8,
            "model.d_ff": 256,
            "model.dropout": 0.1,
            "data.seq_len": 96,
            "data.batch_size": 32,
            RATE: 1e-4,
        },
        steps=10 * 264,
    ),
    Design(
        "TiDE",
        "Das et al. 2023",
        ("model.tokens", "model.attention", "model.skip"),
        {
            **_ENCODER,
            "model.normalisation": "revin",
            "model.tokens": "inverted",
            "model.channels": "mixed",
            "model.attention": "none",
            "model.skip": True,
            "model.e_layers": 2,
            "model.d_model": 256,
            "model.d_ff": 512,
            "model.dropout": 0.3,
            "data.seq_len": 720,
            "data.batch_size": 128,
            RATE: 1e-3,
        },
        steps=20 * 16,  # or more: as long as its error falls
    ),
    Design(
        "RLinear",
        "Li et al. 2023",
        ("model.normalisation", "model.e_layers", "model.head"),
        {**_LINEAR, "model.normalisation": "revin", "data.batch_size": 128},
        steps=10 * 64,  # its script leaves the epochs to a default: those of LTSF-Linear
    ),
    Design(
        "DLinear",
        "Zeng et al. 2023",
        ("model.decomposition", "model.e_layers", "model.head"),
        {
            **_LINEAR,
            "model.normalisation": "none",
            "model.decomposition": "moving_average",
            "model.kernel": 25,
            "data.batch_size": 32,
        },
        steps=10 * 256,
    ),
    Design(
        "the non-stationary Informer",
        "Liu et al. 2022",
        ("model.normalisation", "model.tokens", "model.head"),
        {
            "model.normalisation": "standardise",
            "model.decomposition": "none",
            "model.skip": False,
            "model.tokens": "step",
            "model.attention": "prob",
            "model.head": "decoder",
            "model.e_layers": 2,
            "model.d_layers": 1,
            "data.seq_len": 96,
            "data.batch_size": 32,
            RATE: 1e-4,
        },
        steps=10 * 264,
    ),
)
"""In the order of their evidence (docs/planning.md), cheap ones before what is like them."""


def is_design(trial: TrialRow) -> bool:
    """Tell whether a trial was proposed as a design."""
    return _title(trial) in {design.title for design in DESIGNS}


def _title(trial: TrialRow) -> str:
    return (trial.hypothesis or "").partition(":")[0]


def next_design(view: View) -> Proposal | None:
    """Return the first design that is no trial of the search yet; None where none is left."""
    done = {_title(trial) for trial in view.trials}
    for design in DESIGNS:
        if design.title not in done and (proposal := projected(design, view)) is not None:
            return proposal
    return None


def projected(design: Design, view: View) -> Proposal | None:
    """Return a design as a proposal; None where the search cannot have it, or has had it."""
    wanted = _nearest_values(design, view)
    if problems({**view.parent, **wanted}):
        return None
    raised = _raised(design, view, from_flat({**view.parent, **wanted}))
    wanted |= raised
    changes = {key: value for key, value in wanted.items() if value != view.parent[key]}
    changes = active_changes(view.parent, changes)
    if view.enforced:
        changes = view.shrunk(changes)
    result = {**view.parent, **changes}
    if any(result[key] != design.settings[key] for key in design.idea) or view.check(changes):
        return None
    return Proposal(
        source="portfolio",
        parent=view.incumbent,
        changes=changes,
        hypothesis=f"{design.title}: {_told(design, result, raised)}",
    )


def _nearest_values(design: Design, view: View) -> dict[str, Value]:
    """Return what a design comes to in all that may vary; as in trial 0 where it says nothing."""
    start = view.spec.start()
    found: dict[str, Value] = {}
    for key, search in view.space.items():
        asked = (design.settings.get(key, start[key]), start[key], view.parent[key])
        found[key] = next(
            (near for value in asked if (near := nearest(search, value)) is not None),
            view.parent[key],
        )
    return found


def nearest(search: Search, value: Value) -> Value | None:
    """Return the allowed value nearest to one: of numbers by their ratio; None for other words."""
    if contains(search, value):
        return value
    if isinstance(value, bool | str):
        return None
    if isinstance(search, Interval):
        return min(max(float(value), search.low), search.high)
    numbers = [v for v in search.values if isinstance(v, int | float) and not isinstance(v, bool)]
    return min(numbers, key=lambda other: _apart(value, other), default=None)


def _apart(one: float, other: float) -> float:
    return abs(math.log(one / other)) if one > 0 and other > 0 else abs(one - other) + 100


def _raised(design: Design, view: View, config: RunConfig) -> dict[str, Value]:
    """Return the learning rate raised to the steps that a training here has, where it is."""
    steps = config.training.epochs * steps_per_epoch(config)
    rate = float(design.settings[RATE]) * max(1.0, design.steps / steps)
    found = nearest(view.space[RATE], float(f"{rate:.2g}")) if RATE in view.space else None
    return {} if found is None or found == config.training.optimizer_params.lr else {RATE: found}


def _told(design: Design, result: Mapping[str, Value], raised: Mapping[str, Value]) -> str:
    """Return how a design is tried, in a sentence or two."""
    higher = RATE in raised and raised[RATE] == result[RATE]
    other = ", ".join(_differing(design, result, (RATE,) if higher else ()))
    told = f"the authors' settings that this space has{', but for ' * bool(other)}{other}."
    if higher:
        told += (
            f" The learning rate is {short(result[RATE])}, for their {design.settings[RATE]:g}: a "
            "training here has fewer steps than theirs."
        )
    return told


def _differing(
    design: Design, result: Mapping[str, Value], without: Collection[str]
) -> Iterator[str]:
    inactive = from_flat(result).inactive().union(without)
    for key, value in design.settings.items():
        if result[key] != value and key not in inactive:
            yield f"{key} {short(result[key])} (theirs {short(value)})"
