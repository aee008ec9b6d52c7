"""JSON text -> pieces."""

from __future__ import annotations

import json
import re

from olive_engine.config.migrate.blanks import pad_of, past
from olive_engine.config.migrate.pieces import Document, Entry, Group, Node, Scalar, Unfit

_SPACE = re.compile(r"[ \t\r\n]*")
_COLON = re.compile(r"[ \t\r\n]*:")
_SCALAR = re.compile(r'"(?:[^"\\]|\\.)*"|[^\s,\[\]{}"]+')


def from_json(content: str, newline: str) -> Document:
    """The pieces of a JSON text."""
    start = past(_SPACE, content, 0)
    root, end = _value(content, start, "")
    return Document(root, content[:start], content[end:], newline, is_json=True)


def _value(content: str, at: int, base: str) -> tuple[Node, int]:
    if content[at] in "{[":
        return _group(content, at, base)
    match = _SCALAR.match(content, at)
    if match is None:
        raise Unfit
    return Scalar(match[0], json.loads(match[0])), match.end()


def _group(content: str, at: int, base: str) -> tuple[Group, int]:
    is_mapping = content[at] == "{"
    lead_end = past(_SPACE, content, at + 1)
    group = Group(is_mapping, True, base, pad_of(content[at + 1 : lead_end], base), opening=content[at])
    at += 1
    while content[lead_end] not in "}]":
        entry = Entry(Scalar(""), lead=content[at:lead_end])
        at = lead_end
        if is_mapping:
            key, at = _value(content, at, "")
            colon = past(_COLON, content, at)
            value_at = past(_SPACE, content, colon)
            entry.key, entry.mark, entry.gap = content[lead_end:at], content[at:colon], content[colon:value_at]
            entry.name = str(key.value) if isinstance(key, Scalar) else None
            at = value_at
        entry.value, at = _value(content, at, group.pad)
        group.entries.append(entry)
        comma = past(_SPACE, content, at)
        if content[comma] == ",":
            entry.after = content[at:comma]
            at = comma + 1
            lead_end = past(_SPACE, content, at)
        else:
            lead_end = comma
    group.end = content[at:lead_end]
    return group, lead_end + 1
