"""The documentation of a pass, a system or a metric, with its options, from the class itself."""

from __future__ import annotations

import textwrap
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TextIO, Union, get_args, get_origin

from pydantic import BaseModel, JsonValue
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from olive_engine.options import DataRef, Options
from olive_engine.reporting.tables import is_terminal, terminal, width_of

_BOUNDS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
_NAMES = {type(None): "null", bool: "true | false", int: "int", float: "float", str: "str"}
_EXACT = 1e15
"""Above it a float's digits say little."""
_POWER = 16
"""From this power of two on it is easier to read as one."""


@dataclass(frozen=True, slots=True)
class Option:
    """One option as a user needs to know it."""

    name: str
    type: str
    default: str
    """Empty: it must be given."""
    description: str
    value: JsonValue = field(default=None, compare=False)
    """The default itself; None too where it must be given, or is made from other options."""


@dataclass(frozen=True, slots=True)
class Reference:
    """What is to be said of one plugin."""

    title: str
    text: str
    facts: Sequence[str]
    options: Sequence[Option]
    heading: str = "Options"
    example: str = ""
    """Lines as they stand in a workflow."""


@dataclass(frozen=True, slots=True)
class Group:
    """Plugins that have something in common: what, and the name and the sentence of each."""

    heading: str
    entries: Sequence[tuple[str, str]]


def options_of(options: type[BaseModel], prefix: str = "") -> Iterator[Option]:
    """The options of a group in order, those of groups within it under dotted names."""
    for name, info in options.model_fields.items():
        if info.exclude:
            continue
        group = _group(info.annotation)
        description = info.description or ""
        if group is None:
            yield Option(prefix + name, _type(info), _default(info), description, _value(info))
        else:
            several = get_origin(info.annotation) in (tuple, list)
            kind, inner = ("list of groups", f"{name}[]") if several else ("group", name)
            yield Option(prefix + name, kind, _default(info, group=not several), description, _value(info))
            yield from options_of(group, f"{prefix}{inner}.")


def show_reference(reference: Reference, stream: TextIO) -> None:
    """Write the reference to a stream: wrapped, with the names in bold, where the stream is a terminal."""
    paragraphs = [(0, reference.title, "bold", ""), (0, reference.text, "", "")]
    paragraphs += [(0, "", "", "")] if reference.facts else []
    paragraphs += [(0, fact, "dim", "") for fact in reference.facts]
    if reference.example:
        paragraphs.append((0, "\nIn a workflow:", "bold", ""))
        paragraphs += [(2, line, "", "") for line in reference.example.splitlines()]
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
        width = width_of(stream)
        stream.write("".join(f"{_wrapped(text + note, ' ' * indent, width)}\n" for indent, text, _, note in paragraphs))
        stream.flush()


def show_groups(groups: Sequence[Group], foot: str, stream: TextIO) -> None:
    """Write a line for each plugin, below the heading of its group; wrapped and in colour on a terminal."""
    width = max((len(name) for group in groups for name, _ in group.entries), default=0)
    if is_terminal(stream):
        from rich.table import Table
        from rich.text import Text

        console = terminal(stream)
        for group in groups:
            table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=False)
            table.add_column(width=0)  # with its padding, the indent
            table.add_column(width=width, no_wrap=True, style="cyan")
            table.add_column()
            for name, text in group.entries:
                table.add_row("", name, Text(text))
            console.print(*([Text(group.heading, "bold")] if group.heading else []), table, sep="\n")
        console.print(Text(foot, "dim"))
        return
    columns = width_of(stream)
    for group in groups:
        stream.write(f"{group.heading}\n" if group.heading else "")
        for name, text in group.entries:
            begin = f"  {name:<{width}}  "
            stream.write(f"{begin}{_wrapped(text, ' ' * len(begin), columns).lstrip()}\n")
    stream.write(f"{foot}\n")
    stream.flush()


def _wrapped(text: str, indent: str, width: int | None) -> str:
    """The text, indented, each of its lines as lines of that width at most; None: its lines are left as they are."""
    if width is None:
        return f"{indent}{text}"
    lines = (
        textwrap.wrap(line, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)
        if line.strip() and not line.startswith(" ")
        else [f"{indent}{line}"]  # an example, whose line breaks mean something
        for line in text.split("\n")
    )
    return "\n".join(part for parts in lines for part in parts)


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
    if any(isinstance(mark, DataRef) for mark in info.metadata):
        return "name of a data config"
    bounds = [
        f"{sign} {_number(getattr(mark, name))}"
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
    if info.is_required() or any(isinstance(mark, DataRef) and mark.required for mark in info.metadata):
        return ""
    if info.default_factory is not None:
        return "made from the other options" if info.default_factory_takes_validated_data else _made(info)
    return _shown_value(info.default) if info.default is None or not group else "as below"


def _value(info: FieldInfo) -> JsonValue:
    """The default as JSON."""
    if info.is_required() or (info.default_factory is not None and info.default_factory_takes_validated_data):
        return None
    value: JsonValue = to_jsonable_python(info.get_default(call_default_factory=True))
    return value


def _number(value: int | float) -> str:
    """As people write it: large powers of two as such, other whole numbers in full."""
    if isinstance(value, float) and not (value.is_integer() and abs(value) < _EXACT):
        return f"{value:g}"
    whole = int(value)
    power = whole.bit_length() - 1
    return f"2**{power}" if power >= _POWER and whole == 1 << power else str(whole)


def _made(info: FieldInfo) -> str:
    return _shown_value(info.get_default(call_default_factory=True))


def _shown_value(value: object) -> str:
    """As it would stand in a file."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return _number(value)
    if isinstance(value, str):
        return value or '""'
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {_shown_value(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list | tuple | set | frozenset):
        return "[" + ", ".join(_shown_value(item) for item in value) + "]"
    return str(value)
