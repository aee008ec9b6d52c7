"""A workflow file as a tree whose pieces are its own text: what is not touched is written again as it was.

A block group (YAML) consists of whole lines. A flow group is what stands between brackets; JSON has no other.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pydantic import JsonValue

from olive_engine.config.migrate.blanks import indented, rebased, rebased_lines, without_properties


class Unfit(Exception):
    """The text cannot be edited in its own form."""


@dataclass(eq=False, slots=True)
class Scalar:
    """A value in one piece, with its quotes; an alias too, and ``a: b`` as an item of a list in brackets."""

    text: str
    value: JsonValue = None
    target: Node | None = None
    """What an alias stands for."""


@dataclass(eq=False, slots=True)
class Group:
    """A mapping or a list."""

    is_mapping: bool
    is_flow: bool
    base: str
    """The blanks at the head of the line that it belongs to."""
    pad: str
    """The blanks before each entry; in a flow group on one line, those of that line."""
    entries: list[Entry] = field(default_factory=list)
    opening: str = ""
    """Flow: the bracket, with an anchor before it."""
    end: str = ""
    """Block: lines of comment after the last entry. Flow: what stands before the closing bracket."""
    comma: bool = False
    """Flow: there is one after the last entry too."""
    is_compact: bool = False
    """Block: the first entry stands on the line of the dash before it."""

    @property
    def seen(self) -> list[Entry]:
        """The entries that count."""
        return [entry for entry in self.entries if not entry.hidden]

    @property
    def is_spread(self) -> bool:
        """Whether each entry stands on a line of its own."""
        return not self.is_flow or any("\n" in entry.lead for entry in self.entries[:1])

    def entry(self, part: str | int) -> Entry | None:
        """The entry of that name or index, if it is written here itself."""
        if isinstance(part, int):
            return None if self.is_mapping or part >= len(self.seen) else self.seen[part]
        named = (entry for entry in self.entries if entry.name == part and not entry.hidden)
        return next(named, None) if self.is_mapping else None


@dataclass(eq=False, slots=True)
class Entry:
    """A member of a mapping, or an item of a list."""

    value: Node
    name: str | None = None
    key: str = ""
    """As it is written."""
    mark: str = ""
    """The colon, or the dash of a block list."""
    gap: str = ""
    """Between mark and value. Before a block group on lines of its own: the rest of the line."""
    lead: str = ""
    """What stands before it. Block: lines of comment, and blank lines. Flow: everything since the last comma."""
    after: str = ""
    """Block: the rest of the last line, where the value is not made of lines. Flow: what stands before the comma."""
    tail: str = ""
    """Flow: a comment behind the comma."""
    hidden: bool = False
    """It is written, and does not count: what cannot be had yet, what was refused."""


Node = Scalar | Group


@dataclass(eq=False, slots=True)
class Document:
    """A whole text."""

    root: Node
    head: str
    end: str
    newline: str
    is_json: bool
    step: str = "  "
    """The blanks by which a mapping in another is indented."""
    dash: str = "  "
    """The blanks by which a list in a mapping is indented."""
    gap: str = " "
    """What stands behind a colon."""
    cut: bool = False
    """The last line has no end."""

    def text(self) -> str:
        """The text."""
        text = self.head + _text(self.root, self.newline) + self.end
        return text.removesuffix(self.newline) if self.cut else text


def plain(node: Node) -> JsonValue:
    """What a node means."""
    node = resolved(node)
    if isinstance(node, Scalar):
        return node.value
    if not node.is_mapping:
        return [plain(entry.value) for entry in node.seen]
    merged: dict[str, JsonValue] = {}
    for base in (base for entry in node.seen if is_merge(entry) for base in bases(entry)):
        value = plain(base)
        merged = {**(value if isinstance(value, dict) else {}), **merged}
    return {**merged, **{entry.name or "": plain(entry.value) for entry in node.seen if not is_merge(entry)}}


def is_merge(entry: Entry) -> bool:
    """Whether an entry is YAML's merge key."""
    return entry.key == "<<"


