"""The raw tree of a workflow file: plain values, each of which knows where it was written.

Rewrites, merges and overrides move nodes about; positions travel with them.
"""

from __future__ import annotations

import os
import re
from array import array
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from pydantic import JsonValue

from olive_engine.errors import ConfigPath, Position

MAX_DEPTH = 64
"""Levels of nesting; a workflow needs about eight."""
MAX_VALUES = 500_000
"""Values in one file, with every alias written out: bounds memory and the time of everything after."""
MAX_KEY = 500
"""Characters in a key."""

_LINE_END = re.compile(r"\r\n|\r|\n")


class Fault(Exception):
    """What is wrong with a text, at an offset in it; the loader makes a located `Problem` of it."""

    def __init__(self, offset: int, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.offset, self.what, self.hint = offset, what, hint


@dataclass(frozen=True)
class Text:
    """Where nodes come from: a file's name and text. Without a text (``--set …``) positions have no line."""

    name: str
    content: str | None = None

    def position(self, offset: int) -> Position:
        """The line and column, both from 1, of a character."""
        if self.content is None:
            return Position(self.name, 0, 0)
        line = bisect_right(self._starts, offset)
        return Position(self.name, line, offset - self._starts[line - 1] + 1)

    def line(self, number: int) -> str | None:
        """The text of a line, counted from 1, with its end; None if there are fewer."""
        if not 0 < number <= len(self._starts):
            return None
        content = self.content or ""
        end = self._starts[number] if number < len(self._starts) else len(content)
        return content[self._starts[number - 1] : end]

    @cached_property
    def _starts(self) -> array[int]:
        starts = array("Q", [0])
        starts.extend(end.end() for end in _LINE_END.finditer(self.content or ""))
        return starts


def split_lines(content: str) -> list[str]:
    """Lines with their ends, broken where editors break them: at LF, CR LF and CR, not at form feeds or U+2028."""
    starts = [0, *(end.end() for end in _LINE_END.finditer(content))]
    return [content[start:end] for start, end in zip(starts, [*starts[1:], len(content)], strict=True)]


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """A value and where it stands. Containers hold nodes; `key` is where its key begins, in a mapping."""

    value: str | int | float | bool | tuple[Node, ...] | Mapping[str, Node] | None
    text: Text | None = None
    offset: int = 0
    key: int | None = None

    @property
    def position(self) -> Position | None:
        """Where the value begins; None for values that come from Python."""
        return self.text.position(self.offset) if self.text else None

    @property
    def key_position(self) -> Position | None:
        """Where its key begins; where the value begins if it has none."""
        return self.text.position(self.offset if self.key is None else self.key) if self.text else None


@dataclass(frozen=True, slots=True)
class Source:
    """One file as it was read."""

    text: Text
    root: Node

    @property
    def tree(self) -> JsonValue:
        """The values alone."""
        return plain(self.root)

    def locate(self, path: ConfigPath) -> Position | None:
        """Where the value at `path` begins; if there is none, its nearest ancestor."""
        return locate(self.root, path)


def plain(node: Node) -> JsonValue:
    """The values without positions."""
    if isinstance(node.value, Mapping):
        return {name: plain(child) for name, child in node.value.items()}
    if isinstance(node.value, tuple):
        return [plain(child) for child in node.value]
    return node.value


def find(node: Node, path: ConfigPath) -> Node | None:
    """The node at `path`. ``[0]`` of a mapping is itself: a lone pass may be addressed as its first alternative."""
    for index, part in enumerate(path):
        child = _child(node, part)
        if child is None:
            return find(node, path[index + 1 :]) if part == 0 and isinstance(node.value, Mapping) else None
        node = child
    return node


def locate(root: Node, path: ConfigPath, *, key: bool = False) -> Position | None:
    """Where the value (or its key) at `path` begins; if there is none, the key of its nearest ancestor."""
    for length in range(len(path), -1, -1):
        node = find(root, path[:length])
        if node is not None:
            return node.position if length == len(path) and not key else node.key_position
    return None


def with_node(root: Node, path: ConfigPath, new: Node | None) -> Node:
    """`root` with the node at `path` set, or removed for None. Its parent must exist and be of the fitting kind.

    Raises:
        KeyError: the parent does not exist.
    """
    if not path:
        return new if new is not None else replace(root, value=None)
    head, rest = path[0], path[1:]
    if isinstance(root.value, Mapping) and isinstance(head, str):
        members = dict(root.value)
        if rest:
            members[head] = with_node(members[head], rest, new)
        elif new is None:
            del members[head]
        else:
            members[head] = new
        return replace(root, value=members)
    if isinstance(root.value, tuple) and isinstance(head, int) and head < len(root.value):
        child = with_node(root.value[head], rest, new) if rest else new
        middle = () if child is None else (child,)
        return replace(root, value=(*root.value[:head], *middle, *root.value[head + 1 :]))
    raise KeyError(head)


def rename(root: Node, path: ConfigPath, name: str) -> Node:
    """`root` with the key at the end of `path` spelt `name`; order and positions stay."""
    parent = find(root, path[:-1])
    if parent is None or not isinstance(parent.value, Mapping):
        raise KeyError(path)
    members = {name if key == path[-1] else key: child for key, child in parent.value.items()}
    return with_node(root, path[:-1], replace(parent, value=members))


def merge(base: Node, over: Node) -> Node:
    """`over` on top of `base`: mappings merge, lists and scalars replace."""
    if not (isinstance(base.value, Mapping) and isinstance(over.value, Mapping)):
        return over
    members = dict(base.value)
    for name, child in over.value.items():
        members[name] = merge(members[name], child) if name in members else child
    return replace(base, value=members)


def from_python(value: object, path: ConfigPath = ()) -> Node:
    """Nodes without positions from dicts, lists, paths and plain values.

    Raises:
        TypeError: a value or key of another type, or absurd depth; the message names its place.
    """
    if len(path) > MAX_DEPTH:
        raise TypeError(f"nested more than {MAX_DEPTH} levels deep")
    if value is None or isinstance(value, str | int | float):
        return Node(value)
    if isinstance(value, os.PathLike):
        return Node(os.fspath(value) if isinstance(os.fspath(value), str) else str(value))
    if isinstance(value, Mapping):
        wrong = next((key for key in value if not isinstance(key, str)), None)
        if wrong is not None:
            raise TypeError(f"expected text as a key, found {wrong!r}")
        return Node({key: from_python(child, (*path, key)) for key, child in value.items()})
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return Node(tuple(from_python(child, (*path, index)) for index, child in enumerate(value)))
    raise TypeError(f"expected plain values, found {type(value).__name__}")


def _child(node: Node, part: str | int) -> Node | None:
    if isinstance(node.value, Mapping) and isinstance(part, str):
        return node.value.get(part)
    if isinstance(node.value, tuple) and isinstance(part, int) and 0 <= part < len(node.value):
        return node.value[part]
    return None
