"""YAML text -> pieces, from the parser's events."""

from __future__ import annotations

import re
from typing import Protocol

import yaml

from olive_engine.config.migrate.blanks import pad_of, past, properties
from olive_engine.config.migrate.pieces import Document, Entry, Group, Node, Scalar, Unfit, plain
from olive_engine.config.yaml_text import scalar

_BESIDE = re.compile(r"[ \t]*#[^\r\n]*")
_REST = re.compile(r"[^\r\n]*(?:\r\n|\n|\r)?")
_COLON = re.compile(r"[ \t]*:")
_BETWEEN = re.compile(r"(?:[ \t\r\n]+|#[^\r\n]*)*")
_TEXT_TAG = "tag:yaml.org,2002:str"


def from_yaml(content: str, newline: str) -> Document:
    """The pieces of a YAML text.

    Raises:
        Unfit: it uses a form that is not taken to pieces, such as ``? key``.
    """
    return _Yaml(content, newline).document()


def has_comments(content: str) -> bool:
    """Whether a YAML text has comments."""
    tokens = [(_index(token.start_mark), _index(token.end_mark)) for token in yaml.scan(content)]
    gaps = zip([0, *(end for _, end in tokens)], [*(start for start, _ in tokens), len(content)], strict=True)
    return any("#" in content[start:end] for start, end in gaps)


