"""Prompts go to the model that was chosen, and nowhere else."""

from __future__ import annotations

import os


def trace_nothing() -> None:
    """Have LangChain and LangGraph send nothing to LangSmith, whatever the environment says."""
    for name in ("LANGSMITH_TRACING", "LANGCHAIN_TRACING"):
        os.environ[name] = os.environ[f"{name}_V2"] = "false"
    os.environ.pop("LANGCHAIN_HANDLER", None)
