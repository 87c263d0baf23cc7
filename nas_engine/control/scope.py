"""What a command acts on, and the conditions that commands share."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

from informer.config import Value
from nas_engine.readiness import reasons_not_to_start
from nas_engine.search import SearchSpec
from nas_engine.settings import Settings
from nas_engine.standing import budgets, hours_text
from nas_engine.store import trainings
from nas_engine.store.rows import SearchRow, TrialRow
from nas_engine.store.writer import Writer


class Refused(Exception):
    """A command that cannot be applied; the message says why, and what to do."""


@dataclass(frozen=True)
class Scope:
    """What a command acts on: a search, as its engine holds it."""

    writer: Writer
    settings: Settings
    search_id: int
    at_work: Set[int]  # trials that are being planned, trained or judged at this moment
    begun: bool  # whether this engine has been told to start or to resume

    @property
    def search(self) -> SearchRow:
        """The search as it stands."""
        found = self.writer.read.search(self.search_id)
        assert found is not None, "an engine is only started for a search that exists"
        return found

    def reasons_not_to_start(self, spec: SearchSpec) -> list[str]:
        """Return why the search cannot go on, with the settings of `spec`."""
        workspace, finished = self.writer.workspace, self.search.finished
        return reasons_not_to_start(spec, self.settings, workspace, finished)

    @property
    def name(self) -> str:
        """The search, for sentences."""
        return f"Search {self.search_id}"


def configuration_of(
    number: int | None, trials: list[TrialRow], spec: SearchSpec
) -> dict[str, Value] | None:
    """Return the configuration that a proposal changes; None where there is no such trial."""
    if number is None:
        return spec.base().flat()
    return next((trial.config for trial in trials if trial.number == number), None)


def go_on(scope: Scope) -> None:
    """Let the search go on."""
    scope.writer.go_on(scope.search_id)
    scope.writer.touch(scope.search_id)


def run_again(scope: Scope) -> None:
    """Let a search that has ended take up what has been given to it; a paused one stays so."""
    if scope.search.state in ("completed", "stopped"):
        go_on(scope)


def demand(problems: list[str]) -> None:
    """Raise Refused with the problems, where there are any."""
    if problems:
        raise Refused(" ".join(problems))


def demand_rest(scope: Scope) -> None:
    """Raise Refused while what runs in a search that stops has not ended."""
    if scope.search.state == "stopping" and scope.at_work:
        raise Refused(f"{scope.name} is stopping still; it can go on when what runs has ended.")


def demand_not_stopping(scope: Scope) -> None:
    """Raise Refused where the search stops."""
    if scope.search.state == "stopping":
        raise Refused(f"{scope.name} is stopping; resume it first, when what runs has ended.")


def demand_time(scope: Scope) -> None:
    """Raise Refused where the budget of time is used up."""
    read, search = scope.writer.read, scope.search
    seconds = trainings.training_seconds(read, scope.search_id)
    for budget in budgets(search, read.spend(scope.search_id), seconds):
        if budget.name in ("hours", "training_hours") and budget.used >= budget.limit:
            limit = hours_text(budget.limit) + " of training" * (budget.name == "training_hours")
            raise Refused(
                f"{scope.name} has used up its {limit}; change that budget, and it goes on."
            )


def demand_version(scope: Scope, seen: int | None) -> None:
    """Raise Refused where the search is not as the person saw it."""
    search = scope.search
    if seen is not None and seen != search.version:
        raise Refused(
            f"{scope.name} was changed meanwhile (it is {search.state} now); look at it again."
        )
