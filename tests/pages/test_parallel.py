from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from informer.config import Value
from pages._parts.analysis.axes import Axis, colours, short_names
from pages._parts.analysis.parallel import brushed, dimensions, parallel_figure, passing
from tests.pages.analysed import LR, along, of


def test_names_are_the_last_word_of_a_key_unless_two_share_it() -> None:
    assert short_names(["model.d_model", LR]) == {"model.d_model": "d_model", LR: "lr"}
    alike = short_names(["a.b.lr", "a.c.lr", "x"])
    assert alike == {"a.b.lr": "b.lr", "a.c.lr": "c.lr", "x": "x"}


def test_long_names_are_cut_in_the_middle_and_stay_apart() -> None:
    first, second = "m.weight_decay_of_the_first", "m.weight_decay_of_the_second"
    assert short_names([first])[first] == "weight_d…he_first"
    same = [f"m.abcdefghij{row}klmnopqrstuvw" for row in range(2)]
    assert len(set(short_names(same).values())) == 2
    assert len(set(short_names([first, second]).values())) == 2


def test_names_are_safe_where_plotly_reads_tags() -> None:
    assert short_names(["<b>x\u202e"])["<b>x\u202e"] == "&lt;b&gt;x"


def test_categories_keep_their_places_when_trials_are_added() -> None:
    few = along("model.normalisation", ["revin", "none", None])
    more = along("model.normalisation", ["last", "revin", "none"])
    assert few.kind == "category"
    assert few.ticks == more.ticks
    assert few.places.tolist()[:2] == more.places.tolist()[1:]
    assert np.isnan(few.places[2])


def test_yes_and_no_are_categories() -> None:
    found = along("model.skip", [True, False, True])
    assert [text for _, text in found.ticks] == ["yes", "no"]
    assert found.places.tolist() == [0.0, 1.0, 0.0]


def test_names_of_data_sets_in_any_script_are_categories() -> None:
    found = along("data.dataset", ["Wärme", "電力", "<i>x</i>", "a" * 40])
    texts = [text for _, text in found.ticks]
    assert {"Wärme", "電力", "&lt;i&gt;x&lt;/i&gt;"} < set(texts)
    assert max(len(text) for text in texts) <= 24


def test_a_log_scale_is_that_of_the_definition_and_of_positive_numbers() -> None:
    assert along(LR, np.geomspace(1e-5, 1e-2, 20).tolist()).kind == "log"
    assert along(LR, [0.0, 0.1]).kind == "number"
    assert along("model.dropout", np.linspace(0, 0.5, 20).tolist()).kind == "number"
    assert along(LR, [1e-4, 1e-3]).ticks == ((1e-4, "0.0001"), (1e-3, "0.001"))


def test_a_few_numbers_stand_in_order_at_even_distances() -> None:
    found = along("model.d_model", [512, 32, 48])
    assert found.kind == "ordered"
    texts = [text for _, text in found.ticks]
    assert texts == [f"{number:g}" for number in sorted(float(text) for text in texts)]
    assert "48" in texts, "a value that planners do not offer is there too"
    assert found.texts() == ["512", "32", "48"]


def test_the_scale_of_colours_is_seen_on_light_and_dark() -> None:
    scale = colours(np.array([1.0, 2.0]), "")["colorscale"]

    def luminance(colour: str) -> float:  # WCAG 2.2, relative luminance
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    lights = [luminance(colour) for _, colour in scale]
    assert lights == sorted(lights), "also without colour vision, more is more"
    for light in lights:
        assert 1.05 / (light + 0.05) > 2, "on white"
        assert (light + 0.05) / (luminance("#10151C") + 0.05) > 3, "on the dark background"


def test_colours_of_equal_or_no_errors_have_a_range() -> None:
    for values in (np.array([0.5, 0.5]), np.array([]), np.array([np.nan])):
        scale = colours(values, "")
        assert scale["cmin"] < scale["cmax"]


def lines(errors: Sequence[float], **settings: Sequence[Value | None]) -> list[Axis]:
    trials = of(*errors)
    keys = {name.replace("__", "."): list(values) for name, values in settings.items()}
    return dimensions(trials, pd.DataFrame(keys, index=trials.index), list(keys))


def test_parallel_coordinates_hold_logarithms_ticks_and_the_error() -> None:
    axes = lines([0.5, 0.4], **{LR.replace(".", "__"): [1e-4, 1e-2], "model__skip": [True, False]})
    first, second, last = parallel_figure(axes, {})["data"][0]["dimensions"]
    assert first["values"] == [-4.0, -2.0]
    assert first["ticktext"] == ["0.0001", "0.01"]
    assert first["tickvals"] == [-4.0, -2.0]
    assert second["ticktext"] == ["yes", "no"]
    assert (last["label"], last["values"]) == ("val_mse", [0.5, 0.4])


