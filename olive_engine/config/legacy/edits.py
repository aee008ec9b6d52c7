"""Changes to a workflow's tree. Each is a value too, so that `olive migrate` can repeat it on the file's own text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from pydantic import JsonValue

from olive_engine.config.spelling import key_place
from olive_engine.config.tree import Node, find, from_python, plain, rename, with_node
from olive_engine.errors import ConfigPath, Problem, dotted

PLANNED = "the rest can be planned, but not be run"
"""What is to be said of a thing that cannot be had yet, where there is no other way to the same end."""


@dataclass(frozen=True, slots=True)
class Move:
    """The value at `old` stands at `new` from now on.

    With the same parent the key is renamed where it is. Moved up, it stands before the key that it came from under;
    moved elsewhere, it comes last. Mappings that `new` needs are made.
    """

    old: ConfigPath
    new: ConfigPath


@dataclass(frozen=True, slots=True)
class Remove:
    """What stands at `path` goes."""

    path: ConfigPath


@dataclass(frozen=True, slots=True)
class Put:
    """`value` stands at `path` from now on, in the place of what was there, else last."""

    path: ConfigPath
    value: JsonValue


@dataclass(frozen=True, slots=True)
class NameItems:
    """The mapping ``{a: {…}}`` at `path` becomes the list ``[{name: a, …}]``."""

    path: ConfigPath


@dataclass(frozen=True, slots=True)
class Order:
    """The keys of the mapping at `path` come in this order; keys that are not named come last."""

    path: ConfigPath
    names: tuple[str, ...]


Edit = Move | Remove | Put | NameItems | Order


@dataclass
class Revision:
    """A tree under revision: what has been done to it, and what there is to say of that."""

    root: Node
    texts: Sequence[str] = ()
    """The names of the texts that the tree comes from; where two spellings meet, the later text counts."""
    edits: list[Edit] = field(default_factory=list)
    notices: list[Problem] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    corrections: dict[tuple[str, int], str] = field(default_factory=dict)
    """Misspelt keys of files, and what was probably meant."""
    slips: list[Problem] = field(default_factory=list)
    """The problems that `corrections` would mend."""
    lacks: dict[tuple[str, str], list[Problem]] = field(default_factory=dict)
    """What is read and cannot be had yet, by (section, name): warnings, until it comes to running."""

    def node(self, path: ConfigPath) -> Node | None:
        """The node at `path`."""
        return find(self.root, path)

    def value(self, path: ConfigPath) -> JsonValue:
        """The plain value at `path`; None where nothing stands."""
        node = find(self.root, path)
        return plain(node) if node is not None else None

    def has(self, path: ConfigPath) -> bool:
        """Whether something stands at `path`."""
        return find(self.root, path) is not None

    def members(self, path: ConfigPath) -> list[str]:
        """The keys of the mapping at `path`; none if it is no mapping."""
        node = find(self.root, path)
        return list(node.value) if node is not None and isinstance(node.value, Mapping) else []

    def matches(self, pattern: str) -> list[ConfigPath]:
        """The paths that exist and fit: ``a.*.b``, with ``*`` any key or index, ``@`` itself or each of a list."""
        return list(_matches(self.root, tuple(pattern.split(".")), ()))

    def is_later(self, path: ConfigPath, other: ConfigPath) -> bool:
        """Whether what stands at `path` was written in a later text than what stands at `other`."""
        node, than = find(self.root, path), find(self.root, other)
        return node is not None and than is not None and self._rank(node) > self._rank(than)

    # --- changes --------------------------------------------------------------------------------------------------

    def move(self, old: ConfigPath, new: ConfigPath) -> None:
        """Move a value; where `new` is written too, mappings merge, and of two values the later file's counts."""
        node, there = find(self.root, old), find(self.root, new)
        if node is None or old == new:
            return
        if there is None or there.value is None:
            self.remove(new)
            self._do(Move(old, new))
        elif isinstance(node.value, Mapping) and isinstance(there.value, Mapping):
            for name in list(node.value):
                self.move((*old, name), (*new, name))
            self.remove(old)
        elif plain(node) == plain(there):
            self.remove(old)
        elif self._rank(node) > self._rank(there):
            self.remove(new)
            self._do(Move(old, new))
        else:
            if self._rank(node) == self._rank(there):
                self.refuse(old, f"`{dotted(new)}` is written too, with another value", f"keep `{dotted(new)}` only")
            self.remove(old)

    def remove(self, path: ConfigPath) -> None:
        """Take a value out."""
        if find(self.root, path) is not None:
            self._do(Remove(path))

    def put(self, path: ConfigPath, value: JsonValue, at: ConfigPath | None = None) -> None:
        """Write a value; its position is that of what stands there or at `at`."""
        self._do(Put(path, value), find(self.root, path if at is None else at))

    def name_items(self, path: ConfigPath) -> None:
        """Turn a mapping of named things into a list of things with a name."""
        self._do(NameItems(path))

    def order(self, path: ConfigPath, names: Sequence[str]) -> None:
        """Bring the keys of a mapping into an order."""
        if self.members(path) != list(names):
            self._do(Order(path, tuple(names)))

    # --- words ----------------------------------------------------------------------------------------------------

    def note(self, path: ConfigPath, text: str, at: ConfigPath | None = None) -> None:
        """Tell that something is read as something else. Call it before the change, with where it is written `at`."""
        node = find(self.root, path if at is None else at)
        self.notices.append(Problem(path, text, position=node.key_position if node else None, severity="warning"))

    def refuse(self, path: ConfigPath, what: str, hint: str = "", *, at_value: bool = False) -> None:
        """Report what cannot be read as anything here, at its key or at its value."""
        node = find(self.root, path)
        place = (node.position if at_value else node.key_position) if node else None
        self.problems.append(Problem(path, what, hint, place))

    def misspelt(self, path: ConfigPath, name: str) -> None:
        """Report a key that was probably meant to be `name`: the files are then read again with it."""
        node = find(self.root, path)
        position = node.key_position if node else None
        problem = Problem(path, f"unknown option `{path[-1]}`", f"did you mean `{name}`?", position)
        place = key_place(node)
        self.problems.append(problem)
        if place is not None:
            self.corrections[place] = name
            self.slips.append(problem)

    def lack(
        self, path: ConfigPath, what: str, name: JsonValue, at: ConfigPath | None = None, *, hint: str = PLANNED
    ) -> None:
        """Report what is right and cannot be had yet, of the data config or evaluator of that name.

        The rest is judged and planned without it, and a run refuses.
        """
        node = find(self.root, path if at is None else at)
        problem = Problem(path, what, hint, node.key_position if node else None, severity="warning")
        self.lacks.setdefault((str(path[0]), str(name)), []).append(problem)

    # --- inside ---------------------------------------------------------------------------------------------------

    def _do(self, edit: Edit, source: Node | None = None) -> None:
        with suppress(KeyError):  # what should hold it is of another kind: reading the values will say so
            self.root = applied(self.root, edit, source)
            self.edits.append(edit)

    def _rank(self, node: Node) -> int:
        """Later texts count more; a file that is read twice has its last place, values from Python come first."""
        name = node.text.name if node.text else None
        places = [place for place, text in enumerate(self.texts) if text == name]
        return places[-1] if places else -1


