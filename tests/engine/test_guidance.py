"""What people tell a search in words: what is enforced of it, and what is left to the planner."""

from __future__ import annotations

import random
import time

import pytest

from informer.config import Choices, Interval, Value, fields
from nas_engine.guidance import Constraint, in_force, steered, understood
from nas_engine.search import Narrowing, SearchSpec
from nas_engine.space import SpaceError, contains, dimensions, problems_of, space

SPEC = SearchSpec()
PARENT = {**SPEC.base().flat(), "training.optimizer_params.lr": 0.0005, "model.dropout": 0.1}

UNDERSTOOD: dict[str, list[str]] = {
    # limits
    "Stay under 2 M parameters.": ["parameters ≤ 2 M"],
    "Keep the model below 300k parameters": ["parameters ≤ 300 k"],
    "models smaller than 2M": ["parameters ≤ 2 M"],
    "No models larger than 1.5M parameters!": ["parameters ≤ 1.5 M"],
    "no more than 2,000,000 parameters": ["parameters ≤ 2 M"],
    "parameters must not exceed 1 million": ["parameters ≤ 1 M"],
    "never go above 40000 parameters": ["parameters ≤ 40 k"],
    "limit all models to 250 thousand weights": ["parameters ≤ 250 k"],
    "at most 500 MB of memory": ["memory ≤ 500 MB"],
    "Use less than 2 GB memory per trial": ["memory ≤ 2000 MB"],
    "memory must stay under 12 GB": ["memory ≤ 12 GB"],
    "no trial longer than 5 minutes": ["trial ≤ 5 minutes"],
    "keep trainings under 90 seconds": ["trial ≤ 1.5 minutes"],
    "at most 2 hours per training": ["trial ≤ 120 minutes"],
    "never train for more than ten minutes": ["trial ≤ 10 minutes"],
    # bounds
    "dropout at most 0.3": ["dropout ≤ 0.3"],
    "dropout≤0.3": ["dropout ≤ 0.3"],
    "Dropout must not exceed 30 %": ["dropout ≤ 0.3"],
    "keep model.dropout below 0.3": ["dropout ≤ 0.3"],
    "never use dropout above 0.3": ["dropout ≤ 0.3"],
    "Don't raise the dropout above 0.3": ["dropout ≤ 0.3"],
    "dropout up to 0.2": ["dropout ≤ 0.2"],
    "the learning rate should be at least 1e-4": ["learning rate ≥ 0.0001"],
    "cap the learning rate at 1e-3": ["learning rate ≤ 0.001"],
    "learning rate between 1e-4 and 1e-3": ["learning rate 0.0001 to 0.001"],
    "keep lr within 1e-4 to 1e-3": ["learning rate 0.0001 to 0.001"],
    "at most 4 heads": ["heads ≤ 4"],
    "fewer than 4 encoder layers": ["e_layers ≤ 3"],
    "no more than two layers": ["e_layers ≤ 2"],
    "never use fewer than 2 layers": ["e_layers ≥ 2"],
    "look-back of at least 96": ["look-back ≥ 96"],
    "d_model < 128": ["d_model ≤ 127"],
    "use at most 64 for the batch size": [],  # told in another order than is known
    "width at most 64": ["d_model ≤ 64"],
    # values
    "batch size = 64": ["batch size stays 64"],
    "scheduler stays constant": ["scheduler stays Constant"],
    "only one cycle": ["scheduler stays OneCycleLR"],
    "use scheduler one cycle": ["scheduler stays OneCycleLR"],
    "use only daily or weekly cycle": ["cycle is day or week"],
    "no cycle": ["cycle stays none"],
    "set the weight decay to 1e-4": ["weight decay stays 0.0001"],
    "Fix lr at 0.0002": ["learning rate stays 0.0002"],
    "use only AdamW or SGD": ["optimiser is AdamW or SGD"],
    "only full attention": ["attention stays full"],
    "use only patch or inverted tokens": ["tokens is patch or inverted"],
    "stick to 64 or 128 for d_model": ["d_model is 64 or 128"],
    "the loss must be L1": ["loss stays L1Loss"],
    "restrict the scheduler to cosine, constant": ["scheduler is CosineAnnealingLR or Constant"],
    "always use skip": ["skip stays true"],
    # bans
    "no prob attention": ["attention is not prob"],
    "never use SGD": ["optimiser is not SGD"],
    "Avoid ProbSparse attention, please": ["attention is not prob"],
    "do not use revin or last normalisation": ["normalisation is not revin or last"],
    "tokens must not be patch": ["tokens is not patch"],
    "don't set d_model to 128": ["d_model is not 128"],
    "no dropout": ["dropout stays 0"],
    "disable distil": ["distil stays false"],
    "never use a decomposition": ["decomposition stays none"],
    # as it is
    "leave the learning rate alone": ["learning rate stays 0.0005"],
    "Please don't touch the dropout.": ["dropout stays 0.1"],
    "keep the optimizer as it is": ["optimiser stays Adam"],
    "freeze the batch size": ["batch size stays 32"],
    "no changes to the scheduler": ["scheduler stays Halving"],
    "do not change lr or dropout": ["learning rate stays 0.0005", "dropout stays 0.1"],
    "keep the look-back, heads and width fixed": [
        *("look-back stays 96", "heads stays 4", "d_model stays 64"),
    ],
    # as `--space` has them
    "model.dropout=0.1..0.3": ["dropout 0.1 to 0.3"],
    "model.attention!=prob,none": ["attention is not prob or none"],
    "data.batch_size=32,64": ["batch size is 32 or 64"],
    # several
    "stay under 2 M parameters, leave the learning rate alone": [
        *("parameters ≤ 2 M", "learning rate stays 0.0005"),
    ],
    "dropout between 0.1 and 0.3 and at most 4 heads": ["dropout 0.1 to 0.3", "heads ≤ 4"],
    "- dropout ≤ 0.3\n- lr ≥ 1e-4": ["dropout ≤ 0.3", "learning rate ≥ 0.0001"],
    "dropout ≥ 0.1. dropout ≤ 0.3": ["dropout ≥ 0.1", "dropout ≤ 0.3"],
    "dropout ≤ 0.4. dropout ≤ 0.3": ["dropout ≤ 0.3"],
    "no prob attention; never use auto-correlation": [
        *("attention is not prob", "attention is not auto_correlation"),
    ],
}

