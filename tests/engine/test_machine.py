"""How many trainings at once a machine is given by default."""

from __future__ import annotations

import pytest

from nas_engine import machine
from nas_engine.machine import GPU, default_slots
from nas_engine.search import SearchSpec

SMALL = SearchSpec().base()


@pytest.mark.parametrize(
    ("cores", "gibibytes", "slots"), [(4, 64, 4), (64, 512, 8), (4, 2, 3), (1, 64, 1), (4, 0.1, 1)]
)
def test_without_a_gpu_cores_and_memory_decide(
    monkeypatch: pytest.MonkeyPatch, cores: int, gibibytes: float, slots: int
) -> None:
    monkeypatch.setattr(machine, "gpus", lambda: ())
    monkeypatch.setattr(machine, "cores", lambda: cores)
    monkeypatch.setattr(machine, "main_memory", lambda: int(gibibytes * 2**30))
    assert default_slots(SMALL) == slots


def test_each_gpu_trains_one_unless_the_search_keeps_to_the_cpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(machine, "gpus", lambda: (GPU("NVIDIA H100", 80 * 2**30),) * 3)
    monkeypatch.setattr(machine, "cores", lambda: 2)
    assert default_slots(SMALL) == 3
    assert default_slots(SearchSpec(settings={"training.device": "cpu"}).base()) == 2
