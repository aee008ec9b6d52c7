"""YAML with comments, as a person would have written it."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping

import yaml
from pydantic import JsonValue

from olive_engine.errors import ConfigPath

WIDTH = 110
"""Longer lines have their comment above them."""


class _Dumper(yaml.SafeDumper):
    """Puts a text in quotes that the reader would take for a number: to PyYAML alone ``1e3`` and ``0o17`` are texts."""


_Dumper.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$|0o[0-7]+$"),
    list("-+.0123456789"),
)


def commented_yaml(tree: Mapping[str, JsonValue], comments: Mapping[ConfigPath, str] | None = None) -> str:
    """A tree as YAML text; ``comments`` stand beside the value at their path, or above it where it is a group."""
    return "".join(f"{line}\n" for line in _mapping(tree, (), comments or {}, ""))


def _mapping(
    tree: Mapping[str, JsonValue], path: ConfigPath, comments: Mapping[ConfigPath, str], pad: str
) -> Iterator[str]:
    for key, value in tree.items():
        place = (*path, key)
        comment = comments.get(place, "")
        name = _scalar(key)
        if isinstance(value, dict) and value:
            yield from _above(comment, pad)
            yield f"{pad}{name}:"
            yield from _mapping(value, place, comments, f"{pad}  ")
        elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
            yield from _above(comment, pad)
            yield f"{pad}{name}:"
            for index, item in enumerate(value):
                yield from _item(item, (*place, index), comments, f"{pad}  ")
        else:
            line = f"{pad}{name}: {_scalar(value)}"
            beside = f"{line}  # {comment}"
            if comment and len(beside) <= WIDTH:
                yield beside
            else:
                yield from _above(comment, pad)
                yield line


def _item(item: JsonValue, path: ConfigPath, comments: Mapping[ConfigPath, str], pad: str) -> Iterator[str]:
    yield from _above(comments.get(path, ""), pad)
    if not isinstance(item, dict):
        yield f"{pad}- {_scalar(item)}"
        return
    for index, line in enumerate(_mapping(item, path, comments, "")):
        yield f"{pad}{'- ' if index == 0 else '  '}{line}"


def _above(comment: str, pad: str) -> Iterator[str]:
    for line in textwrap.wrap(comment, WIDTH - len(pad) - 2, break_long_words=False, break_on_hyphens=False):
        yield f"{pad}# {line}"


def _scalar(value: JsonValue) -> str:
    """A value on one line; a text with line breaks is quoted."""
    style = '"' if isinstance(value, str) and "\n" in value else None
    text: str = yaml.dump(
        value,
        Dumper=_Dumper,
        default_flow_style=True,
        default_style=style,
        allow_unicode=True,
        width=10**6,
        sort_keys=False,
    )
    return text.removesuffix("\n").removesuffix("\n...")
