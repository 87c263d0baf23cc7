"""The question that a language model is asked as planner: the whole search within a token budget.

Trials are told one by one, the best and the newest, as far as the budget goes. All of them, told or
not, are counted in the findings.
"""

from __future__ import annotations

import statistics
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import optuna
from optuna.samplers._tpe.sampler import default_gamma, default_gamma_multiobjective
from optuna.trial import FrozenTrial

from data.registry import find
from informer.config import Choices, fields
from nas_engine.evaluator import Noise
from nas_engine.front import excess, rank
from nas_engine.lessons import TOLD
from nas_engine.llm import prompt
from nas_engine.plaintext import in_line
from nas_engine.planners.aims import beaten_by, costs
from nas_engine.planners.base import OPEN, View, told_moves
from nas_engine.planners.earlier import lessons_text
from nas_engine.planners.findings import borne_out, failures, findings
from nas_engine.planners.prior import prior_text
from nas_engine.planners.tpe import INFEASIBLE, RESULTS, ordered
from nas_engine.planners.wanted import aim, wanted_text
from nas_engine.proposals import differences, judged
from nas_engine.space import describe
from nas_engine.store.inbox import quoted
from nas_engine.store.rows import EpochRow, RevisionRow, TrialRow

WORDS = 4000
"""Characters of what people said on the way, about."""

WITHDRAWN = 5
"""Proposals that were turned back, of which is told."""

BEST = 5
"""Trials that are told one by one for their result, besides the newest."""


@dataclass(frozen=True)
class _Fullness:
    """How much of a search is told: numbers of lines."""

    newest: int  # trials one by one
    best: int
    findings: int
    failures: int
    help: bool = True
    lessons: int = 2  # lines about each search that is learned from

    @property
    def front(self) -> int:
        """Members of the front."""
        return 3 * self.best


def ask_text(view: View, request: str) -> str:
    """Return the question, as full as the token budget of the search allows.

    Settings, guidance and `request` are always whole.
    """
    sure = borne_out(view.trials, view.spec, view.noise)
    found, failed = [*sure, *findings(view.trials, view.space)], failures(view.trials)
    budget = view.spec.limits.prompt_tokens - estimated_tokens(system_text(view))
    text = ""
    for fullness in _fullness(len(view.trials), len(found), len(failed)):
        text = _filled(view, request, fullness, found, failed)
        if estimated_tokens(text) <= budget:
            break
    return text


def system_text(view: View) -> str:
    """Return what the model is told of its task, whatever the trial."""
    return prompt("planner_system", aim=aim(view.spec))


