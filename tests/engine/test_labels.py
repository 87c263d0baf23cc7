"""Names, tags and notes of searches, the archive, and saved views."""

from __future__ import annotations

import threading

import pytest
from pydantic import ValidationError

from nas_engine.audit import asked
from nas_engine.commands import Describe, send
from nas_engine.labels import (
    ADDRESS_LENGTH,
    NAME_LENGTH,
    describe,
    hidden,
    remove_view,
    save_view,
)
from nas_engine.store import wishes
from nas_engine.store.reader import reading
from nas_engine.store.rows import CommandRow, SearchRow
from nas_engine.workspace import Workspace
from tests.engine.conftest import Bench
from tests.engine.test_commands import done, refused
from tests.pages import seed

ODD = "ETTh1 – ☃ \u202e <b>*x*</b> 'quoted'"


def stored(workspace: Workspace) -> tuple[SearchRow, list[CommandRow]]:
    with reading(workspace) as reader:
        assert reader is not None
        search = reader.search(1)
        assert search is not None
        return search, wishes.commands(reader, 1)


def test_what_is_said_of_a_search_is_kept_together_with_who_said_it(workspace: Workspace) -> None:
    seed.small(workspace)
    command = Describe(edition=1, name=f"  {ODD} ", tags=("a", " b ", "a"), notes="one\ntwo")
    answer = describe(workspace, 1, command)
    assert (answer.ok, answer.text) == (True, "Search 1: saved name, tags, notes.")
    search, commands = stored(workspace)
    assert (search.name, search.tags, search.notes) == (ODD, ["a", "b"], "one\ntwo")
    assert search.title == ODD and search.edition == 2 and search.version == 1
    assert commands[-1].state == "applied" and commands[-1].author
    assert asked(commands[-1]) == f"describe name to {ODD}; tags to a, b; notes to 7 characters"


def test_what_is_not_named_stays_and_what_is_the_same_is_no_change(workspace: Workspace) -> None:
    seed.small(workspace)
    describe(workspace, 1, Describe(edition=1, name="first", tags=("a",), notes="n"))
    assert describe(workspace, 1, Describe(edition=2, tags=())).ok
    search, _ = stored(workspace)
    assert (search.name, search.tags, search.notes, search.edition) == ("first", [], "n", 3)
    answer = describe(workspace, 1, Describe(edition=3, name="first"))
    assert answer.ok and "already" in answer.text
    assert stored(workspace)[0].edition == 3


def test_an_older_edition_overwrites_nothing_and_is_recorded_as_refused(
    workspace: Workspace,
) -> None:
    seed.small(workspace)
    describe(workspace, 1, Describe(edition=1, notes="mine"))
    answer = describe(workspace, 1, Describe(edition=1, notes="yours"))
    assert not answer.ok and "by somebody else meanwhile" in answer.text
    search, commands = stored(workspace)
    assert search.notes == "mine"
    assert [row.state for row in commands] == ["applied", "refused"]


