"""What a search takes from earlier ones, and how alike their tasks are."""

from __future__ import annotations

import dataclasses
import itertools
import math
import random
from collections.abc import Sequence

import pytest
from pydantic import ValidationError

from data.registry import find
from data.traits import Traits, traits
from informer.config import Value
from informer.traits import Wanted, measured
from nas_engine import lessons
from nas_engine.cli.common import Refused
from nas_engine.cli.learning import with_lessons
from nas_engine.commands import Describe, Start
from nas_engine.labels import describe
from nas_engine.lessons import FIRST, PRIOR, First, Lessons, Source, evenly, kept, lessons_of
from nas_engine.planners.base import View
from nas_engine.planners.earlier import lessons_text, past_proposal, prior
from nas_engine.planners.question import ask_text
from nas_engine.planners.tpe import OptunaPlanner
from nas_engine.proposals import check
from nas_engine.search import Narrowing, SearchSpec
from nas_engine.settings import load_settings
from nas_engine.similarity import Similarity, Task, similarity
from nas_engine.store.reader import reading
from nas_engine.store.rows import Spend, TrialRow
from nas_engine.store.writer import Writer
from nas_engine.workspace import Workspace
from tests.engine.conftest import ONE_SEED, Bench
from tests.engine.recorded_search import recorded_spec
from tests.engine.rows import no_epochs, trial_row
from tests.fakes.recorded import RecordedTrainer
from tests.pages.seed import Seed

HOURLY = Traits(
    rows=8640, columns=7, step_seconds=3600, period=24, season=0.3, trend=0.7, drift=0.2
)
TASK = Task("ETTh1", "a" * 64, "M", "OT", 24, 96, HOURLY)
ALIKE = Similarity(0.8, (), same_data=True)

# -- similarity ---------------------------------------------------------------------------------


def drawn(generator: random.Random) -> Task:
    known = Traits(
        rows=generator.randint(100, 100_000),
        columns=generator.randint(1, 300),
        step_seconds=generator.choice([60.0, 3600.0, 86_400.0]),
        period=generator.choice([None, 7, 24, 168]),
        season=generator.random(),
        trend=generator.random(),
        drift=generator.random(),
    )
    features = generator.choice(["M", "S", "MS"])
    file = generator.choice(["a", "b", None])
    lengths = generator.randint(1, 720), generator.randint(2, 720)
    return Task("x", file, features, "OT", *lengths, generator.choice([known, None]))


def test_similarity_is_symmetric_within_0_and_1_and_1_for_the_same_task() -> None:
    generator = random.Random(0)
    for _ in range(200):
        one, other = drawn(generator), drawn(generator)
        there, back = similarity(one, other), similarity(other, one)
        assert there.value == pytest.approx(back.value, rel=1e-12)
        assert 0 < there.value <= 1
        assert similarity(one, one).value == 1


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("rows", (8640, 9000, 20_000, 200_000)),
        ("columns", (7, 8, 20, 200)),
        ("step_seconds", (3600.0, 7200.0, 86_400.0)),
        ("period", (24, 48, 168)),
        ("season", (0.3, 0.5, 1.0)),
        ("trend", (0.7, 0.4, 0.0)),
        ("drift", (0.2, 0.5, 1.0)),
        ("horizon", (24, 48, 96, 720)),
        ("look_back", (96, 168, 720)),
    ],
)
def test_similarity_falls_with_each_difference(name: str, values: Sequence[float]) -> None:
    found = [similarity(TASK, _other(name, value)).value for value in values]
    assert found == sorted(found, reverse=True)
    assert len(set(found)) == len(found)


def _other(name: str, value: float) -> Task:
    if name in ("horizon", "look_back"):
        return dataclasses.replace(TASK, **{name: int(value)})
    changed = HOURLY.model_copy(update={name: value})
    return dataclasses.replace(TASK, sha256="b" * 64, traits=changed)


def test_a_halving_distance_halves_and_the_words_name_what_differs() -> None:
    far = dataclasses.replace(TASK, horizon=24 * 8)
    assert similarity(TASK, far).value == pytest.approx(0.5)
    assert similarity(TASK, far).text == "0.50: same data; horizon 192 there, 24 here"
    gone = dataclasses.replace(TASK, sha256=None, dataset="gone", traits=None)
    assert similarity(TASK, gone).text == "0.50: data unknown"


