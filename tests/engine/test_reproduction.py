"""Training again: what counts as the same, and what cannot be held against the record."""

from __future__ import annotations

import pytest

from data.registry import DATASETS, Dataset
from informer.bundle_format import DataFacts, Noise, Scale, SeedErrors
from informer.config import RunConfig
from informer.records import Environment, Success
from nas_engine.reproduction import Recorded, ReproductionError, _known_here, compared
from tests.pages.folders import environment

RESULT = Success(
    val_mse=0.5,
    val_mae=0.4,
    test_mse=0.3,
    test_mae=0.2,
    best_epoch=1,
    epochs=2,
    parameters=10,
    seconds=1.0,
    device="cpu",
)
HERE = environment().model_copy(update={"device": "cpu", "cpu": "A CPU, AVX2", "threads": 1})


def recorded(ran_on: Environment | None = HERE, noise: Noise | None = None) -> Recorded:
    facts = RESULT.model_dump(include=set(SeedErrors.model_fields))
    return Recorded(RunConfig(), SeedErrors(seed=1, **facts), ran_on, noise)


def changed(**facts: object) -> Environment:
    return HERE.model_copy(update=facts)


def test_equal_bits_are_verified_wherever_they_come_from() -> None:
    for ran_on in (HERE, None, changed(cpu="Another")):
        found = compared(recorded(ran_on), RESULT, HERE)
        assert found.verified and found.exact and "last bit" in found.sentence


def test_the_last_bit_decides_where_nothing_differs() -> None:
    near = RESULT.model_copy(update={"test_mae": 0.2 + 2**-54})
    assert near.test_mae != 0.2
    found = compared(recorded(noise=Noise(relative=0.5, degrees=9)), near, HERE)
    assert not found.verified and "repeats to the last bit" in found.sentence


@pytest.mark.parametrize(
    ("ran_on", "said"),
    [
        (None, "not recorded"),
        (changed(cpu=""), "CPU of the first training is not recorded"),
        (changed(cpu="B CPU, AVX512"), "CPU A CPU, AVX2 instead of B CPU, AVX512"),
        (changed(threads=4), "1 threads instead of 4"),
        (changed(device="NVIDIA H100"), "device cpu instead of NVIDIA H100"),
        (changed(versions={**HERE.versions, "torch": "2.0"}), "instead of 2.0"),
    ],
)
def test_elsewhere_the_noise_of_the_search_decides(ran_on: Environment | None, said: str) -> None:
    noise = Noise(relative=0.01, degrees=1000)  # two seeds: within 0.01 x sqrt(2) x 2.003
    for val_mse, verified in ((0.5 * 1.028, True), (0.5 * 1.029, False)):
        again = RESULT.model_copy(update={"val_mse": val_mse})
        found = compared(recorded(ran_on, noise), again, HERE)
        assert found.verified == verified and not found.exact
        assert said in found.sentence and ("inside" if verified else "outside") in found.sentence
        unknown = compared(recorded(ran_on), again, HERE)
        assert not unknown.verified and "noise of the search is not known" in unknown.sentence


def facts_of(dataset: Dataset, **changes: object) -> DataFacts:
    none = Scale(centre=(), scale=())
    facts = DataFacts(
        **{
            name: getattr(dataset, name)
            for name in (
                *("name", "description", "columns", "past_only", "known_future", "target"),
                *("frequency", "season", "split_rows", "url", "sha256", "licence", "citation"),
                "scaling",
            )
        },
        origin="published",
        generated=None,
        source="",
        scaler=none,
        known_scaler=none,
        choices={},
    )
    return facts.model_copy(update=changes)


def test_data_are_the_same_by_checksum_columns_and_split() -> None:
    dataset = DATASETS["ETTh1"]
    assert _known_here(facts_of(dataset)) == "ETTh1"
    for changes in (
        {"sha256": "0" * 64},
        {"split_rows": (8640, 2880, 2881)},
        {"scaling": "robust"},
        {"past_only": ("HUFL",)},
    ):
        with pytest.raises(ReproductionError, match="another data set ETTh1"):
            _known_here(facts_of(dataset, **changes))
    lost = facts_of(dataset, name="mine", origin="own", url=None, source="mine.csv")
    with pytest.raises(ReproductionError, match=r"add the file that it was made from \(mine.csv\)"):
        _known_here(lost)