def test_of_many_who_describe_the_same_edition_one_is_heard(workspace: Workspace) -> None:
    seed.small(workspace)
    answers = []

    def say(number: int) -> None:
        answers.append(describe(workspace, 1, Describe(edition=1, name=f"by {number}")))

    threads = [threading.Thread(target=say, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    search, commands = stored(workspace)
    assert sum(answer.ok for answer in answers) == 1 and search.edition == 2
    assert sorted(row.state for row in commands) == ["applied", *["refused"] * 7]


def test_a_search_is_archived_at_rest_alone_and_comes_back(workspace: Workspace) -> None:
    search_id = seed.busy(workspace, alive=True)
    answer = describe(workspace, search_id, Describe(edition=1, archived=True))
    assert not answer.ok and "pause or stop it first" in answer.text
    assert describe(workspace, search_id, Describe(edition=1, name="at work")).ok


@pytest.mark.parametrize("lost", [False, True])
def test_an_archived_search_is_hidden_until_it_is_restored_or_worked_on(
    workspace: Workspace, lost: bool
) -> None:
    if lost:
        seed.busy(workspace, alive=False)
    else:
        seed.small(workspace)
    answer = describe(workspace, 1, Describe(edition=1, archived=True))
    assert answer.text == "Search 1: archived."
    search, _ = stored(workspace)
    assert hidden(search, "none") and hidden(search, "lost") and not hidden(search, "alive")
    assert describe(workspace, 1, Describe(edition=2, archived=False)).text == "Search 1: restored."
    assert not hidden(stored(workspace)[0], "none")


@pytest.mark.parametrize(
    "said",
    [
        {"name": "x" * 201},
        {"name": "\ud800"},
        {"notes": "x" * 20_001},
        {"tags": ["x" * 41]},
        {"tags": [" "]},
        {"tags": [str(number) for number in range(21)]},
        {"owner": "x"},
    ],
    ids=lambda said: next(iter(said)),
)
def test_what_is_said_is_bounded(said: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Describe.model_validate({"edition": 1, **said})


@pytest.mark.parametrize("unseen", ["\u200b", "\u202e\u2060", "\x07"])
def test_names_and_tags_that_nobody_can_see_are_refused(unseen: str) -> None:
    for said in ({"name": unseen}, {"tags": ("night", unseen)}):
        with pytest.raises(ValidationError, match="a character that can be seen"):
            Describe.model_validate({"edition": 1, **said})
    assert Describe(edition=1, name=f"seen{unseen}", notes=unseen).name == f"seen{unseen}"


def test_an_unknown_search_is_a_sentence(workspace: Workspace) -> None:
    seed.small(workspace)
    answer = describe(workspace, 7, Describe(edition=1, name="x"))
    assert not answer.ok and answer.text.startswith("There is no search 7")


def test_an_engine_that_finds_a_description_turns_it_down(bench: Bench) -> None:
    bench.search(planner="random", max_trials=1)
    send(bench.workspace, waiting := Describe(edition=1, name="x"), 1)
    bench.search(planner="random", max_trials=2)
    search, commands = stored(bench.workspace)
    row = next(row for row in commands if row.kind == waiting.kind)
    assert row.state == "refused" and "without an engine" in row.answer
    assert search.name == "" and search.finished == 2


def test_views_are_saved_replaced_and_removed(workspace: Workspace) -> None:
    seed.small(workspace)
    assert save_view(workspace, "compare", " best ", "trials=1.0").text == "The view best is saved."
    again = save_view(workspace, "compare", "best", "trials=1.0,1.2")
    assert again.ok and again.text == "The view best is replaced."
    assert save_view(workspace, "compare", ODD, "log=1").ok
    assert save_view(workspace, "live", "best", "search=1").ok
    with reading(workspace) as reader:
        assert reader is not None
        assert reader.views("compare") == {ODD: "log=1", "best": "trials=1.0,1.2"}
    assert remove_view(workspace, "compare", "best").ok
    assert not remove_view(workspace, "compare", "best").ok
    for name, address in (
        ("", "a"),
        ("\u200b", "a"),
        ("\u202e \u2060", "a"),
        ("x" * (NAME_LENGTH + 1), "a"),
        ("x", "a" * 16_001),
    ):
        assert not save_view(workspace, "compare", name, address).ok
    assert ADDRESS_LENGTH == 16_000
    with reading(workspace) as reader:
        assert reader is not None
        assert list(reader.views("compare")) == [ODD] and list(reader.views("live")) == ["best"]


# -- command line -------------------------------------------------------------------------------


def test_the_command_line_names_tags_and_archives(workspace: Workspace) -> None:
    seed.small(workspace)
    seed.all_failed(workspace)
    said = done(workspace, "describe", "1", "--name", "first", "--tag", "a", "--tag", "b")
    assert said == "Search 1: saved name, tags.\n"
    listed = done(workspace, "list")
    assert "first" in listed and "a, b" in listed
    done(workspace, "describe", "1", "--archive", "--no-tags")
    listed = done(workspace, "list")
    assert "first" not in listed and "1 archived; --all lists them too." in listed
    assert "first" in done(workspace, "list", "--all")
    assert "archive it" in done(workspace, "log", "1")
    done(workspace, "describe", "1", "--restore", "--name", "")
    assert stored(workspace)[0].title == stored(workspace)[0].spec.title()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["1"], "Say what to keep"),
        (["1", "--tag", "a", "--no-tags"], "not both"),
        (["1", "--tag", "x" * 41], "at most 40 characters"),
        (["9", "--name", "x"], "There is no search 9"),
    ],
)
def test_a_description_that_means_nothing_is_refused_with_a_sentence(
    workspace: Workspace, arguments: list[str], sentence: str
) -> None:
    seed.small(workspace)
    assert sentence in refused(workspace, "describe", *arguments)
