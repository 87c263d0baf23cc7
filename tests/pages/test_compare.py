"""Compare: what is chosen, how it is drawn, and that its address holds all of it."""

from __future__ import annotations

import json
import sqlite3

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from informer.config import SEEDS, Value
from informer.records import Details, PartErrors, Success
from nas_engine.store import trainings
from nas_engine.store.reader import reading
from nas_engine.store.rows import BaselineRow, EpochRow
from nas_engine.store.table import ALL, keys
from nas_engine.workspace import Workspace
from pages._parts import choice
from pages._parts.breakdown import Broken, by_column, by_step
from pages._parts.comparing import analyses
from pages._parts.differences import PatternError, matching
from pages._parts.download import csv_text, latex, markdown
from pages._parts.overlay import Line, Look, band_of, drawn, overlay, smoothed
from pages._parts.selection import trial_of, with_rows
from tests.pages import folders, seed
from tests.pages.conftest import Open, figure, words

# -- choosing -----------------------------------------------------------------------------------


def shown(app: AppTest) -> list[str]:
    return list(app.dataframe[0].value["Name"])


def address(app: AppTest) -> dict[str, str]:
    """Return what the address holds; AppTest gives one value or a list."""
    held = dict(app.query_params)
    return {key: value if isinstance(value, str) else value[0] for key, value in held.items()}


def chosen(app: AppTest) -> list[str]:
    return list(app.multiselect(key="compare-trials").value)


def test_rows_are_resolved_against_the_page_that_was_shown_and_others_stay() -> None:
    before, page = [(1, 9), (1, 5), (2, 0)], [(1, 5), (1, 4), (1, 3)]
    assert with_rows(before, page, [1, 2, 7, -1]) == [(1, 9), (2, 0), (1, 4), (1, 3)]
    assert with_rows(before, page, [0]) == before


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("1.5", (1, 5)),
        ("12.0", (12, 0)),
        ("0.1", None),
        ("5", None),
        ("1.", None),
        ("1.5.2", None),
        ("x.1", None),
    ],
)
def test_a_trial_is_named_by_its_search_and_its_number(
    text: str, wanted: tuple[int, int] | None
) -> None:
    assert trial_of(text) == wanted
    assert trial_of("5", 3) == (3, 5) and trial_of("1" * 10 + ".1") is None


def test_trial_0_the_incumbent_and_the_best_are_compared_at_first(
    open_page: Open, workspace: Workspace
) -> None:
    seed.eventful(workspace)
    app = open_page("compare")
    assert chosen(app) == ["1.0", "1.1", "1.4", "1.6"]
    assert app.selectbox(key="compare-ref").value == "1.6"
    assert shown(app)[:4] == ["1.6", "1.1", "1.4", "1.0"]


def test_what_the_address_names_wrongly_is_a_sentence_and_the_rest_is_shown(
    open_page: Open, workspace: Workspace
) -> None:
    seed.eventful(workspace)
    app = open_page("compare", searches="1,7", trials="1.6,2,1.77,![x](http://a.b)", ref="9.9")
    assert chosen(app) == ["1.6", "1.2"]
    text = words(app).replace("\\", "")
    assert "There is no search 7" in text and "There is no trial 1.77, !" in text
    assert "There is no trial 9.9 to hold the others against" in text
    assert "![" not in words(app)


def test_the_filter_and_the_order_are_of_the_database_and_of_the_address(
    open_page: Open, workspace: Workspace
) -> None:
    seed.eventful(workspace)
    app = open_page("compare", q="d_model>=128", sort="-number", page="99")
    assert shown(app) == ["1.8", "1.2"]
    app.text_input(key="compare-q").set_value("val_mse<0.46").run()
    app.selectbox(key="compare-by").set_value("val_mse").run()
    assert shown(app) == ["1.4", "1.1", "1.6"]
    assert address(app) == {"searches": "1", "q": "val_mse<0.46", "sort": "-val_mse"}
    app.text_input(key="compare-q").set_value("width>3").run()
    assert "is no figure and no setting" in app.error[0].value
    assert chosen(app) == ["1.0", "1.1", "1.4", "1.6"]


