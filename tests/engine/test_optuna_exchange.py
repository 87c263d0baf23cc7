"""A search becomes an Optuna study, and a study a search whose figures are said to be others'."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import optuna
import pytest
from click.testing import CliRunner
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from nas_engine.api import load_agent_state
from nas_engine.cli.main import main
from nas_engine.exchange.archive import ExchangeError
from nas_engine.exchange.from_optuna import Reading, Taken, import_study
from nas_engine.exchange.to_optuna import SETTINGS, Written, export_study
from nas_engine.store.reader import reading
from nas_engine.workspace import Workspace
from tests.engine.exchanged import all_rows
from tests.pages import seed

Ask = Callable[[optuna.Trial], float]


def exported(workspace: Workspace, address: str, number: int = 1) -> Written:
    with reading(workspace) as reader:
        search = reader.search(number) if reader else None
        assert reader is not None and search is not None
        return export_study(reader, search, address, "ours")


def loaded(address: str) -> optuna.Study:
    storage = address if "://" in address else journal(address)
    return optuna.load_study(study_name="ours", storage=storage)


def studied(folder: Path, objective: Ask, trials: int = 4, **more: Any) -> str:
    """Return the address of a study that somebody else has made."""
    address = str(folder / "theirs.log")
    sampler = optuna.samplers.RandomSampler(seed=1)
    study = optuna.create_study(
        storage=journal(address), study_name="theirs", sampler=sampler, **more
    )
    study.optimize(objective, n_trials=trials)
    return address


def journal(address: str) -> JournalStorage:
    return JournalStorage(JournalFileBackend(address))


def widths(trial: optuna.Trial) -> float:
    return trial.suggest_float("lr", 1e-5, 1e-2, log=True) + trial.suggest_int("d_model", 2, 3) / 10


@pytest.mark.parametrize("address", ["sqlite:///{}/study.db", "{}/study.log"])
def test_a_search_goes_to_a_study_and_comes_back(
    workspace: Workspace, tmp_path: Path, address: str
) -> None:
    number, address = seed.eventful(workspace), address.format(tmp_path)
    written = exported(workspace, address)
    study, state = loaded(address), load_agent_state(workspace.db, number)
    assert (written.trials, written.left_out) == (len(study.trials), len(state.trials) - 6)
    ours = {trial.number: trial for trial in state.trials}
    for theirs in study.trials:
        trial = ours[theirs.user_attrs["trial"]]
        assert theirs.params.items() <= trial.config.items() and len(theirs.params) > 20
        done = theirs.state is TrialState.COMPLETE
        assert (theirs.value if done else None) == trial.val_mse
        assert theirs.state is (TrialState.FAIL if trial.val_mse is None else TrialState.COMPLETE)
        assert theirs.user_attrs["source"] == trial.source
    assert study.best_trial.user_attrs["trial"] == state.search.incumbent
    assert len(study.best_trial.intermediate_values) == 6
    other = Workspace(tmp_path / "elsewhere" / "nas.db")
    (file,) = tmp_path.glob("study.*")
    before = file.read_bytes()
    assert import_study(other, address, Reading(study="ours")).trials == 6
    assert file.read_bytes() == before
    back = load_agent_state(other.db, 1)
    for trial, theirs in zip(back.trials, study.trials, strict=True):
        source = ours[theirs.user_attrs["trial"]]
        assert (trial.config, trial.val_mse) == (source.config, source.val_mse)
        assert trial.source == "imported"
    assert back.search.best == state.search.best
    assert "computed elsewhere" in back.search.origin
    with reading(other) as reader:
        assert reader is not None
        assert [row.val_mse for row in reader.epochs(1, [5])] == [
            row.val_mse for row in reader_epochs(workspace, number)
        ]


def reader_epochs(workspace: Workspace, number: int) -> list[Any]:
    with reading(workspace) as reader:
        assert reader is not None
        return list(reader.epochs(number, [6]))


def test_a_study_of_that_name_and_a_place_that_cannot_be_written_are_refused(
    workspace: Workspace, tmp_path: Path
) -> None:
    seed.small(workspace)
    address = f"sqlite:///{tmp_path}/study.db"
    exported(workspace, address)
    with pytest.raises(ExchangeError, match="has a study ours already; choose another"):
        exported(workspace, address)
    with pytest.raises(ExchangeError, match="cannot be opened for writing"):
        exported(workspace, f"sqlite:///{tmp_path}/no/such/study.db")


def test_a_study_of_somebody_else_is_taken_with_its_parameters_named(
    workspace: Workspace, tmp_path: Path
) -> None:
    def objective(trial: optuna.Trial) -> float:
        trial.suggest_categorical("d_model", [64, 96])
        trial.suggest_float("mixup", 0, 1)
        error = trial.suggest_float("lr", 1e-5, 5e-2, log=True)
        if trial.number == 0:
            raise optuna.TrialPruned
        for step in range(3):
            trial.report(1 - step / 10, step)
        return error

    address = studied(tmp_path, objective, 5)
    before = (tmp_path / "theirs.log").read_bytes()
    with pytest.raises(ExchangeError) as refused:
        import_study(workspace, address, Reading("theirs"))
    said = str(refused.value)
    assert "--rename lr=training.optimizer_params.lr" in said
    assert "--rename d_model=model.d_model" in said and "--drop mixup" in said
    renamed = {"lr": "training.optimizer_params.lr", "d_model": "model.d_model"}
    wanted = Reading(
        "theirs", "synthetic", {"data.pred_len": 48}, renamed, frozenset({"mixup"}), name="Theirs"
    )
    taken = import_study(workspace, address, wanted)
    assert taken.trials == 4 and "1 trials are left out. Trial 0 came before" in taken.sentence
    state, study = (
        load_agent_state(workspace.db, 1),
        optuna.load_study(study_name="theirs", storage=journal(address)),
    )
    assert state.search.name == "Theirs" and state.search.state == "completed"
    assert state.search.spec.start()["data.pred_len"] == 48
    assert state.search.best == study.best_value
    assert [t.config["model.d_model"] for t in state.trials] == [
        t.params["d_model"] for t in study.trials[1:]
    ]
    assert all(trial.source == "imported" for trial in state.trials)
    assert (tmp_path / "theirs.log").read_bytes() == before


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (Reading("other"), "has no study 'other'; the studies in it: 'theirs'"),
        (Reading("theirs", dropped=frozenset({"x"})), "has no parameter 'x'"),
        (Reading("theirs", "nowhere", dropped=frozenset({"lr", "d_model"})), "is not known"),
        (Reading("theirs", renamed={"lr": "data.pred_len"}, dropped=frozenset({"d_model"})),
         "leave it out with --drop lr"),
        (Reading("theirs", renamed={"lr": "model.dropout", "d_model": "model.dropout"}),
         "are both model.dropout"),
        (Reading("theirs", renamed={"lr": "model.norm"}, dropped=frozenset({"d_model"})),
         "No trial of the study theirs can be taken. Trial 0: model.norm must be"),
        (Reading("theirs", settings={"model.d_model": -1},
                 dropped=frozenset({"lr", "d_model"})), "model.d_model"),
    ],
)  # fmt: skip
def test_what_cannot_be_told_is_asked_for(
    workspace: Workspace, tmp_path: Path, wanted: Reading, said: str
) -> None:
    address = studied(tmp_path, widths, 2)
    with pytest.raises(ExchangeError) as refused:
        import_study(workspace, address, wanted)
    assert said in str(refused.value) and not all_rows(workspace).get("searches")


def test_only_one_error_that_is_minimised_is_taken_and_a_maximised_one_when_asked(
    workspace: Workspace, tmp_path: Path
) -> None:
    address = studied(tmp_path, lambda trial: -trial.suggest_float("model.dropout", 0.1, 0.3),
                      direction="maximize")  # fmt: skip
    with pytest.raises(ExchangeError, match="with --negate the negative of its values is taken"):
        import_study(workspace, address, Reading("theirs"))
    taken: Taken = import_study(workspace, address, Reading("theirs", negate=True))
    state = load_agent_state(workspace.db, taken.search_id)
    assert all(trial.val_mse == trial.config["model.dropout"] for trial in state.trials)
    (tmp_path / "two").mkdir()
    address = studied(
        tmp_path / "two",
        lambda trial: (trial.suggest_float("x", 0, 1), 1.0),  # type: ignore[arg-type, return-value]
        directions=["minimize", "minimize"],
    )
    with pytest.raises(ExchangeError, match="has 2 objectives"):
        import_study(workspace, address, Reading("theirs"))


def test_a_study_has_the_objectives_and_bounds_of_its_search(
    workspace: Workspace, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    number, address = seed.traded(workspace, at_most={"latency_ms": 8.0}), str(tmp_path / "s.log")
    exported(workspace, address, number)
    study = loaded(address)
    assert study.metric_names == ["val_mse", "parameters", "latency_ms"]
    best = {trial.user_attrs["trial"]: trial.values for trial in study.best_trials}
    assert sorted(best) == [2, 3, 5]
    assert best[2] == [0.5210, 9_800, 1.6]
    slow = next(trial for trial in study.trials if trial.user_attrs["trial"] == 6)
    assert slow.state is TrialState.PRUNED
    assert slow.constraints["latency_ms"] == pytest.approx(4.3)
    assert slow.user_attrs["latency_ms"] == 12.3
    assert study.user_attrs["bounds"] == "8 ms"
    assert not [found for found in recwarn if "experimental" in str(found.message)]


def test_files_that_are_no_study_and_hostile_texts_in_one_are_refused(
    workspace: Workspace, tmp_path: Path
) -> None:
    (tmp_path / "noise").write_bytes(b"\x80\x04\x95\x10cposix\nsystem\n" * 9)
    sqlite3.connect(tmp_path / "empty.db").execute("CREATE TABLE t (x)").connection.close()
    for address, said in (
        (f"{tmp_path}/none.log", "There is no file"),
        (f"sqlite:///{tmp_path}/none.db", "There is no file"),
        (f"{tmp_path}/noise", "cannot be read as a storage of Optuna"),
        (f"sqlite:///{tmp_path}/noise", "cannot be read as a storage of Optuna"),
        (f"sqlite:///{tmp_path}/empty.db", "cannot be read as a storage of Optuna"),
    ):
        with pytest.raises(ExchangeError, match=said):
            import_study(workspace, address, Reading("theirs"))
    address = studied(tmp_path, lambda trial: trial.suggest_float("model.dropout", 0, 0.3))
    study = optuna.load_study(study_name="theirs", storage=journal(address))
    for text in ("[]", "{", json.dumps({"data.dataset": "../../etc"}), "[" * 10**5):
        study.set_user_attr(SETTINGS, text)
        with pytest.raises(ExchangeError):
            import_study(workspace, address, Reading("theirs"))
    assert not all_rows(workspace).get("searches")


def test_an_error_that_is_no_number_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path}/study.db"
    study = optuna.create_study(storage=address, study_name="theirs")
    study.optimize(lambda trial: trial.suggest_float("model.dropout", 0, 0.3), n_trials=2)
    with closing(sqlite3.connect(tmp_path / "study.db")) as connection, connection:
        connection.execute("UPDATE trial_values SET value = 'low'")  # SQLite keeps it
    with pytest.raises(ExchangeError, match="Trial 0 of the study has a value that is no number"):
        import_study(workspace, address, Reading("theirs"))


def test_both_commands_say_what_they_did(workspace: Workspace, tmp_path: Path) -> None:
    seed.small(workspace, 2)
    address = f"sqlite:///{tmp_path}/study.db"
    run = CliRunner().invoke(main, ["export-optuna", "--storage", address, "--study", "mine"])
    assert run.exit_code == 0 and "2 trials are written to the study mine." in run.output
    run = CliRunner().invoke(main, ["import-optuna", "--storage", address, "--study", "mine"])
    assert run.exit_code == 0 and "Search 2 has 2 trials of the study." in run.output
    run = CliRunner().invoke(main, ["import-optuna", "--storage", address, "--study", "no"])
    assert run.exit_code == 2 and "has no study 'no'" in run.output
