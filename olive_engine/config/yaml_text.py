"""YAML text -> nodes with positions. Scalars as in YAML 1.2's core schema: ``1e-6`` is a number, ``no`` is text.

Works on the parser's events, so nothing is built before it is counted: no alias bomb, no recursion.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import yaml

from olive_engine.config.json_text import check_text, real, whole
from olive_engine.config.tree import MAX_DEPTH, MAX_VALUES, Fault, Node, Text

_Loader: type[yaml.SafeLoader | yaml.CSafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_UNFIT = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_GLUED = re.compile(r"([\w.-]+):(?!//)(?=\S)")
_KEYED = re.compile(r":(?:\s|$)")
_TEXT_TAG = "tag:yaml.org,2002:str"


@dataclass(slots=True)
class _Open:
    """A container whose end has not been seen."""

    start: int
    key: int | None
    anchor: str | None
    is_mapping: bool
    before: int
    items: list[Node] = field(default_factory=list)
    members: dict[str, Node] = field(default_factory=dict)
    merged: list[Node] = field(default_factory=list)
    name: str | None = None
    name_at: int | None = None
    name_plain: bool = False


def compose(text: Text) -> Node:
    """Read a YAML text of one document.

    Raises:
        Fault: it is not YAML, or holds what no workflow can.
    """
    content = text.content or ""
    if unfit := _UNFIT.search(content):
        raise Fault(unfit.start(), f"the character {unfit[0]!r} may not stand in YAML")
    try:
        return _Composer(text).compose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _explain(content, mark.index if mark else 0, error) from None
    except yaml.YAMLError as error:
        raise Fault(0, f"not YAML: {error}") from None


def scalar(value: str, offset: int) -> str | int | float | bool | None:
    """What an unquoted scalar means."""
    if value in _WORDS:
        return _WORDS[value]
    if _INT.fullmatch(value):
        return whole(value, offset, {"0o": 8, "0x": 16}.get(value[:2], 10))
    if _FLOAT.fullmatch(value):
        return real(value, offset)
    if _NOT_FINITE.fullmatch(value):
        raise Fault(offset, f"expected a finite number, found {value}")
    return check_text(value, offset)


class _Composer:
    def __init__(self, text: Text) -> None:
        self.text = text
        self.count = 0
        self.stack: list[_Open] = []
        self.anchors: dict[str, tuple[Node, int]] = {}
        self.root: Node | None = None

    def compose(self) -> Node:
        for event in yaml.parse(self.text.content or "", Loader=_Loader):
            at = event.start_mark.index if event.start_mark else 0
            if isinstance(event, yaml.DocumentStartEvent) and self.root is not None:
                raise Fault(at, "a second document", "a workflow file holds one; remove the line `---`")
            if isinstance(event, yaml.AliasEvent):
                self.alias(event.anchor or "", at)
            elif isinstance(event, yaml.ScalarEvent):
                self.scalar(event, at)
            elif isinstance(event, yaml.SequenceStartEvent | yaml.MappingStartEvent):
                self.open(event, at)
            elif isinstance(event, yaml.SequenceEndEvent | yaml.MappingEndEvent):
                self.close()
        return self.root if self.root is not None else Node(None, self.text, 0)

    def counted(self, at: int, values: int) -> None:
        self.count += values
        if self.count > MAX_VALUES:
            raise Fault(
                at, f"more than {MAX_VALUES:,} values, aliases written out", "data belong in files of their own"
            )

    def scalar(self, event: yaml.ScalarEvent, at: int) -> None:
        if event.tag not in (None, "!", _TEXT_TAG):
            raise Fault(at, f"the YAML tag {_short_tag(event.tag)} means nothing in a workflow", "remove it")
        value = event.value
        is_plain = event.style in (None, "") and event.tag is None
        if self.at_key():
            self.key(check_text(value, at, key=True), at, plain=is_plain)
            return
        self.counted(at, 1)
        node = Node(scalar(value, at) if is_plain else check_text(value, at), self.text, at)
        if event.anchor:
            self.anchors[event.anchor] = (node, 1)
        self.add(node)

    def alias(self, anchor: str, at: int) -> None:
        if anchor not in self.anchors:
            inside = any(frame.anchor == anchor for frame in self.stack)
            raise Fault(at, f"*{anchor} stands inside &{anchor} itself" if inside else f"no &{anchor} before *{anchor}")
        node, values = self.anchors[anchor]
        if self.at_key():
            if not isinstance(node.value, str):
                raise Fault(at, "a key must be text")
            self.key(node.value, at, plain=False)
            return
        self.counted(at, values)
        self.add(node)

    def open(self, event: yaml.CollectionStartEvent, at: int) -> None:
        if event.tag not in (None, "!"):
            raise Fault(at, f"the YAML tag {_short_tag(event.tag)} means nothing in a workflow", "remove it")
        if self.at_key():
            raise Fault(at, "a key must be text", "put text that begins with `{` or `[` in quotes")
        if len(self.stack) > MAX_DEPTH:
            raise Fault(at, f"nested more than {MAX_DEPTH} levels deep")
        is_mapping = isinstance(event, yaml.MappingStartEvent)
        self.stack.append(_Open(at, None, event.anchor, is_mapping, self.count))
        self.counted(at, 1)

    def close(self) -> None:
        frame = self.stack.pop()
        if frame.is_mapping:
            members: dict[str, Node] = {}
            for merged in reversed(frame.merged):
                members |= merged.value if isinstance(merged.value, Mapping) else {}
            node = Node(members | frame.members, self.text, frame.start)
        else:
            node = Node(tuple(frame.items), self.text, frame.start)
        if frame.anchor:
            self.anchors[frame.anchor] = (node, self.count - frame.before)
        self.add(node)

    def at_key(self) -> bool:
        return bool(self.stack) and self.stack[-1].is_mapping and self.stack[-1].name is None

    def key(self, name: str, at: int, *, plain: bool) -> None:
        frame = self.stack[-1]
        if name in frame.members:
            first = self.text.position(frame.members[name].key or 0)
            raise Fault(at, f"`{name}` is written twice in one mapping", f"the first is in line {first.line}")
        frame.name, frame.name_at, frame.name_plain = name, at, plain

    def add(self, node: Node) -> None:
        if not self.stack:
            self.root = node
            return
        frame = self.stack[-1]
        if not frame.is_mapping:
            frame.items.append(replace(node, key=None))
        elif frame.name == "<<" and frame.name_plain:
            frame.merged += self.merged(node, frame.name_at or 0)
        elif frame.name is not None:
            frame.members[frame.name] = replace(node, key=frame.name_at)
        frame.name = None

    def merged(self, node: Node, at: int) -> list[Node]:
        nodes = list(node.value) if isinstance(node.value, tuple) else [node]
        if not all(isinstance(each.value, Mapping) for each in nodes):
            raise Fault(at, "`<<` takes a mapping, or a list of mappings")
        return nodes


def _short_tag(tag: str) -> str:
    return tag.replace("tag:yaml.org,2002:", "!!")[:60]


def _explain(content: str, offset: int, error: yaml.MarkedYAMLError) -> Fault:
    """Put the parser's complaint into words that say what to do."""
    line_start = content.rfind("\n", 0, offset) + 1
    if "\t" in content[line_start : offset + 1] and not content[line_start:offset].strip():
        return Fault(content.index("\t", line_start), "a tab used as indentation", "YAML allows spaces only")
    problem, context = error.problem or "", error.context or ""
    opened = error.context_mark.index if error.context_mark else offset
    if "quoted scalar" in context and "end of stream" in problem:
        return Fault(opened, "text without a closing quote")
    if "escape" in problem:
        hint = r"a backslash itself is written \\ in double quotes, or \ in single ones"
        return Fault(offset, "no YAML escape", hint)
    if "did not find expected ',' or" in problem:
        bracket = "]" if "sequence" in context else "}"
        return Fault(opened, f"a list or mapping in brackets without `,` between its items, or without its `{bracket}`")
    if "could not find expected ':'" in problem:
        return _no_key(content, opened)
    if "mapping values are not allowed" in problem:
        above = _line_without_key(content, line_start)
        if above is not None:
            return _no_key(content, above)
        return Fault(offset, "a `:` where none may stand", "check the indentation; quote text that holds `: `")
    if "did not find expected key" in problem or "did not find expected '-' indicator" in problem:
        return Fault(offset, "the line does not fit the one above it", "check the indentation and closing quotes")
    if "cannot start any token" in problem:
        return Fault(offset, f"text cannot begin with `{content[offset : offset + 1]}`", "put it in quotes")
    return Fault(offset, f"not YAML: {problem} {context}".rstrip())


def _no_key(content: str, offset: int) -> Fault:
    """What is missing in the line that begins there for it to be one with a key."""
    glued = _GLUED.match(content, offset)
    if glued:
        return Fault(offset, "a blank is missing after `:`", f"write `{glued[1]}: …`")
    return Fault(offset, "a line without `:`", "write `key: value`; quote text that holds `: `, `{` or `#`")


def _line_without_key(content: str, line_start: int) -> int | None:
    """Where the lines just above begin that have no key, and so were read as one with the key of this line.

    None where they may as well go on with the text of a key above them.
    """
    here = _indentation(content[line_start : line_start + 1000])
    found, end = None, line_start
    while end:
        start = content.rfind("\n", 0, end - 1) + 1
        line = content[start:end].rstrip()
        indentation, words = _indentation(line), line.strip()
        if words and not words.startswith("#"):
            if words.startswith(("- ", "[", "{", '"', "'", "---")) or indentation > here:
                return found
            if _KEYED.search(line):
                is_open = words.endswith(":") or indentation == here
                return found if is_open else None
            found = start + indentation
        end = start
    return found


def _indentation(line: str) -> int:
    return len(line) - len(line.lstrip(" "))
