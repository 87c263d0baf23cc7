"""The life of a trial as records, and their export."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from informer.config import from_flat
from nas_engine.cli.main import main
from nas_engine.plaintext import code_span, fenced
from nas_engine.proposals import Proposal
from nas_engine.service.cost import Booking
from nas_engine.store import calling, proposing, wishes
from nas_engine.store.provenance import spend_by_role
from nas_engine.store.reader import Reader, reading
from nas_engine.store.rows import SearchRow
from nas_engine.store.table import ALL, Query, keys, parse
from nas_engine.transcript import KEYS, Format, Life, exported, found_words, lives
from nas_engine.workspace import PROJECT, Workspace
from tests.pages import seed

HOSTILE = (
    seed.EVIL,
    "```\n![x](http://198.51.100.7/a.png)\n```",
    "`" * 40 + "\n<img src=x>\n" + "`" * 41,
    "~~~\n<script>alert(1)</script>\n~~~",
    "`` ` `` ![x](http://198.51.100.7/a.png) ` <img src=x> ``",
    "a\r![x](http://198.51.100.7/a.png)\u2028![y](http://198.51.100.7/b.png)",
    "\n\n# heading\n\n[a]: http://198.51.100.7 'x'\n[a]\n- <b>x</b>",
    "\u202egnp.x\u0000",
    "",
    "   \n    \n",
)


@pytest.fixture
def written(workspace: Workspace) -> seed.Seed:
    """A search with a proposal that was asked for again, then edited, then trained."""
    own = seed.Seed(workspace, planner="llm", mode="review")
    own.propose(0, "default")
    own.train(0, 0.7)
    proposal = own.propose(
        1, "llm", 0, {"model.dropout": 0.4}, "Trial 0 (0.7) is wide.", waiting=True
    )
    own.call(1, "refused", "no JSON", "The reply holds no JSON object.")
    own.call(1, "used", "first answer")
    proposing.ask_again(own.writer, proposal, 1, "ada", "Smaller steps, please.")
    own.call(1, "used", "second answer")
    better = Proposal(source="llm", parent=0, changes={"model.dropout": 0.2}, hypothesis="Less.")
    config = from_flat({**own.config(0), **better.changes})
    proposing.propose_again(own.writer, proposal, 2, better, config)
    edited = {"model.dropout": 0.1}
    config = from_flat({**own.config(0), **edited})
    proposing.decide(
        own.writer, proposal, 3, "edited", "bob", "Less still.", (edited, config, "small")
    )
    own.train(1, 0.6, 0.62)
    return own


def search_of(reader: Reader) -> SearchRow:
    search = reader.search(1)
    assert search is not None
    return search


def lines(reader: Reader, form: Format = "jsonl", beside: bool = True) -> list[str]:
    everything = keys(reader, Query((1,), limit=ALL))
    return list(exported(reader, search_of(reader), form, everything, beside=beside))


def told(reader: Reader) -> list[dict[str, object]]:
    return [json.loads(line) for line in "".join(lines(reader)).splitlines()]


def life_of(reader: Reader, number: int) -> Life:
    return lives(reader, 1, reader.listed([(1, number)]))[0]


def test_a_transcript_begins_with_what_the_search_wants_and_learns_from(
    workspace: Workspace,
) -> None:
    number = seed.traded(workspace, at_most={"latency_ms": 8.0})
    with reading(workspace) as reader:
        row = reader.search(number) if reader else None
        assert reader is not None and row is not None
        learning = replace(row, spec=row.spec.model_copy(update={"lessons": (3, 5)}))
        plain, told = (next(exported(reader, one, "md", [])) for one in (row, learning))
    assert "- aims: ` It trades the error against parameters and latency, under 8 ms." in plain
    assert "learns from" not in plain
    assert "- learns from: ` search 3, search 5 `" in told


def test_steps_stand_in_the_order_in_which_they_were_taken(written: seed.Seed) -> None:
    found = [row for row in told(written.writer.read) if row["trial"] == 1]
    assert [row["kind"] for row in found] == [
        *("exchange", "exchange", "proposal", "asked again"),
        *("exchange", "proposal", "decision", "run", "run", "verdict"),
    ]
    moments = [row["at"] for row in found if row["kind"] != "proposal"]
    assert moments == sorted(moments, key=lambda at: float(str(at)))
    first, second = (row for row in found if row["kind"] == "proposal")
    assert (first["version"], first["changes"]) == (1, {"model.dropout": 0.4})
    assert (second["version"], second["changes"]) == (3, {"model.dropout": 0.2})
    (asked,) = (row for row in found if row["kind"] == "asked again")
    assert (asked["author"], asked["hint"]) == ("ada", "Smaller steps, please.")
    (decision,) = (row for row in found if row["kind"] == "decision")
    assert (decision["decision"], decision["changes"]) == ("edited", {"model.dropout": 0.1})
    assert isinstance(decision["waited_seconds"], float)
    verdict = found[-1]
    assert (verdict["incumbent"], verdict["seeds"], verdict["value"]) == (0, 2, 0.61)
    assert verdict["accept_above"] == 0.02


def test_every_record_has_the_documented_keys(written: seed.Seed) -> None:
    found, page = told(written.writer.read), (PROJECT / "docs" / "transcript.md").read_text("utf-8")
    assert {str(row["kind"]) for row in found} == set(KEYS)
    for row in found:
        assert list(row) == ["kind", "search", "trial", "at", *KEYS[str(row["kind"])]]
    for kind, names in KEYS.items():
        assert f"| `{kind}` | {', '.join(f'`{name}`' for name in names)} |" in page


def test_exchanges_of_replays_are_no_steps_of_their_trial(written: seed.Seed) -> None:
    writer = written.writer
    replay = wishes.add_replay(writer, 1, 1, "llm", "other", "ada")
    calling.reserve_call(
        writer,
        *(1, 1, "replay", 0, "other", [{"role": "user", "content": "again"}]),
        *(Booking(10, 0.5), "http://127.0.0.1", None, 10),
        replay_id=replay,
    )
    found = told(writer.read)
    assert [row["role"] for row in found if row["kind"] == "exchange"] == ["planner"] * 3 + [
        "replay"
    ]
    assert found[-1]["role"] == "replay"
    assert all(call.role == "planner" for call in life_of(writer.read, 1).calls)
    planner, beside = spend_by_role(writer.read, 1)
    assert (planner.role, planner.calls, planner.used) == ("planner", 3, 2)
    assert (beside.role, beside.calls, beside.used, beside.booked_usd) == ("replay", 1, 0, 0.5)
    assert all("replay" not in line for line in lines(writer.read, beside=False))


def test_words_are_found_in_hints_and_earlier_versions_with_what_stands_around_them(
    written: seed.Seed,
) -> None:
    reader = written.writer.read
    for words, place in (
        ("'smaller STEPS'", "hint"),
        ("'is wide'", "hypothesis of version 1"),
        ("'first answer'", "answer of exchange 2"),
        ("'less still'", "comment"),
    ):
        terms = parse(words)
        assert keys(reader, Query((1,), terms, exchanges=True)) == [(1, 1)]
        (found,) = found_words(life_of(reader, 1), terms)
        assert found.place == place
        assert found.word.lower() == words.strip("'").lower()
    (found,) = found_words(life_of(reader, 1), parse("wide val_mse<0.7"))
    assert (found.before, found.after) == ("Trial 0 (0.7) is ", ".")


def outside_code(markdown: str) -> str:
    """Return what CommonMark reads of a text: without fenced blocks (4.5) and code spans (6.1)."""
    kept, fence = [], ""
    for line in re.split(r"\r\n|\n|\r", markdown):
        mark = re.match(r" {0,3}(`{3,}|~{3,})([^`]*)$", line)
        if fence:
            ends = mark and mark[1].startswith(fence) and not mark[2].strip()
            fence = "" if ends else fence
        elif mark:
            fence = mark[1]
        else:
            kept.append(re.sub(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", "", line))
    assert not fence, "a block is not closed"
    return "\n".join(kept)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_text_cannot_leave_its_block_or_span_of_markdown(text: str) -> None:
    shown = f"- name: {code_span(text)}\n\nreply:\n\n{fenced(text)}\nend"
    assert outside_code(shown) == "- name: \n\nreply:\n\nend"


def test_an_export_of_hostile_words_shows_no_image_link_or_html(workspace: Workspace) -> None:
    seed.eventful(workspace)
    ended = CliRunner().invoke(main, ["transcript", "1", "--db", str(workspace.db)])
    assert ended.exit_code == 0, ended.output
    assert "198.51.100.7" in ended.output
    read = outside_code(ended.output)
    assert not re.search(r"[<>\[\]!]|://|198", read)
    assert "\n## Trial 3\n" in read and "\n### Exchange 2 with a language model" in read


def test_the_command_writes_one_trial_to_a_file_and_refuses_an_unknown_one(
    workspace: Workspace, tmp_path: Path
) -> None:
    seed.eventful(workspace)
    file, db = tmp_path / "t.jsonl", ["--db", str(workspace.db)]
    asked = ["transcript", "1", "--trial", "3", "--format", "jsonl", "--output", str(file)]
    assert CliRunner().invoke(main, [*asked, *db]).exit_code == 0
    rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    assert {row["trial"] for row in rows} == {None, 3}
    refused = CliRunner().invoke(main, ["transcript", "1", "--trial", "42", *db])
    assert (refused.exit_code, refused.output) == (2, "Error: Search 1 has no trial 42.\n")
    nowhere = ["transcript", "1", "--output", str(tmp_path / "no" / "t.md"), *db]
    assert "cannot be written" in CliRunner().invoke(main, nowhere).output
