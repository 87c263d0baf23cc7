"""Which GPUs a search has, how many trainings at once by default, and what each may take."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import pytest

from nas_engine import machine
from nas_engine.engine import local_trainer
from nas_engine.machine import cuda_devices, default_slots, gpus, memory_allowed, memory_needed
from nas_engine.search import SearchSpec
from nas_engine.settings import load_settings
from nas_engine.trainers.pool import device_share
from nas_engine.workspace import Workspace

SMALL = SearchSpec().base()
ON_CPU = SMALL.with_changes({"training.device": "cpu"})
GIB = 2**30

HaveGPUs = Callable[..., None]


@pytest.fixture
def have_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HaveGPUs]:
    """Let `nvidia-smi` name GPUs of these sizes in GiB, and CUDA_VISIBLE_DEVICES be `visible`."""

    def have(*gibibytes: int, visible: str | None = None) -> None:
        rows = [
            f"GPU-{number}{number}aa-bb, {size * 1024}, NVIDIA H100, {size}GB"
            for number, size in enumerate(gibibytes)
        ]
        tool = tmp_path / "nvidia-smi"
        tool.write_text("#!/bin/sh\ncat <<END\n" + "\n".join(rows) + "\nEND\n")
        tool.chmod(0o700)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
        machine._present.cache_clear()
        if visible is None:
            monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        else:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)

    yield have
    machine._present.cache_clear()


@pytest.mark.parametrize(
    ("cores", "gibibytes", "slots"), [(4, 64, 4), (64, 512, 8), (4, 2, 3), (1, 64, 1), (4, 0.1, 1)]
)
def test_without_a_gpu_cores_and_memory_decide(
    monkeypatch: pytest.MonkeyPatch, have_gpus: HaveGPUs, cores: int, gibibytes: float, slots: int
) -> None:
    have_gpus()
    monkeypatch.setattr(machine, "cores", lambda: cores)
    monkeypatch.setattr(machine, "main_memory", lambda: int(gibibytes * GIB))
    assert default_slots(SMALL) == slots


@pytest.mark.parametrize(
    ("gibibytes", "cores", "memory", "preset", "slots"),
    [
        ([80, 80, 80], 64, 512, "small", 12),  # at most 4 on each
        ([80, 80, 80], 8, 512, "small", 6),  # a core each, and as many on each GPU
        ([80, 80, 80], 2, 512, "small", 3),  # one on each, however few cores
        ([80, 80], 64, 16, "small", 4),  # their processes need main memory
        ([80, 3], 64, 512, "small", 4),  # the smallest counts: 2 on each
        ([8], 64, 512, "paper", 2),  # each has room for 4 times the preset
        ([1], 64, 512, "paper", 1),
    ],
)
def test_small_models_share_a_gpu_as_far_as_memory_and_cores_allow(
    monkeypatch: pytest.MonkeyPatch,
    have_gpus: HaveGPUs,
    gibibytes: list[int],
    cores: int,
    memory: int,
    preset: Literal["small", "paper"],
    slots: int,
) -> None:
    have_gpus(*gibibytes)
    monkeypatch.setattr(machine, "cores", lambda: cores)
    monkeypatch.setattr(machine, "main_memory", lambda: memory * GIB)
    config = SearchSpec(preset=preset).base()
    assert default_slots(config) == slots
    given = [device_share(slot, slots, cuda_devices("auto")) for slot in range(slots)]
    for number in range(len(gibibytes)):
        shares = [share for environment, share in given if environment == _cuda(number)]
        assert sum(shares) == pytest.approx(1) and len(shares) == slots // len(gibibytes)
    # What may be proposed fits into the share of any slot.
    assert memory_allowed(config, slots) <= 0.85 * min(gibibytes) * GIB * min(
        share for _, share in given
    )


def _cuda(number: int) -> dict[str, str]:
    return {"CUDA_VISIBLE_DEVICES": str(number)}


def test_a_search_that_keeps_to_the_cpu_gets_a_slot_for_each_core(
    monkeypatch: pytest.MonkeyPatch, have_gpus: HaveGPUs
) -> None:
    have_gpus(80, 80, 80)
    monkeypatch.setattr(machine, "cores", lambda: 2)
    assert default_slots(ON_CPU) == 2


@pytest.mark.parametrize(
    ("visible", "names", "sizes"),
    [
        (None, ["0", "1", "2", "3"], [80, 80, 40, 24]),
        ("3", ["3"], [24]),
        ("2,0", ["2", "0"], [40, 80]),
        (" 1 , 3 ", ["1", "3"], [80, 24]),
        ("GPU-22aa", ["GPU-22aa"], [40]),
        ("1,-1,0", ["1"], [80]),  # CUDA reads no further than a GPU that is not there
        ("0,9,1", ["0"], [80]),
        ("", [], []),
        ("-1", [], []),
        ("NoDevFiles", [], []),
    ],
)
def test_only_the_gpus_that_cuda_shows_count_for_slots_memory_and_shares(
    monkeypatch: pytest.MonkeyPatch,
    have_gpus: HaveGPUs,
    visible: str | None,
    names: list[str],
    sizes: list[int],
) -> None:
    have_gpus(80, 80, 40, 24, visible=visible)
    monkeypatch.setattr(machine, "cores", lambda: 1)
    assert [gpu.memory for gpu in gpus()] == [size * GIB for size in sizes]
    assert cuda_devices("auto") == names
    if names:
        slots = default_slots(SMALL)
        assert slots == len(names)
        assert memory_allowed(SMALL, slots) == int(0.85 * min(sizes) * GIB)
        given = [device_share(slot, slots, cuda_devices("cuda")) for slot in range(slots)]
        assert given == [({"CUDA_VISIBLE_DEVICES": name}, 1) for name in names]
    else:
        assert default_slots(SMALL) == default_slots(ON_CPU)
        assert memory_needed(SMALL) == memory_needed(ON_CPU)
        assert memory_allowed(SMALL, 2) == memory_allowed(ON_CPU, 2)


def test_a_search_that_names_a_gpu_shares_that_one_among_its_slots(
    monkeypatch: pytest.MonkeyPatch, have_gpus: HaveGPUs
) -> None:
    have_gpus(80, 80, 40, visible="0,2")
    monkeypatch.setattr(machine, "cores", lambda: 1)
    named = SMALL.with_changes({"training.device": "cuda:1"})
    assert [gpu.memory for gpu in gpus("cuda:1")] == [40 * GIB]
    assert default_slots(named) == 1
    assert memory_allowed(named, 2) == int(0.85 * 40 * GIB / 2)
    assert cuda_devices("cuda:1") == [] and device_share(1, 2, []) == ({}, 0.5)
    assert gpus("cuda:2") == ()


@pytest.mark.parametrize(
    ("device", "measured"),
    [("auto", ["0", "1", "0"]), ("cuda:1", ["1", "1", "1"]), ("cpu", ["", "", ""])],
)
def test_the_gpu_that_is_measured_is_the_one_that_the_slot_trains_on(
    have_gpus: HaveGPUs, workspace: Workspace, device: str, measured: list[str]
) -> None:
    have_gpus(80, 40)
    spec = SearchSpec(slots=3, settings={"training.device": device})
    trainers = [local_trainer(workspace, load_settings(), slot, spec) for slot in range(3)]
    assert [trainer._gpu for trainer in trainers] == measured


def test_a_tool_that_says_something_else_means_no_gpu(have_gpus: HaveGPUs, tmp_path: Path) -> None:
    have_gpus(80)
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\necho NVIDIA-SMI has failed\n")
    assert gpus() == ()