def applied(root: Node, edit: Edit, source: Node | None = None) -> Node:
    """`root` after one edit. What a `Put` writes is said to stand where `source` does."""
    match edit:
        case Move(old, new):
            return _moved(root, old, new)
        case Remove(path):
            return with_node(root, path, None)
        case Put(path, value):
            return _put(root, path, _placed(from_python(value), source, value))
        case NameItems(path):
            node = find(root, path)
            return with_node(root, path, _named(node)) if node is not None else root
        case Order(path, names):
            node = find(root, path)
            if node is None or not isinstance(node.value, Mapping):
                return root
            members = {name: node.value[name] for name in names if name in node.value}
            return with_node(root, path, replace(node, value={**members, **node.value}))


def _moved(root: Node, old: ConfigPath, new: ConfigPath) -> Node:
    node = find(root, old)
    if node is None:
        raise KeyError(old)
    if old[:-1] == new[:-1]:
        return rename(root, old, str(new[-1]))
    root = _put(with_node(root, old, None), new, node)
    if len(new) <= len(old) and old[: len(new) - 1] == new[:-1]:  # up: it stands where what held it stands
        parent, before = find(root, new[:-1]), old[len(new) - 1]
        if parent is not None and isinstance(parent.value, Mapping):
            others = {name: child for name, child in parent.value.items() if name != new[-1]}
            members: dict[str, Node] = {}
            for name, child in others.items():
                if name == before:
                    members[str(new[-1])] = node
                members[name] = child
            root = with_node(root, new[:-1], replace(parent, value=members))
    return root


def _put(root: Node, path: ConfigPath, node: Node) -> Node:
    """With `node` at `path`; the mappings that are missing above it are made, where what holds them stands."""
    for length in range(1, len(path)):
        parent = find(root, path[:length])
        if parent is None or parent.value is None:
            holder = find(root, path[: length - 1]) or node
            root = with_node(root, path[:length], replace(holder, value={}))
    parent, last = find(root, path[:-1]), path[-1]
    if parent is not None and isinstance(parent.value, tuple) and last == len(parent.value):
        return with_node(root, path[:-1], replace(parent, value=(*parent.value, node)))
    return with_node(root, path, node)


def _named(node: Node) -> Node:
    if not isinstance(node.value, Mapping):
        return node
    items = []
    for name, child in node.value.items():
        offset = child.offset if child.key is None else child.key
        members = dict(child.value) if isinstance(child.value, Mapping) else {}
        members.pop("name", None)  # others refer to it by its key
        items.append(replace(child, value={"name": Node(name, child.text, offset, offset), **members}))
    return replace(node, value=tuple(items))


def _placed(node: Node, source: Node | None, plain_value: JsonValue = None) -> Node:
    """A value from Python, at the place in a text that it is said to be from; a part of that text as it is there."""
    if source is None:
        return node
    value = node.value
    if isinstance(value, Mapping | tuple) and plain(source) == plain_value:
        return source
    if isinstance(value, Mapping):
        value = {name: _placed(child, source) for name, child in value.items()}
    elif isinstance(value, tuple):
        value = tuple(_placed(child, source) for child in value)
    return Node(value, source.text, source.offset, source.key)


def _matches(node: Node, pattern: tuple[str, ...], path: ConfigPath) -> Iterator[ConfigPath]:
    if not pattern:
        yield path
        return
    head, rest = pattern[0], pattern[1:]
    if head not in ("*", "@"):
        named = node.value.get(head) if isinstance(node.value, Mapping) else None
        if named is not None:
            yield from _matches(named, rest, (*path, head))
        return
    members: list[tuple[str | int, Node]] = []
    if isinstance(node.value, Mapping):
        members += node.value.items()
    elif isinstance(node.value, tuple):
        members += enumerate(node.value)
    if head == "@":
        each = members if isinstance(node.value, tuple) else []
        for index, child in each:
            yield from _matches(child, rest, (*path, index))
        if not each:
            yield from _matches(node, rest, path)
        return
    for key, child in members:
        yield from _matches(child, rest, (*path, key))
