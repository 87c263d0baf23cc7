"""Group B: trainings, their workers and devices."""

from __future__ import annotations

from tests.fakes.worker import FORKED
from tests.faults.row import Row

RESUME = "tests/informer/test_resume.py"
RUNDIR = "tests/informer/test_rundir.py"
TRAINING = "tests/informer/test_training.py"
TRAINERS = "tests/engine/test_trainers.py"
MUST_END = f"{TRAINERS}::test_a_training_that_must_end_is_gone_with_all_that_it_started"

ROWS = (
    Row(
        "B1",
        "SIGTERM inside an epoch",
        ("P2", "P3"),
        "The training went on and ended with the same bits; one that forgot its generators did "
        "not.",
        tests=(
            f"{RESUME}::test_it_may_be_killed_inside_an_epoch[SIGTERM twice-3]",
            f"{TRAINING}::test_a_run_that_was_stopped_and_resumed_equals_one_that_was_not_to_the_"
            "last_bit",
        ),
        checks=(f"{RESUME}::test_without_its_generators_it_would_end_otherwise",),
    ),
    Row(
        "B2",
        "kill -9 inside an epoch, and between any two writes",
        ("P2", "P3"),
        "The training went on after its last checkpoint and ended with the same bits.",
        tests=(
            f"{RESUME}::test_it_may_be_killed_inside_an_epoch[SIGKILL-5]",
            f"{RESUME}::test_it_may_be_killed_between_any_two_writes_with_the_newest_checkpoint_"
            "damaged_too",
            "tests/informer/test_worker.py::test_a_worker_that_is_killed_inside_an_epoch_costs_no_"
            "bit_of_the_result",
            "tests/engine/test_steering.py::test_a_lost_worker_is_replaced_and_its_training_goes_"
            "on_after_its_last_epoch",
        ),
        long=(
            "tests/engine/test_ray.py::test_a_training_whose_node_is_lost_goes_on_elsewhere_and_"
            "ends_with_the_very_same_errors",
        ),
    ),
    Row(
        "B3",
        "a checkpoint cut off, with flipped bits, a link, or ahead of its records",
        ("P2",),
        "It was never used; the one before was, and the log says so.",
        tests=(
            f"{RUNDIR}::test_a_damaged_checkpoint_is_never_used_and_the_one_before_is_which_the_"
            "log_says",
            f"{RUNDIR}::test_training_begins_anew_where_both_checkpoints_are_damaged",
            f"{RUNDIR}::test_a_checkpoint_whose_epochs_were_not_all_recorded_is_not_used",
            f"{RUNDIR}::test_a_checkpoint_cannot_be_a_link_out_of_the_folder",
            "tests/engine/test_kept.py::test_what_is_not_whole_is_passed_over_for_the_one_before",
        ),
    ),
    Row(
        "B4",
        "losses and errors that are not finite: at once, later, in validation alone",
        ("P5",),
        "The trial failed with its class and was never the best; no such figure was stored.",
        tests=(
            f"{TRAINING}::test_a_loss_that_is_not_finite_fails_the_run_and_keeps_nothing",
            f"{TRAINING}::test_a_loss_that_is_not_finite_at_once_is_the_fault_of_the_data",
            f"{TRAINING}::test_a_validation_error_that_is_not_finite_is_recorded_and_never_best",
            "tests/engine/test_store.py::test_nan_cannot_be_stored_as_a_baseline",
            "tests/engine/test_search.py::test_a_failed_trial_is_rejected_and_the_search_goes_on",
            "tests/engine/test_search.py::test_a_search_in_which_all_fails_ends_without_an_"
            "incumbent",
            "tests/engine/test_pruning.py::test_what_is_not_finite_is_not_compared",
            "tests/pages/test_figures.py::test_curves_leave_a_gap_where_a_figure_is_not_finite",
            "tests/engine/test_bad_folders.py::test_a_bad_folder_ends_the_training_with_a_sentence"
            "[not a number]",
            "tests/engine/test_bad_folders.py::test_a_bad_folder_ends_the_training_with_a_sentence"
            "[infinite]",
        ),
    ),
    Row(
        "B5",
        "memory runs out: MemoryError, beyond the worker's share, killed by the system",
        ("P5",),
        "The training alone ended, with its class and what to lower; the next one was fine.",
        tests=(
            f"{TRAINERS}::test_a_training_that_takes_too_much_memory_fails_alone_and_says_what_to_"
            "lower",
            f"{TRAINERS}::test_a_worker_that_is_lost_is_told_as_such_and_replaced",
            f"{TRAINERS}::test_a_worker_is_the_first_to_go_where_memory_runs_out",
            f"{TRAINING}::test_an_error_becomes_a_failure_of_its_class",
        ),
    ),
    Row(
        "B6",
        "the GPU: out of memory, an assertion, a driver that is gone, none there",
        ("P5",),
        "Each error became a failure of its class, after which the worker was replaced; the same "
        "class in a row paused the search.",
        tests=(
            f"{TRAINING}::test_an_error_becomes_a_failure_of_its_class",
            f"{TRAINING}::test_a_gpu_that_is_not_there_is_refused",
            "tests/engine/test_budgets.py::test_failures_of_one_kind_in_a_row_pause_the_search_"
            "until_a_person_resumes_it",
        ),
        not_here="(The errors are torch's own, raised without a GPU: this machine has none.)",
    ),
    Row(
        "B7",
        "a worker hangs, ignores SIGTERM, is suspended, or outlasts its limit of time",
        ("P5", "P7"),
        "It was gone within 5 s; its limit is not the planner's to set.",
        tests=(
            MUST_END,
            f"{TRAINERS}::test_a_training_ends_at_its_limit_of_time",
            "tests/engine/test_space.py::test_planners_may_not_change_the_task_or_the_training_"
            "budget",
        ),
    ),
    Row(
        "B8",
        "a worker prints a gigabyte",
        ("P5",),
        "Its log kept the end alone, in less than 10 MB.",
        tests=(f"{TRAINERS}::test_a_gigabyte_of_output_leaves_a_short_log",),
        not_here="(A folder without bound does not apply: no code but ours trains, it writes "
        "files of fixed names and keeps two checkpoints, and a search is refused where the disk "
        "has no room: A10.)",
    ),
    Row(
        "B9",
        "a worker starts children, some of which hide in sessions of their own",
        ("P5",),
        "None was left within 5 s of the end of the training.",
        tests=(
            f"{MUST_END}[fork-{FORKED}-stopped]",
            f"{MUST_END}[fork-{FORKED}-pruned]",
        ),
    ),
    Row(
        "B10",
        "a run folder with a bad result: none, half, another run's, links, pipes, 100 MB",
        ("P5", "P6"),
        "One sentence each, and nothing outside the folder was read.",
        tests=(
            "tests/engine/test_bad_folders.py::test_a_bad_folder_ends_the_training_with_a_sentence",
            f"{RUNDIR}::test_a_spoiled_file_is_not_read_and_harms_no_other",
            f"{RUNDIR}::test_a_file_with_another_value_than_its_kind_has_is_not_read",
            f"{RUNDIR}::test_forecasts_whose_parts_do_not_fit_are_not_read",
        ),
    ),
    Row(
        "B11",
        "the same failure again and again",
        ("P5", "P7"),
        "The search paused after as many as were allowed and said why; different failures did not "
        "pause it.",
        tests=(
            "tests/engine/test_budgets.py::test_failures_of_one_kind_in_a_row_pause_the_search_"
            "until_a_person_resumes_it",
            "tests/engine/test_budgets.py::test_failures_of_different_kinds_do_not_pause_the_"
            "search",
        ),
    ),
    Row(
        "B12",
        "a search goes on with more trials, another budget, other slots, another mode",
        ("P2",),
        "What was there stayed, and the change was recorded.",
        tests=(
            "tests/engine/test_search.py::test_a_larger_budget_continues_where_the_search_ended",
            "tests/engine/test_steering.py::test_slots_budget_and_mode_change_while_the_search_"
            "runs",
            "tests/engine/test_llm_calls.py::test_a_later_start_may_raise_what_a_search_may_spend",
            "tests/engine/test_llm_planner.py::test_after_the_key_is_mended_the_search_goes_on",
        ),
    ),
)
