"""The model: any valid configuration works, and known models are points of the space."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch

from data import calendar
from informer.blocks import (
    Cycle,
    Distilling,
    FeedForward,
    GatedFeedForward,
    MovingAverage,
    Residual,
)
from informer.blocks import RevIN as RevINBlock
from informer.config import (
    PRESETS,
    PUBLISHED,
    Choices,
    Interval,
    RunConfig,
    Value,
    fields,
    problems,
)
from informer.cost import Shape, parameters
from informer.dropout import Dropout
from informer.embedding import PatchEmbedding, sinusoids
from informer.model import Informer
from tests.informer import restatement
from tests.informer.drawn import draw, inputs

SMALL: dict[str, Value] = {
    "model.d_model": 16,
    "model.n_heads": 2,
    "model.d_ff": 32,
    "data.label_len": 24,
}
DRAWN = 600
PARTS = 6


def small(**changes: Value) -> RunConfig:
    """Return a small configuration; `model__d_model` stands for `model.d_model`."""
    dotted = {key.replace("__", "."): value for key, value in changes.items()}
    return RunConfig().with_changes({**SMALL, **dotted})


def built(config: RunConfig) -> Informer:
    torch.manual_seed(0)
    return Informer(config)


def counted(model: torch.nn.Module) -> int:
    return sum(weight.numel() for weight in model.parameters())


# -- every configuration ------------------------------------------------------------------------


@pytest.mark.parametrize("changes", [{}, PUBLISHED], ids=["corrected", "published"])
def test_the_published_sizes_have_the_published_number_of_parameters(
    changes: dict[str, Value],
) -> None:
    config = PRESETS["paper"].config(changes)
    with torch.device("meta"):
        model = Informer(config)
    assert counted(model) == parameters(config) == 11_330_055


@pytest.mark.parametrize("part", range(PARTS))
def test_any_valid_configuration_builds_trains_saves_loads_and_predicts(
    part: int, tmp_path: Path, covariates: str
) -> None:
    for dataset in ("synthetic", covariates):
        for config in itertools.islice(draw(part, dataset), DRAWN // PARTS // 2):
            told = f"{config.model!r} {config.data!r}"
            model, (values, known) = built(config), inputs(config)
            assert counted(model) == parameters(config), told
            optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
            forecast = model(values, known)
            columns = Shape.of(config).forecast
            assert forecast.shape == (3, config.data.pred_len, columns), told
            forecast.square().mean().backward()
            for name, weight in model.named_parameters():
                assert weight.grad is not None, f"{name} has no gradient: {told}"
                assert weight.grad.isfinite().all(), f"{name}: {told}"
            optimizer.step()
            model.eval()
            safetensors.torch.save_file(model.state_dict(), tmp_path / "model.safetensors")
            loaded = Informer(config).eval()
            loaded.load_state_dict(safetensors.torch.load_file(tmp_path / "model.safetensors"))
            with torch.no_grad():
                predicted = model(values, known)
                assert torch.equal(predicted, loaded(values, known)), told
                assert torch.equal(predicted, model(values, known)), told
                assert predicted.isfinite().all(), told


def test_the_draws_reach_every_structural_choice() -> None:
    drawn = [
        config.flat()
        for part in range(PARTS)
        for config in itertools.islice(draw(part, "synthetic"), DRAWN // PARTS // 2)
    ]
    for key, field in fields().items():
        if key.startswith("model.") and isinstance(field.search, Choices) and field.options:
            assert {values[key] for values in drawn} == set(field.options), key


def space() -> list[dict[str, Value]]:
    """Every choice of every searchable field of the model at its real size."""
    changes: list[dict[str, Value]] = []
    for key, spec in fields().items():
        if isinstance(spec.search, Choices):
            changes += [{key: value} for value in spec.search.values]
        elif isinstance(spec.search, Interval):
            changes += [{key: spec.search.low}, {key: spec.search.high}]
    return [change for change in changes if not problems(change)]


@pytest.mark.parametrize("change", space(), ids=str)
def test_the_cost_of_full_sizes_is_the_real_number_of_parameters(change: dict[str, Value]) -> None:
    config = RunConfig().with_changes(change)
    with torch.device("meta"):
        model = Informer(config)
        forecast = model(*(tensor.to("meta") for tensor in inputs(config)))
    assert parameters(config) == counted(model)
    assert forecast.shape == (3, 24, 7)


@pytest.mark.parametrize("attention", ["prob", "full", "auto_correlation"])
def test_evaluation_twice_differs_by_exactly_nothing(attention: str) -> None:
    config = small(model__attention=attention, model__factor=1)
    model, again = built(config).eval(), built(config).eval()
    with torch.no_grad():
        first = model(*inputs(config))
        torch.manual_seed(99)
        assert torch.equal(first, model(*inputs(config)))
        assert torch.equal(first, again(*inputs(config)))


def test_a_forecast_does_not_depend_on_the_other_windows_of_the_batch() -> None:
    for config in itertools.islice(draw(99, "synthetic"), 60):
        model = built(config).eval().double()
        values, known = (tensor.double() for tensor in inputs(config))
        with torch.no_grad():
            together = model(values, known)
            alone = model(values[1:2], known[1:2])
        torch.testing.assert_close(together[1:2], alone, rtol=1e-9, atol=1e-9)


# -- what columns are for -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"model.head": "linear", "model.distil": False},
        {"model.tokens": "inverted", "model.head": "linear", "model.distil": False},
        {"model.e_layers": 0, "model.skip": True, "model.head": "linear", "model.distil": False},
    ],
    ids=["decoder", "linear", "inverted", "linear maps"],
)
def test_known_future_columns_are_used_over_the_horizon_and_past_only_ones_before(
    covariates: str, changes: dict[str, Value]
) -> None:
    config = RunConfig().with_changes({**SMALL, **changes, "data.dataset": covariates})
    model = built(config).eval()
    values, known = inputs(config)
    assert values.shape[-1] == 6 and known.shape[-1] == 5  # 5 targets and HUFL; HULL is known
    later = known.clone()
    later[:, -1, -1] += 1
    with torch.no_grad():
        forecast = model(values, known)
        assert forecast.shape[-1] == 5
        assert not torch.equal(forecast[:, -1], model(values, later)[:, -1])


@pytest.mark.parametrize(
    ("normalisation", "scale"), [("standardise", 3.0), ("revin", 3.0), ("last", 1.0)]
)
@pytest.mark.parametrize("features", ["M", "MS"])
def test_normalised_forecasts_follow_the_level_of_each_window(
    normalisation: str, scale: float, features: str
) -> None:
    config = small(model__normalisation=normalisation, data__features=features, data__target="MUFL")
    model = built(config).eval().double()
    values, known = (tensor.double() for tensor in inputs(config))
    level = torch.arange(7.0).double() * 10
    with torch.no_grad():
        forecast = model(values, known)
        moved = model(values * scale + level, known)
    expected = level if features == "M" else level[2:3]  # MUFL is the third column
    torch.testing.assert_close(moved, forecast * scale + expected, rtol=1e-4, atol=1e-4)


def test_an_independent_column_does_not_see_the_others() -> None:
    config = small(model__channels="independent", model__head="linear", model__temporal="none")
    model = built(config).eval()
    values, known = inputs(config)
    changed = values.clone()
    changed[..., 1] += 1
    with torch.no_grad():
        before, after = model(values, known), model(changed, known)
    assert torch.equal(before[..., [0, 2, 3, 4, 5, 6]], after[..., [0, 2, 3, 4, 5, 6]])
    assert not torch.equal(before[..., 1], after[..., 1])


# -- the cycle ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frequency", "cycle", "length", "step"),
    [
        ("h", "day", 24, lambda date: date.hour),
        ("h", "week", 168, lambda date: 24 * date.day_of_week + date.hour),
        ("15min", "day", 96, lambda date: 4 * date.hour + date.minute // 15),
        ("D", "week", 7, lambda date: date.day_of_week),
    ],
)
def test_each_time_step_has_its_place_in_the_cycle(
    frequency: str, cycle: str, length: int, step: Callable[[pd.DatetimeIndex], pd.Index]
) -> None:
    dates = pd.date_range("2024-02-27 05:00", periods=1000, freq=frequency)
    known = torch.from_numpy(calendar.encode(dates, frequency))[None]
    names, day = calendar.names(frequency), calendar.steps_a_day(frequency)
    model = RunConfig().with_changes({"model.cycle": cycle}).model
    learned = Cycle(model, Shape(2, slice(0, 2), names, 0, day))
    assert learned.table.shape == (length, 2) and not learned.table.any()
    found = learned.step(known)[0]
    assert found.tolist() == step(dates).tolist()
    assert set(found.tolist()) == set(range(length))


@pytest.mark.parametrize("head", ["decoder", "linear"])
@pytest.mark.parametrize("features", ["M", "MS"])
def test_a_cycle_of_zeros_leaves_the_forecast_as_it_is(head: str, features: str) -> None:
    config = small(model__head=head, data__features=features, model__normalisation="revin")
    plain, cyclic = built(config).eval(), built(config.with_changes({"model.cycle": "day"})).eval()
    values, known = inputs(config)
    with torch.no_grad():
        assert torch.equal(plain(values, known), cyclic(values, known))


def test_a_cycle_is_taken_off_the_look_back_and_added_to_its_own_columns() -> None:
    config = RunConfig().with_changes(
        {**NLINEAR, "model.cycle": "week", "data.features": "MS", "data.target": "MUFL"}
    )
    model = built(config).double()
    cycle = torch.nn.init.normal_(model.cycle.table)  # type: ignore[union-attr]
    values, known = (tensor.double() for tensor in inputs(config))
    at = model.cycle.step(known)  # type: ignore[union-attr]
    with torch.no_grad():
        own = cycle[:, 2][at]  # MUFL is the third column
        left = values[..., 2] - own[:, :96]
        last = left[:, -1:]
        expected = model.skip(left - last) + last + own[:, 96:]  # type: ignore[misc]
        torch.testing.assert_close(model(values, known)[..., 0], expected)


def test_a_daily_course_is_learned_by_the_cycle_where_the_look_back_does_not_show_it() -> None:
    generator = torch.Generator().manual_seed(3)
    course = torch.randn(24, generator=generator)  # 24 free values, of which a window shows 8
    begins = torch.arange(24)[:, None] + torch.arange(8 + 24)
    values = course[begins % 24][..., None]
    known = torch.zeros(24, 8 + 24, 4)
    known[..., 0] = (begins % 24) / 23 - 0.5
    errors = {}
    for cycle in ("none", "day"):
        config = small(
            **{**LINEAR, "model__cycle": cycle},
            data__features="S",
            data__seq_len=8,
            data__label_len=0,
        )
        model = built(config)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
        for _ in range(300):
            optimizer.zero_grad()
            loss = (model(values[:, :8], known) - values[:, 8:]).square().mean()
            loss.backward()
            optimizer.step()
        errors[cycle] = float(loss.detach())
    assert errors["day"] < 0.01 < 0.3 < errors["none"]


# -- layers against the restatement -------------------------------------------------------------


def arrays(module: torch.nn.Module) -> dict[str, np.ndarray]:
    return {name: tensor.detach().numpy() for name, tensor in module.state_dict().items()}


def test_distilling_is_equation_5() -> None:
    torch.manual_seed(0)
    layer = Distilling(small().model).double()
    layer.train()(torch.randn(4, 21, 16).double() * 2 + 1)  # gives the norm figures of its own
    x = torch.randn(2, 21, 16, dtype=torch.float64)
    w = arrays(layer)
    expected = restatement.distil(
        x.numpy(),
        *(w["convolution.weight"], w["convolution.bias"], w["norm.weight"], w["norm.bias"]),
        *(w["norm.running_mean"], w["norm.running_var"]),
    )
    found = layer.eval()(x).detach()
    assert found.shape == (2, 11, 16)
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", [FeedForward, GatedFeedForward])
@pytest.mark.parametrize("norm", ["post", "pre", "none"])
def test_feed_forward_and_norm_placement_are_as_published(
    kind: type[FeedForward], norm: str
) -> None:
    torch.manual_seed(0)
    bare = {"model__attention": "none", "model__head": "linear"} if norm == "none" else {}
    model = small(model__norm=norm, **bare).model
    residual = Residual(model, kind(model)).double().eval()
    w = arrays(residual)

    def part(name: str) -> tuple[np.ndarray, np.ndarray]:
        return w[f"sublayer.{name}.weight"], w[f"sublayer.{name}.bias"]

    def sublayer(x: np.ndarray) -> np.ndarray:
        if kind is FeedForward:
            return restatement.feed_forward(x, *part("inner"), *part("outer"), restatement.gelu)
        return restatement.gated_feed_forward(
            x, *part("gate"), *part("inner"), *part("outer"), restatement.gelu
        )

    x = torch.randn(2, 9, 16, dtype=torch.float64)
    if norm == "none":
        expected = x.numpy() + sublayer(x.numpy())
    else:
        placed = restatement.post_norm if norm == "post" else restatement.pre_norm
        expected = placed(x.numpy(), sublayer, w["norm.weight"], w["norm.bias"])
    np.testing.assert_allclose(residual(x).detach(), expected, rtol=1e-9, atol=1e-12)


def test_decomposition_revin_positions_and_patches_are_as_published() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 40, 3, dtype=torch.float64)
    np.testing.assert_allclose(
        MovingAverage(7)(x), restatement.moving_average(x.numpy(), 7), rtol=1e-10, atol=1e-12
    )
    np.testing.assert_allclose(sinusoids(50, 16), restatement.sinusoids(50, 16), atol=1e-5)

    revin = RevINBlock(3).double()
    torch.nn.init.uniform_(revin.weight, 0.5, 2)
    torch.nn.init.normal_(revin.bias)
    w = arrays(revin)
    normalised, statistics = revin(x)
    expected, mean, std = restatement.revin(x.numpy(), w["weight"], w["bias"])
    np.testing.assert_allclose(normalised.detach(), expected, rtol=1e-9)
    undone = revin.undo(normalised[..., 1:2], statistics, slice(1, 2)).detach()
    restated = restatement.revin_inverse(expected, mean, std, w["weight"], w["bias"])
    np.testing.assert_allclose(undone, restated[..., 1:2], rtol=1e-9)
    np.testing.assert_allclose(undone, x[..., 1:2], rtol=1e-9)

    config = small(
        model__tokens="patch",
        model__head="linear",
        model__positional="none",
        model__distil=False,
        data__seq_len=40,
    )
    embedding = PatchEmbedding(config.data, config.model, 3, (), 0).double().eval()
    cut = restatement.patches(x.numpy(), 16, 8)  # (B, C, N, P)
    together = cut.transpose(0, 2, 1, 3).reshape(2, cut.shape[2], -1)
    w = arrays(embedding.values)
    np.testing.assert_allclose(
        embedding(x, torch.zeros(2, 40, 0)).detach(),
        restatement.linear(together, w["weight"], w["bias"]),
        rtol=1e-9,
        atol=1e-12,
    )


def restated_encoder_layer(
    x: np.ndarray, w: dict[str, np.ndarray], first: int, heads: int
) -> np.ndarray:
    """Return the layer whose attention and feed-forward stand at `first` and the place after."""

    def attention(x: np.ndarray) -> np.ndarray:
        name = f"{first}.sublayer"
        weights = np.split(w[f"{name}.query_key_value.weight"], 3)
        biases = np.split(w[f"{name}.query_key_value.bias"], 3)
        q, k, v = (
            restatement.split_heads(restatement.linear(x, weight, bias), heads)
            for weight, bias in zip(weights, biases, strict=True)
        )
        context = restatement.merge_heads(restatement.full_attention(q, k, v, False), False)
        return restatement.linear(context, w[f"{name}.output.weight"], w[f"{name}.output.bias"])

    def feed_forward(x: np.ndarray) -> np.ndarray:
        inner, outer = (f"{first + 1}.sublayer.{part}" for part in ("inner", "outer"))
        return restatement.feed_forward(
            x,
            *(w[f"{inner}.weight"], w[f"{inner}.bias"]),
            *(w[f"{outer}.weight"], w[f"{outer}.bias"], restatement.gelu),
        )

    x = restatement.post_norm(x, attention, w[f"{first}.norm.weight"], w[f"{first}.norm.bias"])
    after = first + 1
    return restatement.post_norm(
        x, feed_forward, w[f"{after}.norm.weight"], w[f"{after}.norm.bias"]
    )


def test_the_encoder_is_layer_distilling_layer_norm() -> None:
    config = small(model__attention="full")
    model = built(config).double().eval()
    encoder = model.network.encoder  # type: ignore[union-attr]
    w = arrays(encoder)
    x = torch.randn(2, 24, 16, dtype=torch.float64)
    expected = restated_encoder_layer(x.numpy(), w, 0, heads=2)
    expected = restatement.distil(
        expected,
        *(w["2.convolution.weight"], w["2.convolution.bias"], w["2.norm.weight"]),
        *(w["2.norm.bias"], w["2.norm.running_mean"], w["2.norm.running_var"]),
    )
    expected = restated_encoder_layer(expected, w, 3, heads=2)
    expected = restatement.layer_norm(expected, w["5.weight"], w["5.bias"])
    np.testing.assert_allclose(encoder(x).detach(), expected, rtol=1e-8, atol=1e-10)


# -- known models are points of this space ------------------------------------------------------

LINEAR: dict[str, Value] = {
    "model.e_layers": 0,
    "model.distil": False,
    "model.head": "linear",
    "model.skip": True,
}
DLINEAR: dict[str, Value] = {
    **LINEAR,
    "model.decomposition": "moving_average",
    "model.kernel": 25,
}
NLINEAR: dict[str, Value] = {**LINEAR, "model.normalisation": "last"}
PATCHTST: dict[str, Value] = {
    "data.seq_len": 336,
    "model.normalisation": "revin",
    "model.tokens": "patch",
    "model.patch_len": 16,
    "model.patch_stride": 8,
    "model.channels": "independent",
    "model.positional": "learned",
    "model.temporal": "none",
    "model.attention": "full",
    "model.distil": False,
    "model.e_layers": 3,
    "model.d_model": 16,
    "model.n_heads": 4,
    "model.d_ff": 128,
    "model.head": "linear",
}
ITRANSFORMER: dict[str, Value] = {
    "model.normalisation": "standardise",
    "model.tokens": "inverted",
    "model.attention": "full",
    "model.distil": False,
    "model.d_model": 256,
    "model.d_ff": 256,
    "model.head": "linear",
}


def test_dlinear_is_a_point_of_this_space() -> None:
    config = RunConfig().with_changes(DLINEAR)
    model = built(config).double()
    assert counted(model) == 2 * (96 + 1) * 24
    values, known = (tensor.double() for tensor in inputs(config))
    w = arrays(model)
    slow = restatement.moving_average(values.numpy(), 25)
    expected = sum(
        restatement.linear(part.transpose(0, 2, 1), w[f"{name}.weight"], w[f"{name}.bias"])
        for name, part in (("trend", slow), ("skip", values.numpy() - slow))
    ).transpose(0, 2, 1)
    np.testing.assert_allclose(model(values, known).detach(), expected, rtol=1e-9)


def test_nlinear_is_a_point_of_this_space() -> None:
    config = RunConfig().with_changes(NLINEAR)
    model = built(config).double()
    values, known = (tensor.double() for tensor in inputs(config))
    w = arrays(model)
    last = values.numpy()[:, -1:]
    mapped = restatement.linear(
        (values.numpy() - last).transpose(0, 2, 1), w["skip.weight"], w["skip.bias"]
    )
    expected = mapped.transpose(0, 2, 1) + last
    np.testing.assert_allclose(model(values, known).detach(), expected, rtol=1e-9)


def test_a_patchtst_is_a_point_of_this_space() -> None:
    config = RunConfig().with_changes(PATCHTST)
    model = built(config)
    embedded = 17 * 16 + 42 * 16  # 42 patches of 16 steps, learned positions
    layer = 4 * 17 * 16 + 17 * 128 + 129 * 16 + 4 * 16
    head = (42 * 16 + 1) * 24
    assert counted(model) == embedded + 3 * layer + 2 * 16 + head + 2 * 7


def test_an_itransformer_is_a_point_of_this_space() -> None:
    config = RunConfig().with_changes(ITRANSFORMER)
    model = built(config).eval()
    values, known = inputs(config)
    tokens = model.network.embedding(values, known)  # type: ignore[union-attr]
    assert tokens.shape == (3, 7 + 4, 256)  # a token for each column and calendar feature
    order = torch.tensor([3, 1, 0, 2, 6, 5, 4])
    with torch.no_grad():  # columns have no order: permuted in, permuted out
        permuted = model(values[..., order], known)
        torch.testing.assert_close(permuted, model(values, known)[..., order], rtol=1e-4, atol=1e-4)


def test_an_mlp_without_attention_forecasts_each_column_from_its_own_past() -> None:
    """As RMLP does (Li et al. 2023): the same map for all columns, and no norm between layers."""
    config = small(
        model__tokens="inverted",
        model__attention="none",
        model__norm="none",
        model__temporal="none",
        model__head="linear",
        model__distil=False,
    )
    model, (values, known) = built(config).eval(), inputs(config)
    other = values.clone()
    other[..., 1:] += torch.randn_like(other[..., 1:])
    with torch.no_grad():
        forecast, turned = model(values, known), model(values.flip(-1), known)
        assert torch.equal(model(other, known)[..., 0], forecast[..., 0])
        assert torch.allclose(turned.flip(-1), forecast, atol=1e-6)


def test_without_normalisation_the_level_is_left_alone() -> None:
    model = built(small()).eval()
    values, known = inputs(small())
    with torch.no_grad():
        assert not torch.allclose(model(values + 10, known), model(values, known) + 10)


@pytest.mark.parametrize("temporal", ["linear", "learned", "none"])
@pytest.mark.parametrize("tokens", ["step", "patch"])
def test_temporal_decides_whether_the_calendar_matters(temporal: str, tokens: str) -> None:
    config = small(model__temporal=temporal, model__tokens=tokens, model__head="linear")
    model = built(config).eval()
    values, known = inputs(config)
    with torch.no_grad():
        same = torch.equal(model(values, known), model(values, -known))
    assert same is (temporal == "none")


@pytest.mark.parametrize("label_len", [0, 96])
def test_the_decoder_may_start_from_nothing_or_from_all(label_len: int) -> None:
    config = small(data__label_len=label_len, data__pred_len=1)
    assert built(config)(*inputs(config)).shape == (3, 1, 7)


# -- dropout ------------------------------------------------------------------------------------


@pytest.mark.parametrize("probability", [0.05, 0.5])
def test_dropout_keeps_the_expectation(probability: float) -> None:
    torch.manual_seed(0)
    dropout = Dropout(probability)
    out = dropout(torch.ones(400_001))
    assert float((out == 0).float().mean()) == pytest.approx(probability, abs=0.003)
    assert float(out.mean()) == pytest.approx(1.0, abs=0.003)
    assert len(set(out.tolist())) == 2


def test_dropout_does_nothing_in_evaluation_or_at_zero() -> None:
    x = torch.randn(5, 7)
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(0.0)(x) is x
