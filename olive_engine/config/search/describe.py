"""A search in words: what is searched, over which values, in how many trials."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import product

from olive_engine.config.search.pruners import EIGHTHS, MIN_FINALISTS, REDUCTION_FACTOR, whole, wrapped_pruner
from olive_engine.config.search.strategy import SearchStrategy
from olive_engine.config.search.values import (
    Candidate,
    Choice,
    Conditional,
    FloatRange,
    IntRange,
    PlainValue,
    SearchValue,
    endless,
    size,
)

MAX_COUNTED = 10_000
"""Of how many combinations of what others depend on the rest is counted one by one."""
Space = Mapping[str, SearchValue]
Alternatives = Mapping[str, Sequence[str]]
"""Each slot that has several passes -> their types."""


def describe_search(
    strategy: SearchStrategy,
    space: Space,
    alternatives: Alternatives | None = None,
    *,
    judged_by: str = "",
) -> list[str]:
    """Lines for a plan: how is searched and how often, who is pruned, then each searched slot and option.

    Args:
        strategy: how the search goes about it.
        space: the searched options.
        alternatives: the slots that have several passes.
        judged_by: the metric by which trials are judged on the way; empty: they are not.
    """
    slots = alternatives or {}
    names = [*slots, *space]
    width = max(map(len, names), default=0)
    lines = [f"search: {_trials(strategy, space, slots)} by {strategy.sampler}, {_order(strategy)}"]
    unjudged = "not pruned: no searched pass is judged on the way"
    pruning = describe_pruning(strategy, judged_by) if judged_by else unjudged
    lines += [f"  {pruning}"] if pruning else []
    lines += [f"  {slot:{width}}  {' or '.join(types)}" for slot, types in slots.items()]
    for name, value in space.items():
        first, *rest = describe_value(value)
        lines.append(f"  {name:{width}}  {first}")
        lines += [f"  {'':{width}}  {line}" for line in rest]
    return lines


def describe_pruning(strategy: SearchStrategy, metric: str) -> str:
    """By what and where trials are judged on the way, and who goes on; empty: nowhere."""
    if not strategy.judged_at:
        return ""
    where = f"at {shown_rungs(strategy.judged_at)} of a trial's tokens"
    if strategy.pruner == "none":
        return f"{metric} is measured {where}, and nobody is pruned"
    return f"pruned by {metric}: {strategy.pruner} {where}{_kept(strategy)}"


def shown_rungs(fractions: Sequence[float]) -> str:
    """Fractions of a budget as people write them: ``1/8, 1/4 and 1/2``; of many eighths, ``every eighth``."""
    if tuple(fractions) == EIGHTHS:
        return "every eighth"
    *others, last = map(_fraction, fractions)
    return f"{', '.join(others)} and {last}" if others else last


def describe_value(value: SearchValue) -> list[str]:
    """What a searched option may be; a line for each case, if it depends on others."""
    if not isinstance(value, Conditional):
        return [_plain(value)]
    lines = []
    for case in value.cases:
        when = " and ".join(f"{name} is {' or '.join(map(_shown, held))}" for name, held in case.when.items())
        lines.append(f"{_plain(case.search)} where {when}")
    rest = "its own value" if value.otherwise is None else _plain(value.otherwise)
    return [*lines, f"{rest} otherwise"]


def combinations(space: Space, alternatives: Alternatives | None = None) -> int | None:
    """How many different trials there are; None: endless, or too many to count.

    A slot's alternative brings its own options only.
    """
    if any(endless(value) for value in space.values()):
        return None
    slots = alternatives or {}
    total = 0
    if math.prod(map(len, slots.values())) > MAX_COUNTED:
        return None
    for taken in product(*(range(len(types)) for types in slots.values())):
        chosen = dict(zip(slots, taken, strict=True))
        counted = _counted({name: value for name, value in space.items() if _is_in(name, chosen)})
        if counted is None:
            return None
        total += counted
    return total


def _is_in(name: str, chosen: Mapping[str, int]) -> bool:
    """Whether an option belongs to a pass that is there when these alternatives are taken."""
    for slot, index in chosen.items():
        if name.startswith(f"{slot}["):
            return name.startswith(f"{slot}[{index}].")
    return True


def _counted(space: Space) -> int | None:
    asked = {name for value in space.values() if isinstance(value, Conditional) for c in value.cases for name in c.when}
    parents = {name: value for name, value in space.items() if name in asked and isinstance(value, Choice | IntRange)}
    free = [value for name, value in space.items() if name not in parents and not isinstance(value, Conditional)]
    dependent = [value for value in space.values() if isinstance(value, Conditional)]
    if math.prod(size(value) or 0 for value in parents.values()) > MAX_COUNTED:
        return None
    sums = 0
    for held in product(*(list(_members(value)) for value in parents.values())):
        values = dict(zip(parents, held, strict=True))
        sums += math.prod(_size_where(value, values) for value in dependent)
    return sums * math.prod(size(value) or 0 for value in free)


def _members(value: Choice | IntRange) -> Iterator[Candidate]:
    match value:
        case Choice(values=values):
            yield from values
        case IntRange(low=low, high=high, step=step):
            yield from range(low, high + 1, step)


def _size_where(value: Conditional, values: Mapping[str, Candidate]) -> int:
    for case in value.cases:
        if all(name in values and values[name] in held for name, held in case.when.items()):
            return size(case.search) or 0
    return 1 if value.otherwise is None else size(value.otherwise) or 0


def _trials(strategy: SearchStrategy, space: Space, slots: Alternatives) -> str:
    count = combinations(space, slots)
    most = strategy.max_samples
    if strategy.execution_order == "pass-by-pass":
        return "all combinations of each pass" if most is None else f"{most} trials for each pass"
    if most is not None and (count is None or most < count):
        of = f" of {count} combinations" if count is not None else ""
        return f"{most} trial{'s' if most > 1 else ''}{of}"
    if count is not None:
        return f"all {count} combinations" if count > 1 else "1 trial"
    return "trials without end"


def _order(strategy: SearchStrategy) -> str:
    parts: list[str] = [strategy.execution_order.replace("-", " ")]
    if strategy.max_iter is not None:
        parts.append(f"at most {strategy.max_iter} in one run")
    if strategy.max_time is not None:
        parts.append(f"at most {strategy.max_time:g} s in one run")
    if strategy.stop_when_goals_met:
        parts.append("until the goals are met")
    return ", ".join(parts)


def _kept(strategy: SearchStrategy) -> str:
    arguments = strategy.pruner_config
    match strategy.pruner:
        case "successive_halving":
            eta = whole(arguments, "reduction_factor", REDUCTION_FACTOR)
            least = whole(arguments, "min_finalists", MIN_FINALISTS)
            share = "half" if eta == 2 else f"1/{eta}"
            return f"; the best {share} of a wave goes on, {least} finalist{'s' if least > 1 else ''} at least"
        case "top_k":
            return f"; the best {whole(arguments, 'keep', 1)} of a wave go on"
        case "median" | "percentile" | "wilcoxon":
            return ", once trials of an earlier wave have ended"
        case "patient":
            wrapped = wrapped_pruner(arguments)
            return f", which holds {wrapped[0]} back" if wrapped else ""
        case "none" | "hyperband" | "threshold":
            return ""


def _fraction(value: float) -> str:
    near = Fraction(value).limit_denominator(128)
    return str(near) if math.isclose(float(near), value, rel_tol=1e-9) else f"{value:g}"


def _plain(value: PlainValue) -> str:
    match value:
        case Choice(values=values):
            return ", ".join(map(_shown, values))
        case FloatRange(low=low, high=high, step=step, log=log):
            return (
                f"{low:g} to {high:g}" + (f" in steps of {step:g}" if step else "") + (", by magnitude" if log else "")
            )
        case IntRange(low=low, high=high, step=step, log=log):
            steps = f" in steps of {step}" if step != 1 else ""
            return f"{low} to {high}{steps}" + (", by magnitude" if log else "")


def _shown(value: Candidate) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_shown, value))}]"
    if value is None or isinstance(value, bool):
        return "none" if value is None else str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)
