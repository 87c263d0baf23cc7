from __future__ import annotations

import numpy as np
import optuna
import pandas as pd
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.importance import PedAnovaImportanceEvaluator

from informer.records import Success
from pages._parts.analysis.importance import (
    MOST_BARS,
    importance,
    importance_figure,
    importance_text,
)
from tests.pages.analysed import additive
from tests.recorded.table import TESTED


def shares(settings: pd.DataFrame, errors: pd.Series) -> dict[str, float]:
    return {item.key: item.share for item in importance(settings, errors)}


def test_importance_has_the_order_of_known_effects() -> None:
    found = importance(*additive(600))
    assert [item.key for item in found[:3]] == ["strong", "middle", "weak"]
    assert found[0].share > 0.5
    assert all(item.low <= item.share <= item.high for item in found[:3])


def test_a_setting_without_an_effect_explains_nothing() -> None:
    found = {item.key: item for item in importance(*additive(600))}
    assert found["none"].share < 0.02
    assert found["noisy"].share < 0.02
    assert found["none"].high < 0.05, "the interval does not mistake noise for an effect"


def test_a_setting_with_one_value_is_left_out() -> None:
    settings, errors = additive(40)
    assert "constant" not in shares(settings, errors)
    assert importance(settings[["constant"]], errors) == []


@pytest.mark.parametrize("trials", [0, 1])
def test_of_fewer_than_two_trials_nothing_is_explained(trials: int) -> None:
    settings, errors = additive(5)
    assert importance(settings[:trials], errors[:trials]) == []


def test_importance_of_few_trials_is_a_share_and_never_missing() -> None:
    for trials in (2, 3, 4, 7):
        for item in importance(*additive(trials)):
            assert 0 <= item.low <= item.high <= 1
            assert 0 <= item.share <= 1


def test_a_setting_with_another_value_in_each_trial_explains_nothing() -> None:
    names = pd.DataFrame({"name": [f"n{row}" for row in range(30)]})
    assert shares(names, pd.Series(np.arange(30.0))) == {"name": 0.0}


def test_an_interval_of_trials_too_few_to_halve_is_all_there_is() -> None:
    settings = pd.DataFrame({"x": ["a", "a", "b", "c"]})
    (found,) = importance(settings, pd.Series([0.1, 0.2, 0.5, 0.9]))
    assert found.share > 0
    assert (found.low, found.high) == (0.0, 1.0)


def test_equal_errors_are_not_explained() -> None:
    settings, errors = additive(50)
    assert set(shares(settings, errors * 0 + 0.5).values()) == {0.0}


def test_diverged_trials_are_not_all_that_counts() -> None:
    settings, errors = additive(600)
    errors[::60] = 1e30
    assert importance(settings, errors)[0].key == "strong"


def test_a_number_that_is_mostly_one_value_is_still_split() -> None:
    values = np.full(200, 5.0)
    values[:40] = np.linspace(1, 2, 40)
    errors = pd.Series(np.where(values < 5, 1.0, 0.5) + np.random.default_rng(0).random(200) / 10)
    assert shares(pd.DataFrame({"x": values}), errors)["x"] > 0.4


def test_importance_is_that_of_the_formula_and_the_same_each_time() -> None:
    settings, errors = additive(200)
    found = importance(settings, errors)
    assert found == importance(settings, errors)
    ranks = errors.rank()
    groups = ranks.groupby(settings["weak"])
    between = sum(len(rows) * (rows.mean() - ranks.mean()) ** 2 for _, rows in groups)
    total = ((ranks - ranks.mean()) ** 2).sum()
    expected = (between - 2 * (total - between) / (200 - 3)) / total  # Kelley's correction
    weak = next(item for item in found if item.key == "weak")
    assert weak.share == pytest.approx(expected, abs=1e-4)


def test_importance_agrees_with_optuna_on_recorded_trainings() -> None:
    """PED-ANOVA asks what sets the better half apart, which is another measure of the same."""
    rows = [row for row in TESTED.read() if isinstance(row.outcome, Success)]
    errors = [row.outcome.val_mse for row in rows if isinstance(row.outcome, Success)]
    space: dict[str, BaseDistribution] = {
        key: CategoricalDistribution(values) for key, values in TESTED.grid.items()
    }
    study = optuna.create_study()
    study.add_trials(
        [
            optuna.trial.create_trial(params=row.settings, distributions=space, value=error)
            for row, error in zip(rows, errors, strict=True)
        ]
    )
    evaluator = PedAnovaImportanceEvaluator(target_quantile=0.5)
    theirs = optuna.importance.get_param_importances(study, evaluator=evaluator)
    ours = importance(pd.DataFrame([row.settings for row in rows]), pd.Series(errors))
    assert [item.key for item in ours][:3] == list(theirs)[:3]


def test_importance_says_where_it_is_unsure_and_what_is_left_out() -> None:
    settings = pd.DataFrame(np.random.default_rng(0).random((30, 117)))
    settings.columns = pd.Index([f"model.setting_{row}" for row in range(117)])
    found = importance(settings, settings.iloc[:, 5])
    few, many = importance_figure(found, 19), importance_figure(found, 20)
    assert few["data"][0]["marker"]["color"] != many["data"][0]["marker"]["color"]
    assert len(many["data"][0]["x"]) == MOST_BARS
    assert many["layout"]["yaxis"]["ticktext"][0] == "setting_5"
    assert "setting_5 " in importance_text(found)
    assert "none vary" in importance_text([])
