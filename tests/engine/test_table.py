"""The table of trials: filtered, sorted and paged in the database; all results as columns."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from informer.config import Value, from_flat
from informer.records import Success
from nas_engine.commands import Decide
from nas_engine.comparisons import of_results, of_trials
from nas_engine.proposals import Record, check, near_duplicates
from nas_engine.store import proposing, trainings
from nas_engine.store.reader import Reader, reading
from nas_engine.store.table import (
    ALL,
    Pulse,
    Query,
    QueryError,
    keys,
    known,
    page,
    parse,
    pulse,
    records,
    results,
    tried,
    varying,
)
from nas_engine.workspace import Workspace
from tests.pages import seed


@pytest.fixture
def reader(workspace: Workspace) -> Iterator[Reader]:
    seed.eventful(workspace)
    seed.small(workspace)
    with reading(workspace) as found:
        assert found is not None
        yield found


def amount(reader: Reader, query: Query) -> int:
    """Return how many trials a query has on all its pages."""
    return len(keys(reader, replace(query, limit=ALL)))


def numbers(reader: Reader, text: str = "", **facts: object) -> list[int]:
    query = Query(searches=(1,), terms=parse(text))
    found = page(reader, Query(**{**query.__dict__, **facts}))  # type: ignore[arg-type]
    return [trial.number for trial in found]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", [0, 1, 2, 3, 4, 5, 6, 7, 8]),
        ("val_mse<0.449", [1, 6]),
        ("state=failed", [2]),
        ("state=failed,crashed", [2, 5]),
        ("state!=completed,failed,crashed", [3, 7, 8]),
        ("state!=completed verdict=", [3, 7, 8]),
        ("verdict=accepted", [0, 1, 6]),
        ("d_model>=128", [2, 8]),
        ("model.d_model<128 source=llm", [3, 6]),
        ("normalisation=standardise", [1, 2, 3, 4, 5, 6, 7, 8]),
        ("parameters>150000 seconds<60", [4, 6]),
        ("residuals", [8]),
        ('"heavy tails" source=llm', [8]),
        ("author=ada decision=rejected", [3]),
        ("nothing-like-this", []),
    ],
)
def test_a_filter_holds_figures_facts_settings_and_words(
    reader: Reader, text: str, wanted: list[int]
) -> None:
    assert numbers(reader, text) == wanted
    assert amount(reader, Query((1,), parse(text))) == len(wanted)


def test_a_page_is_sorted_by_any_column_with_what_has_none_last(reader: Reader) -> None:
    assert numbers(reader, sort="val_mse") == [6, 1, 4, 0, 2, 3, 5, 7, 8]
    assert numbers(reader, sort="val_mse", descending=True)[:4] == [0, 4, 1, 6]
    assert numbers(reader, sort="d_model", descending=True, limit=2) == [2, 8]
    assert numbers(reader, sort="val_mse", offset=2, limit=3) == [4, 0, 2]


def test_trials_of_several_searches_stand_in_one_table(reader: Reader) -> None:
    found = page(reader, Query((1, 2), sort="val_mse"))
    assert {trial.search_id for trial in found} == {1, 2}
    assert (
        amount(reader, Query((1, 2)))
        == len(found)
        == amount(reader, Query((1,))) + amount(reader, Query((2,)))
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("loss<1", "is no figure"),
        ('"half', "not closed"),
        ("x'; DROP TABLE trials; --=1", "not closed"),
        ("__class__=1", "is no figure"),
        ("val_mse<O.4", "is a number"),
        ("val_mse<0,4", "is a number"),
        ("val_mse<", "is a number"),
        ("val_mse<nan", "is a number"),
        ("d_model=wide", "is a number"),
        ("state>5", "is a word"),
        ("normalisation<x", "is a word"),
    ],
)
def test_a_filter_that_means_nothing_is_refused_with_a_sentence(text: str, told: str) -> None:
    with pytest.raises(QueryError, match=told):
        parse(text)


def test_what_is_typed_is_data(reader: Reader) -> None:
    for text in ("a%e", "'); DROP TABLE trials; --", 'source="llm\' OR 1=1"', "\u202e☃"):
        escaped = json.dumps(text) if "'" in text and '"' not in text else text
        assert numbers(reader, escaped) == []
    assert amount(reader, Query((1,))) == 9


def test_words_are_found_in_replies_where_they_are_asked_for(reader: Reader) -> None:
    for text, wanted in (("JSON object", [3]), ('"a longer LOOK-BACK"', [6])):
        assert numbers(reader, text) == []
        assert numbers(reader, text, exchanges=True) == wanted


def test_letters_beyond_ascii_find_themselves(workspace: Workspace) -> None:
    own = seed.Seed(workspace)
    own.propose(0, "default", hypothesis="GRÖSSE hilft")
    own.close()
    with reading(workspace) as found:
        assert found is not None
        assert numbers(found, "GRÖSSE") == numbers(found, "grÖsse Hilft") == [0]


def test_all_results_stand_in_columns_with_how_they_differ_from_trial_0(reader: Reader) -> None:
    found = results(reader, [1])
    trials = reader.trials(1)
    assert found.number == tuple(trial.number for trial in trials)
    assert found.val_mse == tuple(trial.val_mse for trial in trials)
    assert found.accepted == tuple(trial.accepted for trial in trials)
    for trial, differences in zip(trials, found.differences, strict=True):
        assert found.starts[1] | json.loads(differences) == trial.config
    assert results(reader, [99]).number == ()


def test_findings_are_the_same_of_columns_and_of_whole_trials(reader: Reader) -> None:
    search = reader.search(1)
    assert search is not None
    whole = of_trials(reader.trials(1), search.spec.start())
    assert of_results(results(reader, [1])) == whole
    assert len(whole) > 1


def test_a_proposal_is_checked_against_columns_as_against_whole_trials(reader: Reader) -> None:
    search = reader.search(1)
    assert search is not None
    whole, light = reader.trials(1), tried(results(reader, [1]))
    records = Record(search.spec, whole), Record(search.spec, light)
    for trial in whole:
        config = from_flat(trial.config)
        near, same = (near_duplicates(record, config) for record in records)
        assert [row.number for row in near] == [row.number for row in same]
        assert trial.number in [row.number for row in near]
        sentences, others = (
            check(record, whole[0].config, trial.changes, by="person") for record in records
        )
        assert sentences == others
    assert records[0].slowness == records[1].slowness


def test_what_is_kept_for_a_search_is_read_anew_whatever_changes_in_it(
    workspace: Workspace,
) -> None:
    sample = seed.Seed(workspace, mode="review")
    seen: list[Pulse] = []

    def beats() -> None:
        seen.append(pulse(sample.writer.read, sample.id))
        assert len(set(seen)) == len(seen), "nothing told of this change"

    beats()
    sample.propose(0, "default")
    beats()
    run = trainings.begin_run(sample.writer, sample.id, 0, 1)
    beats()
    result = Success(
        val_mse=0.5,
        val_mae=0.5,
        test_mse=0.5,
        test_mae=0.5,
        best_epoch=1,
        epochs=1,
        parameters=9,
        seconds=1.0,
        device="cpu",
    )
    trainings.complete(sample.writer, sample.id, 0, run, result)
    beats()
    sample.judge(0)
    beats()
    proposal = sample.propose(1, "tpe", 0, {"model.dropout": 0.3}, waiting=True)
    beats()
    changes: dict[str, Value] = {"model.dropout": 0.2}
    edited = (changes, from_flat({**sample.config(0), **changes}), "small")
    proposing.decide(sample.writer, proposal, 1, "edited", "ada", "", edited)
    sample.asked(Decide(proposal_id=proposal, version=1, decision="edited"), "Trial 1 edited.")
    beats()
    sample.close()


def test_a_trial_keeps_a_few_points_of_its_curve(reader: Reader) -> None:
    trial = reader.trial(1, 6)
    assert trial is not None
    curve = [row.val_mse for row in reader.epochs(1, [6])]
    assert trial.spark == pytest.approx(curve, rel=1e-3)


def test_what_varies_is_named_most_often_changed_first(reader: Reader) -> None:
    found = varying(reader, [1])
    assert found[0] == "model.normalisation" and "data.pred_len" not in found
    assert "data.pred_len" in varying(reader, [1, 2])
    assert varying(reader, []) == []


def test_finished_trials_and_their_curves_are_read_alone(reader: Reader) -> None:
    found = keys(reader, Query((1, 2), parse("val_mse!= val_mse<0.6"), limit=ALL))
    assert found == [(2, 0), (1, 1), (1, 4), (1, 6)]
    points = trainings.curves(reader, [(2, 0), (1, 6), (9, 9)])
    assert [point[:3] for point in points] == [
        (s, n, e) for s, n in ((1, 6), (2, 0)) for e in range(1, 7)
    ]
    assert min(point[4] or 9.0 for point in points) == 0.3876
    assert known(reader, [(1, 6), (1, 99), (3, 0)]) == {(1, 6)}


def test_records_hold_all_pages_with_the_settings_that_vary(reader: Reader) -> None:
    rows = list(records(reader, Query((1,), parse("source=tpe"), sort="val_mse", limit=1)))
    assert [row["number"] for row in rows] == [1, 4, 2, 7]
    assert rows[1]["data.batch_size"] == 64 and rows[0]["data.batch_size"] == 32
    assert rows[1]["verdict"] == "rejected" and "data.pred_len" not in rows[0]
