from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from data.series import series
from informer.baselines import compute, errors, main, thinning
from informer.config import RunConfig, Value

FIGURES = {
    96: (1.2944, 0.7132, 0.370),
    192: (1.3249, 0.7331, 0.403),
    336: (1.3299, 0.7460, 0.426),
    720: (1.3351, 0.7550, 0.422),
}


@pytest.mark.data
@pytest.mark.parametrize("horizon", FIGURES)
def test_etth1_gives_the_published_figures(etth1: Path, horizon: int) -> None:
    changes: dict[str, Value] = {"data.seq_len": 336, "data.pred_len": horizon}
    rows = compute(RunConfig().with_changes(changes))
    test = {row.name: row for row in rows if row.split == "test"}
    mse, mae, linear = FIGURES[horizon]
    assert test["repeat-last"].mse == pytest.approx(mse, abs=5e-5)
    assert test["repeat-last"].mae == pytest.approx(mae, abs=5e-5)
    assert test["closed-form linear"].mse == pytest.approx(linear, abs=1e-3)


PUBLISHED_REPEAT = {  # Zeng et al. 2023, whole batches of 32
    96: (1.295, 0.713),
    192: (1.325, 0.733),
    336: (1.323, 0.744),
    720: (1.339, 0.756),
}


@pytest.mark.data
@pytest.mark.parametrize("horizon", PUBLISHED_REPEAT)
def test_the_published_repeat_rows_are_reproduced_to_three_decimals(
    etth1: Path, horizon: int
) -> None:
    command = ["--seq-len", "336", "--horizons", str(horizon), "--drop-last", "--json"]
    rows = json.loads(CliRunner().invoke(main, command).output)
    repeat = next(row for row in rows if (row["name"], row["split"]) == ("repeat-last", "test"))
    assert (round(repeat["mse"], 3), round(repeat["mae"], 3)) == PUBLISHED_REPEAT[horizon]
    assert repeat["windows"] == "whole batches of 32"


@pytest.mark.parametrize("features", ["M", "S", "MS"])
def test_naive_baselines_are_what_they_say(features: str, tiny: RunConfig) -> None:
    config = tiny.with_changes({"data.features": features, "data.pred_len": 30, "data.seq_len": 12})
    source = series("tiny", config.data.features, "OT")
    values = source.values[:, source.outputs]
    origins = range(860, 920 - 30 + 1)
    repeat = np.array([values[o - 1] - values[o + h] for o in origins for h in range(30)])
    season = np.array([values[o - 24 + h % 24] - values[o + h] for o in origins for h in range(30)])
    test = {row.name: row for row in compute(config) if row.split == "test"}
    assert test["repeat-last"].mse == pytest.approx((repeat**2).mean())
    assert test["repeat-last"].mae == pytest.approx(abs(repeat).mean())
    assert test["seasonal-naive"].mse == pytest.approx((season**2).mean())


def test_every_baseline_is_there_for_both_splits(tiny: RunConfig) -> None:
    names = ("repeat-last", "seasonal-naive", "closed-form linear")
    expected = {(name, split) for name in names for split in ("val", "test")}
    assert {(row.name, row.split) for row in compute(tiny)} == expected


def test_errors_by_column_are_those_of_the_means_and_progress_is_told(tiny: RunConfig) -> None:
    source = series("tiny", "M", "OT")
    shares: list[float] = []
    found = errors(source, 24, 6, judged=("val",), progress=shares.append)["val"]
    expected = {row.name: row for row in compute(tiny) if row.split == "val"}
    data = tiny.data
    same = errors(source, data.seq_len, data.pred_len)["val"]
    assert {name: sums.mse for name, sums in same.items()} == {
        name: row.mse for name, row in expected.items()
    }
    assert found["repeat-last"].absolute.shape == (6, 7)
    assert shares == sorted(shares) and shares[-1] == 1.0


def test_thinned_baselines_are_near_those_of_all_windows(tiny: RunConfig) -> None:
    source = series("tiny", "M", "OT")
    all_, some = (errors(source, 24, 6, judged=("val",), every=every)["val"] for every in (1, 4))
    assert some["closed-form linear"].mse == pytest.approx(all_["closed-form linear"].mse, rel=0.5)
    assert len(some["repeat-last"].by_window) * 4 >= len(all_["repeat-last"].by_window)
    assert thinning(source, 24, 6, ("val",)) == 1 < thinning(source, 24, 6, ("val",), work=1e5)


def test_the_engine_gets_its_file_without_torch(tmp_path: Path, tiny: RunConfig) -> None:
    config, output = tmp_path / "config.json", tmp_path / "baselines.json"
    config.write_text(tiny.with_changes({"data.dataset": "synthetic"}).model_dump_json())
    code = (
        "import sys; from informer.baselines import main; "
        f"main(['--config', {str(config)!r}, '--output', {str(output)!r}], standalone_mode=False); "
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = json.loads(output.read_text())
    assert len(rows) == 6 and set(rows[0]) == {"name", "split", "mse", "mae", "windows"}


def test_several_horizons_make_a_table(tiny: RunConfig) -> None:
    arguments = ["--dataset", "tiny", "--seq-len", "24", "--horizons", "6", "12"]
    table = CliRunner().invoke(main, arguments)
    assert table.exit_code == 0
    assert table.output.splitlines()[-1] == "On scaled data, over all windows."
    assert [line.split()[0] for line in table.output.splitlines()[:-1]] == [
        "horizon",
        *6 * ["6"],
        *6 * ["12"],
    ]
    printed = CliRunner().invoke(main, [*arguments, "--json"])
    assert len(json.loads(printed.output)) == 12


@pytest.mark.parametrize(
    "arguments",
    [
        ["--dataset", "nothing"],
        ["--dataset", "synthetic", "--features", "X"],
        ["--dataset", "synthetic", "--horizons", "0"],
        ["--config", "no-such-file.json"],
    ],
)
def test_bad_input_is_one_sentence(arguments: list[str]) -> None:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
