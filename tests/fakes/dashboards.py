"""`python -m tests.fakes.dashboards`: starts dashboards without loading their libraries each time.

For each line on its standard input, `{"arguments": [...], "environment": {...}, "log": "..."}`, it
forks a process that is from then on `streamlit ARGUMENTS`, and prints its process id. Dashboards
end with this process, and this process with its standard input.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys

import pandas  # noqa: F401
import plotly.graph_objects  # noqa: F401
import pyarrow  # noqa: F401
import streamlit.web.bootstrap
import streamlit.web.server  # noqa: F401
import uvicorn  # noqa: F401
from streamlit.web.cli import main

from nas_engine import dry_run, foresight, labels, replay, supervisor  # noqa: F401
from nas_engine.store import listing, reader, writer  # noqa: F401
from tests.chaos.forks import _PR_SET_PDEATHSIG


def become(arguments: list[str], environment: dict[str, str], log: str) -> None:
    """Be a dashboard: in a session of its own, as one that was started by itself."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    os.environ.clear()
    os.environ.update(environment)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    main(arguments)


if __name__ == "__main__":
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # those that end are waited for by nobody
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for line in sys.stdin:
        if pid := os.fork():
            print(pid, flush=True)
        else:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            become(**json.loads(line))
