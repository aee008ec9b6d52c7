"""A search, taken out of the written tree: its strategy, its space, and passes whose options hold plain values.

A searched option is written in its place, ``r: {search: {type: int, low: 8, high: 64}}``, or under `search_space` by a
name that may be short as long as it fits one option. Both come to the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from pydantic import JsonValue

from olive_engine import registry
from olive_engine.config.findings import Findings
from olive_engine.config.keys import Mapped, chosen, nested_options
from olive_engine.config.search.kinds import takes_one_value
from olive_engine.config.search.strategy import SearchStrategy
from olive_engine.config.search.values import SearchValue
from olive_engine.errors import Problem
from olive_engine.options import OptionsClass

KEYS = ("search_strategy", "search_space")
"""The keys of a workflow that say what is searched, and how."""
INLINE = "search"
"""The key under which a searched option's values stand in its place."""


@dataclass(frozen=True, slots=True)
class Search:
    """What a workflow says of a search."""

    raw: Mapped
    """The workflow without it: each searched option has a plain value, or is left out for its default."""
    strategy: SearchStrategy | None = None
    """None: no search."""
    space: Mapping[str, SearchValue] = field(default_factory=dict)
    """The searched options by their whole names."""
    notices: tuple[Problem, ...] = ()
    """What is worth saying, though it is no error."""


def take_search(raw: Mapped, findings: Findings) -> Search:
    """Take a search out of a workflow.

    Args:
        raw: the plain workflow; top-level keys are those that a workflow has.
        findings: the tree that it comes from, and where problems go.
    """
    if not _says_something(raw):
        return Search({key: value for key, value in raw.items() if key not in KEYS})
    from olive_engine.config.search.space import read_search  # most workflows search nothing, and start faster

    return read_search(raw, findings)


def _says_something(raw: Mapped) -> bool:
    if raw.get("search_strategy") not in (None, False) or raw.get("search_space") is not None or _has_key(raw):
        return True
    return any(_has_list(cls, entry) for entry, cls in _entries(raw.get("passes")))


def _has_key(value: JsonValue) -> bool:
    if isinstance(value, dict):
        return INLINE in value or any(map(_has_key, value.values()))
    return isinstance(value, list) and any(map(_has_key, value))


def _has_list(options: OptionsClass, raw: Mapped) -> bool:
    """Whether a list stands where an option takes one value."""
    for name, info in options.model_fields.items():
        value = raw.get(info.alias or name)
        if isinstance(value, list) and takes_one_value(info):
            return True
        if isinstance(value, dict):
            inner = chosen(nested_options(info.annotation), value)
            if inner is not None and _has_list(inner, value):
                return True
    return False


def _entries(passes: JsonValue) -> Iterator[tuple[Mapped, OptionsClass]]:
    for slot in passes.values() if isinstance(passes, dict) else ():
        for entry in slot if isinstance(slot, list) else [slot]:
            kind = entry.get("type") if isinstance(entry, dict) else None
            cls = registry.find_pass(kind) if isinstance(kind, str) else None
            if cls is not None and isinstance(entry, dict):
                yield entry, cls.config_type
