"""`python -m tests.chaos --kills 300`: kill the engine everywhere, and compare the ends.

Each case is a search by the real engine: real graph and checkpoints, real database, a language
model behind a real address. Its engine is killed at a named point, at a random moment, or three
times in a row, and started again by the command that a person would give. It must end like the
search that nobody disturbed: the same trials, results, verdicts and incumbent, the same decisions
of the person; at most one question to a model and one training for each kill more, all booked.
"""

from __future__ import annotations

import ast
import random
import shutil
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import click

from informer import failpoint
from tests.chaos.compare import problems_of
from tests.chaos.forks import fast_folder
from tests.chaos.play import (
    NEVER,
    PATIENCE_SECONDS,
    Case,
    Hung,
    Kill,
    Moment,
    Played,
    import_all,
    play,
)
from tests.chaos.searches import KINDS
from tests.chaos.service import service

PROJECT = Path(__file__).resolve().parents[2]
OCCURRENCES = range(1, 5)
MOMENTS: tuple[Moment, ...] = ("kill", "term", "kill", "worker")
NAMES = {
    "kill": "SIGKILL at random",
    "term": "SIGTERM at random",
    "worker": "SIGKILL of a worker",
}


def names_in_the_source(part: str) -> set[str]:
    """Return the failpoints that a part of the project has."""
    return {
        str(node.args[0].value)
        for path in (PROJECT / part).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "failpoint"
        and isinstance(node.args[0], ast.Constant)
    }


OF_WORKERS = names_in_the_source("informer")
ALL = names_in_the_source("nas_engine") | OF_WORKERS


def matrix(calm: Mapping[str, Played], chance: random.Random) -> Iterator[Case]:
    """Yield a case for each failpoint and pass, in one of the searches that come there.

    Those of the run folder are passed by engines and by workers.
    """
    for occurrence in OCCURRENCES:
        for name in sorted(ALL):
            kinds = [
                kind
                for kind, played in calm.items()
                if played.passes.get(name, 0) >= occurrence * KINDS[kind].slots
            ]
            if kinds:
                yield Case(chance.choice(kinds), (Kill(name, occurrence),))
        for name in sorted(OF_WORKERS):
            yield Case("worker", (Kill(name, occurrence, "worker"),))


def at_random(calm: Mapping[str, Played], chance: random.Random) -> Iterator[Case]:
    """Yield kills at random moments: of engines, some by SIGTERM, and of workers."""
    kinds = list(calm)
    while True:
        for moment in MOMENTS:
            kind = "worker" if moment == "worker" else chance.choice(kinds)
            seconds = round(chance.uniform(0, 0.8 * calm[kind].seconds), 3)
            yield Case(kind, (Kill(moment=moment, seconds=seconds),))


def triples(calm: Mapping[str, Played], chance: random.Random) -> Iterator[Case]:
    """Yield three kills in a row, at points or at random moments, each in a third of a search."""
    kinds = list(calm)
    while True:
        kind = chance.choice(kinds)
        yield Case(kind, tuple(_early(calm[kind], chance) for _ in range(3)))


