"""What kind of values an option takes, as far as a search is concerned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from types import UnionType
from typing import Annotated, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from olive_engine.config.keys import nested_options
from olive_engine.options import DataRef

_SCALARS = (bool, int, float, str, Path, type(None))


def unsearchable(info: FieldInfo) -> str:
    """Why no search can choose a value for an option; empty if one can."""
    if any(isinstance(mark, DataRef) for mark in info.metadata):
        return "names a data config"
    if nested_options(info.annotation):
        return "is a group of options"
    if any(_is_mapping(arm) for arm in arms(info.annotation)):
        return "is a mapping"
    return ""


def takes_one_value(info: FieldInfo) -> bool:
    """Whether no list can be the option's value."""
    return all(get_origin(arm) is Literal or arm in _SCALARS or _is_enum(arm) for arm in arms(info.annotation))


def listed_values(info: FieldInfo) -> tuple[bool | int | str, ...]:
    """The values of an option that takes only a few, none of them null."""
    found: list[bool | int | str] = []
    for arm in arms(info.annotation):
        if get_origin(arm) is Literal:
            found += [each for each in get_args(arm) if each is not None]
        elif arm is bool:
            found += [True, False]
        elif isinstance(arm, type) and issubclass(arm, Enum):
            found += [each.value for each in arm]
        elif arm is not type(None):
            return ()
    return tuple(found)


def number_types(info: FieldInfo) -> set[object]:
    """Which of int and float the option takes."""
    return {each for each in arms(info.annotation) if each in (int, float)}


def arms(annotation: object) -> Iterator[object]:
    """The types that a union, marked or not, consists of."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from arms(get_args(annotation)[0])
    elif origin in (Union, UnionType):
        for arm in get_args(annotation):
            yield from arms(arm)
    else:
        yield annotation


def _is_enum(arm: object) -> bool:
    return isinstance(arm, type) and issubclass(arm, Enum)


def _is_mapping(arm: object) -> bool:
    origin = get_origin(arm) or arm
    return isinstance(origin, type) and issubclass(origin, Mapping)
