"""Trains configurations with a checkout of Informer2020, as a user of Optuna would.

    python benchmarks/reference_study.py CHECKOUT STUDY THREADS

A script of its own: the checkout's packages have names that are this project's too, and what this
project does to a process that trains must not be done to this one. It takes trials from the queue
of a study in a file until none waits; several of these processes may share it.

A trial is the checkout's own `Exp_Informer.train`: its model, loader, loop, early stopping and
checkpoint. Two things are changed: the batches of an epoch may be limited, and the name `Inf`,
which NumPy 2 has no more, is put back. The value of a trial is the least of its losses on
validation, which `train` only prints: no further pass over validation, and not the checkout's
`test`, is run.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import torch
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from torch.utils.data import DataLoader, RandomSampler

np.Inf = np.inf  # type: ignore[attr-defined]

FIXED = {
    "model": "informer",
    "data": "ETTh1",
    "features": "M",
    "target": "OT",
    "freq": "h",
    "detail_freq": "h",
    "embed": "timeF",
    "cols": None,
    "enc_in": 7,
    "dec_in": 7,
    "c_out": 7,
    "padding": 0,
    "activation": "gelu",
    "output_attention": False,
    "inverse": False,
    "num_workers": 0,
    "lradj": "type1",
    "loss": "mse",
    "use_amp": False,
    "use_gpu": False,
    "use_multi_gpu": False,
}
"""What main_informer.py passes besides what is drawn, for ETTh1 `M` on a CPU."""


def experiment(arguments: dict[str, Any]) -> Any:
    """Return the checkout's experiment with these arguments, which notes losses and seconds.

    `steps` limits the batches of an epoch; 0 means all.
    """
    from exp.exp_informer import Exp_Informer  # type: ignore[import-not-found]
    from utils.tools import dotdict  # type: ignore[import-not-found]

    class Noting(Exp_Informer):  # type: ignore[misc]
        def __init__(self, args: Any) -> None:
            super().__init__(args)
            self.losses: list[float] = []  # on validation and test in turn
            self.judging = 0.0
            self.starting = 0.0

        def _get_data(self, flag: str) -> Any:
            began = time.perf_counter()
            data, loader = super()._get_data(flag)
            if flag == "train" and self.args.steps:
                size = self.args.batch_size
                sampler = RandomSampler(data, num_samples=self.args.steps * size)
                loader = DataLoader(data, size, sampler=sampler, drop_last=True)
            self.starting += time.perf_counter() - began
            return data, loader

        def _select_optimizer(self) -> Any:
            began = time.perf_counter()
            optimizer = super()._select_optimizer()  # the first one imports a part of torch
            self.starting += time.perf_counter() - began
            return optimizer

        def vali(self, *parts: Any) -> Any:
            began = time.perf_counter()
            loss = super().vali(*parts)
            self.losses.append(float(loss))
            self.judging += time.perf_counter() - began
            return loss

    return Noting(dotdict(arguments))


def objective(trial: optuna.Trial) -> float:
    """Train what the trial was queued with; returns the least loss on validation."""
    if "arguments" not in trial.user_attrs:
        raise optuna.TrialPruned("another process has taken the last of the queue")
    built = experiment(FIXED | trial.user_attrs["arguments"])
    began, computed = time.perf_counter(), time.process_time()
    built.train(f"trial-{trial.number}")
    in_train = time.perf_counter() - began
    trial.set_user_attr("computed", time.process_time() - computed)
    trial.set_user_attr("training", in_train - built.judging - built.starting)
    trial.set_user_attr("judging", built.judging)
    trial.set_user_attr("epochs", len(built.losses) // 2)
    status = Path("/proc/self/status").read_text()
    trial.set_user_attr("peak_mb", int(status.split("VmHWM:")[1].split()[0]) / 1024)
    return float(min(built.losses[::2]))


def main(checkout: str, storage: str, threads: int) -> None:
    """Train what waits in the study."""
    sys.path[0] = checkout
    torch.set_num_threads(threads)
    study = optuna.load_study(study_name=None, storage=JournalStorage(JournalFileBackend(storage)))
    waiting = (optuna.trial.TrialState.WAITING,)
    while study.get_trials(deepcopy=False, states=waiting):
        study.optimize(objective, n_trials=1)


if __name__ == "__main__":
    main(os.path.abspath(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
