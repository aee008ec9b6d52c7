"""``--set passes.lora.r=8``: values put into the tree before anything is validated."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from olive_engine.config.findings import nearest
from olive_engine.config.masking import masked
from olive_engine.config.tree import Fault, Node, Text, with_node
from olive_engine.config.yaml_text import compose, scalar
from olive_engine.errors import ConfigPath, InvalidWorkflow, Position, Problem, dotted

_PART = re.compile(r"([^.\[\]]+)|\[(\d{1,6})\]")


def override_name(override: str) -> str:
    """What stands for a file in the positions of an override's values."""
    return f"--set {masked(override)}"


def apply_override(root: Node, override: str) -> Node:
    """Set one value of the tree. The path is dotted, list items by index or by their `name`; missing mappings are made.

    The value is a YAML scalar, or a list or mapping in brackets; its problems are located as ``--set …``.

    Raises:
        InvalidWorkflow: it is not of the form path=value, or the path leads through something that has no members.
    """
    text = Text(override_name(override))
    path_text, equals, value_text = override.partition("=")
    parts = _parts(path_text.strip())
    if not equals or parts is None:
        raise _invalid(text, (), "expected path=value", "e.g. passes.lora.r=8 or data_configs[0].name=train")
    try:
        value = _value(value_text.strip(), text)
    except Fault as fault:
        raise _invalid(text, tuple(parts), f"the value cannot be read: {fault.what}", fault.hint) from None
    path: ConfigPath = ()
    node = root
    while parts:
        part, parts = _step(node, parts, path, text)
        path = (*path, part)
        child = _member(node, part)
        if not parts:
            return with_node(root, path, replace(value, key=0))
        if child is None or child.value is None:
            child = Node({}, text, 0, 0)
            root = with_node(root, path, child)
        node = child
    return root


NAMED = {"passes": "pass", "systems": "system", "evaluators": "evaluator"}
"""Where the keys are the user's own names: to set an option of one that is not there is a slip."""


def _parts(path: str) -> list[str | int] | None:
    """``a.b[0].c`` -> a, b, 0, c; None if it is not of that form."""
    parts: list[str | int] = []
    at = 0
    while at < len(path):
        if parts and path[at] == ".":
            at += 1
        match = _PART.match(path, at)
        if match is None or (match[2] is not None and path[at - 1 : at] == "."):
            return None
        parts.append(match[1] if match[2] is None else int(match[2]))
        at = match.end()
    return parts if parts and isinstance(parts[0], str) and not path.endswith(".") else None


def _step(node: Node, parts: list[str | int], path: ConfigPath, text: Text) -> tuple[str | int, list[str | int]]:
    """The next part of the path in `node`, and the parts left."""
    head = parts[0]
    if isinstance(node.value, Mapping) and isinstance(head, str):
        for length in range(len(parts), 1, -1):  # a name may hold dots itself
            joined = ".".join(str(part) for part in parts[:length])
            if joined in node.value:
                return joined, parts[length:]
        if len(path) == 1 and path[0] in NAMED and head not in node.value and len(parts) > 1 and parts[1] != "type":
            near = nearest(head, node.value)
            hint = f"did you mean `{near}`?" if near else f"there are {', '.join(node.value)}"
            raise _invalid(text, path, f"no {NAMED[path[0]]} is called {head!r}", hint)
        return head, parts[1:]
    if isinstance(node.value, tuple):
        if isinstance(head, int):
            if head < len(node.value):
                return head, parts[1:]
            raise _invalid(text, path, f"no item [{head}]: the list has {len(node.value)}")
        names = _names(node.value)
        if head in names:
            return names[head], parts[1:]
        near = nearest(head, names)
        hint = f"did you mean `{near}`?" if near else f"items are written {dotted((*path, 0))}"
        raise _invalid(text, path, f"no item of this list has the name {head!r}", hint)
    raise _invalid(text, path, f"has no member {dotted((head,))}: it is {_kind(node)}")


def _names(items: Sequence[Node]) -> dict[str, int]:
    names: dict[str, int] = {}
    for index, item in enumerate(items):
        name = item.value.get("name") if isinstance(item.value, Mapping) else None
        if name is not None and isinstance(name.value, str):
            names.setdefault(name.value, index)
    return names


def _member(node: Node, part: str | int) -> Node | None:
    if isinstance(node.value, tuple) and isinstance(part, int):
        return node.value[part]
    return node.value.get(part) if isinstance(node.value, Mapping) and isinstance(part, str) else None


def _value(value: str, text: Text) -> Node:
    """Brackets and quotes are read as YAML; anything else is one scalar, so ``a: b`` stays text."""
    if value[:1] in ("[", "{", '"', "'"):
        return _relocated(compose(Text(text.name, value)), text)
    return Node(scalar(value, 0), text)


def _relocated(node: Node, text: Text) -> Node:
    if isinstance(node.value, Mapping):
        return Node({name: _relocated(child, text) for name, child in node.value.items()}, text)
    if isinstance(node.value, tuple):
        return Node(tuple(_relocated(child, text) for child in node.value), text)
    return Node(node.value, text)


def _kind(node: Node) -> str:
    if isinstance(node.value, Mapping):
        return "a mapping, not a list"
    return "a list" if isinstance(node.value, tuple) else "a single value"


def _invalid(text: Text, path: ConfigPath, what: str, hint: str = "") -> InvalidWorkflow:
    return InvalidWorkflow((Problem(path, what, hint, Position(text.name, 0, 0)),))
