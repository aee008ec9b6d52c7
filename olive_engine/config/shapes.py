"""What a correct value looks like, for the hint of a message about a wrong or missing one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import UnionType
from typing import Annotated, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from olive_engine.config.keys import nested_options
from olive_engine.errors import ConfigPath
from olive_engine.options import OptionsClass

MAX_MEMBERS = 4
"""How many options of a group are shown."""


def option_at(options: OptionsClass, place: ConfigPath) -> FieldInfo | None:
    """The option whose value stands at `place` in a group; None where that depends on what else is written."""
    classes, found = [options], None
    for part in place:
        if isinstance(part, int):  # an item of a list of groups
            continue
        fields = [info for cls in classes for name, info in cls.model_fields.items() if part in (name, info.alias)]
        if len(classes) != 1 or not fields:
            return None
        found = fields[0]
        classes = _groups(found.annotation)
    return found if not place or isinstance(place[-1], str) else None


def meaning(info: FieldInfo) -> str:
    """The first sentence of an option's description, to stand in a hint."""
    text = (info.description or "").split(". ")[0].split("; ")[0].rstrip(".")
    return text if text[1:2].isupper() else f"{text[:1].lower()}{text[1:]}"


def shape(annotation: object) -> str:
    """``{name: …, type: …}``, ``[…]``: how a group, a list or a mapping is written; empty for a single value."""
    found = [text for arm in _arms(annotation) if (text := _shape(arm))]
    return " or ".join(dict.fromkeys(found[:2]))


def _shape(annotation: object) -> str:
    if groups := nested_options(annotation):
        fields = [(name, info.is_required()) for name, info in groups[0].model_fields.items() if not info.exclude]
        fields.sort(key=lambda field: not field[1])
        needed = sum(required for _, required in fields)
        names = [name for name, _ in fields[: max(1, min(needed or 2, MAX_MEMBERS))]]
        rest = ", …" if len(fields) > len(names) else ""
        return f"{{{', '.join(f'{name}: …' for name in names)}{rest}}}"
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (list, tuple, Sequence):
        return f"[{_item(arguments[0])}, …]" if arguments else "[…]"
    return "{…: …}" if origin in (dict, Mapping) else ""


def _item(annotation: object) -> str:
    if get_origin(annotation) is Literal:
        return str(get_args(annotation)[0])
    return shape(annotation) or "…"


def _groups(annotation: object) -> list[OptionsClass]:
    found = nested_options(annotation)
    for arm in _arms(annotation):
        if get_origin(arm) in (list, tuple, Sequence):
            found += nested_options(get_args(arm)[0])
        elif get_origin(arm) in (dict, Mapping):
            found += nested_options(get_args(arm)[1])
    return list(dict.fromkeys(found))


def _arms(annotation: object) -> list[object]:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _arms(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return [each for arm in get_args(annotation) for each in _arms(arm)]
    return [annotation]
