"""Group D: proposals, forms, data files, names."""

from __future__ import annotations

from tests.faults.row import Row

PROPOSALS = "tests/engine/test_proposals.py"
EXECUTED = "tests/test_never_executed.py"
PROPERTIES = "tests/fuzz/test_properties.py"
HOSTILE = f"{PROPOSALS}::test_20_000_hostile_proposals_are_refused_and_touch_nothing"
INTAKE = "tests/data/test_intake.py"
EXCHANGE = "tests/engine/test_exchange.py"
BUNDLE = "tests/informer/test_bundle.py"

ROWS = (
    Row(
        "D1",
        "any value of any kind as a proposal",
        ("P5", "P6"),
        "It was refused in short sentences, or was a valid configuration that builds.",
        tests=(
            "tests/engine/test_space.py::test_every_drawn_value_is_valid_or_refused_with_a_"
            "sentence",
            "tests/informer/test_model.py::test_any_valid_configuration_builds_trains_saves_loads_"
            "and_predicts",
            f"{PROPERTIES}::test_every_answer_is_a_proposal_that_can_be_trained_or_is_refused_in_"
            "sentences",
            f"{PROPERTIES}::test_every_configuration_survives_being_written_or_is_refused_in_"
            "sentences",
        ),
    ),
    Row(
        "D2",
        "hostile proposals, under an audit hook",
        ("P6",),
        "None was accepted, and none opened, imported, compiled, executed or sent anything.",
        tests=(HOSTILE,),
    ),
    Row(
        "D3",
        "our own sources with eval, exec, pickle, a shell, torch.load or HTML in them",
        ("P6",),
        "There is none, and planted ones were found.",
        tests=(
            f"{EXECUTED}::test_a_planted_way_is_found",
            f"{EXECUTED}::test_a_planted_way_into_sql_is_found",
        ),
        checks=(
            f"{EXECUTED}::test_the_source_has_no_way_to_run_what_it_was_given",
            f"{EXECUTED}::test_nothing_gets_into_sql_but_as_a_parameter",
        ),
    ),
    Row(
        "D4",
        "configurations that would take all memory or time",
        ("P5", "P7"),
        "Each was refused by arithmetic, before anything was allocated.",
        tests=(
            "tests/faults/test_bombs.py",
            f"{PROPOSALS}::test_parameters_beyond_the_limit_name_the_changed_settings",
            f"{PROPOSALS}::test_memory_beyond_the_limit_is_told_in_gigabytes",
            "tests/engine/test_dry_run.py::test_a_model_that_cannot_fit_is_not_even_built",
            "tests/engine/test_search.py::test_a_model_beyond_the_limit_is_never_trained",
            "tests/engine/test_search.py::test_a_start_beyond_its_own_limits_is_refused",
        ),
    ),
    Row(
        "D5",
        "a planner that would change the seed, the epochs, the data, the split or its budget",
        ("P6", "P7"),
        "These are no part of what it may choose: a sentence said so.",
        tests=(
            "tests/engine/test_space.py::test_planners_may_not_change_the_task_or_the_training_"
            "budget",
            f"{PROPOSALS}::test_the_seed_is_never_the_planners_to_choose",
            f"{PROPOSALS}::test_a_pinned_setting_is_refused_with_its_value",
        ),
    ),
    Row(
        "D6",
        "forged rows of commands, values past the checks of the pages",
        ("P4", "P6"),
        "The engine checked them again, refused them in a sentence, and lived.",
        tests=(
            f"{PROPERTIES}::test_every_row_of_a_command_is_answered_and_leaves_a_search_that_can_"
            "be_read",
        ),
    ),
    Row(
        "D7",
        "data files as people have them: dialects, dates, gaps, ragged and doubled",
        ("P5",),
        "Each was read as it was meant or refused in its exact sentence; none was read shifted.",
        tests=(
            "tests/data/test_bad_files.py",
            "tests/data/test_quality.py::test_one_field_too_many_on_every_line_is_never_shifted",
            "tests/data/test_quality.py::test_whatever_the_file_a_check_never_breaks",
        ),
    ),
    Row(
        "D8",
        "data files that are bombs: endless lines, cells, columns, sizes, packed ones",
        ("P5",),
        "They were refused before they were in memory; what was unpacked was ended alone.",
        tests=(
            f"{INTAKE}::test_an_endless_line_is_refused_before_it_is_in_memory",
            f"{INTAKE}::test_lines_within_quotes_cannot_gather_without_end",
            f"{INTAKE}::test_more_rows_or_cells_than_a_data_set_may_have_are_refused",
            f"{INTAKE}::test_a_big_file_is_refused_by_its_size_alone",
            f"{INTAKE}::test_a_parquet_bomb_ends_the_process_that_unpacks_it_and_no_other",
            f"{INTAKE}::test_what_is_no_ordinary_file_is_refused_without_waiting",
            f"{EXCHANGE}::test_links_twins_bombs_and_missing_parts_are_refused",
        ),
    ),
    Row(
        "D9",
        "tables in random dialects, and damaged at random places",
        ("P5",),
        "A sound one read back to the last bit; a damaged one was refused with its line and "
        "column.",
        tests=(
            "tests/data/test_round_trip.py",
            f"{PROPERTIES}::test_a_damaged_table_is_told_at_its_place_and_a_sound_one_reads_back_"
            "exactly",
            f"{PROPERTIES}::test_every_file_is_read_or_refused_in_sentences",
        ),
    ),
    Row(
        "D10",
        "orders in what a model reads, and a model that obeys them",
        ("P6", "P8", "P10"),
        "A valid configuration or a refusal came of it; nothing was fetched, and no key was in a "
        "question.",
        tests=(
            "tests/faults/test_obedient.py",
            "tests/engine/test_question.py::test_what_a_file_calls_its_data_is_a_short_part_of_"
            "one_line",
            "tests/engine/test_chat.py::test_what_stands_in_the_store_is_data_and_asks_for_nothing",
        ),
    ),
    Row(
        "D11",
        "cells of exports that a spreadsheet would compute",
        ("P6",),
        "They stayed text, and numbers stayed numbers.",
        tests=(
            "tests/pages/test_compare.py::test_no_cell_of_a_download_is_read_as_a_formula_or_as_"
            "markup",
            "tests/informer/test_predict.py::test_a_column_name_is_no_formula_for_a_spreadsheet",
        ),
    ),
    Row(
        "D12",
        "names that lead elsewhere: .., absolute, links, 300 characters, look-alikes",
        ("P6",),
        "All stayed inside the workspace.",
        tests=(
            "tests/data/test_own.py::test_a_name_that_could_lead_elsewhere_is_refused",
            f"{BUNDLE}::test_the_name_of_a_data_set_cannot_lead_out_of_its_folder",
            f"{BUNDLE}::test_what_was_tampered_with_is_one_sentence",
            f"{EXCHANGE}::test_a_member_that_no_export_writes_is_refused",
            f"{EXCHANGE}::test_files_of_runs_have_names_that_are_known",
            f"{EXCHANGE}::test_whatever_is_damaged_is_refused_or_the_search_is_as_it_was",
            f"{EXCHANGE}::test_rows_of_any_kind_are_taken_or_refused_with_nothing_changed",
            f"{PROPERTIES}::test_every_file_of_a_search_or_bundle_is_taken_whole_or_changes_"
            "nothing",
            "tests/pages/test_trial.py::test_files_are_listed_and_links_are_not_followed",
        ),
    ),
)