def test_the_best_the_rows_shown_or_none_can_be_chosen_at_once(
    open_page: Open, workspace: Workspace
) -> None:
    seed.eventful(workspace)
    app = open_page("compare", q="state!=completed")
    app.button(key="compare-these").click().run()
    assert set(chosen(app)) == {f"1.{number}" for number in range(9)}
    app.text_input(key="compare-q").set_value("val_mse<0.45").run()
    app.button(key="compare-best").click().run()
    assert chosen(app) == ["1.6", "1.1"]
    app.multiselect(key="compare-trials").set_value(["1.1"]).run()
    assert address(app)["trials"] == "1.1"
    app.button(key="compare-none").click().run()
    assert chosen(app) == [] and "Select rows" in words(app)


def test_settings_that_vary_can_be_columns(open_page: Open, workspace: Workspace) -> None:
    seed.eventful(workspace)
    app = open_page("compare", columns="Name,val_mse,model.dropout,nothing", sort="number")
    table = app.dataframe[0].value
    assert list(table.columns) == ["Name", "val_mse", "model.dropout"]
    assert table["model.dropout"].iloc[3] == 0.5


# -- curves -------------------------------------------------------------------------------------


def line(key: tuple[int, int], *values: float | None, name: str = "") -> Line:
    rows = [
        EpochRow(key[1], epoch, value, value, value, 1e-4, 2.0)
        for epoch, value in enumerate(values, 1)
    ]
    return Line(key, name or f"{key[0]}.{key[1]}", rows)


def test_smoothing_starts_without_bias_and_leaves_gaps() -> None:
    assert smoothed([2.0, 2.0, None, 2.0], 0.9) == pytest.approx([2.0, 2.0, None, 2.0])
    assert smoothed([1.0, 3.0], 0.5) == pytest.approx([1.0, (0.25 + 1.5) / 0.75])
    assert smoothed([1.0, None, 3.0], 0.0) == [1.0, None, 3.0]


def test_curves_are_held_against_their_first_epoch_or_the_reference() -> None:
    one, other = line((1, 0), 2.0, 1.0, 0.5), line((1, 1), 1.0, 2.0)
    assert drawn(one, Look(relative="first"), None) == [0.0, -50.0, -75.0]
    assert drawn(one, Look(relative="reference"), other) == [100.0, -50.0, None]
    assert drawn(one, Look(relative="reference"), None) == [None] * 3
    (trace,) = overlay([one], Look(relative="reference"), other)["data"]
    assert trace["x"] == [1, 2] and trace["y"] == [100.0, -50.0]


def test_the_band_holds_most_trials_and_counts_what_is_finite() -> None:
    points = [(1, n, epoch, None, n + 1.0, 1.0) for n in range(11) for epoch in (1, 2)]
    points[1] = (1, 0, 2, None, None, 1.0)
    band = band_of(points, Look(), None)
    assert band is not None and band.trials == 11
    assert (band.low[0], band.median[0], band.high[0]) == (2.0, 6.0, 10.0)
    assert band.median[1] == 6.5
    assert band_of(points, Look("train_loss"), None) is None and band_of([], Look(), None) is None
    relative = band_of(points, Look(relative="first"), None)
    assert relative is not None and relative.median == [0.0, 0.0]


def test_epochs_that_were_not_finite_are_a_gap_and_a_triangle() -> None:
    drawing = overlay([line((2, 3), 1.0, None, 0.5)], Look())
    curve, mark = drawing["data"]
    assert curve["y"] == [1.0, None, 0.5] and curve["customdata"] == ["2.3"] * 3
    assert (mark["x"], mark["y"], mark["text"]) == ([2], [1.0], ["2"])
    assert mark["name"] == "2.3: 1 of 3 epochs not finite" and mark["customdata"] == ["2.3"]
    by_time = overlay([line((2, 3), 1.0, None, 0.5)], Look(axis="seconds"))["data"][1]
    assert (by_time["x"], by_time["text"]) == ([4.0], ["2"])


