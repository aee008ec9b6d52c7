"""What an entry of the table of older spellings can say. Each is applied to a `Revision`, and tells what it did."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from pydantic import JsonValue

from olive_engine.config.legacy.edits import Revision
from olive_engine.config.variables import as_meant
from olive_engine.errors import ConfigPath


class Rule(Protocol):
    """One older spelling."""

    def apply(self, revision: Revision) -> None:
        """Bring every occurrence into today's spelling."""


@dataclass(frozen=True, slots=True)
class Moved:
    """A value that is called otherwise today, or stands elsewhere. Both patterns have the same wildcards."""

    old: str
    new: str
    notice: str
    types: tuple[str, ...] = ()
    """Only in passes of these types."""

    def apply(self, revision: Revision) -> None:
        """Move every match."""
        for old in revision.matches(self.old):
            if _is_of(revision, old, self.types):
                revision.note(old, self.notice)
                revision.move(old, _filled(self.new, self.old, old))


@dataclass(frozen=True, slots=True)
class Lifted:
    """A group that is written flat today: its members stand where the group stood."""

    old: str
    notice: str

    def apply(self, revision: Revision) -> None:
        """Lift the members of every match."""
        for old in revision.matches(self.old):
            value = revision.value(old)
            if isinstance(value, dict):
                if value:
                    revision.note(old, self.notice)
                for name in value:
                    revision.move((*old, name), (*old[:-1], name))
                if not revision.members(old):
                    revision.remove(old)
            elif value is None:
                revision.remove(old)


@dataclass(frozen=True, slots=True)
class Dropped:
    """A value that says nothing here, and why."""

    old: str
    notice: str
    values: tuple[JsonValue, ...] | None = None
    """Only these values; none: whatever the value."""
    types: tuple[str, ...] = ()
    """Only in passes of these types."""

    def apply(self, revision: Revision) -> None:
        """Remove every match."""
        for old in reversed(revision.matches(self.old)):  # from behind: items of a list keep their places
            if not _is_of(revision, old, self.types):
                continue
            if self.values is None or any(_same(revision.value(old), each) for each in self.values):
                revision.note(old, self.notice)
                revision.remove(old)


@dataclass(frozen=True, slots=True)
class Valued:
    """A value that is spelt otherwise today; texts match in any case."""

    path: str
    values: Mapping[str, JsonValue]
    notice: str

    def apply(self, revision: Revision) -> None:
        """Replace the value of every match."""
        for path in revision.matches(self.path):
            value = revision.value(path)
            if isinstance(value, str) and value.lower() in self.values:
                new = self.values[value.lower()]
                if new != value:
                    revision.note(path, self.notice.format(old=value, new=new))
                    revision.put(path, new)


@dataclass(frozen=True, slots=True)
class Refused:
    """A value that means something we cannot do: the reason, by name."""

    old: str
    what: str
    hint: str = ""
    values: tuple[JsonValue, ...] | None = None
    """Only these values; none: whatever the value."""

    def apply(self, revision: Revision) -> None:
        """Report every match, and take it out, so that it is reported once."""
        for old in reversed(revision.matches(self.old)):
            if self.values is None or any(_same(revision.value(old), each) for each in self.values):
                revision.refuse(old, self.what, self.hint)
                revision.remove(old)


@dataclass(frozen=True, slots=True)
class Rewritten:
    """What takes more than a line: a function on the revision."""

    change: Callable[[Revision], None]

    def apply(self, revision: Revision) -> None:
        """Call it."""
        self.change(revision)


def type_of(revision: Revision, path: ConfigPath) -> str:
    """The type, in lower case, of the pass that the value at `path` belongs to; empty if none is written."""
    for length in (3, 2):
        kind = revision.value((*path[:length], "type"))
        if isinstance(kind, str) and (length == 2 or isinstance(path[2], int)):
            return kind.lower()
    return ""


def _is_of(revision: Revision, path: ConfigPath, types: tuple[str, ...]) -> bool:
    """Whether the rule is for this pass; a part of a file that names no type may be laid over one that does."""
    return not types or (kind := type_of(revision, path)) in types or not kind


def _same(found: JsonValue, value: JsonValue) -> bool:
    if isinstance(value, bool):
        found = as_meant(found, (bool,))
    if isinstance(found, str) and isinstance(value, str):
        return found.lower() == value.lower()
    return found == value and isinstance(found, bool) == isinstance(value, bool)


def _filled(new: str, old: str, found: ConfigPath) -> ConfigPath:
    """`new` with its wildcards replaced by what those of `old` matched."""
    wild: list[str | int] = []
    rest = list(found)
    for part in old.split("."):
        if part == "@":  # one index, or nothing
            wild.append(rest.pop(0) if rest and isinstance(rest[0], int) else "")
        else:
            taken = rest.pop(0)
            wild += [taken] if part == "*" else []
    each = iter(wild)
    parts = (next(each) if part in ("*", "@") else part for part in new.split("."))
    return tuple(part for part in parts if part != "")
