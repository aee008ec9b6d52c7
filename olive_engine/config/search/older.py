"""Older Olive's ways to write a searched option, and what they are today. The table of older spellings calls this."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from olive_engine.errors import ConfigPath

MARK = "olive_parameter_type"
_IGNORED, _INVALID = "OLIVE_IGNORED_PARAM_VALUE", "OLIVE_INVALID_PARAM_VALUE"


@dataclass(frozen=True, slots=True)
class Rewritten:
    """What a value is today, and how that is told."""

    value: JsonValue = None
    notice: str = ""
    absent: bool = False
    """It is left out today: the option then has its default."""
    refusal: str = ""
    """Why it is nothing that can be said today; nothing else counts then."""


def rewritten(value: JsonValue) -> Rewritten | None:
    """What an option's value is today; None if it is no older form."""
    if value == "DEFAULT_VALUE":
        return Rewritten(notice="an option that is left out has its default", absent=True)
    if value == "SEARCHABLE_VALUES":
        return Rewritten({"search": "default"}, "`SEARCHABLE_VALUES` is written `{search: default}`")
    if isinstance(value, dict) and MARK in value:
        return _parameter(value)
    return None


def older_values(passes: JsonValue, path: ConfigPath = ("passes",)) -> Iterator[tuple[ConfigPath, Rewritten]]:
    """Every older form among the options of passes, with its place; later items of a list come first."""
    found = rewritten(passes)
    if found is not None:
        yield path, found
    elif isinstance(passes, dict):
        for key, each in passes.items():
            yield from older_values(each, (*path, key))
    elif isinstance(passes, list):
        for index, each in reversed([*enumerate(passes)]):
            yield from older_values(each, (*path, index))


def categorical_types(tree: JsonValue, path: ConfigPath) -> Iterator[ConfigPath]:
    """Where `type: categorical` stands for what is called `choice`: under `search_space`, or a `search` in passes."""
    if isinstance(tree, dict):
        kind = tree.get("type")
        if isinstance(kind, str) and kind.lower() == "categorical" and "values" in tree:
            yield (*path, "type")
        for key, each in tree.items():
            yield from categorical_types(each, (*path, key))
    elif isinstance(tree, list):
        for index, each in enumerate(tree):
            yield from categorical_types(each, (*path, index))


def _parameter(value: Mapping[str, JsonValue]) -> Rewritten:
    kind, support = value.get("type"), value.get("support")
    if value.get(MARK) == "SearchParameter" and kind == "Categorical" and isinstance(support, list):
        return Rewritten(
            {"search": {"type": "choice", "values": support}}, "it is written `{search: {type: choice, …}}`"
        )
    if value.get(MARK) != "SearchParameter" or kind not in ("Conditional", "ConditionalDefault"):
        return Rewritten(refusal=f"the form {kind or value.get(MARK)!r} of a searched value is not known")
    parents = value.get("parents")
    if not isinstance(parents, list) or not all(isinstance(each, str) for each in parents) or not parents:
        return Rewritten(refusal="a conditional value needs `parents`, a list of options")
    names = [str(each) for each in parents]
    cases: list[JsonValue] = []
    for when, held in _cases(support, len(names)):
        values = _support(held)
        if values is None:
            return Rewritten(refusal="a conditional value that is invalid or ignored in some cases is not known today")
        condition: JsonValue = {name: [each] for name, each in zip(names, when, strict=True)}
        cases.append({"when": condition, "search": {"type": "choice", "values": values}})
    if not cases:
        return Rewritten(refusal="a conditional value needs `support`, nested as deep as there are `parents`")
    search: dict[str, JsonValue] = {"type": "conditional", "cases": cases}
    default = value.get("default")
    if default is not None:
        values = _support(default)
        if values is not None:
            search["otherwise"] = {"type": "choice", "values": values}
        elif _special(default) != _IGNORED:
            return Rewritten(refusal="a conditional value that is invalid in all other cases is not known today")
    return Rewritten({"search": search}, "it is written `{search: {type: conditional, …}}`")


def _cases(support: JsonValue, depth: int) -> Iterator[tuple[tuple[str, ...], JsonValue]]:
    """The values of the parents, and what they go with; the values are keys, one level for each parent."""
    if not isinstance(support, dict) or MARK in support:
        return
    for key, each in support.items():
        if depth == 1:
            yield (key,), each
        else:
            yield from (((key, *rest), held) for rest, held in _cases(each, depth - 1))


def _support(held: JsonValue) -> list[JsonValue] | None:
    """The values of one case; None where Olive has a mark in their place."""
    values = held.get("support") if isinstance(held, dict) else held
    listed: list[JsonValue] = values if isinstance(values, list) else [values]
    return None if any(each in (_IGNORED, _INVALID) for each in listed) or not listed else listed


def _special(held: JsonValue) -> JsonValue:
    values = held.get("support") if isinstance(held, dict) else held
    return values[0] if isinstance(values, list) and values else values
