"""Group E: security."""

from __future__ import annotations

from tests.faults.row import Row
from tests.faults.service import CALLS, PLANNER, served

SERVER = "tests/pages/test_server.py"
PEOPLE = "tests/pages/test_people.py"
PRIVATE = "tests/test_private.py"
SECRETS = "tests/test_secrets.py"
FORGED = "tests/test_forged.py"
FLOOR = "tests/test_floor.py"

ROWS = (
    Row(
        "E1",
        "started from elsewhere, or told to listen on every address",
        ("P9",),
        "It listened on this computer alone, or showed a refusal and nothing else.",
        tests=(
            f"{SERVER}::test_it_listens_on_this_machine_alone_wherever_it_is_started",
            f"{SERVER}::test_on_a_public_address_without_a_login_there_is_a_refusal_and_nothing_else",
            f"{PEOPLE}::test_it_is_known_whether_other_computers_can_reach_it",
        ),
    ),
    Row(
        "E2",
        "DNS rebinding: handshakes with foreign hosts and origins",
        ("P9",),
        "Only its own host with its own origin was let in.",
        tests=(
            f"{SERVER}::test_a_page_of_another_site_opens_no_connection",
            f"{SERVER}::test_another_name_is_answered_with_a_sentence_alone",
            f"{SERVER}::test_a_foreign_origin_never_makes_the_server_ask_for_its_own_address",
        ),
    ),
    Row(
        "E3",
        "framing by another page, guessing of types",
        ("P9",),
        "Every HTML answer forbids both.",
        tests=(f"{SERVER}::test_every_answer_forbids_to_be_framed_and_to_be_guessed_at",),
    ),
    Row(
        "E4",
        "paths that lead out of every route",
        ("P6", "P9"),
        "No byte of the planted file came back.",
        tests=(f"{SERVER}::test_no_route_leads_out_of_its_folder",),
    ),
    Row(
        "E5",
        "a route that nobody thought of",
        ("P9",),
        "The routes are those of a fixed list, and none gives data without a login where one is "
        "asked for.",
        tests=(
            f"{SERVER}::test_without_a_login_there_is_no_page",
            f"{SERVER}::test_the_shell_that_answers_without_a_login_holds_nothing",
        ),
        checks=(f"{SERVER}::test_the_routes_are_those_that_are_known",),
    ),
    Row(
        "E6",
        "a planted key, hunted through all that is written, with a service that echoes it",
        ("P8",),
        "It was found nowhere; the planted control was found.",
        tests=(
            *served("the key", "HTTP 401 echoing"),
            f"{PLANNER}::test_a_refused_key_pauses_the_search_and_leaks_nowhere",
            f"{CALLS}::test_neither_a_line_nor_a_traceback_of_the_log_has_the_key",
            "tests/engine/test_chat.py::test_no_part_of_a_key_is_kept_of_an_answer_that_was_"
            "stopped",
            "tests/engine/test_stream.py::test_no_part_of_a_key_is_heard_before_it_is_known_for_"
            "one",
            "tests/engine/test_exchanged_data.py::test_no_key_leaves_the_workspace_and_a_running_"
            "search_is_of_one_moment",
            "tests/engine/test_webhook.py::test_the_address_is_kept_like_a_key",
            f"{SECRETS}::test_a_planted_key_is_in_nothing_that_is_written",
            f"{SECRETS}::test_a_planted_control_is_found",
        ),
    ),
    Row(
        "E7",
        "files that others on the machine could read",
        ("P8",),
        "All that holds data or keys is its owner's alone, from birth, under any umask.",
        tests=(
            f"{PRIVATE}::test_a_database_and_all_that_sqlite_makes_beside_it_are_their_owners",
            f"{PRIVATE}::test_a_database_of_an_earlier_version_is_taken_back_and_keeps_what_it_"
            "holds",
            f"{SECRETS}::test_all_that_a_search_writes_is_its_owners_whatever_the_umask",
            f"{PRIVATE}::test_an_env_file_that_others_can_read_is_closed_to_them_and_that_is_said",
            f"{PRIVATE}::test_an_env_file_that_cannot_be_closed_to_others_is_refused_with_a_"
            "sentence",
        ),
    ),
    Row(
        "E8",
        "keys in the environment or the command line of workers and pages",
        ("P8",),
        "There are none.",
        tests=(
            "tests/pages/test_settings_page.py::test_nothing_of_a_key_is_sent_to_the_browser",
            f"{SECRETS}::test_no_other_process_is_given_a_key",
        ),
    ),
    Row(
        "E9",
        "forged rows of checkpoints, evil weights, objects in replies",
        ("P6",),
        "None of it ran; the same forgeries run where they are obeyed.",
        tests=(
            "tests/engine/test_hindcasts.py::test_nothing_is_unpickled_and_what_is_damaged_counts_"
            "as_not_there",
            f"{FORGED}::test_a_forged_checkpoint_runs_nothing",
            f"{FORGED}::test_evil_weights_are_never_unpickled",
            f"{FORGED}::test_an_object_in_a_reply_stays_text_and_is_no_proposal",
        ),
    ),
    Row(
        "E10",
        "Markdown, HTML and addresses in names, notes, headers, labels and transcripts",
        ("P6", "P10"),
        "All of it stayed text: no request, no dialog, no script.",
        tests=(
            "tests/pages/test_browser.py::test_no_foreign_host_is_asked_and_hostile_text_stays_"
            "text",
            "tests/pages/test_ask_browser.py::test_an_answer_grows_stays_and_fetches_nothing",
            "tests/pages/test_trial.py::test_a_click_in_the_tree_opens_the_trial_and_its_sections_"
            "ask_no_foreign_host",
            "tests/pages/test_text.py",
            "tests/pages/test_ask.py::test_what_a_model_says_is_never_markdown",
            "tests/pages/test_compare.py::test_nothing_of_a_table_in_markdown_is_live",
            "tests/pages/test_data_page.py::test_names_of_columns_stay_text",
            "tests/pages/test_overview.py::test_names_of_any_text_are_shown_as_text",
            "tests/engine/test_transcript.py::test_an_export_of_hostile_words_shows_no_image_link_"
            "or_html",
            "tests/engine/test_transcript.py::test_a_text_cannot_leave_its_block_or_span_of_"
            "markdown",
            "tests/informer/test_bundle.py::test_what_people_named_cannot_be_read_as_markdown",
        ),
    ),
    Row(
        "E11",
        "connections of any process to anywhere, tracing switched on in the environment",
        ("P10",),
        "Only the engine connected, and only to the configured address.",
        tests=(f"{SECRETS}::test_only_the_engine_connects_and_only_to_the_language_model",),
    ),
    Row(
        "E12",
        "forged lines and control characters in logs",
        ("P6",),
        "An event stayed one line, and nothing of it reached the terminal.",
        tests=(
            "tests/data/test_check.py::test_control_characters_of_a_file_do_not_reach_the_terminal",
            "tests/engine/test_ask_command.py::test_an_answer_is_printed_with_the_rows_that_it_"
            "rests_on",
            f"{SECRETS}::test_an_event_is_one_line_of_the_log",
            f"{SECRETS}::test_a_line_of_a_megabyte_is_cut_after_the_key_is_out_of_it",
        ),
    ),
    Row(
        "E13",
        "installed packages with known holes",
        ("P6", "P9"),
        "All that is installed is at or above the version that closed them.",
        tests=(f"{FLOOR}::test_what_is_installed_has_no_known_hole",),
        checks=(
            f"{FLOOR}::test_the_packages_that_read_what_comes_from_outside_are_installed_and_looked_at",
            f"{FLOOR}::test_every_release_is_pinned_at_or_above_its_floor",
        ),
    ),
    Row(
        "E14",
        "a shared machine: a guest who acts, a decision in another's name",
        ("P9",),
        "Without a login no page; a viewer wrote nothing; each decision had its author.",
        tests=(
            f"{PEOPLE}::test_who_is_not_let_in_is_told_why",
            f"{PEOPLE}::test_with_a_login_nobody_acts_outside_of_a_session",
            f"{PEOPLE}::test_a_file_of_secrets_that_cannot_be_read_lets_nobody_in",
            f"{PEOPLE}::test_a_viewer_gives_no_command_of_any_kind",
            f"{PEOPLE}::test_a_viewer_passes_no_other_door",
            f"{PEOPLE}::test_a_viewer_is_offered_nothing_that_writes",
            f"{PEOPLE}::test_who_acts_is_kept_with_what_they_do",
            f"{SERVER}::test_a_login_that_is_made_up_or_changed_is_none",
            f"{SERVER}::test_who_is_on_no_list_is_told_so_and_sees_nothing",
            f"{SERVER}::test_a_viewer_who_presses_every_button_writes_nothing",
            f"{SERVER}::test_what_an_operator_does_has_their_name",
            f"{SERVER}::test_cookies_that_another_site_sends_log_nobody_in",
        ),
    ),
    Row(
        "E15",
        "a public address without encryption",
        ("P9",),
        "The page warns of it; over TLS cookies are marked as secure.",
        tests=(
            f"{PEOPLE}::test_a_login_that_others_can_read_is_warned_of",
            f"{PEOPLE}::test_cookies_are_secure_where_people_log_in_over_tls",
        ),
    ),
)
