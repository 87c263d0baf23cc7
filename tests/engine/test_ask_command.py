"""`ask` on the command line: the answer as it comes, the rows below, and what went wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner, Result

from nas_engine.chat.looked_up import LookedUp
from nas_engine.cli.main import main
from nas_engine.commands import Ask, Command, StopAnswer
from nas_engine.store import wishes
from nas_engine.store.writer import Writer
from nas_engine.supervisor import Answer
from nas_engine.workspace import Workspace
from tests.pages import seed

ROWS = LookedUp("trials", {"limit": 2}, ["number", "val_mse"], [[0, 0.5], [1, 0.48]], note="2 of 2")


@pytest.fixture
def ask(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Ask with an engine whose whole work is `act` on the new turn."""
    search_id = seed.small(workspace, 2)

    def ask(act: Callable[[Writer, int], None], question: str = "Which is best?") -> Result:
        def request(workspace: Workspace, command: Command, search_id: int, **_: Any) -> Answer:
            writer = Writer(workspace)
            try:
                match command:
                    case Ask():
                        act(writer, wishes.add_turn(writer, search_id, command.question, "ada"))
                        return Answer(True, "The question is put.", search_id)
                    case StopAnswer():
                        wishes.stop_turn(writer, command.turn_id)
                        return Answer(True, "The answer is stopped.", search_id)
                return Answer(False, "Unknown.", search_id)
            finally:
                writer.close()

        monkeypatch.setattr("nas_engine.cli.asking.request", request)
        monkeypatch.setattr("nas_engine.cli.asking.LOST_SECONDS", 0.0)
        arguments = ["ask", str(search_id), question, "--db", str(workspace.db)]
        return CliRunner().invoke(main, arguments)

    return ask


def test_an_answer_is_printed_with_the_rows_that_it_rests_on(ask: Callable[..., Result]) -> None:
    def act(writer: Writer, turn_id: int) -> None:
        wishes.answer_so_far(writer, turn_id, "Trial 1 \x1b[31mis best.", [ROWS.plain()])
        wishes.note_draft(writer, turn_id, 2)
        wishes.end_turn(writer, turn_id, "answered")

    ended = ask(act)
    assert ended.exit_code == 0, ended.output
    assert "Trial 1 [31mis best.\n" in ended.stdout and "\x1b" not in ended.stdout
    assert "trials (limit=2): 2 of 2\nnumber  val_mse\n0       0.5\n1       0.48" in ended.stdout
    assert "Trial 2 is drafted" in ended.stdout and "0 tokens" in ended.stderr


def test_a_turn_that_failed_says_why(ask: Callable[..., Result]) -> None:
    def act(writer: Writer, turn_id: int) -> None:
        wishes.end_turn(writer, turn_id, "failed", "The service is away. Ask again.")

    ended = ask(act)
    assert ended.exit_code == 2 and "The service is away. Ask again." in ended.stderr


def test_an_answer_whose_engine_is_lost_is_not_waited_for(ask: Callable[..., Result]) -> None:
    ended = ask(lambda writer, turn_id: None)
    assert ended.exit_code == 2 and "was lost; ask again" in ended.stderr


def test_ctrl_c_stops_the_answer(
    ask: Callable[..., Result], workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*of: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("nas_engine.cli.asking._follow", interrupt)
    ended = ask(lambda writer, turn_id: None)
    assert ended.exit_code == 130 and "The answer is stopped." in ended.stderr
    writer = Writer(workspace)
    turn = wishes.turn(writer.read, 1)
    writer.close()
    assert turn is not None and turn.stopping


def test_a_question_without_words_is_refused(ask: Callable[..., Result]) -> None:
    ended = ask(lambda writer, turn_id: None, question="  ")
    assert ended.exit_code == 2 and "question" in ended.stderr and "Traceback" not in ended.output
