"""How long a forecast takes is measured as stated, and changes nothing of what is trained."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from informer import latency, training
from informer.config import RunConfig
from informer.cost import Shape
from informer.devices import begin_peak, choose_device, peak_memory
from informer.files import replace_text
from informer.latency import REPEATS, WARM_UP, latency_ms
from informer.orders import Orders, Timing
from informer.records import Epoch, Failure, Success
from informer.rundir import RunDir
from informer.training import train
from tests.informer.conftest import figures, interrupt_in_epoch

CPU = torch.device("cpu")


class Watched(nn.Module):
    """Notes how it is called."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.calls: list[tuple[tuple[int, ...], tuple[int, ...]]] = []
        self.states: set[tuple[bool, bool, int]] = set()

    def forward(self, values: Tensor, known: Tensor) -> Tensor:
        self.calls.append((tuple(values.shape), tuple(known.shape)))
        self.states.add((self.training, torch.is_grad_enabled(), torch.get_num_threads()))
        return self.weight * values


def test_a_stated_batch_is_forecast_with_the_stated_threads_again_and_again(
    tiny: RunConfig,
) -> None:
    model, data, shape = Watched(), tiny.data, Shape.of(tiny)
    assert latency_ms(model, tiny, Timing(batch=3, device="cpu", threads=2)) > 0
    seen = (3, data.seq_len, shape.columns)
    known = (3, data.seq_len + data.pred_len, len(shape.calendar) + shape.known)
    assert set(model.calls) == {(seen, known)}
    assert len(model.calls) >= WARM_UP + REPEATS
    assert model.states == {(False, False, 2)}
    assert model.training and torch.get_num_threads() == 1, "all is as it was before"


def test_the_latency_is_the_median_of_what_comes_after_the_warm_up(
    tiny: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    took = iter([9.0] * WARM_UP + [0.004, 0.002, 0.003] + [0.9])
    moments = [0.0]

    def moment(device: torch.device) -> float:
        if len(moments) % 2 == 0:  # the end of a batch
            moments.append(moments[-1] + next(took))
        else:
            moments.append(moments[-1])
        return moments[-1]

    monkeypatch.setattr(latency, "moment", moment)
    monkeypatch.setattr(latency, "SECONDS", 0.9)
    assert latency_ms(Watched(), tiny, Timing()) == pytest.approx(3.5)


def test_a_training_whose_forecasts_are_timed_is_the_same_training(
    tiny: RunConfig, tmp_path: Path
) -> None:
    plain, timed = (
        run_with(tiny, tmp_path / name, orders)
        for name, orders in (("plain", None), ("timed", Orders(timing=Timing())))
    )
    assert isinstance(plain, Success) and isinstance(timed, Success)
    assert figures(plain) == figures(timed)
    assert plain.latency_ms is None
    assert timed.latency_ms is not None and 0 < timed.latency_ms < 10_000
    assert timed.memory_mb is None or timed.memory_mb > 50


def test_what_is_too_slow_is_not_trained_and_says_so_in_a_sentence(
    tiny: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "latency_ms", lambda *given: 7.304)
    result = run_with(tiny, tmp_path / "run", Orders(timing=Timing(), latency_at_most=5))
    assert result == Failure(
        error_class="infeasible",
        message="A forecast takes 7.3 ms, and this search allows 5.",
        latency_ms=7.304,
    )
    assert RunDir(tmp_path / "run").read_metrics()[0] == []
    assert RunDir(tmp_path / "run").read_result() == result


def test_what_is_fast_enough_is_trained(
    tiny: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "latency_ms", lambda *given: 5.0)
    result = run_with(tiny, tmp_path / "run", Orders(timing=Timing(), latency_at_most=5))
    assert isinstance(result, Success) and result.latency_ms == 5


def test_a_training_that_goes_on_keeps_the_latency_of_its_first_attempt(
    tiny: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders, run = Orders(timing=Timing()), RunDir(tmp_path / "run")
    measured = iter([1.25])
    monkeypatch.setattr(training, "latency_ms", lambda *given: next(measured))
    run.create(tiny, orders)
    with pytest.raises(KeyboardInterrupt):
        train(tiny, run, interrupt_in_epoch(2))
    assert run.create(tiny, orders) == 1
    result = train(tiny, run)
    assert isinstance(result, Success) and result.latency_ms == 1.25
    assert len([one for one in run.read_metrics()[0] if isinstance(one, Epoch)]) == 2


def test_a_device_that_is_not_there_is_refused_in_a_sentence(
    tiny: RunConfig, tmp_path: Path
) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has what the test asks for")
    result = run_with(tiny, tmp_path / "run", Orders(timing=Timing(device="cuda:1")))
    assert isinstance(result, Failure) and result.error_class == "config"
    assert result.message == (
        "Latency's device is cuda:1, but this machine has no GPU that torch can use; take auto or "
        "cpu."
    )


def test_orders_that_cannot_be_read_end_the_training_with_a_sentence(
    tiny: RunConfig, tmp_path: Path
) -> None:
    run = RunDir(tmp_path / "run")
    run.create(tiny)
    replace_text(run.orders, '{"timing": {"batch": 0}}')
    result = train(tiny, run)
    assert isinstance(result, Failure) and result.error_class == "protocol"
    assert result.message == f"{run.orders} holds no valid orders."


def test_the_peak_of_memory_is_that_of_the_training_and_not_of_one_before() -> None:
    if not begin_peak(CPU):
        pytest.skip("this machine does not let the peak be begun anew")
    before = peak_memory(CPU)
    large = torch.ones(50_000_000)  # 200 MB
    assert peak_memory(CPU) > before + 150_000_000
    del large
    assert begin_peak(CPU)
    assert peak_memory(CPU) < before + 50_000_000


def test_mps_is_refused_where_it_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ValueError, match="is mps, which this machine does not have"):
        choose_device("mps")


def run_with(config: RunConfig, folder: Path, orders: Orders | None) -> Success | Failure:
    run = RunDir(folder)
    run.create(config, orders)
    return train(config, run)
