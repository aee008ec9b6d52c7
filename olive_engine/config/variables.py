"""``${env:NAME}`` and ``${env:NAME:-default}`` in a workflow's texts. There is no other templating."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from dataclasses import replace

from olive_engine.config.tree import Node
from olive_engine.errors import ConfigPath, Problem

REFERENCE = re.compile(r"\$\{env:([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


def filled_in(root: Node, secrets: Collection[str], problems: list[Problem]) -> Node:
    """`root` with every reference replaced by the variable's value.

    Args:
        root: a workflow's tree.
        secrets: keys whose values stay references, so that no secret is ever held.
        problems: gets one for each variable that is not set and has no default.
    """
    return _filled(root, (), secrets, problems)


def _filled(node: Node, path: ConfigPath, secrets: Collection[str], problems: list[Problem]) -> Node:
    value = node.value
    if isinstance(value, str):
        return replace(node, value=_text(value, node, path, problems)) if "${env:" in value else node
    if isinstance(value, Mapping):
        members = {
            name: child if name in secrets else _filled(child, (*path, name), secrets, problems)
            for name, child in value.items()
        }
        return node if all(members[name] is child for name, child in value.items()) else replace(node, value=members)
    if isinstance(value, tuple):
        items = tuple(_filled(child, (*path, index), secrets, problems) for index, child in enumerate(value))
        return node if all(a is b for a, b in zip(items, value, strict=True)) else replace(node, value=items)
    return node


def _text(value: str, node: Node, path: ConfigPath, problems: list[Problem]) -> str:
    parts: list[str] = []
    end = 0
    for match in REFERENCE.finditer(value):
        name: str = match[1]
        default: str | None = match[2]
        found = os.environ.get(name) or default if default is not None else os.environ.get(name)
        if found is None:
            hint = f"set it, or give a default: ${{env:{name}:-…}}"
            problems.append(Problem(path, f"the environment variable {name} is not set", hint, node.position))
            found = ""
        parts += [value[end : match.start()], found]
        end = match.end()
    rest = value[end:]
    if "${env:" in rest:
        what = "a reference that is not of the form ${env:NAME} or ${env:NAME:-default}"
        problems.append(Problem(path, what, "a name holds letters, digits and `_`", node.position))
    return "".join([*parts, rest])
