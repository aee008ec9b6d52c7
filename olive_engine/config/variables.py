"""``${env:NAME}`` and ``${env:NAME:-default}`` in a workflow's texts. There is no other templating."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Literal, get_args, get_origin

from pydantic import JsonValue

from olive_engine.config.tree import Fault, Node
from olive_engine.config.yaml_text import scalar
from olive_engine.errors import ConfigPath, Problem
from olive_engine.secrecy import REFERENCE as REFERENCE  # defined where the secrets are that it may stand for


class Filled(str):
    """A text with the values of variables in it. It is not filled in again, whatever those values look like."""

    __slots__ = ()


class Unfilled(Filled):
    """A text with a reference that failed, which is reported: whatever else is wrong with it follows from that."""

    __slots__ = ()


def filled_in(root: Node, secrets: Collection[str], problems: list[Problem] | None = None) -> Node:
    """`root` with every reference replaced by the variable's value.

    Args:
        root: a workflow's tree.
        secrets: keys whose values stay references, so that no secret is ever held.
        problems: gets one for each variable that is not set and has no default. Without it such texts stay as they
            are: a later file may yet put something else in their place.
    """
    return _filled(root, (), secrets, problems)


def as_meant(value: JsonValue, types: Collection[object]) -> JsonValue:
    """The value of a variable as an option takes it: for one that takes no text it is a number or a word, as in YAML.

    Args:
        value: any value; those that come from no variable stay.
        types: what the option takes; of several one is enough.
    """
    if not isinstance(value, Filled):
        return value
    words = [word for each in types if get_origin(each) is Literal for word in get_args(each)]
    if value in words or any(isinstance(each, type) and issubclass(each, str | os.PathLike) for each in types):
        return str(value)
    try:
        return scalar(value, 0)
    except Fault:
        return str(value)


def _filled(node: Node, path: ConfigPath, secrets: Collection[str], problems: list[Problem] | None) -> Node:
    value = node.value
    if isinstance(value, str):
        if "${env:" not in value or isinstance(value, Filled):
            return node
        found: list[Problem] = []
        filled = _text(value, node, path, found)
        if found and problems is None:
            return node
        if problems is not None:
            problems += found
        return replace(node, value=filled)
    if isinstance(value, Mapping):
        for name, child in value.items():
            if "${env:" in name and problems is not None:
                problem = Problem((*path, name), "a key cannot hold a variable", "write the name itself")
                problems.append(replace(problem, position=child.key_position))
        members = {
            name: child if name in secrets else _filled(child, (*path, name), secrets, problems)
            for name, child in value.items()
        }
        return node if all(members[name] is child for name, child in value.items()) else replace(node, value=members)
    if isinstance(value, tuple):
        items = tuple(_filled(child, (*path, index), secrets, problems) for index, child in enumerate(value))
        return node if all(a is b for a, b in zip(items, value, strict=True)) else replace(node, value=items)
    return node


def _text(value: str, node: Node, path: ConfigPath, problems: list[Problem]) -> Filled:
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
    if "${env:" in rest or "${env:" in "".join(parts[::2]):
        what = "a reference that is not of the form ${env:NAME} or ${env:NAME:-default}"
        problems.append(Problem(path, what, "a name holds letters, digits and `_`", node.position))
    return (Unfilled if problems else Filled)("".join([*parts, rest]))
