"""A scripted language model service in a process of its own, which outlives the engines.

Answers depend on the trial that is asked about, and not on how often. Every request adds a line to
a file named after its key: the ledger of what was asked and charged.
"""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.fakes.llm_server import (
    ANSWERED,
    Answer,
    LLMServer,
    Reply,
    Request,
    asked_for,
    candidates,
    judgement,
    proposal,
    text,
)

MUMBLED = 3
"""The trial of which the first answer is of no use, so that a repair is asked for."""


def answer(request: Request) -> Answer:
    """Return what the model says."""
    told = "\n".join(str(message.get("content")) for message in request["messages"])
    found = re.search(r"This is trial (\d+) of|trial (\d+)", told)
    number = int(found[1] or found[2]) if found else 0
    match asked_for(request):
        case "ProposeChange":
            if number == MUMBLED and len(request["messages"]) == 2:
                return text("I would lower the learning rate.")
            return proposal({"training.optimizer_params.lr": _rate(number)})
        case "ProposeCandidates":
            return candidates(
                {"training.optimizer_params.lr": _rate(number)},
                {"model.dropout": 0.2 + 0.05 * number},
                {"model.d_model": 96},
            )
        case _:
            return judgement(number % 2 == 0)


def _rate(number: int) -> float:
    return float(f"{1e-4 * 1.7**number:.3g}")


@contextmanager
def service(ledgers: Path) -> Iterator[str]:
    """Serve until the end, and yield the address."""
    receiving, sending = os.pipe()
    if (pid := os.fork()) == 0:
        os.close(receiving)
        _serve(ledgers, sending)
    os.close(sending)
    with os.fdopen(receiving) as pipe:
        address = pipe.readline().strip()
    try:
        yield address
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _serve(ledgers: Path, sending: int) -> None:
    def script(request: Request, index: int) -> Reply:
        key = server.headers[index]["authorization"].removeprefix("Bearer ")
        with (ledgers / key).open("a") as ledger:
            ledger.write(f"{asked_for(request)}\n")
        return answer(request)

    log = os.open(ledgers / "service.log", os.O_WRONLY | os.O_CREAT)
    os.dup2(log, 2)  # it complains of clients that are killed in the middle of a request
    server = LLMServer(script)
    server.start()
    os.write(sending, f"{server.url}\n".encode())
    os.close(sending)
    threading.Event().wait()


def charged(ledgers: Path, key: str) -> tuple[int, int]:
    """Return how many requests a key has made, and the tokens that they took."""
    path = ledgers / key
    requests = len(path.read_text().splitlines()) if path.exists() else 0
    return requests, requests * ANSWERED.tokens