def test_a_figure_beyond_all_numbers_is_a_gap_and_not_infinite() -> None:
    huge, usual = line((1, 0), 1.7e308, 0.5), line((1, 1), 0.5, 0.0)
    assert drawn(huge, Look(relative="reference"), usual) == [None, None]
    json.dumps(overlay([huge, usual], Look(relative="reference"), usual), allow_nan=False)
    points = [(1, n, 1, None, value, 1.0) for n, value in enumerate((1.7e308, 0.5, 1.0))]
    band = band_of(points, Look(relative="reference"), usual)
    assert band is not None and band.median == [50.0]


def test_curves_by_time_on_a_log_scale_with_names_from_outside() -> None:
    drawing = overlay(
        [line((1, 0), 1.0, 0.5, name="<b>x</b>")],
        Look(log=True, axis="seconds"),
        baselines=[BaselineRow("far", "val", 9.0, 9.0), BaselineRow("near", "val", 0.6, 0.6)],
    )
    assert drawing["data"][0]["x"] == [2.0, 4.0]
    assert drawing["data"][0]["name"] == "&lt;b&gt;x&lt;/b&gt;"
    assert drawing["layout"]["yaxis"]["type"] == "log"
    assert [row["label"]["text"] for row in drawing["layout"]["shapes"]] == ["near 0.6000"]
    assert overlay([], Look())["data"] == []


def test_how_curves_are_drawn_is_in_the_address(open_page: Open, workspace: Workspace) -> None:
    seed.eventful(workspace)
    app = open_page("compare", trials="1.0,1.1", metric="train_loss", band="yes")
    names = [trace["name"] for trace in figure(app)["data"]]  # type: ignore[attr-defined]
    assert names == [
        "90 %",
        "10–90 % of 4 trials",
        "median",
        "1.0",
        "1.1",
        "1.0: 1 of 6 epochs not finite",
    ]
    text = words(app).replace("\\", "")
    assert "trial 1.0: 1 of 6 epochs" in text
    assert "The band is of 4 trials, evenly chosen of 4 that have finished" in text
    app.segmented_control(key="compare-metric").set_value("val_mse")
    app.slider(key="compare-smooth").set_value(0.5)
    app.toggle(key="compare-log").set_value(True).run()
    held = address(app)
    assert held["smooth"] == "0.5" and held["log"] == "yes" and "metric" not in held
    again = open_page("compare", **held)
    assert figure(again) == figure(app)


def test_twenty_curves_are_drawn_and_the_rest_is_told(
    open_page: Open, workspace: Workspace
) -> None:
    search = seed.Seed(workspace)
    for number in range(22):
        changes: dict[str, Value] = {"model.d_ff": 64 + number} if number else {}
        search.propose(number, "tpe" if number else "default", 0 if number else None, changes)
        search.train(number, 0.5 + number / 100)
    search.close()
    app = open_page("compare", trials=",".join(map(str, range(22))))
    assert len(figure(app)["data"]) == 20  # type: ignore[arg-type]
    assert "20 of 22 drawn" in words(app)


# -- differences --------------------------------------------------------------------------------


def differences(app: AppTest) -> pd.DataFrame:
    table: pd.DataFrame = app.dataframe[1].value.set_index("Row")
    return table


def test_only_differences_are_shown_until_all_are_asked_for(
    open_page: Open, workspace: Workspace
) -> None:
    seed.eventful(workspace)
    app = open_page("compare", trials="1.0,1.4", ref="1.0", tab="differences")
    settings = [name for name in differences(app).index if "." in name]
    assert settings == [
        "data.batch_size", "model.normalisation", "training.optimizer_params.lr"
    ]  # fmt: skip
    app.multiselect(key="compare-without").set_value(["data.batch_size"]).run()
    assert "data.batch_size" not in differences(app).index
    app.toggle(key="compare-all").set_value(True).run()
    assert len(differences(app)) > 40 and "data.batch_size" not in differences(app).index


