"""What a search wants low beside the error: the section of the form that starts one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from informer.config import RunConfig
from informer.orders import Timing
from nas_engine.amounts import beforehand_text
from nas_engine.machine import gpus
from nas_engine.objectives import (
    COSTS,
    MEASURES,
    BoundsError,
    Objective,
    exact_figures,
    parse_bounds,
    written,
)
from nas_engine.proposals import beyond_bounds
from nas_engine.search import SearchSpec

Aims = Mapping[str, Any]
"""The fields `objectives`, `at_most` and `timing` of a search."""

TRADED_HELP = (
    "A search keeps the Pareto front of these and the error: the models that no other beats in all "
    "of them. Without any, the lowest error wins. "
    + " ".join(f"{MEASURES[name].title}: {MEASURES[name].help}." for name in COSTS)
)
UNDER_HELP = (
    "Bounds that the best model has to keep, each a number and its unit: `200k parameters`, "
    "`3 MFLOPs`, `5 ms` for a batch of forecasts, `500 MB` of memory and `2 minutes` of training. "
    "What arithmetic knows is kept before anything is trained, and a model that forecasts too "
    "slowly is not trained on."
)


def choose_aims(start: SearchSpec, prefix: str) -> tuple[Aims, list[str]]:
    """Let them be chosen; return them, and a sentence where the bounds cannot be read."""
    traded = st.pills(
        "Trade the error against",
        COSTS,
        selection_mode="multi",
        default=list(start.objectives[1:]),
        format_func=lambda name: MEASURES[name].title,
        key=f"{prefix}-objectives",
        help=TRADED_HELP,
    )
    text = st.text_input(
        "Best under",
        written(start.at_most),
        key=f"{prefix}-under",
        placeholder="200k parameters, 5 ms",
        max_chars=300,
        help=UNDER_HELP,
    )
    unread = []
    bounds: dict[Objective, float] = {}
    try:
        bounds = parse_bounds(text)
    except BoundsError as error:
        unread.append(f"Best under: {error}")
    timed = "latency_ms" in (*traded, *bounds)
    timing = choose_timing(start.timing, prefix) if timed else start.timing
    chosen = [name for name in COSTS if name in traded]
    return {"objectives": ("val_mse", *chosen), "at_most": bounds, "timing": timing}, unread


def choose_timing(start: Timing, prefix: str) -> Timing:
    """Let it be chosen how latency is measured."""
    devices = ["auto", "cpu", *(["cuda"] if gpus() else [])]
    if start.device not in devices:
        devices.append(start.device)
    with st.grid(3, min_column_width=85, vertical_alignment="bottom"):
        batch = st.number_input(
            "Latency of a batch of",
            1,
            4096,
            start.batch,
            key=f"{prefix}-latency-batch",
            help=Timing.model_fields["batch"].description,
        )
        device = st.selectbox(
            "on device",
            devices,
            index=devices.index(start.device),
            key=f"{prefix}-latency-device",
            help=Timing.model_fields["device"].description,
        )
        threads = st.number_input(
            "CPU threads",
            1,
            256,
            start.threads,
            key=f"{prefix}-latency-threads",
            help=Timing.model_fields["threads"].description,
        )
    return Timing(batch=batch, device=device, threads=threads)


def start_text(spec: SearchSpec, config: RunConfig) -> str:
    """Return how trial 0 stands to the aims of its search; empty where error alone counts."""
    exact = exact_figures(config)
    told = beforehand_text(exact, spec)
    if not told:
        return ""
    kept = " It is trained all the same, as the reference." * bool(beyond_bounds(spec, config))
    return f"Trial 0: {told[0].lower()}{told[1:]}{kept}"
