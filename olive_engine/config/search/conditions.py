"""Values that depend on other searched options: whose they are, and whether those can have them."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from olive_engine.config.findings import Findings, shown
from olive_engine.config.search.fitting import Written, fits
from olive_engine.config.search.points import PassOptions
from olive_engine.config.search.values import Case, Choice, Conditional, IntRange, Scalar, SearchValue
from olive_engine.errors import ConfigPath

Read = Mapping[str, tuple[Written, SearchValue]]
"""The searched options that could be read, by name."""


def resolve_conditions(
    read: Read, asked: Collection[str], options: PassOptions, findings: Findings
) -> dict[str, tuple[Written, SearchValue]]:
    """`read` with the whole names of options in every `when`; what is wrong with one is reported.

    Args:
        read: the searched options that could be read.
        asked: the names of all searched options, those that could not be read too.
        options: the options that a condition may name.
        findings: where problems go.
    """
    result = dict(read)
    for name, (written, value) in read.items():
        if isinstance(value, Conditional):
            cases = tuple(
                _resolved(case, (*written.place, "cases", index, "when"), name, read, asked, options, findings)
                for index, case in enumerate(value.cases)
            )
            result[name] = (written, value.model_copy(update={"cases": cases}))
    return result


def _resolved(
    case: Case,
    place: ConfigPath,
    name: str,
    read: Read,
    asked: Collection[str],
    options: PassOptions,
    findings: Findings,
) -> Case:
    when: dict[str, tuple[Scalar, ...]] = {}
    for written_name, wanted in case.when.items():
        at = (*place, written_name)
        option = options.resolve(written_name, at, findings)
        if option is None:
            continue
        found = read.get(option.name)
        if found is None and option.name in asked:
            continue  # what is wrong with it is reported
        if option.name == name or found is None:
            fit = (each for each, (_, value) in read.items() if isinstance(value, Choice | IntRange) and each != name)
            others = ", ".join(f"`{each}`" for each in fit)
            what = f"a condition is about another searched option, and `{option.name}` is none"
            findings.add(at, what, f"searched are {others}" if others else "", at_key=True)
        elif isinstance(found[1], Choice | IntRange):
            when[option.name] = _values(wanted, found, at, findings)
        else:
            kind = "depends on a condition itself" if isinstance(found[1], Conditional) else "is a range of any numbers"
            what = f"`{option.name}` {kind}, so no case can name its values"
            findings.add(
                at, what, "let the condition name an option that has a `choice` or an `int` range", at_key=True
            )
    return case.model_copy(update={"when": when})


def _values(
    wanted: tuple[Scalar, ...], found: tuple[Written, SearchValue], at: ConfigPath, findings: Findings
) -> tuple[Scalar, ...]:
    """The values that a case names, as the option holds them."""
    if not wanted:
        findings.add(at, "an empty list: the case would never hold", "name the values for which it holds")
    held: list[Scalar] = []
    for index, value in enumerate(wanted):
        before = findings.count
        each = fits(value, found[0].option, (*at, index), findings)
        if findings.count > before or isinstance(each, tuple):
            continue
        if not _is_taken(each, found[1]):
            what = f"{shown(each)} is not among the values of `{found[0].option.name}`"
            findings.add((*at, index), what)
        held.append(each)
    return tuple(held)


def _is_taken(value: Scalar, among: SearchValue) -> bool:
    match among:
        case Choice(values=values):
            return any(value == other and isinstance(value, bool) == isinstance(other, bool) for other in values)
        case IntRange(low=low, high=high, step=step):
            return isinstance(value, int | float) and low <= value <= high and (value - low) % step == 0
        case _:
            return False