def test_figures_are_held_against_the_reference(open_page: Open, workspace: Workspace) -> None:
    seed.eventful(workspace)
    app = open_page("compare", trials="1.0,1.1,1.2", ref="1.1", tab="differences")
    table = differences(app)
    assert list(table.columns) == ["1.1 ◆", "1.0", "1.2"]
    assert list(table.loc["val_mse ↓"]) == ["0.4481", "0.7012 ± 0.005 (3 seeds)", "–"]
    assert list(table.loc["Δ val_mse"]) == ["–", "+0.2531", "–"]
    assert list(table.loc["Δ val_mse %"]) == ["–", "+56.48 %", "–"]
    assert list(table.loc["curve"]) == ["over-fitting", "diverging", "–"]
    app.selectbox(key="compare-ref").set_value("1.0").run()
    assert list(differences(app).columns) == ["1.0 ◆", "1.1", "1.2"]
    assert list(app.dataframe[0].value["vs reference %"])[:3] == pytest.approx(
        [100 * (value / 0.7012 - 1) for value in (0.3876, 0.4481, 0.4502)]
    )


def test_rows_are_found_by_word_or_pattern_and_a_wrong_one_is_a_sentence(
    open_page: Open, workspace: Workspace
) -> None:
    seed.eventful(workspace)
    app = open_page("compare", tab="differences", rows="^val_mse|BATCH")
    assert list(differences(app).index) == ["val_mse ↓", "data.batch_size"]
    app.text_input(key="compare-rows").set_value("(").run()
    assert "no regular expression" in app.error[0].value
    with pytest.raises(PatternError, match="takes too long"):
        matching({"a" * 40 + "b": []}, "(a|aa)+$")


def test_errors_of_different_tasks_are_not_held_against_each_other(
    open_page: Open, workspace: Workspace
) -> None:
    seed.eventful(workspace), seed.small(workspace)
    app = open_page("compare", searches="1,2", trials="1.1,2.0", ref="1.1", tab="differences")
    assert "pred_len 24 in search 1, 48 in search 2" in words(app).replace("\\", "")
    assert list(differences(app).loc["Δ val_mse %"]) == ["–", "–"]
    assert "data.pred_len" in differences(app).index
    assert app.dataframe[0].value.set_index("Name")["vs reference %"].isna()["2.0"]


def test_test_figures_stand_apart(open_page: Open, workspace: Workspace) -> None:
    seed.eventful(workspace)
    app = open_page("compare", tab="differences")
    assert "test_mse ↓" not in list(differences(app).index)
    assert "no part of a search reads them" in words(app)
    assert "baseline: linear map" in list(app.dataframe[2].value.iloc[:, 0])


# -- errors -------------------------------------------------------------------------------------


def part(*columns: str) -> PartErrors:
    values = tuple(0.1 * place for place in range(1, len(columns) + 1))
    return PartErrors(
        columns=columns,
        mse_by_step=(0.1, 0.2),
        mae_by_step=(0.3, 0.4),
        mse_by_column=values,
        mae_by_column=values,
        own_mse_by_column=tuple(9 * value for value in values),
        own_mae_by_column=values,
    )


def test_errors_by_column_are_bars_or_with_many_a_map() -> None:
    trials = [Broken((1, 0), "1.0", part("a", "<b>")), Broken((1, 1), "1.1", part("a"))]
    bars = by_column(trials, "mse", own_units=True)
    assert [trace["type"] for trace in bars["data"]] == ["bar", "bar"]
    assert bars["data"][0]["x"] == ["a", "&lt;b&gt;"]
    assert bars["data"][0]["y"] == pytest.approx([0.9, 1.8])
    assert bars["data"][1]["y"] == pytest.approx([0.9, None])
    many = [Broken((1, 0), "1.0", part(*(f"column {place}" for place in range(117))))]
    (colours,) = by_column(many, "mae", own_units=False)["data"]
    assert colours["type"] == "heatmap" and len(colours["z"][0]) == 117
    steps = by_step(trials, "mae")["data"]
    assert steps[0]["x"] == [1, 2] and steps[0]["y"] == [0.3, 0.4]