class _Yaml:
    """Events -> pieces. `at` is where the text begins that no piece has yet."""

    def __init__(self, content: str, newline: str) -> None:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        self.content, self.newline = content, newline
        self.events = [
            event
            for event in yaml.parse(content, Loader=loader)
            if not isinstance(event, yaml.StreamStartEvent | yaml.DocumentStartEvent)
        ]
        self.index = 0
        self.anchors: dict[str, Node] = {}
        self.at = 0

    def document(self) -> Document:
        event = self.events[0]
        if not isinstance(event, yaml.NodeEvent):
            return Document(Scalar(""), "", self.content, self.newline, is_json=False)
        start = _index(event.start_mark)
        if isinstance(event, yaml.CollectionStartEvent) and not event.flow_style:
            if properties(self.content[start:]):
                raise Unfit
            start = self.content.rfind("\n", 0, start) + 1
            if self.content[start : _index(event.start_mark)].strip():  # `--- a: 1`
                raise Unfit
        self.at = start
        root = self.node("", floor=0)
        return Document(root, self.content[:start], self.content[self.at :], self.newline, is_json=False)

    def next(self) -> yaml.Event:
        event: yaml.Event = self.events[self.index]
        self.index += 1
        return event

    def node(self, base: str, floor: int) -> Node:
        """The next node. Comments after a block group that are indented by `floor` or more belong to it."""
        event = self.next()
        node: Node
        if isinstance(event, yaml.AliasEvent):
            self.at = _index(event.end_mark)
            return Scalar(self.span(event), target=self.anchors[event.anchor or ""])
        if isinstance(event, yaml.ScalarEvent):
            node = self.scalar(event)
        elif isinstance(event, yaml.CollectionStartEvent) and event.flow_style:
            node = self.flow(event, base)
        elif isinstance(event, yaml.CollectionStartEvent):
            node = self.block(event, base, floor)
        else:
            raise Unfit
        if event.anchor:
            self.anchors[event.anchor] = node
        return node

    def scalar(self, event: yaml.ScalarEvent) -> Scalar:
        text = self.span(event)
        if event.style in ("|", ">") and "+" not in text.split("\n", 1)[0].partition("#")[0]:
            text = text.rstrip() + self.newline
        self.at = _index(event.start_mark) + len(text)
        is_plain = event.style in (None, "") and event.tag is None
        return Scalar(text, scalar(event.value, 0) if is_plain else event.value)

    def key(self) -> tuple[str, str]:
        """The name and the text of the next key."""
        event = self.next()
        if not isinstance(event, yaml.ScalarEvent) or event.anchor or event.tag not in (None, "!", _TEXT_TAG):
            raise Unfit
        return event.value, self.span(event)

    # --- block ----------------------------------------------------------------------------------------------------

    def block(self, event: yaml.CollectionStartEvent, base: str, floor: int) -> Group:
        """A group of lines; `at` stands behind the mark of the entry that holds it, or at the head of a line."""
        is_mapping = isinstance(event, yaml.MappingStartEvent)
        first = self.past_properties(event) if not is_mapping else _index(self.events[self.index].start_mark)
        line = self.line_of(first)
        before = self.content[line:first]
        group = Group(is_mapping, False, base, before if not before.strip() else " " * len(before))
        group.is_compact = bool(before.strip())
        while not isinstance(self.events[self.index], yaml.CollectionEndEvent):
            entry = Entry(Scalar(""))
            start = self.entry_start(is_mapping=is_mapping)
            if group.entries or not group.is_compact:
                entry.lead = self.content[self.at : self.line_of(start)]
            if self.content[self.line_of(start) : start] != group.pad and (group.entries or not group.is_compact):
                raise Unfit
            self.block_entry(entry, group, start)
            group.entries.append(entry)
        self.next()
        group.end = self.own_comments(max(len(group.pad), floor))
        return group

    def block_entry(self, entry: Entry, group: Group, start: int) -> None:
        if group.is_mapping:
            entry.name, entry.key = self.key()
            key_end = start + len(entry.key)
            colon = _COLON.match(self.content, key_end)
            if colon is None or not self.content.startswith(entry.key, start):
                raise Unfit
            entry.mark, self.at = colon[0], colon.end()
        else:
            entry.mark, self.at = "-", start + 1
        event = self.events[self.index]
        if isinstance(event, yaml.CollectionStartEvent) and not event.flow_style:
            self.block_value(entry, group, event)
            return
        value_at = max(_index(event.start_mark), self.at)
        entry.gap, self.at = self.content[self.at : value_at], value_at
        entry.value = self.node(group.pad, 0)
        if not (isinstance(entry.value, Scalar) and entry.value.text.endswith(("\n", "\r"))):
            rest = _REST.match(self.content, self.at)
            if rest is None or rest[0].strip()[:1] not in ("", "#"):
                raise Unfit
            entry.after, self.at = rest[0], rest.end()

    def block_value(self, entry: Entry, group: Group, event: yaml.CollectionStartEvent) -> None:
        """A group on lines of its own leaves the rest of this line to the entry; one behind a dash the blanks."""
        is_mapping = isinstance(event, yaml.MappingStartEvent)
        first = self.past_properties(event) if not is_mapping else _index(self.events[self.index + 1].start_mark)
        rest = _REST.match(self.content, self.at)
        end = rest.end() if rest is not None else self.at
        entry.gap = self.content[self.at : min(first, end)]
        self.at = min(first, end)
        sunk = not is_mapping and not entry.mark.endswith("-") and first - self.line_of(first) <= len(group.pad)
        entry.value = self.node(group.pad, len(group.pad) + 1 if sunk else 0)

    def entry_start(self, *, is_mapping: bool) -> int:
        if is_mapping:
            return _index(self.events[self.index].start_mark)
        start = past(_BETWEEN, self.content, self.at)
        if not self.content.startswith("-", start):
            raise Unfit
        return start

    def past_properties(self, event: yaml.CollectionStartEvent) -> int:
        start = _index(event.start_mark)
        return past(_BETWEEN, self.content, start + len(properties(self.content[start : start + 600])))

    def own_comments(self, floor: int) -> str:
        """The lines of comment from here on that are indented by `floor` or more, with the blank lines between."""
        end = at = self.at
        while at < len(self.content):
            match = _REST.match(self.content, at)
            line = match[0] if match else ""
            text = line.strip()
            if text and (not text.startswith("#") or len(line) - len(line.lstrip(" ")) < floor or floor == 0):
                break
            at += len(line)
            end = at if text else end
        start, self.at = self.at, end
        return self.content[start:end]

    # --- flow -----------------------------------------------------------------------------------------------------

    def flow(self, event: yaml.CollectionStartEvent, base: str) -> Node:
        start = _index(event.start_mark)
        bracket = start + len(properties(self.content[start : start + 600]))
        is_mapping = isinstance(event, yaml.MappingStartEvent)
        if self.content[bracket] != ("{" if is_mapping else "["):
            return self.pair(start)
        self.at = bracket + 1
        lead = self.content[self.at : past(_BETWEEN, self.content, self.at)]
        group = Group(is_mapping, True, base, pad_of(lead, base), opening=self.content[start : self.at])
        while not isinstance(self.events[self.index], yaml.CollectionEndEvent):
            group.entries.append(self.flow_entry(group))
        end = self.next()
        close = _index(end.end_mark) - 1
        group.end = self.content[self.at : close]
        self.at = close + 1
        return group

    def pair(self, start: int) -> Scalar:
        """``a: b`` as an item of a list in brackets: a mapping in one piece."""
        name, _ = self.key()
        value = self.node("", 0)
        self.next()
        return Scalar(self.content[start : self.at], {name: plain(value)})

    def flow_entry(self, group: Group) -> Entry:
        start = past(_BETWEEN, self.content, self.at)
        entry = Entry(Scalar(""), lead=self.content[self.at : start])
        self.at = start
        if group.is_mapping:
            entry.name, entry.key = self.key()
            colon = _COLON.match(self.content, start + len(entry.key))
            if not self.content.startswith(entry.key, start):
                raise Unfit
            if colon is None:  # `{a}`: a key of nothing
                self.at = start + len(entry.key)
                self.next()
                return self.until_comma(entry, group)
            entry.mark, self.at = colon[0], colon.end()
        value_at = max(_index(self.events[self.index].start_mark), self.at)
        entry.gap, self.at = self.content[self.at : value_at], value_at
        if _BESIDE.search(entry.gap):
            raise Unfit
        entry.value = self.node(group.pad, 0)
        return self.until_comma(entry, group)

    def until_comma(self, entry: Entry, group: Group) -> Entry:
        delimiter = past(_BETWEEN, self.content, self.at)
        group.comma = self.content[delimiter] == ","
        if group.comma:
            entry.after, self.at = self.content[self.at : delimiter], delimiter + 1
        beside = _BESIDE.match(self.content, self.at)
        if beside:
            entry.tail, self.at = beside[0], beside.end()
        return entry

    # --- inside ---------------------------------------------------------------------------------------------------

    def span(self, event: yaml.Event) -> str:
        return self.content[_index(event.start_mark) : _index(event.end_mark)]

    def line_of(self, at: int) -> int:
        """Where the line begins that a place is on."""
        return max(self.content.rfind("\n", 0, at), self.content.rfind("\r", 0, at)) + 1


class _Mark(Protocol):
    @property
    def index(self) -> int: ...


def _index(mark: _Mark | None) -> int:
    if mark is None:
        raise Unfit
    return mark.index
