"""Group C: the service of language models, and what a model may say.

The faults of a service are those of `tests.faults.llm`, which prints what a search made of each.
"""

from __future__ import annotations

from tests.fakes.llm_faults import FAULTS
from tests.faults.row import Row

SERVED = "tests/engine/test_llm_faults.py::test_the_search_goes_on_and_the_books_are_honest"
CALLS = "tests/engine/test_llm_calls.py"
PLANNER = "tests/engine/test_llm_planner.py"
REPLY = "tests/engine/test_llm_reply.py"
CONTROL = "tests/engine/test_control.py"


def served(*begins: str) -> tuple[str, ...]:
    """Return the tests of the faults of a service whose names begin so."""
    chosen = [fault.name for fault in FAULTS if fault.name.startswith(begins)]
    assert all(any(name.startswith(begin) for name in chosen) for begin in begins), begins
    return tuple(f"{SERVED}[{name}]" for name in chosen)


ROWS = (
    Row(
        "C1",
        "a service that refuses, breaks off, streams, or answers anything but what was asked",
        ("P5", "P7"),
        "Each trial had a valid proposal or one labelled fallback, or the search paused with the "
        "reason; every request was booked.",
        tests=(
            SERVED,
            "tests/engine/test_stream.py::test_a_broken_stream_is_a_fault_and_never_an_answer",
            "tests/engine/test_opinion.py::test_without_a_usable_answer_a_difference_inside_the_"
            "spread_is_rejected",
        ),
    ),
    Row(
        "C2",
        "an answer that comes one byte at a time, or stops coming",
        ("P5",),
        "The deadline held for the whole answer.",
        tests=served(
            "headers one byte",
            "a body one byte",
            "an error one byte",
            "a redirect that never",
            "nothing is ever",
            "headers, then",
            "half a body, then",
            "a stream of one token",
        ),
    ),
    Row(
        "C3",
        "30 MB, a gzip bomb of 400 MB, a stream without an end",
        ("P5",),
        "It was cut off, and the memory of the engine grew by less than 100 MB.",
        tests=served("30 MB", "300 MB", "an error of 30 MB", "gzip bomb", "a stream without an"),
    ),
    Row(
        "C4",
        "a redirect to another host",
        ("P8", "P10"),
        "It was not followed: the prompt went nowhere else.",
        tests=served(*(f"HTTP {status} to another host" for status in (301, 302, 307, 308))),
    ),
    Row(
        "C5",
        "valid answers cut off: at random bytes, at every byte, in transit",
        ("P6",),
        "None was taken for an answer.",
        tests=(
            f"{REPLY}::test_of_answers_cut_at_random_bytes_none_is_accepted",
            f"{REPLY}::test_of_bodies_cut_at_any_byte_none_is_accepted",
            f"{REPLY}::test_of_responses_cut_in_transit_none_is_accepted",
        ),
    ),
    Row(
        "C6",
        "NaN, 1e999, a key twice, endless nesting, 5,000 digits, text for a number",
        ("P5", "P6"),
        "It was refused in a short sentence, which the model was told.",
        tests=(
            f"{REPLY}::test_what_is_no_answer_is_refused_in_a_short_sentence",
            f"{REPLY}::test_deep_and_unclosed_texts_are_refused_at_once",
            "tests/engine/test_proposals.py::test_a_number_of_5_000_digits_is_answered_in_one_"
            "short_sentence",
        ),
    ),
    Row(
        "C7",
        "the same proposal again, or nearly the same, or one that failed",
        ("P7",),
        "It was not trained; after three answers the optimiser proposed, labelled fallback.",
        tests=(
            "tests/engine/test_proposals.py::test_a_repeated_configuration_is_named_with_its_"
            "result",
            "tests/engine/test_proposals.py::test_a_repeated_failure_is_named_with_its_class",
            "tests/engine/test_proposals.py::test_a_near_duplicate_is_refused_for_planners_and_"
            "open_to_people",
            f"{CALLS}::test_an_objection_is_sent_back_and_three_end_it",
            f"{PLANNER}::test_after_three_refused_answers_the_optimiser_proposes_labelled_fallback",
            "tests/engine/test_search.py::test_no_configuration_is_tried_twice",
        ),
    ),
    Row(
        "C8",
        "a crowd of callers at the wall of the budget",
        ("P7",),
        "The service charged no more than was allowed, and was asked nothing beyond it.",
        tests=(
            f"{CALLS}::test_calls_in_flight_count_so_that_no_crowd_slips_under_a_limit",
            f"{CALLS}::test_a_call_that_could_exceed_a_limit_is_not_made",
            f"{CALLS}::test_calls_are_limited_and_the_sentence_says_so",
            f"{CALLS}::test_a_limit_ends_repairs_and_retries_too",
            "tests/engine/test_budgets.py::test_money_ends_a_search_before_it_could_be_exceeded",
            f"{CALLS}::test_a_call_lost_in_a_crash_stays_booked_at_its_worst",
        ),
    ),
    Row(
        "C9",
        "reports of cost that are missing, negative, not finite, text, or 10^9 tokens",
        ("P7",),
        "What cannot be true was not believed: the worst case was booked, and never less than was "
        "charged.",
        tests=(
            *served("report:"),
            f"{CALLS}::test_a_report_is_believed_as_far_as_it_can_be_true",
        ),
    ),
    Row(
        "C10",
        "401, 402, 403, 404: the account is refused",
        ("P5", "P7"),
        "One request, no retry; the search paused with what to do.",
        tests=(
            *served(*(f"HTTP {status} echoing" for status in (401, 402, 403, 404))),
            f"{REPLY}::test_a_refused_key_is_denied",
            f"{CALLS}::test_a_refused_account_is_told_apart_from_a_service_that_fails",
            f"{PLANNER}::test_a_refused_key_pauses_the_search_and_leaks_nowhere",
        ),
    ),
    Row(
        "C11",
        "429 with and without Retry-After, bursts of 5xx, an outage of hours",
        ("P5", "P7"),
        "No request came before its time; the optimiser proposed meanwhile, and the model was "
        "trusted again when it answered.",
        tests=(
            *served("HTTP 429", "HTTP 5", "Retry-After", "500, then", "429, prose"),
            f"{REPLY}::test_a_retry_after_is_read_within_reason",
            f"{CALLS}::test_a_dead_service_is_left_alone_for_longer_and_longer",
            f"{CALLS}::test_a_service_that_answers_again_is_trusted_again",
            f"{CALLS}::test_no_call_is_made_before_the_time_that_a_service_named",
            f"{CALLS}::test_a_short_retry_after_is_kept",
            f"{PLANNER}::test_a_failing_service_does_not_stop_the_search",
        ),
    ),
    Row(
        "C12",
        "odd text in an answer: surrogates, NUL, RLO, ANSI, zalgo, HTML, Markdown, 100 kB lines",
        ("P5", "P6"),
        "It was stored, shown and exported, and nothing of it was live.",
        tests=("tests/pages/test_odd_text.py",),
    ),
    Row(
        "C13",
        "a model that always proposes the worst, nonsense, or an end",
        ("P7",),
        "A bad model was asked less; an end came with its reason. The worst cost the hybrid at "
        "most a tenth of the budget.",
        tests=(
            f"{PLANNER}::test_a_model_that_sees_no_more_use_ends_the_search_with_its_reason",
            f"{PLANNER}::test_where_no_candidate_is_usable_each_is_answered_and_the_optimiser_"
            "proposes",
            "tests/engine/test_planners.py::test_a_model_that_earns_nothing_is_asked_no_more",
            "tests/engine/test_planners.py::test_the_hybrid_gives_a_good_model_more_trials_than_a_"
            "bad_one",
        ),
        long=(
            "tests/engine/test_planners.py::test_the_worst_model_costs_the_hybrid_a_tenth_of_the_"
            "budget_at_most",
        ),
    ),
    Row(
        "C14",
        "histories and notes without end",
        ("P7",),
        "The question kept to its budget, with the best and the newest trials in it.",
        tests=(
            "tests/engine/test_question.py::test_the_question_keeps_to_its_budget_however_long_"
            "the_search",
            "tests/engine/test_question.py::test_a_longer_budget_tells_more_trials_and_the_best_"
            "and_newest_are_always_told",
            "tests/engine/test_tradeoffs.py::test_the_question_on_a_front_keeps_to_its_budget",
            "tests/engine/test_guiding.py::test_words_that_were_said_long_ago_make_room_for_newer_"
            "ones",
        ),
    ),
    Row(
        "C15",
        "a stale approval, a decision twice, a decision after the end",
        ("P2", "P4"),
        "Nothing was approved that its person had not seen.",
        tests=(
            f"{CONTROL}::test_a_decision_on_an_outdated_version_is_refused",
            f"{CONTROL}::test_an_invalid_edit_is_refused_and_the_proposal_still_waits",
            f"{CONTROL}::test_a_proposal_that_was_ended_with_its_search_cannot_be_approved_any_"
            "more",
            f"{CONTROL}::test_a_stopped_review_leaves_nothing_waiting",
            "tests/engine/test_guiding.py::test_a_decision_made_meanwhile_wins_over_what_is_"
            "proposed_again",
            "tests/engine/test_guiding.py::test_a_timer_approves_nothing_that_breaks_what_people_"
            "said_meanwhile",
            "tests/pages/test_live.py::test_an_act_names_the_version_that_was_drawn",
        ),
    ),
    Row(
        "C16",
        "a real model of 135 million parameters, which mostly says nonsense",
        ("P5", "P6"),
        "What it said was held against what is stored; the search was completed, and no bad value "
        "was trained.",
        tests=(
            "tests/engine/test_real_model.py::test_a_small_real_model_answers_and_its_figures_are_"
            "held_against_the_store",
        ),
        long=(
            "tests/engine/test_real_model.py::test_a_small_real_model_plans_and_every_bad_value_is_"
            "caught",
            "tests/engine/test_real_model.py::test_a_hybrid_with_a_small_real_model_does_no_worse_"
            "than_the_optimiser",
        ),
    ),
)
