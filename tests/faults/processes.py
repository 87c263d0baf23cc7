"""Group A: processes, the database, disks and clocks."""

from __future__ import annotations

from tests.faults.row import Row

CHAOS = "tests/engine/test_chaos.py"
STORAGE = "tests/engine/test_storage_faults.py"
LEASES = f"{CHAOS}::test_a_search_has_one_engine_whatever_happens"
STEERING = "tests/engine/test_steering.py"
MIGRATIONS = "tests/engine/test_migrations.py"

ROWS = (
    Row(
        "A1",
        "kill -9 of a writer at a random instant",
        ("P1",),
        "All that had been acknowledged was there, and the database was whole.",
        tests=(
            f"{STORAGE}::test_a_writer_that_is_killed_at_any_instant_loses_nothing_that_it_had_"
            "acknowledged",
        ),
    ),
    Row(
        "A2",
        "power cut: what was not synced is lost, torn or reordered",
        ("P1",),
        "No decision, result or payment was lost, and no file was damaged; the control, which "
        "syncs less, lost some.",
        tests=(
            "tests/engine/test_power_cut.py::test_no_power_cut_loses_a_decision_and_a_database_"
            "that_syncs_less_would",
        ),
        checks=("tests/engine/test_power_cut.py::test_all_but_metrics_waits_for_the_disk",),
    ),
    Row(
        "A3",
        "kill of the engine at each failpoint, at random, and three times in a row",
        ("P2",),
        "Every search ended like the one that nobody disturbed.",
        tests=(
            f"{CHAOS}::test_a_killed_engine_ends_like_one_that_was_not",
            "tests/engine/test_cli.py::test_kill_9_in_the_middle_of_a_training_and_resume",
            f"{STEERING}::test_an_engine_that_the_system_ends_pauses_its_search_and_says_so",
        ),
        long=(
            f"{CHAOS}::test_hundreds_of_kills_change_nothing",
            "tests/engine/test_ray.py::test_a_search_on_a_cluster_whose_engine_is_killed_ends_"
            "like_one_on_this_machine",
        ),
    ),
    Row(
        "A4",
        "the same kills, with questions, trainings and money counted outside the engine",
        ("P3",),
        "At most one question and one piece of a training for each kill were paid twice, and all "
        "were booked.",
        tests=(
            f"{CHAOS}::test_a_killed_engine_ends_like_one_that_was_not",
            "tests/engine/test_llm_calls.py::test_the_same_question_about_a_trial_is_not_paid_"
            "twice",
            "tests/engine/test_llm_calls.py::test_a_call_lost_in_a_crash_stays_booked_at_its_worst",
        ),
        long=(f"{CHAOS}::test_hundreds_of_kills_change_nothing",),
    ),
    Row(
        "A5",
        "our own code broken where it matters: would the proofs notice?",
        ("P1", "P2", "P4"),
        "Each mutant was caught by its proof, which finds nothing in the code as it is.",
        tests=(f"{CHAOS}::test_a_mutant_of_our_own_code_is_caught",),
        long=(f"{CHAOS}::test_every_mutant_of_our_own_code_is_caught",),
    ),
    Row(
        "A6",
        "20 engines that want a search at the same moment",
        ("P4",),
        "One had it, each time.",
        tests=(
            LEASES,
            "tests/engine/test_store.py::test_a_lease_is_given_once_and_its_loss_is_noticed",
        ),
        long=(f"{CHAOS}::test_a_search_has_one_engine_whatever_happens_again_and_again",),
    ),
    Row(
        "A7",
        "an engine that is suspended, replaced, and wakes up",
        ("P4",),
        "None of its writes landed, and it ended by itself.",
        tests=(
            LEASES,
            "tests/engine/test_lease.py::test_an_engine_that_hangs_is_killed_by_the_one_that_"
            "takes_its_place",
            "tests/engine/test_many_writers.py::test_a_report_that_cannot_be_written_is_told_to_"
            "all_that_brought_one",
        ),
        long=(f"{CHAOS}::test_a_search_has_one_engine_whatever_happens_again_and_again",),
    ),
    Row(
        "A8",
        "the same button pressed in many tabs at once",
        ("P2", "P4"),
        "One press had its effect, and the others were told that something had changed.",
        tests=(
            "tests/engine/test_commands.py::test_the_same_button_in_many_tabs_has_one_effect_and_"
            "the_others_are_told",
            "tests/pages/test_browser.py::test_two_tabs_that_press_the_same_button_make_one_"
            "effect_and_one_is_told",
        ),
    ),
    Row(
        "A9",
        "another program holds the database",
        ("P1", "P5"),
        "Writers waited, pages read on, a command was refused in a sentence, nothing was lost.",
        tests=(
            f"{STORAGE}::test_writers_wait_for_a_lock_and_pages_do_not",
            f"{STORAGE}::test_a_command_to_a_database_that_stays_locked_is_refused_in_a_sentence",
            f"{STORAGE}::test_a_search_survives_a_lock_that_outlasts_its_patience",
        ),
    ),
    Row(
        "A10",
        "full disk: under the database, a checkpoint, a result, before a search",
        ("P1", "P5"),
        "Nothing acknowledged was lost; the search waited or paused with a sentence, and went on "
        "when there was room.",
        tests=(
            f"{STORAGE}::test_a_writer_on_a_full_disk_loses_nothing_and_goes_on_when_there_is_room",
            f"{STORAGE}::test_an_engine_on_a_full_disk_waits_and_goes_on_by_itself",
            f"{STORAGE}::test_a_worker_that_met_a_full_disk_pauses_the_search_until_it_is_resumed",
            f"{STORAGE}::test_a_search_that_the_disk_has_no_room_for_is_refused_with_both_figures",
            "tests/engine/test_trainers.py::test_a_worker_that_can_write_nothing_reports_the_disk",
            "tests/informer/test_training.py::test_a_full_disk_fails_the_run_which_goes_on_where_"
            "it_was_when_there_is_space",
            "tests/informer/test_worker.py::test_a_worker_that_cannot_write_its_result_exits_and_"
            "says_why",
        ),
    ),
    Row(
        "A11",
        "metrics and logs torn at every byte of their last lines",
        ("P1", "P2"),
        "The torn line alone was lost, and what was written after it was read.",
        tests=(
            "tests/informer/test_rundir.py::test_metrics_cut_at_any_byte_lose_the_torn_line_alone",
            "tests/informer/test_rundir.py::test_a_log_cut_at_any_byte_goes_on_in_a_line_of_its_"
            "own",
        ),
    ),
    Row(
        "A12",
        "a database that is damaged, another program's, newer, empty or not writable",
        ("P1",),
        "A sentence named the file, which was left as it was; what lies beside it did no harm.",
        tests=(
            f"{MIGRATIONS}::test_a_file_that_cannot_be_used_is_named_in_a_sentence_and_left_as_it_"
            "was",
            f"{MIGRATIONS}::test_what_lies_beside_a_database_that_is_whole_does_no_harm",
            f"{MIGRATIONS}::test_an_empty_file_becomes_a_database",
            f"{MIGRATIONS}::test_a_file_that_may_not_be_written_is_told_of_in_a_sentence",
            "tests/engine/test_cli.py::test_a_database_of_a_newer_version_is_refused",
        ),
        not_here="(A network file system can be neither made nor recognised here: "
        "docs/engine.md says that none is promised.)",
    ),
    Row(
        "A13",
        "kill inside a migration, from every earlier version",
        ("P1",),
        "The database was the old one or the new one, never between, with all rows.",
        tests=(
            f"{MIGRATIONS}::test_a_migration_that_is_killed_on_its_way_has_done_all_or_nothing",
            f"{MIGRATIONS}::test_a_database_of_every_earlier_version_keeps_the_rows_of_all_tables",
        ),
    ),
    Row(
        "A14",
        "the wall clock jumps by an hour or a year; a process is suspended",
        ("P4", "P7"),
        "The living stayed alive, the dead were seen, and no time was negative.",
        tests=(
            LEASES,
            "tests/engine/test_liveness.py::test_a_jump_of_the_wall_clock_changes_nothing",
            "tests/engine/test_liveness.py::test_a_stopped_process_is_stalled_once_it_is_silent",
        ),
        checks=("tests/engine/test_liveness.py::test_nothing_in_liveness_reads_the_wall_clock",),
        long=(f"{CHAOS}::test_a_search_has_one_engine_whatever_happens_again_and_again",),
    ),
    Row(
        "A15",
        "a reboot, a process id that is another's now, a zombie",
        ("P4",),
        "The dead were told as lost, and no stranger was killed.",
        tests=(
            "tests/engine/test_liveness.py::test_a_process_of_before_a_reboot_is_lost",
            "tests/engine/test_liveness.py::test_a_stranger_with_the_same_id_is_not_the_engine",
            "tests/engine/test_liveness.py::test_a_zombie_is_lost",
            "tests/engine/test_lease.py::test_a_stranger_that_has_the_id_of_a_lost_engine_is_left_"
            "alone",
            "tests/engine/test_lease.py::test_a_process_is_left_alone_that_has_id_and_start_of_one_"
            "before_a_reboot",
        ),
    ),
    Row(
        "A16",
        "the server, the browser, the engine or a worker is ended from outside",
        ("P2", "P5"),
        "The engine went on without the server; workers died with their engine within 2 s.",
        tests=(
            "tests/e2e/test_whole_loop.py",
            "tests/pages/test_browser.py::test_an_engine_that_dies_and_one_that_comes_are_seen_"
            "without_a_reload",
            f"{STEERING}::test_workers_die_with_their_engine_and_the_next_one_goes_on",
            f"{STEERING}::test_pause_resume_stop_and_cancel_mean_what_they_say",
            "tests/informer/test_worker.py::test_the_worker_dies_with_its_parent",
            "tests/engine/test_trainers.py::test_a_worker_ends_with_the_process_that_started_it_"
            "even_before_it_has_begun",
        ),
        long=(
            "tests/faults/test_server_stops.py::test_an_engine_goes_on_without_the_server_that_"
            "started_it",
        ),
    ),
    Row(
        "A17",
        "a copy or an export while somebody writes",
        ("P1",),
        "Each copy was whole, and had all that was acknowledged before it.",
        tests=(
            f"{STORAGE}::test_a_copy_made_while_somebody_writes_has_all_that_was_acknowledged_"
            "before",
            "tests/engine/test_exchanged_data.py::test_no_key_leaves_the_workspace_and_a_running_"
            "search_is_of_one_moment",
        ),
    ),
    Row(
        "A18",
        "all of this in random order: commands, kills, suspensions, locks, full disks, model "
        "faults",
        ("P1", "P2", "P3", "P4", "P5", "P7"),
        "After every step all that must always hold did, and every search came to its end.",
        tests=("tests/faults/test_soak.py::test_random_histories_break_nothing",),
        long=("tests/faults/test_soak.py::test_many_random_histories_break_nothing",),
    ),
)