def test_errors_are_those_of_the_run_folder_and_missing_ones_are_named(
    open_page: Open, workspace: Workspace
) -> None:
    seed.eventful(workspace)
    run = workspace.run_dir(1, 1)
    run.path.mkdir(parents=True)
    run.details.write_text(Details(val=part("HUFL", "OT"), test=part("HUFL")).model_dump_json())
    app = open_page("compare", trials="1.1,1.6", tab="errors")
    assert "No such errors are kept of: 1.6." in words(app)
    assert [trace["name"] for trace in figure(app, 0)["data"]] == ["1.1"]  # type: ignore[attr-defined]
    assert figure(app, 1)["data"][0]["x"] == ["HUFL", "OT"]  # type: ignore[index]


def ended(error: float) -> Success:
    return Success(
        val_mse=error,
        val_mae=0.4,
        test_mse=0.4,
        test_mae=0.4,
        best_epoch=3,
        epochs=6,
        parameters=1,
        seconds=1.0,
        device="cpu",
    )


def test_errors_are_found_where_the_seeds_begin_again_at_0(
    open_page: Open, workspace: Workspace
) -> None:
    search = seed.Seed(workspace, settings={"training.seed": SEEDS - 1, "training.epochs": 6})
    search.propose(0, "default")
    run = trainings.begin_run(search.writer, search.id, 0, 0)
    trainings.complete(search.writer, search.id, 0, run, ended(0.5))
    search.judge(0)
    search.close()
    assert workspace.seed_dir(1, 0, SEEDS - 1, 0) == workspace.run_dir(1, 0, 1)
    folders.leave_folder(workspace, 1, 0, repeat=1)
    app = open_page("compare", trials="1.0", tab="errors")
    assert [trace["name"] for trace in figure(app, 0)["data"]] == ["1.0 ★"]  # type: ignore[attr-defined]


# -- figures of all trials in scope ------------------------------------------------------------


@pytest.mark.parametrize("tab", ["parameters", "landscape", "tradeoffs"])
def test_figures_are_of_the_trials_that_the_filter_leaves(
    open_page: Open, workspace: Workspace, tab: str
) -> None:
    seed.eventful(workspace), seed.small(workspace, trials=3)
    app = open_page("compare", searches="1,2", tab=tab, trials="none")
    assert not app.error and figure(app)["data"]
    app = open_page("compare", searches="1,2", tab=tab, q="number>90")
    assert not app.error
    app = open_page("compare", tab=tab, q="width>3")
    assert "Mend the filter" in words(app)


