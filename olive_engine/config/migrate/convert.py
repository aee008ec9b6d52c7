"""JSON <-> YAML: values in the other form, in their order, with their numbers as they are spelt."""

from __future__ import annotations

import json
from collections.abc import Iterator

from pydantic import JsonValue

from olive_engine.config.migrate.pieces import Document, Entry, Group, Node, Scalar
from olive_engine.config.migrate.reading import read
from olive_engine.config.migrate.spelling import spelt

WIDTH = 100
"""Lists of plain values are written on one line if it is no longer."""


def as_yaml(content: str) -> str:
    """A JSON text as YAML."""
    root = read(content, is_json=True).root
    if not isinstance(root, Group) or not root.entries:
        return content
    return "".join(f"{line}\n" for line in _lines(root, "", Document(root, "", "", "\n", is_json=False)))


def as_json(value: JsonValue) -> str:
    """Values as JSON."""
    return json.dumps(value, indent=4, ensure_ascii=False) + "\n"


def _lines(group: Group, pad: str, document: Document) -> Iterator[str]:
    for entry in group.entries:
        head = f"{pad}{_name(entry, document)}:" if group.is_mapping else f"{pad}-"
        value = entry.value
        if not isinstance(value, Group) or not value.entries or _is_short_list(value, len(head), document):
            yield f"{head} {_inline(value, document, in_flow=isinstance(value, Group))}"
        elif group.is_mapping:
            yield head
            yield from _lines(value, f"{pad}  ", document)
        else:
            first, *rest = _lines(value, f"{pad}  ", document)
            yield f"{head} {first.lstrip(' ')}"
            yield from rest


def _is_short_list(group: Group, width: int, document: Document) -> bool:
    plain = not group.is_mapping and all(isinstance(entry.value, Scalar) for entry in group.entries)
    return plain and width + 1 + len(_inline(group, document, in_flow=True)) <= WIDTH


def _inline(node: Node, document: Document, *, in_flow: bool) -> str:
    if isinstance(node, Scalar):
        return spelt(node.value, document, in_flow=in_flow) if isinstance(node.value, str) else node.text
    items = ", ".join(_inline(entry.value, document, in_flow=True) for entry in node.entries)
    return f"{{{items}}}" if node.is_mapping else f"[{items}]"


def _name(entry: Entry, document: Document) -> str:
    return spelt(entry.name, document, in_flow=True)