def test_traits_look_at_no_test_rows_and_at_data_as_they_were_alone() -> None:
    found = traits(find("synthetic"), "M", "OT")
    assert (found.rows, found.columns, found.period) == (8640, 7, 24)
    assert found.season > 0.5  # it was made with a daily season
    same = Wanted(dataset="synthetic", features="M", target="OT", sha256=None)
    assert measured(same) == found
    assert measured(same.model_copy(update={"sha256": "0" * 64})) is None
    assert measured(same.model_copy(update={"features": "S", "target": "none"})) is None


# -- what is taken ------------------------------------------------------------------------------


def earlier(count: int = 40, **facts: object) -> list[TrialRow]:
    """Return trials of a search of which the larger learning rate and d_model are better."""
    rates, sizes = (1e-4, 1e-3, 1e-2), (16, 32, 64)
    spec = recorded_spec()
    grid = itertools.product(("none", "last", "revin"), (48, 96, 168), rates, sizes)
    found = []
    for number, (normalisation, look_back, rate, size) in enumerate(itertools.islice(grid, count)):
        config = {
            **spec.base().flat(),
            "model.normalisation": normalisation,
            "data.seq_len": look_back,
            "training.optimizer_params.lr": rate,
            "model.d_model": size,
        }
        error = 0.5 + 0.1 * rates.index(rate) - 0.01 * sizes.index(size) + 0.001 * number
        row = trial_row(number, {}, val_mse=error, parent=None, seeds=1, **facts)
        found.append(dataclasses.replace(row, config=config))
    return found


def taken(spec: SearchSpec, trials: Sequence[TrialRow], likeness: Similarity = ALIKE) -> Lessons:
    best = min(trials, key=lambda trial: trial.val_mse or math.inf).number
    return lessons_of([Source(3, "mine", recorded_spec(), likeness, trials, best, None)], spec)


def view(spec: SearchSpec, trials: Sequence[TrialRow], found: Lessons) -> View:
    accepted = [trial for trial in trials if trial.accepted]
    return View(
        search_id=9,
        number=len(trials),
        spec=spec,
        max_trials=20,
        incumbent=accepted[-1].number if accepted else None,
        trials=trials,
        baselines=(),
        epochs=no_epochs,
        noise=None,
        spend=Spend(0, 0, 0, 0.0, 0, 0.0),
        lessons=found,
    )


def start_row(spec: SearchSpec, error: float = 0.6) -> TrialRow:
    row = trial_row(0, {}, val_mse=error, accepted=True, source="default", seeds=1)
    return dataclasses.replace(row, config=spec.base().flat())


