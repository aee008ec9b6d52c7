"""The documentation of a pass, a system or a metric, with its options, from the class itself."""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TextIO, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from olive_engine.options import Options
from olive_engine.reporting.tables import is_terminal, terminal

_BOUNDS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
_NAMES = {type(None): "null", bool: "true | false", int: "int", float: "float", str: "str"}


@dataclass(frozen=True, slots=True)
class Option:
    """One option as a user needs to know it."""

    name: str
    type: str
    default: str
    """Empty: it must be given."""
    description: str


@dataclass(frozen=True, slots=True)
class Reference:
    """What is to be said of one plugin."""

    title: str
    text: str
    facts: Sequence[str]
    options: Sequence[Option]
    heading: str = "Options"


def options_of(options: type[BaseModel], prefix: str = "") -> Iterator[Option]:
    """The options of a group in order, those of groups within it under dotted names."""
    for name, info in options.model_fields.items():
        group = _group(info.annotation)
        description = info.description or ""
        if group is None:
            yield Option(prefix + name, _type(info), _default(info), description)
        else:
            several = get_origin(info.annotation) in (tuple, list)
            kind, inner = ("list of groups", f"{name}[]") if several else ("group", name)
            yield Option(prefix + name, kind, _default(info, group=not several), description)
            yield from options_of(group, f"{prefix}{inner}.")


def document(cls: type[object]) -> str:
    """A class's docstring, each paragraph on one line; indented lines stay as they are."""
    return re.sub(r"(?<=\S)\n(?=\S)", " ", inspect.cleandoc(cls.__doc__ or ""))


def show_reference(reference: Reference, stream: TextIO) -> None:
    """Write the reference to a stream: wrapped, with the names in bold, where the stream is a terminal."""
    paragraphs = [(0, reference.title, "bold", ""), (0, reference.text, "", "")]
    paragraphs += [(0, "", "", "")] if reference.facts else []
    paragraphs += [(0, fact, "dim", "") for fact in reference.facts]
    if reference.options:
        paragraphs.append((0, f"\n{reference.heading}:", "bold", ""))
    for option in reference.options:
        given = f"default {option.default}" if option.default else "must be given"
        paragraphs.append((2, option.name, "cyan", f"  {option.type}, {given}"))
        if option.description:
            paragraphs.append((6, option.description, "", ""))
    if is_terminal(stream):
        from rich.padding import Padding
        from rich.text import Text

        console = terminal(stream)
        for indent, text, style, note in paragraphs:
            console.print(Padding(Text.assemble((text, style), (note, "dim")), (0, 0, 0, indent)))
    else:
        stream.write("".join(f"{' ' * indent}{text}{note}\n" for indent, text, _, note in paragraphs))
        stream.flush()


def _group(annotation: object) -> type[BaseModel] | None:
    """The group of options that a field holds, alone, in a list, or beside null."""
    for part in _alternatives(annotation):
        inner = get_args(part)[0] if get_origin(part) in (tuple, list) and get_args(part) else part
        if isinstance(inner, type) and issubclass(inner, Options):
            return inner
    return None


def _alternatives(annotation: object) -> Sequence[object]:
    return get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)


def _type(info: FieldInfo) -> str:
    """``int > 0``, ``"linear" | "cosine"``, ``list of str``."""
    bounds = [
        f"{sign} {getattr(mark, name):g}"
        for mark in info.metadata
        for name, sign in _BOUNDS.items()
        if isinstance(getattr(mark, name, None), int | float)
    ]
    shown = _shown_type(info.annotation)
    return f"{shown} {' and '.join(bounds)}" if bounds else shown


def _shown_type(annotation: object) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " | ".join(_shown_value(value) for value in arguments)
    if origin in (Union, types.UnionType):
        return " | ".join(_shown_type(part) for part in arguments if part is not type(None))
    if origin in (tuple, list) and arguments:
        return f"list of {_shown_type(arguments[0])}"
    if origin is dict or annotation is dict:
        return "mapping"
    if isinstance(annotation, type):
        return _NAMES.get(annotation, annotation.__name__)
    # A type alias such as pydantic's JsonValue: anything that a file can hold.
    return "any" if not hasattr(annotation, "__origin__") else _shown_type(annotation.__origin__)


def _default(info: FieldInfo, *, group: bool = False) -> str:
    """As it would stand in a file; empty if there is none, for a group in words unless it is null."""
    if info.is_required():
        return ""
    if info.default_factory is not None:
        return "made from the other options" if info.default_factory_takes_validated_data else _made(info)
    return _shown_value(info.default) if info.default is None or not group else "as below"


def _made(info: FieldInfo) -> str:
    return _shown_value(info.get_default(call_default_factory=True))


def _shown_value(value: object) -> str:
    """As it would stand in a file."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, str):
        return value or '""'
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {_shown_value(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list | tuple | set | frozenset):
        return "[" + ", ".join(_shown_value(item) for item in value) + "]"
    return str(value)