def bases(merge: Entry) -> list[Group]:
    """The mappings that ``<<`` brings in; of two with the same key the first counts."""
    value = resolved(merge.value)
    found = value.entries if isinstance(value, Group) and not value.is_mapping else [merge]
    nodes = [resolved(entry.value) for entry in found]
    return [node for node in nodes if isinstance(node, Group)]


def resolved(node: Node) -> Node:
    """What an alias stands for; anything else itself."""
    while isinstance(node, Scalar) and node.target is not None:
        node = node.target
    return node


def is_null(node: Node) -> bool:
    """Whether nothing stands there."""
    node = resolved(node)
    return isinstance(node, Scalar) and node.value is None


def is_lines(node: Node) -> bool:
    """Whether the text of a node ends with the end of a line."""
    return not node.is_flow if isinstance(node, Group) else node.text.endswith(("\n", "\r"))


# --- other blanks -------------------------------------------------------------------------------------------------


def rebase(node: Node, old: str, new: str) -> None:
    """Write a node, the first of whose lines begins elsewhere now, with other blanks."""
    if isinstance(node, Scalar):
        node.text = rebased(node.text, old, new)
        return
    node.base, node.pad = indented(node.base, old, new), indented(node.pad, old, new)
    for entry in node.entries:
        rebase_entry(entry, node, old, new)
    node.end = rebased(node.end, old, new) if node.is_flow else rebased_lines(node.end, old, new)


def rebase_entry(entry: Entry, holder: Group, old: str, new: str) -> None:
    """Write an entry with other blanks."""
    entry.lead = rebased(entry.lead, old, new) if holder.is_flow else rebased_lines(entry.lead, old, new)
    entry.gap = (
        rebased(entry.gap, old, new) if not (isinstance(entry.value, Group) and is_lines(entry.value)) else entry.gap
    )
    entry.after = rebased(entry.after, old, new) if holder.is_flow else entry.after
    rebase(entry.value, old, new)


# --- text ---------------------------------------------------------------------------------------------------------


def _text(node: Node, newline: str) -> str:
    if isinstance(node, Scalar):
        return node.text
    if node.is_flow:
        inner = [_flow_entry(entry, newline, comma=node.comma) for entry in node.entries[-1:]]
        inner = [*(_flow_entry(entry, newline, comma=True) for entry in node.entries[:-1]), *inner]
        return node.opening + "".join(inner) + node.end + ("}" if node.is_mapping else "]")
    return (
        "".join(
            _block_entry(entry, node, newline, continued=index == 0 and node.is_compact)
            for index, entry in enumerate(node.entries)
        )
        + node.end
    )


def _flow_entry(entry: Entry, newline: str, *, comma: bool) -> str:
    value = _text(entry.value, newline)
    return f"{entry.lead}{entry.key}{entry.mark}{entry.gap}{value}{entry.after}{',' if comma else ''}{entry.tail}"


def _block_entry(entry: Entry, holder: Group, newline: str, *, continued: bool) -> str:
    """One entry; the comments above the first one of a compact group have been written above that group already."""
    start = "" if continued else entry.lead + _hoisted(entry, holder) + holder.pad
    value = entry.value
    if isinstance(value, Group) and not value.is_flow and not value.entries:
        rest = without_properties(entry.gap) if not value.is_compact else newline
        return f"{start}{entry.key}{entry.mark} {'{}' if value.is_mapping else '[]'}{rest}{value.end}"
    return f"{start}{entry.key}{entry.mark}{entry.gap}{_text(value, newline)}{entry.after}"


def _hoisted(entry: Entry, holder: Group) -> str:
    """The comments above the first entry of a list's item, whose line begins with the dash."""
    value = entry.value
    if not isinstance(value, Group) or not value.is_compact or not value.entries:
        return ""
    first = value.entries[0]
    return rebased_lines(first.lead + _hoisted(first, value), value.pad, holder.pad)
