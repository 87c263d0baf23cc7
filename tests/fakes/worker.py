"""`python -m tests.fakes.worker`: a worker without torch that keeps the contract of a run folder.

It trains `training.epochs` epochs of a hash chain over the configuration. The chain is in its
checkpoints, so that a training that goes on from the wrong place ends with another val_mse. It
starts in a tenth of a second: it writes the files of the contract by hand.

    FAKE_EPOCH_SECONDS  that each epoch takes; 0 by default
    FAKE_HOLD           folder: while it has a file with the name of a run folder, that training
                        stays in the epoch whose number the file holds
    FAKE_LEDGER         file that gets a line of JSON for each training begun ("began": the epoch
                        that it goes on after) and each epoch trained ("epoch"), with the folder
    FAKE_MODE           a name of MODES: what goes wrong in each epoch
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from informer.conduct import die_with_parent, yield_to_others
from informer.files import append_line, checkpoints, is_intact, keep_checkpoint, replace_text

COMMAND = (sys.executable, "-m", "tests.fakes.worker")
"""For `LocalTrainer(..., command=COMMAND)`."""

LOOK_SECONDS = 0.01
"""Between two looks for the file that asks to end."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int)
    parser.add_argument("--memory-share", type=float)
    parser.add_argument("--parent", type=int, default=os.getppid())
    die_with_parent(parser.parse_args().parent)
    yield_to_others()
    for line in sys.stdin:
        serve(Path(line.rstrip("\n")))


def serve(folder: Path) -> None:
    if train(folder):
        say(folder, "done")
    else:
        say(folder, "ended early")
    (folder / "end").unlink(missing_ok=True)


def train(folder: Path) -> bool:
    """Train a run folder and tell whether that came to its end."""
    text = (folder / "config.json").read_bytes()
    config = json.loads(text)
    epochs = config["training"]["epochs"]
    state = newest(folder) or {"epoch": 0, "chain": hashlib.sha256(text).hexdigest(), "errors": []}
    note(folder, began=state["epoch"])
    say(folder, f"goes on after epoch {state['epoch']}")
    for epoch in range(state["epoch"] + 1, epochs + 1):
        progress = {"kind": "progress", "epoch": epoch, "step": 1, "steps": 10}
        append_line(folder / "metrics.jsonl", json.dumps(progress))
        MODES[os.environ.get("FAKE_MODE", "none")](folder)
        ends = time.monotonic() + float(os.environ.get("FAKE_EPOCH_SECONDS", "0"))
        while not (folder / "end").exists() and (time.monotonic() < ends or is_held(folder, epoch)):
            time.sleep(LOOK_SECONDS)
        if (folder / "end").exists():
            return False
        state = after(state, config)
        note(folder, epoch=epoch, chain=state["chain"])
        record = {"kind": "epoch", "epoch": epoch, **figures(state["errors"][-1])}
        append_line(folder / "metrics.jsonl", json.dumps(record), durable=True)
        temporary = folder / ".checkpoint.tmp"
        temporary.write_text(json.dumps(state))
        keep_checkpoint(folder, epoch, temporary)
    finish(folder, text, state)
    return True


def is_held(folder: Path, epoch: int) -> bool:
    """Tell whether a file of the folder FAKE_HOLD holds this run folder at this epoch."""
    try:
        held_from = (Path(os.environ["FAKE_HOLD"]) / folder.name).read_text()
    except (KeyError, FileNotFoundError):
        return False
    return epoch >= int(held_from)


def newest(folder: Path) -> dict[str, Any] | None:
    """Return what the newest intact checkpoint of a run folder holds."""
    for _, path in checkpoints(folder):
        if is_intact(path):
            state: dict[str, Any] = json.loads(path.read_bytes())
            return state
    return None


def after(state: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the state of a training one epoch later."""
    epoch = state["epoch"] + 1
    chain = hashlib.sha256(f"{state['chain']} {epoch}".encode()).hexdigest()
    luck = 0.01 * int(chain[:8], 16) / 2**32
    error = error_of(config) * (1 + 1 / epoch**2 + luck)
    return {"epoch": epoch, "chain": chain, "errors": [*state["errors"], error]}


def error_of(config: Mapping[str, Any]) -> float:
    """Return what val_mse falls to: lowest for wide, standardised, lr near 1e-3."""
    model, training = config["model"], config["training"]
    error: float = (
        0.4
        + 0.05 * abs(math.log10(training["optimizer_params"]["lr"]) + 3)
        + 0.2 * (model["normalisation"] == "none")
        + 0.02 * abs(math.log2(model["d_model"]) - 6)
        + 0.1 * model["dropout"]
    )
    return error


def figures(error: float) -> dict[str, float]:
    return {
        "train_loss": 0.9 * error,
        "val_mse": error,
        "val_mae": error**0.5,
        "lr": 0.001,
        "seconds": float(os.environ.get("FAKE_EPOCH_SECONDS", "0")),
    }


def finish(folder: Path, config: bytes, state: Mapping[str, Any]) -> None:
    errors: list[float] = state["errors"]
    best = min(errors)
    result = {
        "status": "completed",
        "val_mse": best,
        "val_mae": best**0.5,
        "test_mse": 1.1 * best,
        "test_mae": (1.1 * best) ** 0.5,
        "best_epoch": errors.index(best) + 1,
        "epochs": len(errors),
        "parameters": 1000,
        "seconds": len(errors) * float(os.environ.get("FAKE_EPOCH_SECONDS", "0")),
        "device": "fake",
    }
    file = {"config": hashlib.sha256(config).hexdigest(), "result": result}
    replace_text(folder / "result.json", json.dumps(file))
    for _, path in checkpoints(folder):
        path.unlink()


def note(folder: Path, **facts: object) -> None:
    """Add a line to the ledger; a single write cannot be torn by a kill."""
    if ledger := os.environ.get("FAKE_LEDGER"):
        with open(ledger, "ab", buffering=0) as file:
            file.write(json.dumps({"folder": str(folder), **facts}).encode() + b"\n")


def say(folder: Path, text: str) -> None:
    append_line(folder / "log.txt", text)


# -- modes --------------------------------------------------------------------------------------


def _hang(folder: Path) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        time.sleep(60)


def _stop(folder: Path) -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def _print(folder: Path) -> None:
    line = b"x" * 99 + b"\n"
    with (folder / "log.txt").open("ab") as log:
        for _ in range(1000):  # a gigabyte
            log.write(line * 10_000)


FORKED = 20
"""Children of the mode `fork`; every second one hides in a session of its own."""


def _fork(folder: Path) -> None:
    for _ in range(FORKED // 2):
        subprocess.Popen(["sleep", "60"])
        subprocess.Popen(["sleep", "60"], start_new_session=True)
    _hang(folder)


def _swallow_memory(folder: Path) -> None:
    held = bytearray(200_000_000)
    held[::4096] = b"x" * len(held[::4096])
    _hang(folder)


def _lost(folder: Path) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _disk_full(folder: Path) -> None:
    sys.exit(os.EX_IOERR)


MODES: Mapping[str, Callable[[Path], None]] = {
    "none": lambda folder: None,
    "hang": _hang,  # ignores SIGTERM too
    "stop": _stop,
    "print": _print,
    "fork": _fork,
    "memory": _swallow_memory,
    "lost": _lost,
    "disk": _disk_full,
}


if __name__ == "__main__":
    main()