def test_as_many_trials_are_taken_as_the_similarity_allows_and_results_take_their_place() -> None:
    spec = recorded_spec()
    for value, most in ((1.0, PRIOR), (0.5, PRIOR // 2), (0.01, 0)):
        found = taken(spec, earlier(), Similarity(value, (), same_data=False))
        assert len(found.of[0].trials) == most
    found = taken(spec, earlier())
    counts = [sum(len(trials) for _, trials in found.prior(results)) for results in range(26)]
    assert counts == [max(0, 24 - results) for results in range(26)]


def test_trials_of_many_searches_are_no_more_than_of_one() -> None:
    several = [Source(at, "s", recorded_spec(), ALIKE, earlier(), 0, None) for at in range(1, 8)]
    found = lessons_of(several, recorded_spec())
    assert sum(len(lesson.trials) for lesson in found.of) <= PRIOR + len(several)
    assert len(found.first) <= FIRST


def test_items_are_spread_evenly_with_the_first_and_the_last() -> None:
    assert evenly(range(10), 4) == [0, 3, 6, 9]
    assert evenly(range(10), 1) == [0]
    assert evenly(range(3), 9) == [0, 1, 2]
    assert evenly([], 3) == []


def test_the_best_configurations_keep_the_task_and_the_space_of_the_new_search() -> None:
    spec = recorded_spec()
    settings = {**spec.settings, "data.pred_len": 96}
    space = {**spec.space, "model.normalisation": Narrowing(values=("none", "revin"))}
    spec = spec.model_copy(update={"settings": settings, "space": space})
    found = taken(spec, earlier(81))
    assert found.first
    for past in found.first:
        assert past.config["data.pred_len"] == 96
        assert past.config["model.normalisation"] in ("none", "revin")
        changes = {k: v for k, v in past.config.items() if v != spec.start()[k]}
        record = view(spec, [start_row(spec)], found).record
        assert check(record, spec.start(), changes, by="planner") == []
    configs = [tuple(past.config.items()) for past in found.first]
    assert len(set(configs)) == len(configs)
    assert "of search 3 (similarity 0.80)" in found.first[0].hypothesis


def test_past_configurations_come_first_each_once_and_end_where_one_disappoints() -> None:
    spec = recorded_spec()
    found = taken(spec, earlier())
    trials, better = [start_row(spec)], []
    while (proposal := past_proposal(view(spec, trials, found))) is not None:
        assert proposal.source == "past"
        config = {**view(spec, trials, found).base, **proposal.changes}
        better.append(config)
        row = trial_row(len(trials), {}, val_mse=0.5, source="past", accepted=False)
        trials.append(dataclasses.replace(row, config=config))
    assert better == [past.config for past in found.first]
    assert past_proposal(view(spec, [], found)) is None  # trial 0 is the start
    worse = dataclasses.replace(trials[1], val_mse=0.7)
    assert past_proposal(view(spec, [trials[0], worse], found)) is None


def test_trials_elsewhere_are_told_on_the_scale_of_the_results_here() -> None:
    spec, there = recorded_spec(), earlier()
    found = taken(spec, there)
    # Errors here are twice the square of those there.
    here = [
        dataclasses.replace(trial, number=at, val_mse=2 * (trial.val_mse or 0) ** 2)
        for at, trial in enumerate(there[::3])
    ]
    for told in prior(view(spec, here, found), here):
        actual = 2 * (there[told.trial.number].val_mse or 0) ** 2
        assert told.figures["val_mse"] == pytest.approx(actual, rel=0.15)


def test_a_search_that_the_results_contradict_is_told_no_more() -> None:
    spec, there = recorded_spec(), earlier()
    found = taken(spec, there)
    start = [start_row(spec)]
    assert prior(view(spec, start, found), start)
    against = [
        dataclasses.replace(trial, number=at, val_mse=1 / (trial.val_mse or 1))
        for at, trial in enumerate(there[::3])
    ]
    assert prior(view(spec, against, found), against) == []
    assert prior(view(spec, [], found), []) == []  # nothing to compare with yet


def test_a_prior_is_said_and_counts_to_the_start_of_the_model() -> None:
    spec = recorded_spec(planner="tpe")
    found = taken(spec, earlier())
    trials = [start_row(spec)]
    seen = view(spec, trials, found.model_copy(update={"first": ()}))

    def proposed(by: str, seen: View) -> tuple[dict[str, Value], str]:
        planner = OptunaPlanner("tpe" if by == "tpe" else "random")
        planner.observe(trials[0])
        proposal = planner.propose(seen)
        return proposal.changes, proposal.hypothesis

    changes, hypothesis = proposed("tpe", seen)
    assert "judged by 1 results and, as a prior, 23 trials of search 3" in hypothesis
    assert proposed("tpe", seen) == (changes, hypothesis)  # of the same, the same
    assert "Drawn at random: TPE models" in proposed("tpe", view(spec, trials, Lessons()))[1]
    assert "prior" not in proposed("random", seen)[1]


def test_settings_outside_the_space_are_left_out_of_the_prior() -> None:
    spec = recorded_spec()
    space = {**spec.space, "model.d_model": Narrowing(values=(64, 128))}
    spec = spec.model_copy(update={"space": space})
    found = taken(spec, earlier())
    planner, trials = OptunaPlanner("tpe"), [start_row(spec)]
    planner.observe(trials[0])
    for told in planner.study(view(spec, trials, found)).get_trials(deepcopy=False):
        if "search" in told.user_attrs:
            assert set(told.params) <= set(spec.space)
            assert told.params.get("model.d_model", 0) == 0  # 64 is the first of the list


def test_the_question_has_a_section_that_shrinks_and_is_not_there_without_lessons() -> None:
    spec = recorded_spec(planner="llm")
    trials = [start_row(spec)]
    without = view(spec, trials, Lessons())
    found = taken(spec, earlier())
    text = ask_text(view(spec, trials, found), "Propose.")
    assert "# Learned from earlier searches" in text
    assert "search 3, mine: similarity 0.80" in text
    section = lessons_text(view(spec, trials, found), 6)
    assert text.replace(section, "", 1) == ask_text(without, "Propose.")
    assert lessons_text(without, 6) == ""
    assert len(lessons_text(view(spec, trials, found), 1)) < len(section)


# -- in a search --------------------------------------------------------------------------------


def two_searches(workspace: Workspace, trials: int = 6) -> Bench:
    bench = Bench(workspace, RecordedTrainer())
    bench.search(**recorded_spec(max_trials=8, rules=ONE_SEED).model_dump())
    bench.search(**learning(trials).model_dump())
    return bench


def learning(trials: int = 6, **facts: object) -> SearchSpec:
    return recorded_spec(max_trials=trials, rules=ONE_SEED, lessons=(1,), **facts)


def test_what_is_taken_stays_whatever_becomes_of_the_earlier_search(workspace: Workspace) -> None:
    bench = two_searches(workspace)
    with reading(workspace) as reader:
        assert reader is not None
        before, first = reader.lessons(2), reader.trials(2)
        assert {trial.source for trial in first[1:2]} == {"past"}
        assert kept(reader, 2).of[0].search == 1
        assert View.of(reader, 2, 3).lessons == View.before(reader, 2, 3).lessons
        edition = reader.searches()[-1].edition
    assert describe(workspace, 1, Describe(edition=edition, archived=True)).ok
    bench.search(**recorded_spec(max_trials=10, rules=ONE_SEED).model_dump())  # 1 goes on
    bench.search(**learning(8).model_dump())  # and 2 too
    other = Workspace(workspace.db.parent / "other" / "nas.db")
    again = two_searches(other, 8)
    with reading(workspace) as reader, reading(again.workspace) as anew:
        assert reader is not None and anew is not None
        assert reader.lessons(2) == before == anew.lessons(2)
        resumed = [(trial.source, trial.changes) for trial in reader.trials(2)]
        assert resumed == [(trial.source, trial.changes) for trial in anew.trials(2)]


def test_a_search_learns_only_from_those_that_are_there_with_a_result(
    workspace: Workspace,
) -> None:
    bench = Bench(workspace, RecordedTrainer())
    answer = bench.give(Start(spec=learning()))
    assert (answer.state, answer.answer) == (
        "refused",
        "There is no earlier search 1 in this workspace to learn from.",
    )


def test_lessons_that_came_with_a_file_and_cannot_be_read_are_none(workspace: Workspace) -> None:
    writer = Writer(workspace)
    number = writer.open_search(SearchSpec())
    writer.keep_lessons(number, '{"of": [{"search": "![x](http://y)"}]}')
    assert kept(writer.read, number) == lessons.NOTHING
    writer.keep_lessons(number, "{}")
    assert writer.read.lessons(number).startswith('{"of"')  # what was recorded once stays
    writer.close()


def test_lessons_of_before_a_setting_was_added_say_what_it_was() -> None:
    config = SearchSpec().base().flat()
    assert config.pop("model.cycle") == "none"
    first = First.model_validate({"search": 1, "number": 2, "config": config, "hypothesis": "h"})
    assert first.config == SearchSpec().base().flat()
    del config["model.skip"]
    with pytest.raises(ValidationError, match="settings are missing"):
        First.model_validate({"search": 1, "number": 2, "config": config, "hypothesis": "h"})


def test_the_command_line_names_searches_or_takes_the_most_alike(workspace: Workspace) -> None:
    spec, settings = recorded_spec(), load_settings()

    def chosen(text: str) -> tuple[int, ...]:
        return with_lessons(spec, text, settings, workspace).lessons

    for text, refusal in (
        ("3;4", "takes ids of searches"),
        ("1", "There is no earlier search"),
    ):
        with pytest.raises(Refused, match=refusal):
            chosen(text)
    task = recorded_spec().settings
    for horizon, planner in ((24, "random"), (720, "random"), (24, "rules")):
        settings_of = {**task, "data.pred_len": horizon}
        seed = Seed(workspace, settings=settings_of, planner=planner)
        seed.writer.note_traits(seed.id, HOURLY.model_dump_json())
        if planner == "random":
            seed.propose(0, "default")
            seed.train(0, 0.5)
        seed.close()
    assert with_lessons(spec, None, settings, workspace).lessons == ()
    assert chosen("2,1,2") == (2, 1)
    with pytest.raises(Refused, match="Search 3 has no result yet"):
        chosen("1,3")
    assert chosen("auto") == (1,), "720 steps are too far from 24"
    begun = Seed(workspace, **spec.model_copy(update={"lessons": (2, 1)}).model_dump())
    begun.close()
    assert chosen("auto") == (2, 1), "the same command goes on with the search that it began"