def estimated_tokens(text: str) -> int:
    """Return about how many tokens a text has; settings and figures have three bytes a token."""
    return -(-len(text.encode()) // 3)


def _fullness(trials: int, found: int, failed: int) -> Iterator[_Fullness]:
    """Yield what may be told, the fullest first."""
    newest = trials
    while True:
        yield _Fullness(newest, BEST, found, failed, lessons=TOLD)
        if newest <= 8:
            break
        newest = max(8, newest * 2 // 3)
    yield _Fullness(8, BEST, 24, 8, lessons=4)
    yield _Fullness(8, BEST, 24, 8, help=False)
    yield _Fullness(5, BEST, 12, 4, help=False)
    yield _Fullness(3, 3, 6, 2, help=False, lessons=1)
    yield _Fullness(1, 1, 3, 1, help=False, lessons=0)


def _filled(
    view: View, request: str, fullness: _Fullness, found: list[str], failed: list[str]
) -> str:
    told = _worth_telling(view, fullness)
    untold = len(view.trials) - len(told)
    return prompt(
        "planner",
        task=task_text(view),
        lessons=lessons_text(view, fullness.lessons),
        budget=_budget(view),
        guidance=_guidance(view),
        noise=_noise(view.noise),
        wanted=wanted_text(view, fullness.front, fullness.best),
        parent=_parent(view),
        space="\n".join(_setting(view, key, fullness.help) for key in view.space),
        baselines=listed(
            f"{row.name}: val_mse {row.mse:.6g}" for row in view.baselines if row.split == "val"
        ),
        failures=listed(failed[: fullness.failures]),
        findings=listed(found[: fullness.findings]),
        trials=listed(trial_text(view, trial) for trial in told)
        + (f"\n- {untold} more, counted in the findings" if untold else ""),
        request=request,
    )


def task_text(view: View) -> str:
    """Return what is forecast from what."""
    data = view.spec.base().data
    facts = find(data.dataset)
    # The two come from a file, or from a search that was: words among ours, never lines.
    description, target = in_line(facts.description), in_line(data.target)
    return (
        f"{data.dataset} ({description}): a row every {facts.frequency}, seasons of "
        f"{facts.season} rows, {facts.split_rows[0]} rows to train on. Features {data.features}, "
        f"target {target}, horizon {data.pred_len}; trial 0 looks back {data.seq_len} rows."
    )


def optimiser_text(view: View, study: optuna.Study) -> str:
    """Return the optimiser's state in lines: results, importances, the middle of the best."""
    complete = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
    pruned = len(study.get_trials(deepcopy=False, states=RESULTS)) - len(complete)
    several = len(view.spec.objectives) > 1
    good = (default_gamma_multiobjective if several else default_gamma)(len(complete) + pruned)
    beside = f" and {pruned} pruned" if pruned else ""
    if learned := prior_text(complete):
        beside += f",{learned.removeprefix(' and')} among them, all told by their rank"
    lines = [f"{len(complete)} results{beside}; its model of good trials rests on the best {good}"]
    if importances := _importances(study):
        shares = [(key, share) for key, share in importances.items() if share >= 0.01][:8]
        ranked = ", ".join(f"{key} {share:.2f}" for key, share in shares)
        which = "the trials of the least val_mse" if several else "the best trials"
        lines.append(f"what sets {which} apart, as shares (PED-ANOVA): {ranked}")
    leading = _ranked(complete)[: max(3, len(complete) // 4)]
    regions = []
    for key in view.space:
        values = sorted({trial.params[key] for trial in leading if key in trial.params}, key=str)
        if 0 < len(values) <= 3 and len(leading) >= 3:
            named = (_decoded(view, key, value) for value in values)
            regions.append(f"{key} in {{{', '.join(named)}}}")
    if regions:
        lines.append(f"the best {len(leading)} have " + "; ".join(regions[:20]))
    return listed(lines)


def _worth_telling(view: View, fullness: _Fullness) -> list[TrialRow]:
    scored = [trial for trial in view.trials if trial.val_mse is not None]
    ranks = {t.number: rank(t.val_mse or 0.0, excess(t, view.spec.at_most)) for t in scored}
    best = sorted(scored, key=lambda trial: ranks[trial.number])[: fullness.best]
    chosen = {trial.number: trial for trial in [*best, *view.trials[-fullness.newest :]]}
    return [chosen[number] for number in sorted(chosen)]


def _setting(view: View, key: str, helped: bool) -> str:
    field = fields()[key]
    line = f"- {key} = {view.parent[key]!r}: {describe(view.space[key])}"
    conditions = [
        either.text for either in field.only if all(len(only.values) <= 4 for only in either.of)
    ]
    if conditions:
        line += f"; only with {', '.join(conditions)}"
    return f"{line}. {field.help}." if helped else line


def _parent(view: View) -> str:
    parent = (
        "the starting configuration"
        if view.incumbent is None
        else f"trial {view.incumbent}, {_standing(view)}"
    )
    return f"{parent}. {told_moves(view)}".removesuffix(".") if view.moved else parent


def _standing(view: View) -> str:
    if len(view.spec.objectives) > 1 and view.front:
        return "the member of the front with the lowest val_mse"
    return "the best so far"


def _guidance(view: View) -> str:
    """Return what people say: at the start, on the way, by constraints, of proposals turned back.

    Of the words on the way the newest are told, as far as `WORDS` goes.
    """
    words = [row for row in view.steering if row.constraint is None]
    newest: list[str] = []
    for row in reversed(words):
        line = f"trial {_trial_at(view, row.created_at)}, {row.author}: {row.words!r}"
        if sum(map(len, newest)) + len(line) <= WORDS:
            newest.insert(0, line)
    left_out = len(words) - len(newest)
    parts = [view.spec.guidance.strip()] if view.spec.guidance.strip() else []
    if newest:
        more = f" ({left_out} more are left out)" if left_out else ""
        parts.append(f"Said on the way, by the trial before which, oldest first{more}:")
        parts.append(listed(newest))
    if view.constraints:
        parts.append("Enforced by code; what breaks it is refused:")
        parts.append(listed(one.sentence for one in view.constraints))
    if view.withdrawn:
        parts.append("Your proposals for this trial that a person turned back; propose otherwise:")
        parts.append(listed(_withdrawn(view, row) for row in view.withdrawn[-WITHDRAWN:]))
    return "\n".join(parts) or "None was given."


def _trial_at(view: View, moment: float) -> int:
    """Return the number of the first trial that was proposed after a moment."""
    later = [trial.number for trial in view.trials if (trial.created_at or 0.0) > moment]
    return min(later, default=view.number)


def _withdrawn(view: View, row: RevisionRow) -> str:
    changed = differences(view.parent, row.config)
    settings = ", ".join(f"{key}={new!r}" for key, (_, new) in changed.items()) or "the parent"
    hint = f"with the hint {row.comment!r}" if row.comment else "without a hint"
    return f"{settings}: turned back by {row.author or 'a person'} {hint}"


def _budget(view: View) -> str:
    limits, spend = view.spec.limits, view.spend
    lines = [f"This is trial {view.number} of {view.max_trials} (0 to {view.max_trials - 1})."]
    if seconds := [t.seconds for t in view.trials if t.seconds and t.val_mse is not None]:
        lines.append(f"A training has taken {statistics.median(seconds):.6g} s in the middle.")
    for name, limit, used in (
        ("US dollars", limits.usd, spend.booked_usd),
        ("tokens", limits.tokens, spend.booked_tokens),
        ("questions to you", limits.calls, spend.calls),
    ):
        if limit is not None:
            lines.append(f"Of {limit:g} {name}, {max(limit - used, 0):.6g} are left.")
    return " ".join(lines)


def _noise(noise: Noise | None) -> str:
    if noise is None:
        return "Not measured yet; trainings of one configuration often differ by 1 % or 2 %."
    return (
        f"Trainings of one configuration with other seeds differ by {noise.relative:.3%} (standard "
        f"deviation, {noise.degrees} degrees of freedom)."
    )


def trial_text(view: View, trial: TrialRow) -> str:
    """Return what a trial tried and what became of it, in one line."""
    changed = differences(view.spec.start(), trial.config)
    settings = ", ".join(f"{key}={new!r}" for key, (_, new) in changed.items()) or "start"
    line = f"trial {trial.number} ({trial.source}): {settings} -> {_outcome(view, trial)}"
    if trial.decision == "edited":
        line += f"; a person edited this proposal: {quoted(trial.comment)}"
    return line


def _outcome(view: View, trial: TrialRow) -> str:
    if trial.state == "rejected":
        return f"turned down by a person: {quoted(trial.comment)}"
    if trial.error_class == INFEASIBLE:
        return f"not trained, for it breaks a bound: {trial.error[:200]!r}{costs(trial, view.spec)}"
    if trial.state == "pruned":
        return _pruned(view.pruned_at.get(trial.number), trial)
    if trial.val_mse is None and trial.state in OPEN:
        return "not known yet"
    if trial.val_mse is None:
        return f"{trial.state} ({trial.error_class}): {trial.error[:200]!r}"
    spread = f" ± {trial.spread:.6g} over {trial.seeds} seeds" if trial.spread is not None else ""
    curve = view.curves.get(trial.number)
    told = f"val_mse {trial.val_mse:.6g}{spread}{judged(trial)}{costs(trial, view.spec)}"
    return f"{told}; {curve.text}" if curve else told


def _pruned(end: EpochRow | None, trial: TrialRow) -> str:
    if end is None or end.val_mse is None:  # given up after a training with inherited weights
        return f"pruned: {trial.error[:300]!r}" if trial.error else "pruned, behind the others"
    return (
        f"pruned after epoch {end.epoch} of {trial.config['training.epochs']} at val_mse "
        f"{end.val_mse:.6g}, behind the others there"
    )


def _ranked(complete: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Return results from the best on: those first that fewer others beat."""
    standings = [
        (sum(passed for passed in trial.constraints.values() if passed > 0), tuple(trial.values))
        for trial in complete
    ]
    counts = beaten_by(standings, standings)
    order = sorted(range(len(complete)), key=lambda at: (counts[at], standings[at][1][0]))
    return [complete[at] for at in order]


def _importances(study: optuna.Study) -> dict[str, float]:
    """Return the settings' shares of the variation, or none where too little is known."""
    complete = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
    if len(complete) < 8:
        return {}
    # A setting of which one value was tried sets nothing apart, but would be given a share.
    varied = [
        key
        for key in complete[0].params
        if all(key in trial.params for trial in complete)
        and len({trial.params[key] for trial in complete}) > 1
    ]
    if not varied:
        return {}
    evaluator = optuna.importance.PedAnovaImportanceEvaluator()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that low values are taken as good: they are
        return dict(
            optuna.importance.get_param_importances(
                study,
                evaluator=evaluator,
                params=varied,
                target=lambda trial: float(trial.values[0]),
            )
        )


def _decoded(view: View, key: str, value: object) -> str:
    search = view.space[key]
    if isinstance(search, Choices) and ordered(search.values) and isinstance(value, int):
        return str(search.values[value])
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def listed(lines: Iterable[str]) -> str:
    """Return lines as a list for a prompt, which says so where there are none."""
    return "\n".join(f"- {line}" for line in lines) or "- none"
