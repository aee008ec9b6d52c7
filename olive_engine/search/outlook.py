"""What a search will do, in lines, before anything runs: what it tries, who is best, and how its trainings run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from olive_engine import graph
from olive_engine.config.search.describe import describe_search
from olive_engine.config.search.values import Candidate, Choice, Conditional, SearchValue
from olive_engine.config.workflow import PassEntry, Workflow
from olive_engine.contracts import AnyPass, Known
from olive_engine.errors import InvalidWorkflow
from olive_engine.judging import checkpoint_for
from olive_engine.options import Packable, marked
from olive_engine.registry import find_pass
from olive_engine.reporting.sweep_columns import measure_name, short_names
from olive_engine.search.assignment import applied, settled
from olive_engine.search.carrying import Training, targets_of, training_of
from olive_engine.search.merging import towards
from olive_engine.search.objectives import Objective, Objectives, objectives_of
from olive_engine.search.stages import before, parts, strategy_of
from olive_engine.search.summary import text_of


def describe_sweep(workflow: Workflow) -> list[str]:
    """Lines for a plan: how is searched, by what trials are compared and judged, how they are trained, over what.

    Args:
        workflow: one that searches.

    Raises:
        InvalidWorkflow: there is nothing to judge trials by.
    """
    strategy = strategy_of(workflow)
    yardsticks: list[str] = []
    own: list[str] = []
    earlier: list[str] = []
    for whole, slot in parts(workflow):
        part = settled(whole, {}, earlier) if earlier else whole
        earlier.append(slot)
        objectives = objectives_of(part)
        training = training_of(part, targets_of(objectives))
        if training is not None:
            yardsticks.append(training.yardstick.metric)
        heading, indent = (f"  {slot}: ", "    ") if slot else ("  ", "  ")
        own.append(f"{heading}{_compared(objectives)}")
        own += [f"{indent}{line}" for line in _trained(part, objectives, training)]
        if training is not None and strategy.judged_at and strategy.pruner != "none":
            own += [f"{indent}{line}" for line in _foretold(objectives, training)]
    first, *rest = describe_search(
        strategy,
        workflow.search_space,
        workflow.alternatives,
        judged_by=_listing(list(dict.fromkeys(yardsticks))) if yardsticks else "",
    )
    return [first, *own, *rest]


# --- objectives ---------------------------------------------------------------------------------------------------


def _compared(objectives: Objectives) -> str:
    """``compared by accuracy of merge (higher is better), then latency of merge (lower is better)``."""
    joint = ", and by " if objectives.mode == "pareto" else ", then "
    line = f"compared by {joint.join(map(_objective, objectives.parts))}"
    goals = ", ".join(measure_name(goal.name) for goal in objectives.goals)
    return line + (f"; those that reach the goals ({goals}) come first" if goals else "")


def _objective(part: Objective) -> str:
    way = "higher" if part.higher_is_better else "lower"
    return f"{measure_name(part.name)} of {part.step.partition(':')[0]} ({way} is better)"


def _foretold(objectives: Objectives, training: Training) -> Iterator[str]:
    """Where what is measured on the way is not what counts at the end."""
    judged = training.step, training.yardstick.metric
    others = [measure_name(part.name) for part in objectives.parts if (part.step, part.metric) != judged]
    if others:
        yield f"only trials that {training.yardstick.metric} lets through are measured by {_listing(others)}"


# --- trainings ----------------------------------------------------------------------------------------------------


def _trained(workflow: Workflow, objectives: Objectives, training: Training | None) -> Iterator[str]:
    """How each training on the way to the objectives is carried out."""
    built = graph.build(workflow)
    on_the_way = towards(built, [name for name in targets_of(objectives) if name in built.nodes])
    for name in on_the_way.nodes:
        if on_the_way.nodes[name].kind != "pass":
            continue
        for index, entry in enumerate(workflow.passes[name]):
            cls = find_pass(entry.type)
            if cls is None or not (cls.has_segments() or cls.has_packs()):
                continue
            one_of_many = len(workflow.passes[name]) > 1
            who = f"{name} ({entry.type})" if one_of_many else name
            judged = training is not None and training.step == name
            yield f"{who} {_how(workflow, name, entry, cls, judged=judged)}"
            yield from _exceptions(workflow, name, index, cls)


def _how(workflow: Workflow, name: str, entry: PassEntry, cls: type[AnyPass], *, judged: bool) -> str:
    """``is trained in stretches, trials with the same target_modules together in packs``."""
    searched = _searched_before(workflow, name)
    whole, alone = cls.whole_because(entry.options), _alone(workflow, name, entry, cls)
    if not searched:
        return "is trained once, for all trials"
    if whole and alone:
        return f"is trained in one piece, each trial alone: {whole}"
    how = "in stretches" if judged else "in one piece"
    measures = cls.yardstick(entry.options) is not None
    why = whole or ("" if judged or measures else "it measures nothing of its own result")
    how += f" ({why})" if why else ""
    if alone:
        return f"is trained {how}, each trial alone: {alone}"
    same = [each for each in searched if each not in _packable(workflow, name, cls)]
    short = _short_names(workflow)
    those = f"trials with the same {_listing([short[each] for each in same])}" if same else "several trials"
    return f"is trained {how}, {those} together in packs"


def _searched_before(workflow: Workflow, name: str) -> list[str]:
    """The searched options and slots that have an effect on what a pass makes."""
    early = {name, *before(workflow, name)}
    searched = [option for option in workflow.search_space if workflow.slot_of(option) in early]
    return searched + [slot for slot in workflow.alternatives if slot in early]


def _exceptions(workflow: Workflow, name: str, index: int, cls: type[AnyPass]) -> Iterator[str]:
    """The searched values with which a training runs otherwise than the others."""
    entry = workflow.passes[name][index]
    usual = bool(cls.whole_because(entry.options)), bool(_alone(workflow, name, entry, cls))
    prefix, short = _prefix(workflow, name, index), _short_names(workflow)
    for option, value in workflow.search_space.items():
        if not option.startswith(prefix) or option in _packable(workflow, name, cls):
            continue
        for candidate in _listed(value):
            try:
                (other,) = applied(workflow, {name: index, option: candidate}).passes[name]
            except InvalidWorkflow:  # it goes with some values of other options only
                continue
            whole, alone = cls.whole_because(other.options), _alone(workflow, name, other, cls)
            if (bool(whole), bool(alone)) != usual and (whole or alone):
                how = "in one piece and alone" if whole and alone else "in one piece" if whole else "alone"
                yield f"  where {short[option]} is {text_of(candidate)}, {how}: {whole or alone}"


def _alone(workflow: Workflow, name: str, entry: PassEntry, cls: type[AnyPass]) -> str:
    return cls.alone_because(entry.options, Known(checkpoint=checkpoint_for(workflow, name)))


def _packable(workflow: Workflow, name: str, cls: type[AnyPass]) -> set[str]:
    """The searched options, by whole name, in which the members of a pack may differ."""
    own = [option for option, _ in marked(cls.config_type, Packable)]
    prefixes = [_prefix(workflow, name, index) for index in range(len(workflow.passes[name]))]
    return {f"{prefix}{option}" for prefix in prefixes for option in own}


def _prefix(workflow: Workflow, name: str, index: int) -> str:
    return f"{name}." if len(workflow.passes[name]) == 1 else f"{name}[{index}]."


def _short_names(workflow: Workflow) -> dict[str, str]:
    return short_names([*workflow.search_space, *workflow.alternatives])


def _listing(names: Sequence[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def _listed(value: SearchValue) -> Sequence[Candidate]:
    """The values that are written one by one."""
    match value:
        case Choice(values=values):
            return values
        case Conditional(cases=cases, otherwise=otherwise):
            plain = [case.search for case in cases] + ([otherwise] if otherwise else [])
            return [each for part in plain if isinstance(part, Choice) for each in part.values]
        case _:
            return ()
