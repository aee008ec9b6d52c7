"""The base of everything a user may write, and the marks that give an option a meaning beyond its type."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, JsonValue

M = TypeVar("M")


class Options(BaseModel):
    """A frozen group of options. Unknown names are errors; every field's description gives its unit and effect."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)


OptionsClass = type[Options]
"""For classes that have an attribute `type` of their own."""


@dataclass(frozen=True, slots=True)
class DataRef:
    """The option names a data config; the step gets it prepared, under the option's name, in `PassContext.data`."""

    required: bool = False
    """A workflow must name one, though the option has a default for programs that hand the data over themselves."""


@dataclass(frozen=True, slots=True)
class Packable:
    """Runs that differ only in options with this mark may be trained together in one pack."""


@dataclass(frozen=True, slots=True)
class Secret:
    """The option takes a reference, ``${env:NAME}``, never the secret itself, and keeps it as it is written."""


@dataclass(frozen=True, slots=True)
class SearchDefault:
    """What a search tries for the option where a workflow says ``search: default``: these values, or a range."""

    values: tuple[bool | int | float | str | None, ...] = ()
    low: float | None = None
    high: float | None = None
    log: bool = False
    """The range is drawn from by magnitude: as often between 1e-5 and 1e-4 as between 1e-4 and 1e-3."""


def marked(options: type[Options], mark: type[M]) -> Iterator[tuple[str, M]]:
    """The options that carry a mark of that type, as (name, mark); those of a group inside as ``group.name``."""
    for name, info in options.model_fields.items():
        yield from ((name, meta) for meta in info.metadata if isinstance(meta, mark))
        if isinstance(info.annotation, type) and issubclass(info.annotation, Options):
            yield from ((f"{name}.{inner}", meta) for inner, meta in marked(info.annotation, mark))


def unmarked(options: Options, *marks: type[object]) -> dict[str, JsonValue]:
    """The options as JSON, without those that carry a mark of these types."""
    values = options.model_dump(mode="json")
    for mark in marks:
        for name, _ in marked(type(options), mark):
            *groups, last = name.split(".")
            inner = values
            for group in groups:
                inner = inner[group]
            inner.pop(last, None)
    return values