def test_trials_of_one_category_are_spread_by_their_error_and_inwards_at_the_ends() -> None:
    words = ["standardise", "standardise", "standardise", "none", "last", "last"]
    axes = lines([0.5, 0.4, 0.6, 0.3, 0.2, 0.7], model__normalisation=words)
    dimension = parallel_figure(axes, {})["data"][0]["dimensions"][0]
    values = dimension["values"]
    ticks = dict(zip(dimension["ticktext"], dimension["tickvals"], strict=True))
    assert values[1] < values[0] < values[2], "the best below"
    assert values[0] == ticks["standardise"], "around the place of the category"
    # Plotly lets a drag keep a quarter of the room on each side of a tick, and nothing beyond ends.
    assert all(abs(value - ticks["standardise"]) < 0.25 for value in values[:3])
    assert 0 < values[3] < 0.25
    assert ticks["last"] - 0.25 < values[4] < values[5] < ticks["last"]


def test_a_log_axis_has_ticks_at_round_numbers_dense_enough_to_brush() -> None:
    rates = np.geomspace(2e-5, 8e-3, 30).tolist()
    axes = lines([0.5] * 30, **{LR.replace(".", "__"): rates})
    dimension = parallel_figure(axes, {})["data"][0]["dimensions"][0]
    assert len(set(dimension["ticktext"])) == len(dimension["ticktext"]), "texts are keys"
    assert [text for text in dimension["ticktext"] if text.strip()] == [
        *("2e-05", "5e-05", "0.0001", "0.0002", "0.0005", "0.001", "0.002", "0.005"),
    ]
    assert max(np.diff(dimension["tickvals"])) < 0.31


def test_tags_in_a_category_are_shown_as_they_stand() -> None:
    axes = lines([0.5, 0.4], data__dataset=["<b>x</b>", "電力"])
    figure = parallel_figure(axes, {})
    assert figure["data"][0]["dimensions"][0]["ticktext"] == ["<b>x</b>", "電力"]


def test_a_trial_without_a_value_lies_below_all_others() -> None:
    axes = lines([0.5, 0.4, 0.3], model__dropout=[0.1, None, 0.5])
    dimension = parallel_figure(axes, {})["data"][0]["dimensions"][0]
    assert dimension["values"][1] < 0.1
    assert dimension["range"][0] < dimension["values"][1]


def test_the_brush_stays_and_lets_its_trials_pass() -> None:
    axes = lines([0.5, 0.4, 0.3], model__dropout=[0.1, 0.2, 0.5], model__skip=[True, False, True])
    figure = parallel_figure(axes, {})
    names = [dimension["name"] for dimension in figure["data"][0]["dimensions"]]
    brush = {names[0]: [[0.0, 0.15], [0.4, 0.6]], names[2]: [[0.25, 0.45]]}
    assert passing(axes, brush).tolist() == [False, False, True]
    assert passing(axes, {}).all()
    kept = parallel_figure(axes, brush)["data"][0]["dimensions"]
    assert kept[0]["constraintrange"] == [[0.0, 0.15], [0.4, 0.6]]
    assert "constraintrange" not in kept[1]
    assert brushed(axes, brush)
    assert not brushed(axes, {"model.gone category": [[0, 1]]})


def test_a_brush_is_dropped_once_positions_stand_for_other_values() -> None:
    axes = lines([0.5, 0.4, 0.3], data__batch_size=[16, 32, 64])
    dimension = parallel_figure(axes, {})["data"][0]["dimensions"][0]
    at = dimension["ticktext"].index("64")
    brush = {dimension["name"]: [[at - 0.25, at + 0.25]]}
    assert passing(axes, brush).tolist() == [False, False, True]
    more = lines([0.5, 0.4, 0.3, 0.2], data__batch_size=[16, 32, 64, 20])
    assert not brushed(more, brush) and passing(more, brush).all()
    assert "constraintrange" not in parallel_figure(more, brush)["data"][0]["dimensions"][0]


def test_a_brush_is_not_taken_for_that_of_another_scale() -> None:
    ordered = lines([0.5, 0.4], model__e_layers=[1, 2])
    many = lines([0.5] * 12, model__e_layers=list(range(1, 13)))
    name = parallel_figure(ordered, {})["data"][0]["dimensions"][0]["name"]
    assert brushed(ordered, {name: [[0.0, 1.0]]})
    assert not brushed(many, {name: [[0.0, 1.0]]})