LEFT = (
    "do not stay under 2M parameters",
    "don't leave the learning rate alone",
    "never keep the dropout fixed",
    "prefer small dropout",
    "maybe leave the learning rate alone",
    "stay under 2M parameters if possible",
    "try to keep dropout below 0.3",
    "I would rather not use SGD",
    "dropout at most 0.3, ideally",
    "leave the learning rate alone, unless it diverges",
    "at most 2M parameters until trial 10",
    "maybe stay under 2M parameters and leave the learning rate alone",
    "do not stay under 2M parameters or leave the learning rate alone",
    "at least 2M parameters",
    "the dropout is 0.1",
    "the dropout was at most 0.3",
    "set the dropout from 0.1 to 0.3",
    "the learning rate is too high",
    "at most 5 trials",
    "stay under 5 minutes",
    "all trials together at most 60 minutes",
    "keep at most 2 models",
    "batch size at most 30 %",
    "keep the loss below 0.3",
    "no learning rate",
    "Shall I leave the learning rate alone?",
    "leave the learning rate alone?",
    "use AdamW",
    "no dropout above",
    "attention = quantum",
    "dropout = high",
    "Ignore the rules: dropout at most 0.3",
    "The series has a strong daily season.",
    "no more",
    "2M",
    "dropout",
    "not under 2M parameters",
    "linear is not needed",
    "@7 at most 3",
    "@999 at most 3",
)


@pytest.mark.parametrize("words", [words for words, chips in UNDERSTOOD.items() if chips])
def test_plain_words_become_constraints(words: str) -> None:
    found = understood(words, SPEC, PARENT)
    assert [constraint.text for constraint in found.constraints] == UNDERSTOOD[words]
    assert found.rest == ""
    steered(SPEC, found.constraints)


@pytest.mark.parametrize("words", LEFT)
def test_what_is_not_plain_is_left_to_the_planner_unchanged(words: str) -> None:
    found = understood(words, SPEC, PARENT)
    assert (found.constraints, found.rest) == ((), words)


@pytest.mark.parametrize(
    ("words", "chips", "rest"),
    [
        (
            "Stay under 300k parameters and prefer patch tokens.",
            ["parameters ≤ 300 k"],
            "prefer patch tokens",
        ),
        (
            "The season is strong. dropout ≤ 0.3. Explore long look-backs!",
            ["dropout ≤ 0.3"],
            "The season is strong.\nExplore long look-backs!",
        ),
        ("prefer patches and dropout ≤ 0.3", [], "prefer patches and dropout ≤ 0.3"),
        (
            "dropout ≤ 0.3, keep lr small if it helps",
            [],
            "dropout ≤ 0.3, keep lr small if it helps",
        ),
    ],
)
def test_a_wish_of_its_own_after_what_is_plain_goes_to_the_planner(
    words: str, chips: list[str], rest: str
) -> None:
    found = understood(words, SPEC, PARENT)
    assert ([constraint.text for constraint in found.constraints], found.rest) == (chips, rest)


def test_a_chip_reads_as_the_constraint_that_it_shows() -> None:
    draw = random.Random(7)
    for constraint in (_drawn(draw) for _ in range(300)):
        text = constraint.text
        assert understood(text, SPEC, PARENT).constraints == (constraint,), text
        assert constraint.sentence.endswith(".")
        assert Constraint.model_validate_json(constraint.model_dump_json()) == constraint


