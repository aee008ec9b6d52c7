"""What a trial chooses, one axis after another, and every combination there is, in order. Pure; no Optuna."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from olive_engine.config.search.values import (
    Candidate,
    Choice,
    Conditional,
    FloatRange,
    IntRange,
    PlainValue,
    SearchValue,
    size,
)
from olive_engine.search.trials import Assignment

Space = Mapping[str, SearchValue]
Alternatives = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Axis:
    """One thing to choose: a searched option as what was chosen before allows it, or a slot's alternative."""

    option: str
    """Its key in an assignment."""
    name: str
    """Its name in Optuna, which tells the cases of a conditional option apart: each name has one set of values."""
    values: PlainValue


def walk(space: Space, alternatives: Alternatives, choose: Callable[[Axis], Candidate]) -> dict[str, Candidate]:
    """Choose along every axis that there is, in order; what depends on a choice comes after it."""
    taken: dict[str, Candidate] = {}
    for option in order(space, alternatives):
        axis = _axis(option, space, alternatives, taken)
        if axis is not None:
            taken[option] = choose(axis)
    return taken


def grid(space: Space, alternatives: Alternatives) -> Iterator[dict[str, Candidate]]:
    """Every combination once, the last option changing fastest.

    Args:
        space: the searched options; each range has a step.
        alternatives: each slot that has several passes -> their types.
    """
    return _expand(order(space, alternatives), space, alternatives, {})


def order(space: Space, alternatives: Alternatives) -> list[str]:
    """Slots, then options as they are written, but for those that depend on others: each follows what it depends on."""
    found = [*alternatives]
    waiting = [*space]
    while waiting:
        ready = next((each for each in waiting if _parents(space[each]).isdisjoint(waiting)), waiting[0])
        waiting.remove(ready)
        found.append(ready)
    return found


def axes(space: Space, alternatives: Alternatives) -> list[Axis]:
    """All axes that some trial may have, those of every alternative and every case."""
    found: list[Axis] = []
    for option in order(space, alternatives):
        match space.get(option):
            case None:
                found.append(_alternative(option, alternatives))
            case Conditional(cases=cases, otherwise=otherwise):
                found += [_case(option, number, case.search) for number, case in enumerate(cases, start=1)]
                found += [] if otherwise is None else [_otherwise(option, otherwise)]
            case FloatRange() | IntRange() | Choice() as plain:
                found.append(Axis(option, option, plain))
    return found


def members(values: PlainValue) -> Iterator[Candidate]:
    """All values in order.

    Raises:
        ValueError: it is a range without a step.
    """
    match values:
        case Choice(values=listed):
            yield from listed
        case IntRange(low=low, high=high, step=step):
            yield from range(low, high + 1, step)
        case FloatRange(low=low, high=high, step=step):
            count = size(values)
            if count is None or step is None:
                raise ValueError(f"the range from {low:g} to {high:g} has no step, so that its values have no end")
            yield from (stepped(low, step, index) for index in range(count))


def stepped(low: float, step: float, index: int) -> float:
    """`low` + `index` steps as one would write it: 0.1 and two steps of 0.1 are 0.3, not 0.30000000000000004."""
    return float(Decimal(repr(low)) + index * Decimal(repr(step)))


# --- the axes of a trial ------------------------------------------------------------------------------------------


def _axis(option: str, space: Space, alternatives: Alternatives, taken: Assignment) -> Axis | None:
    """The axis of an option after what was chosen; None: there is nothing to choose."""
    if option not in space:
        return _alternative(option, alternatives)
    if not _is_there(option, alternatives, taken):
        return None
    match space[option]:
        case Conditional(cases=cases, otherwise=otherwise):
            for number, case in enumerate(cases, start=1):
                if all(name in taken and taken[name] in held for name, held in case.when.items()):
                    return _case(option, number, case.search)
            return None if otherwise is None else _otherwise(option, otherwise)
        case FloatRange() | IntRange() | Choice() as plain:
            return Axis(option, option, plain)


def _alternative(slot: str, alternatives: Alternatives) -> Axis:
    return Axis(slot, slot, Choice(values=tuple(range(len(alternatives[slot])))))


def _case(option: str, number: int, values: PlainValue) -> Axis:
    return Axis(option, f"{option} (case {number})", values)


def _otherwise(option: str, values: PlainValue) -> Axis:
    return Axis(option, f"{option} (otherwise)", values)


def _is_there(option: str, alternatives: Alternatives, taken: Assignment) -> bool:
    """Whether the option belongs to a pass that is there when these alternatives are taken."""
    slot = next((each for each in alternatives if option.startswith(f"{each}[")), None)
    return slot is None or option.startswith(f"{slot}[{taken[slot]}].")


def _parents(value: SearchValue) -> set[str]:
    return {name for case in value.cases for name in case.when} if isinstance(value, Conditional) else set()


def _expand(
    rest: Sequence[str], space: Space, alternatives: Alternatives, taken: dict[str, Candidate]
) -> Iterator[dict[str, Candidate]]:
    if not rest:
        yield taken
        return
    axis = _axis(rest[0], space, alternatives, taken)
    if axis is None:
        yield from _expand(rest[1:], space, alternatives, taken)
        return
    for value in members(axis.values):
        yield from _expand(rest[1:], space, alternatives, {**taken, axis.option: value})
