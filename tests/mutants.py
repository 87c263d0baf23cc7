"""`python -m tests.mutants`: break our own code in the ways that matter, and see the proofs fail.

A proof that passes whatever the code does proves nothing. Each proof is run on the code as it is,
where it must find nothing, and with each of its mutants, all of which it must find.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import click

from informer import rundir
from informer.failpoint import failpoint
from nas_engine import engine, graph, liveness
from nas_engine.store import writer
from nas_engine.store.schema import open_database
from tests import power_cut
from tests.chaos import leases
from tests.chaos.compare import problems_of
from tests.chaos.forks import ended_within, fast_folder, fork
from tests.chaos.play import PATIENCE_SECONDS, Case, Hung, Played, import_all, play
from tests.chaos.resumes import resumed_trainings
from tests.chaos.service import service

SECONDS = 180.0
HUNG_SECONDS = 5.0
"""After which a mutant counts as hung, and so as caught."""
CUTS = 100

Change = Callable[[], None]
Proof = Callable[[Path, str, Change], Iterable[str]]


def unchanged() -> None:
    """Change nothing."""


# -- proofs -------------------------------------------------------------------------------------


def chaos(*texts: str) -> Proof:
    """Return the proof that searches end the same when their engine is killed so."""

    def proof(root: Path, url: str, change: Change) -> Iterator[str]:
        (root / "ledgers").symlink_to(root.parent / "ledgers")
        calm: dict[str, Played] = {}
        for number, case in enumerate(map(Case.read, texts)):
            name = f"{root.name}-{number}"
            if case.kind not in calm:
                calm[case.kind] = play(Case(case.kind), root / f"{name}-calm", url)
            try:
                patience = PATIENCE_SECONDS if change is unchanged else HUNG_SECONDS
                played = play(case, root / name, url, change, patience)
            except Hung as error:
                yield f"{case}: {error}"
            else:
                found = problems_of(case, played, calm[case.kind], root / "ledgers")
                yield from (f"{case}: {problem}" for problem in found)

    return proof


def power(root: Path, url: str, change: Change) -> Iterator[str]:
    """Yield what is lost in power cuts."""
    change()
    proof, _ = power_cut.trials(power_cut.record_search(root), CUTS, seed=1)
    yield from (str(trial) for trial in proof if trial.count("none") < CUTS)


def late_writes(root: Path, url: str, change: Change) -> Iterator[str]:
    """Yield what is written by a process that was replaced."""
    change()
    yield from leases.late_writes(1, root)


def jumping_clocks(root: Path, url: str, change: Change) -> Iterator[str]:
    """Yield what jumps of the wall clock do."""
    change()
    yield from leases.jumping_clocks(root)


def resumes(root: Path, url: str, change: Change) -> Iterator[str]:
    """Yield how trainings that go on differ from others."""
    yield from resumed_trainings(root, change)


FINISHED_WORK = chaos("tpe/train.before_result:3")
COMMANDS = chaos("review/command.inside:3")


# -- mutants ------------------------------------------------------------------------------------


def train_again() -> None:
    _replace(graph, "_finished_before", lambda *_: None)


def do_not_wait_for_the_disk() -> None:
    _replace(writer, "open_database", lambda path, durable=True: open_database(path, False))


def answer_before_the_effect() -> None:
    apply = engine.Engine._apply

    def answered(self: Any, row: Any) -> None:
        self._writer.answer(row.id, True, "Done.")
        failpoint("command.inside")
        apply(self, row)

    _replace(engine.Engine, "_apply", answered)


def beat_by_the_wall_clock() -> None:
    for module in (liveness, writer):
        _replace(module, "boot_clock", lambda: time.time())


def write_without_a_lease() -> None:
    _replace(writer.Writer, "_check", lambda *_: None)


def forget_the_state() -> None:
    from informer import checkpoint

    load: Any = checkpoint.load
    _replace(checkpoint, "load", lambda *given: load(*given[:3], _Deaf(), *given[4:]))


class _Deaf:
    """A generator of the order of windows that stays as it is."""

    def set_state(self, state: object) -> None: ...


def trust_any_folder() -> None:
    _replace(rundir.RunDir, "_is_of", lambda *_: True)


def _replace(place: object, name: str, code: object) -> None:
    """Alter the code of this process, for good."""
    patch.object(place, name, code).start()


@dataclass(frozen=True)
class Mutant:
    """A fault in our own code, and the proof that must find it."""

    change: Change
    proof: Proof


MUTANTS: Mapping[str, Mutant] = {
    "no idempotency": Mutant(train_again, FINISHED_WORK),
    "wrong durability": Mutant(do_not_wait_for_the_disk, power),
    "commit before effect": Mutant(answer_before_the_effect, COMMANDS),
    "wall-clock heartbeat": Mutant(beat_by_the_wall_clock, jumping_clocks),
    "no fencing": Mutant(write_without_a_lease, late_writes),
    "blind resume: the state": Mutant(forget_the_state, resumes),
    "blind resume: the folder": Mutant(trust_any_folder, resumes),
}


def problem(root: Path, url: str, change: Change, proof: Proof) -> str:
    """Return the first thing that a proof finds, in a process of its own; empty: nothing."""
    root.mkdir()
    told = root / "told.txt"

    def find() -> None:
        told.write_text(next(iter(proof(root, url, change)), ""))

    code = ended_within(fork(find, root / "log.txt"), SECONDS)
    if code != 0:
        return f"the proof itself ended with {code}: {(root / 'log.txt').read_text()[-500:]}"
    return told.read_text()


@click.command(help=__doc__)
@click.option("--only", default="", help="Only mutants whose name has this in it.")
def main(only: str) -> None:
    """Let each mutant loose."""
    import_all()
    failures = 0
    chosen = {name: mutant for name, mutant in MUTANTS.items() if only in name}
    if any(mutant.proof is resumes for mutant in chosen.values()):
        import informer.training  # noqa: F401  # once: it takes seconds
    with tempfile.TemporaryDirectory(dir=fast_folder()) as folder:
        root = Path(folder)
        (root / "ledgers").mkdir()
        with service(root / "ledgers") as url:
            try_proof = partial(problem, url=url)
            for number, proof in enumerate(dict.fromkeys(m.proof for m in chosen.values())):
                if found := try_proof(root / f"sound-{number}", change=unchanged, proof=proof):
                    click.echo(f"FAILED: a proof finds fault with sound code: {found[:1500]}")
                    failures += 1
            for number, (name, mutant) in enumerate(chosen.items()):
                begun = time.monotonic()
                place = root / f"mutant-{number}"
                found = try_proof(place, change=mutant.change, proof=mutant.proof)
                caught = bool(found) and not found.startswith("the proof itself")
                failures += not caught
                took = f"{time.monotonic() - begun:4.1f} s"
                click.echo(f"{name:26} {'caught' if caught else 'SURVIVED'}, {took}: {found[:160]}")
    click.echo(f"{len(chosen)} mutants, {failures} failures")
    raise SystemExit(failures > 0)


if __name__ == "__main__":
    main()
