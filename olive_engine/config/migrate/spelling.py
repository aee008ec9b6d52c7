"""Keys and scalars as text: without quotes where every reader of YAML takes them for what they are."""

from __future__ import annotations

import json
import re

from olive_engine.config.migrate.blanks import properties
from olive_engine.config.migrate.pieces import Document, Entry, Group, Node, Scalar
from olive_engine.config.tree import Fault
from olive_engine.config.yaml_text import scalar

_PLAIN = re.compile(r"[A-Za-z0-9_./$\\-][\w./$@+={}()<>, \\-]*(?::[\w./$@+={}()<>, \\-]+)*")
_WORDS = re.compile(r"y|n|yes|no|on|off|-+|\.+", re.IGNORECASE)
_FLOW_MARKS = re.compile(r"[,\[\]{}\r\n]|: ")


def key(name: str, like: Entry | Group, document: Document) -> str:
    """A key, in quotes where others are."""
    others = [like] if isinstance(like, Entry) else like.entries
    quoted = document.is_json or (bool(others) and all(entry.key[:1] == '"' for entry in others))
    single = bool(others) and all(entry.key[:1] == "'" for entry in others)
    if quoted:
        return json.dumps(name, ensure_ascii=False)
    return f"'{name}'" if single and "'" not in name else spelt(name, document, in_flow=True)


def spelt(
    value: str | int | float | bool | None,  # noqa: FBT001 - a value, not a flag
    document: Document,
    *,
    in_flow: bool,
    like: Node | None = None,
) -> str:
    """The text of a scalar; in the quotes of the one that it replaces."""
    if document.is_json or not isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    old = like.text[len(properties(like.text)) :] if isinstance(like, Scalar) else ""
    if old[:1] == "'" and "'" not in value and value.isprintable():
        return f"'{value}'"
    if old[:1] == '"' or not is_plain(value) or (in_flow and _FLOW_MARKS.search(value)):
        return json.dumps(value, ensure_ascii=False)
    return value


def flow_safe(node: Scalar) -> Scalar:
    """A scalar that may stand between brackets."""
    bare = node.text[len(properties(node.text)) :]
    if node.target is not None or bare[:1] in ('"', "'") or not _FLOW_MARKS.search(bare):
        return node
    return Scalar(properties(node.text) + json.dumps(node.value, ensure_ascii=False), node.value)


def is_plain(text: str) -> bool:
    """Whether a text may stand without quotes, for any reader of YAML."""
    if not _PLAIN.fullmatch(text) or text != text.strip() or _WORDS.fullmatch(text):
        return False
    try:
        return isinstance(scalar(text, 0), str) and not re.match(r"[-+.]?[0-9][0-9_.:-]*([eE][-+]?[0-9]+)?$", text)
    except Fault:
        return False