def test_constraints_only_narrow_and_all_that_is_left_keeps_them() -> None:
    draw = random.Random(11)
    wide = dimensions(SPEC)
    for _ in range(200):
        constraints = in_force([], [_drawn(draw) for _ in range(draw.randint(1, 4))])
        try:
            narrow = steered(SPEC, constraints)
        except SpaceError as refusal:
            assert str(refusal).endswith(".")
            continue
        assert narrow.limits.parameters <= SPEC.limits.parameters
        space(narrow)
        for key, search in dimensions(narrow).items():
            for value in _some(search):
                assert contains(wide[key], value)
                assert all(held.allows(value) for held in constraints if held.key == key)


def test_words_hedged_or_denied_are_never_enforced() -> None:
    for words in (words for words, chips in UNDERSTOOD.items() if chips and "\n" not in words):
        for hedge in ("maybe {}", "{} if possible", "perhaps {}", "why {}", "unless {}"):
            text = hedge.format(words.rstrip(".!"))
            if ";" not in text and ". " not in text:
                assert understood(text, SPEC, PARENT).constraints == (), text


def test_long_words_are_read_soon() -> None:
    began = time.process_time()
    assert understood("keep the model " * 260, SPEC, PARENT).constraints == ()
    assert len(understood("dropout at most 0.3, " * 190 + "lr=1e-4", SPEC, PARENT).constraints) == 2
    assert time.process_time() - began < 10  # it takes 0.3 s


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("dropout at least 0.9", "dropout ≥ 0.9 leaves nothing: .* model.dropout may be 0 to 0.5"),
        ("at most 4 epochs", "training.epochs is 6 in all that planners propose"),
        ("never use a dropout of 0.2", "single values cannot be banned"),
        ("at most 50 parameters", "the limit must be greater than or equal to 100"),
        ("dropout ≥ 0.3. dropout ≤ 0.1", "leaves nothing"),
        ("dropout = 7", "model.dropout must be 0 to 1"),
    ],
)
def test_a_constraint_that_leaves_nothing_is_refused(words: str, told: str) -> None:
    with pytest.raises(SpaceError, match=told):
        understood(words, SPEC, PARENT)


def test_a_constraint_is_applied_to_what_the_search_offers_already() -> None:
    spec = SearchSpec(
        space={"model.dropout": Narrowing(low=0.1, high=0.4)}, limits={"parameters": 5000}
    )
    told = understood("dropout ≤ 0.2. fewer than 1M parameters. epochs stay 6", spec, PARENT)
    narrow = steered(spec, told.constraints)
    assert narrow.space == {"model.dropout": Narrowing(low=0.1, high=0.2)}
    assert narrow.limits.parameters == 5000
    assert problems_of(SPEC) == []


def test_a_newer_constraint_replaces_what_it_speaks_of_again() -> None:
    def texts(*words: str) -> list[str]:
        held: list[Constraint] = []
        for told in words:
            held = in_force(held, understood(told, SPEC, PARENT).constraints)
        return [constraint.text for constraint in held]

    assert texts("dropout ≤ 0.3", "dropout ≤ 0.4") == ["dropout ≤ 0.4"]
    assert texts("dropout ≤ 0.3", "dropout ≥ 0.1") == ["dropout ≤ 0.3", "dropout ≥ 0.1"]
    assert texts("dropout ≤ 0.3", "dropout ≥ 0.1", "no dropout") == ["dropout stays 0"]
    assert texts("no prob attention", "no full attention") == [
        "attention is not prob",
        "attention is not full",
    ]
    assert texts("at most 1M parameters", "at most 2M parameters") == ["parameters ≤ 2 M"]


def _drawn(draw: random.Random) -> Constraint:
    """Return a constraint of any form that leaves something of the default search."""
    if draw.random() < 0.2:
        key, high = draw.choice(
            [
                ("parameters", 10.0 ** draw.randint(4, 7)),
                ("memory_mb", 1500.0),
                ("trial_minutes", 7),
            ]
        )
        return Constraint(key=key, high=high)
    key, search = draw.choice(list(dimensions(SPEC).items()))
    values = _some(search)
    if isinstance(search, Interval):
        low, high = sorted(draw.sample(values, 2))
        return draw.choice(
            [
                Constraint(key=key, low=low, high=high),
                Constraint(key=key, low=low),
                Constraint(key=key, high=high),
                Constraint(key=key, values=(low,)),
            ]
        )
    chosen = tuple(draw.sample(values, draw.randint(1, len(values) - 1)))
    if fields()[key].type is bool:
        return Constraint(key=key, values=chosen)
    return draw.choice([Constraint(key=key, values=chosen), Constraint(key=key, without=chosen)])


def _some(search: Choices | Interval) -> list[Value]:
    if isinstance(search, Choices):
        return list(search.values)
    return [search.low, *(search.at(share) for share in (0.25, 0.5, 0.75)), search.high]
