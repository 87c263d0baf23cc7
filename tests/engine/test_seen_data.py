"""A search keeps to the data that it began with."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable

import pytest
from click.testing import CliRunner

from data.choices import Choices
from data.registry import DATASETS, RECORD, Dataset, Record, find, own_folder
from informer.files import replace_text
from informer.records import Environment, Success, UsedData
from informer.rundir import RunDir
from nas_engine.api import AgentState, load_agent_state
from nas_engine.cli.looking import show
from nas_engine.commands import Control
from nas_engine.search import SearchSpec
from nas_engine.store.reader import reading
from nas_engine.store.rows import RunRow
from nas_engine.store.writer import Writer
from nas_engine.trainers.base import Ended, Watch
from tests.engine.conftest import ONE_SEED, Bench
from tests.fakes.trainer import FakeTrainer

SPEC = {
    "settings": {"data.dataset": "mine", "data.target": "a"},
    "rules": ONE_SEED,
}


def add(values: str = "first", past_only: tuple[str, ...] = (), **choices: object) -> Dataset:
    """Record, or replace, a data set of 600 hours; `values` stands for its file."""
    facts = Record(
        description="For tests",
        columns=("a", "b"),
        target="a",
        past_only=past_only,
        known_future=(),
        frequency="h",
        season=24,
        split_rows=(420, 60, 120),
        sha256=hashlib.sha256(values.encode()).hexdigest(),
        source="/from/given.csv",
        source_sha256="",
        choices=Choices.model_validate(choices),
        done=(),
    )
    folder = own_folder() / "mine"
    folder.mkdir(parents=True, exist_ok=True)
    replace_text(folder / RECORD, facts.model_dump_json())
    return find("mine")


def record_environment(folder: RunDir, data: UsedData) -> None:
    """Write what a worker writes about what it trains on."""
    found = Environment(
        versions={},
        commit=None,
        changed=None,
        platform="here",
        device="fake",
        threads=1,
        seed=2021,
        data=data,
    )
    replace_text(folder.environment, found.model_dump_json())


class Recording(FakeTrainer):
    """Leaves a record of its data, which is that of now unless it was given other."""

    data: UsedData | None = None
    then: Callable[[], None] = staticmethod(lambda: None)  # done when a training has ended

    def train(self, run: RunDir, watch: Watch) -> Success | Ended:
        record_environment(run, self.data or UsedData.of(find("mine")))
        result = super().train(run, watch)
        self.then()
        return result


@pytest.fixture
def recording(bench: Bench) -> Bench:
    bench.trainer = Recording()
    return bench


def runs(bench: Bench, number: int) -> list[RunRow]:
    with reading(bench.workspace) as reader:
        assert reader is not None
        return reader.runs(1, number)


def resumed(bench: Bench, trials: int) -> AgentState:
    """Let search 1 go on to more trials."""
    writer = Writer(bench.workspace)
    writer.change(1, SearchSpec.model_validate({**SPEC, "max_trials": trials}))
    writer.close()
    assert bench.give(Control(kind="resume"), 1).state == "applied"
    return load_agent_state(bench.workspace.db, 1)


def test_a_search_and_its_trainings_say_which_data_they_saw(recording: Bench) -> None:
    dataset = add(scaling="robust")
    used = recording.search(**SPEC, max_trials=1).search.used
    assert used is not None and used == UsedData.of(dataset)
    assert (used.name, used.source, used.scaling) == ("mine", "given.csv", "robust")
    assert used.rows == 600 and used.splits["test"] == (480, 600)
    assert [run.data_sha256 for run in runs(recording, 0)] == [dataset.sha256]
    shown = CliRunner().invoke(show, ["--db", str(recording.workspace.db)]).output
    assert (
        "Data: mine from given.csv, 420 + 60 + 120 rows, robust scaling, "
        f"SHA-256 {dataset.sha256}\n"
    ) in shown
    as_json = CliRunner().invoke(show, ["--db", str(recording.workspace.db), "--json"]).output
    assert json.loads(as_json)["search"]["data"]["sha256"] == dataset.sha256


def test_what_has_no_file_has_no_checksum(bench: Bench) -> None:
    state = bench.search(settings={"data.dataset": "synthetic"}, rules=ONE_SEED, max_trials=1)
    assert state.search.used is not None and state.search.used.sha256 is None
    assert [run.data_sha256 for run in runs(bench, 0)] == [""]


def test_a_search_whose_data_set_was_replaced_pauses_and_says_what_changed(
    recording: Bench,
) -> None:
    before = add()
    recording.search(**SPEC, max_trials=1)
    now = add("second")
    paused = resumed(recording, trials=3)
    assert paused.search.state == "paused" and len(paused.trials) == 1
    assert paused.search.reason == (
        "Data set mine was replaced since this search began: its SHA-256 is "
        f"{now.sha256[:8]}…, not {before.sha256[:8]}…. Put the data back as they were and resume, "
        "or start a new search: errors on other data do not compare."
    )
    add()
    assert resumed(recording, trials=3).search.state == "completed"


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        ({"scaling": "minmax"}, "it is scaled minmax, not standard"),
        ({"past_only": ("b",)}, "its past-only columns are b, not none"),
    ],
)
def test_other_choices_about_the_same_file_are_other_data(
    recording: Bench, choices: dict[str, object], said: str
) -> None:
    add()
    recording.search(**SPEC, max_trials=1)
    add(**choices)  # type: ignore[arg-type]
    assert said in resumed(recording, trials=3).search.reason


def test_the_same_settings_on_replaced_data_are_a_new_search(recording: Bench) -> None:
    add()
    first = recording.search(**SPEC, max_trials=1).search
    add("second")
    second = recording.search(**SPEC, max_trials=1).search
    assert second.id != first.id and second.state == "completed"
    assert recording.search(**SPEC, max_trials=2).search.id == second.id, "it is found again"
    add()
    assert recording.search(**SPEC, max_trials=2).search.id == first.id


def test_a_search_whose_data_set_goes_while_it_runs_pauses(recording: Bench) -> None:
    add()
    trainer = recording.trainer
    assert isinstance(trainer, Recording)
    trainer.then = lambda: shutil.rmtree(own_folder() / "mine")
    paused = recording.search(**SPEC, max_trials=3).search
    assert paused.state == "paused" and paused.finished == 1
    assert "'mine' is not known" in paused.reason and "add them again, then" in paused.reason


def test_a_search_whose_data_set_has_gone_does_not_go_on(recording: Bench) -> None:
    add()
    recording.search(**SPEC, max_trials=1)
    writer = Writer(recording.workspace)
    writer.set_search_state(1, "running")
    writer.close()
    shutil.rmtree(own_folder() / "mine")
    answer = recording.give(Control(kind="resume"), 1)
    assert answer.state == "refused" and "data.dataset must be one of" in answer.answer


def test_a_training_that_saw_other_data_has_no_result(recording: Bench) -> None:
    add()
    trainer = recording.trainer
    assert isinstance(trainer, Recording)
    now = UsedData.of(find("mine"))
    trainer.data = now.model_copy(update={"sha256": "f" * 64})
    state = recording.search(**SPEC, max_trials=1)
    (run,) = runs(recording, 0)
    assert (run.state, run.error_class, run.val_mse) == ("failed", "data", None)
    assert f"of mine its SHA-256 is ffffffff…, not {now.checksum}" in run.error
    assert state.search.incumbent is None


def test_a_search_from_before_keeps_to_the_data_of_its_first_training(
    recording: Bench,
) -> None:
    add()
    recording.search(**SPEC, max_trials=1)
    forget_data(recording)
    assert resumed(recording, trials=2).search.used == UsedData.of(find("mine"))
    forget_data(recording)
    add("second")
    paused = resumed(recording, trials=3).search
    assert paused.state == "paused" and "was replaced" in paused.reason
    assert paused.used is not None and paused.used.sha256 != find("mine").sha256


def forget_data(bench: Bench) -> None:
    """Make search 1 one of before searches kept their data."""
    writer = Writer(bench.workspace)
    writer._db.execute("UPDATE searches SET data = '' WHERE id = 1")
    writer.close()


def test_an_earlier_record_of_a_training_differs_in_nothing_that_it_does_not_tell() -> None:
    now = UsedData.of(DATASETS["ETTh1"])
    told = {"name", "sha256", "generated", "rows", "splits"}
    before = UsedData.model_validate_json(now.model_dump_json(include=told))
    assert before.scaling is None and before.differences(now) == []
