from __future__ import annotations

import itertools

import pytest
import torch

from informer.config import Choices, Interval, RunConfig, fields, problems
from informer.cost import parameters
from informer.dropout import Dropout
from informer.model import Informer

SMALL = {"model.d_model": 16, "model.n_heads": 2, "model.d_ff": 32, "data.label_len": 24}


def built(config: RunConfig, columns: int = 7) -> Informer:
    torch.manual_seed(0)
    return Informer(config, columns)


def inputs(
    config: RunConfig, columns: int = 7, batch: int = 3
) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    data = config.data
    values = torch.randn(batch, data.seq_len, columns, generator=generator)
    calendar = torch.rand(batch, data.seq_len + data.pred_len, 4, generator=generator) - 0.5
    return values, calendar


def test_the_published_sizes_have_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        model = Informer(RunConfig(), 7)
    assert sum(weight.numel() for weight in model.parameters()) == 11_330_055
    assert parameters(RunConfig(), 7) == 11_330_055


def space() -> list[dict[str, object]]:
    """Every choice of every searchable field, and all combinations of the structural ones."""
    changes: list[dict[str, object]] = []
    for key, spec in fields().items():
        if isinstance(spec.search, Choices):
            changes += [{key: value} for value in spec.search.values]
        elif isinstance(spec.search, Interval):
            changes += [{key: spec.search.low}, {key: spec.search.high}]
    structural = ("model.e_layers", "model.d_layers", "model.distil", "model.temporal")
    values = ((1, 3), (1, 2), (True, False), (True, False))
    for features, *combination in itertools.product(("M", "S", "MS"), *values):
        changes.append(
            {"data.features": features, **dict(zip(structural, combination, strict=True))}
        )
    return [change for change in changes if not problems({**SMALL, **change})]


@pytest.mark.parametrize("change", space(), ids=str)
def test_the_cost_is_the_real_number_of_parameters(change: dict[str, object]) -> None:
    config = RunConfig().with_changes({**SMALL, **change})  # type: ignore[dict-item]
    columns = 1 if config.data.features == "S" else 7
    with torch.device("meta"):
        model = Informer(config, columns)
    assert parameters(config, columns) == sum(weight.numel() for weight in model.parameters())


@pytest.mark.parametrize("change", space(), ids=str)
def test_every_choice_forecasts_and_learns_from_every_weight(change: dict[str, object]) -> None:
    config = RunConfig().with_changes({**SMALL, **change})  # type: ignore[dict-item]
    columns = 1 if config.data.features == "S" else 7
    model = built(config, columns)
    forecast = model(*inputs(config, columns))
    assert forecast.shape == (3, 24, 7 if config.data.features == "M" else 1)
    forecast.square().mean().backward()
    for name, weight in model.named_parameters():
        assert weight.grad is not None and weight.grad.isfinite().all(), name


@pytest.mark.parametrize("attention", ["prob", "full"])
def test_evaluation_twice_differs_by_exactly_nothing(attention: str) -> None:
    config = RunConfig().with_changes({**SMALL, "model.attention": attention, "model.factor": 1})
    model, again = built(config).eval(), built(config).eval()
    with torch.no_grad():
        first = model(*inputs(config))
        torch.manual_seed(99)
        assert torch.equal(first, model(*inputs(config)))
        assert torch.equal(first, again(*inputs(config)))


def test_a_forecast_does_not_depend_on_the_other_windows_of_the_batch() -> None:
    config = RunConfig().with_changes({**SMALL, "model.n_heads": 1})
    model = built(config).eval().double()
    values, calendar = (tensor.double() for tensor in inputs(config))
    with torch.no_grad():
        together = model(values, calendar)
        alone = model(values[1:2], calendar[1:2])
    torch.testing.assert_close(together[1:2], alone, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("normalisation", "scale"), [("standardise", 3.0), ("last", 1.0)])
@pytest.mark.parametrize("features", ["M", "MS"])
def test_normalised_forecasts_follow_the_level_of_each_window(
    normalisation: str, scale: float, features: str
) -> None:
    changes = {"model.normalisation": normalisation, "data.features": features}
    config = RunConfig().with_changes({**SMALL, **changes, "data.target": "MUFL"})
    model = built(config).eval().double()
    values, calendar = (tensor.double() for tensor in inputs(config))
    level = torch.arange(7.0).double() * 10
    with torch.no_grad():
        forecast = model(values, calendar)
        moved = model(values * scale + level, calendar)
    expected = level if features == "M" else level[2:3]  # MUFL is the third column
    torch.testing.assert_close(moved, forecast * scale + expected, rtol=1e-4, atol=1e-4)


def test_without_normalisation_the_level_is_left_alone() -> None:
    config = RunConfig().with_changes({**SMALL})
    model = built(config).eval()
    values, calendar = inputs(config)
    with torch.no_grad():
        assert not torch.allclose(model(values + 10, calendar), model(values, calendar) + 10)


def test_temporal_decides_whether_the_calendar_matters() -> None:
    for temporal in (True, False):
        config = RunConfig().with_changes({**SMALL, "model.temporal": temporal})
        model = built(config).eval()
        values, calendar = inputs(config)
        with torch.no_grad():
            same = torch.equal(model(values, calendar), model(values, calendar + 1))
        assert same is not temporal


@pytest.mark.parametrize("label_len", [0, 96])
def test_the_decoder_may_start_from_nothing_or_from_all(label_len: int) -> None:
    config = RunConfig().with_changes({**SMALL, "data.label_len": label_len, "data.pred_len": 1})
    assert built(config)(*inputs(config)).shape == (3, 1, 7)


def test_dropout_keeps_the_mean_and_is_off_in_evaluation() -> None:
    torch.manual_seed(0)
    dropout = Dropout(0.3)
    ones = torch.ones(1001, 1003)  # no multiple of four
    dropped = dropout(ones)
    assert float((dropped == 0).float().mean()) == pytest.approx(0.3, abs=2e-3)
    assert float(dropped.mean()) == pytest.approx(1.0, abs=3e-3)
    assert dropout.eval()(ones) is ones