def _early(calm: Played, chance: random.Random) -> Kill:
    often = sorted(name for name, times in calm.passes.items() if times >= 6)
    if often and chance.random() < 0.6:
        name = chance.choice(often)
        return Kill(name, chance.randint(1, min(calm.passes[name] // 6, OCCURRENCES[-1])))
    return Kill(seconds=round(chance.uniform(0.02, calm.seconds / 5), 3))


class Tally:
    """What has been played so far, by kind of kill."""

    def __init__(self) -> None:
        self.cases: Counter[str] = Counter()
        self.clean: Counter[str] = Counter()
        self.kills: Counter[str] = Counter()
        self.seconds: defaultdict[str, float] = defaultdict(float)

    def add(self, what: str, played: Played, clean: bool) -> None:
        self.cases[what] += 1
        self.clean[what] += clean
        self.kills[what] += played.kills
        self.seconds[what] += played.seconds

    def print(self) -> None:
        for what, cases in sorted(self.cases.items()):
            click.echo(
                f"{what:32} {self.clean[what]:4} of {cases:4} the same, "
                f"{self.kills[what]:4} kills, {self.seconds[what]:6.1f} s"
            )


def what_kills(case: Case) -> str:
    """Return the kind of kill, for the table."""
    if len(case.kills) > 1:
        return f"{len(case.kills)} in a row"
    (kill,) = case.kills
    return f"{'worker, ' * kill.of_worker}{kill.point}" if kill.point else NAMES[kill.moment]


@click.command(help=__doc__)
@click.option("--kills", default=300, help="Searches that are killed once.")
@click.option("--triples", "threes", default=100, help="Searches that are killed three times.")
@click.option("--seed", default=1)
@click.option("--only", default="", help="Only cases whose text has this in it.")
@click.option("--case", "given", multiple=True, help="Play this case, as a failure names it.")
@click.option("--short", is_flag=True, help="Each point once only, then random moments.")
def main(
    kills: int, threes: int, seed: int, only: str, given: tuple[str, ...], short: bool
) -> None:
    """Kill engines, and compare."""
    for name in ALL:
        failpoint.arm(name, NEVER)  # which counts its passes
    import_all()
    tally = Tally()
    with tempfile.TemporaryDirectory(dir=fast_folder()) as folder:
        root = Path(folder)
        (root / "ledgers").mkdir()
        with service(root / "ledgers") as url:
            calm = _undisturbed(root, url)
            cases = [Case.read(text) for text in given] or _drawn(calm, kills, threes, seed, short)
            for case in cases:
                if only in str(case):
                    _try(case, root, url, calm[case.kind], tally)
    tally.print()
    same, total = tally.clean.total(), tally.cases.total()
    click.echo(f"seed {seed}: {same} of {total} the same, {tally.kills.total()} kills")
    passed = {name for played in calm.values() for name, times in played.passes.items() if times}
    if never := ALL - OF_WORKERS - passed:
        click.echo(f"FAILED: no search comes to {sorted(never)}")
    raise SystemExit(same < total or bool(never))


def _undisturbed(root: Path, url: str) -> dict[str, Played]:
    calm = {}
    for kind in KINDS:
        folder = root / f"calm-{kind}"
        calm[kind] = played = play(Case(kind), folder, url)
        if problems := problems_of(Case(kind), played, played, root / "ledgers"):
            click.echo(_log(folder))
            raise click.ClickException(f"undisturbed, {kind}: {'; '.join(problems)}")
        click.echo(f"undisturbed: {kind} ends in {played.seconds:.2f} s")
    return calm


def _try(case: Case, root: Path, url: str, calm: Played, tally: Tally) -> None:
    """Play a case, and say what is wrong with its end."""
    folder = root / f"case-{tally.cases.total()}"
    try:
        played = play(case, folder, url)
        while not played.kills and len(case.kills) == 1 and not case.kills[0].point:
            shutil.rmtree(folder)  # the search was over before its moment came
            folder = folder.with_name(f"{folder.name}-earlier")  # with a ledger of its own
            (kill,) = case.kills
            case = replace(case, kills=(replace(kill, seconds=round(kill.seconds / 2, 3)),))
            played = play(case, folder, url)
        problems = problems_of(case, played, calm, root / "ledgers")
    except Hung as error:
        played = Played(calm.workspace, "", 0, {}, PATIENCE_SECONDS)
        problems = [str(error)]
    tally.add(what_kills(case), played, not problems)
    if problems:
        click.echo(f"FAILED {case}: {'; '.join(problems)[:2000]}")
        click.echo(_log(folder))
        click.echo(f"again with: python -m tests.chaos --case '{case}'")
    shutil.rmtree(folder)


def _drawn(
    calm: Mapping[str, Played], kills: int, threes: int, seed: int, short: bool
) -> list[Case]:
    chance = random.Random(seed)
    points = list(matrix(calm, chance))
    if short:
        points = [case for case in points if case.kills[0].occurrence == 1]
    single = points[:kills]
    moments = at_random(calm, chance)
    single += [next(moments) for _ in range(kills - len(single))]
    three = triples(calm, chance)
    return single + [next(three) for _ in range(threes)]


def _log(folder: Path) -> str:
    log = folder / "engine.log"
    return log.read_text()[-3000:].strip() if log.exists() else ""


if __name__ == "__main__":
    main()