def test_a_trial_that_begins_between_two_reads_is_not_drawn_yet(
    open_page: Open, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed.eventful(workspace)
    read = analyses.matching_trials
    monkeypatch.setattr(analyses, "matching_trials", lambda *given: (*read(*given), (1, 999)))
    app = open_page("compare", tab="parameters", q="val_mse>0")
    assert figure(app)["data"]


def test_a_filter_is_read_once_for_the_table_its_pages_and_the_figures(
    open_page: Open, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed.eventful(workspace)
    asked = []
    monkeypatch.setattr(
        choice, "keys", lambda reader, query: asked.append(query) or keys(reader, query)
    )
    app = open_page("compare", tab="parameters", q="val_mse>0")
    assert [query.limit for query in asked] == [ALL] and len(shown(app)) == 4
    app.run()
    assert len(asked) == 1


def test_the_band_is_of_trials_that_have_ended_and_are_judged(
    open_page: Open, workspace: Workspace
) -> None:
    seed.eventful(workspace)
    search = sqlite3.connect(workspace.db)
    search.execute("UPDATE trials SET ended_at = NULL, state = 'queued' WHERE number = 4")
    search.execute("DELETE FROM verdicts WHERE number = 6")
    search.commit(), search.close()
    app = open_page("compare", trials="1.0", band="yes")
    assert "The band is of 2 trials, evenly chosen of 2 that have finished" in words(app)


# -- downloads and views ------------------------------------------------------------------------


def test_no_cell_of_a_download_is_read_as_a_formula_or_as_markup() -> None:
    rows = [
        {"name": "=1+1", "delta": "+0.5 %", "n": -3},
        {"name": "@x\u202e", "delta": "−1", "n": 1},
    ]
    assert csv_text(rows) == "name,delta,n\n'=1+1,+0.5 %,-3\n'@x,−1,1\n"
    assert csv_text([]) == ""
    inside = [{"name": 'ok;=HYPERLINK("http://x")'}, {"name": "a\n +1+1"}, {"name": "1; -2|b-c"}]
    assert csv_text(inside) == ('name\n"ok;\'=HYPERLINK(""http://x"")"\n"a\n \'+1+1"\n1; -2|b-c\n')
    frame = pd.DataFrame({"": ["a|b_c", "<img>"], "1.0 ★": ["50 % ± 1", "\\x{$}"]})
    assert markdown(frame).splitlines() == [
        "|  | 1.0 ★ |", "| --- | --- |", "| a\\|b\\_c | 50 % ± 1 |", "| \\<img\\> | \\\\x{\\$} |"
    ]  # fmt: skip
    text = latex(frame)
    assert r"\toprule" in text and r"1.0 $\star$" in text
    assert r"a|b\_c & 50 \% $\pm$ 1 \\" in text
    assert r"\textless{}img\textgreater{} & \textbackslash{}x\{\$\} \\" in text


def test_nothing_of_a_table_in_markdown_is_live() -> None:
    evil = "![x](http://a.b/c) &lt;b&gt; $x^2$ @ada #1 www.a.b <b>"
    cell = markdown(pd.DataFrame({"a": [evil]})).splitlines()[2]
    for sign in "![]()&$#<>":
        bare = cell.replace(f"\\{sign}", "")
        assert sign in "()" or sign not in bare
    for live in ("http:/", "@a", "www."):
        assert live not in cell


def test_the_differences_can_be_copied_in_three_forms(
    open_page: Open, workspace: Workspace
) -> None:
    seed.eventful(workspace)
    app = open_page("compare", tab="downloads", rows="dropout|mse", trials="1.0,1.3")
    csv, table, tex = [
        block.value for block in app.code if "model.dropout" in block.value.replace("\\", "")
    ]
    assert "model.dropout,0.05,0.05,0.5" in csv
    assert "| model.dropout | 0.05 | 0.05 | 0.5 |" in table
    assert r"model.dropout & 0.05 & 0.05 & 0.5 \\" in tex


def test_a_view_is_saved_opened_and_removed_after_a_question(
    open_page: Open, workspace: Workspace
) -> None:
    seed.eventful(workspace)
    app = open_page("compare", trials="1.0", log="yes")
    app.text_input(key="views-name").set_value("Erste [Wahl]")
    app.button(key="FormSubmitter:views-new-Save").click().run()
    with reading(workspace) as reader:
        assert reader is not None
        assert reader.views("compare") == {"Erste [Wahl]": "log=yes&searches=1&trials=1.0"}
    assert "is saved" in app.success[0].value
    assert app.page_link[0].proto.query_string == "log=yes&searches=1&trials=1.0"
    app.button(key="views-remove-0").click().run()
    app.button(key="views-remove-0").click().run()
    app.button(key="views-back").click().run()
    assert "views-remove-0" in {button.key for button in app.button}
    app.button(key="views-remove-0").click().run()
    app.button(key="views-remove-0").click().run()
    with reading(workspace) as reader:
        assert reader is not None and reader.views("compare") == {}


def test_the_address_to_copy_names_the_trials_even_where_they_are_the_usual_ones(
    open_page: Open, workspace: Workspace
) -> None:
    seed.small(workspace, trials=2)
    app = open_page("compare")
    assert "trials=1.0,1.1" in app.code[0].value
