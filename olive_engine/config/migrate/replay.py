"""The edits of the reader, made to the pieces of a file's own text."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pydantic import JsonValue

from olive_engine.config.legacy import Edit, Move, NameItems, Order, Put, Remove
from olive_engine.config.migrate.blanks import comments, rebased_lines
from olive_engine.config.migrate.copying import copied_entry
from olive_engine.config.migrate.overwriting import write
from olive_engine.config.migrate.pieces import (
    Document,
    Entry,
    Group,
    Unfit,
    is_lines,
    is_merge,
    is_null,
    plain,
    resolved,
)
from olive_engine.config.migrate.places import Places
from olive_engine.config.migrate.spelling import key
from olive_engine.errors import ConfigPath


@dataclass(frozen=True, slots=True)
class Step:
    """An edit, and what it is for."""

    edit: Edit
    source: ConfigPath | None = None
    """Put: where the value comes from."""
    is_kept: bool = False
    """What it takes out stays in the file: it cannot be had yet, or was refused."""
    is_empty: bool = False
    """Remove: what it takes out is a mapping whose members have all gone elsewhere."""


def replay(document: Document, steps: list[Step]) -> None:
    """Make the edits in a document; what an anchor names is edited for all its aliases.

    Raises:
        Unfit: an edit cannot be made in this text.
    """
    _Replay(document, steps).run()


class _Replay(Places):
    """The places of a document, and what is done there."""

    def __init__(self, document: Document, steps: list[Step]) -> None:
        super().__init__(document)
        self.steps = steps
        self.removed = {step.edit.path: index for index, step in enumerate(steps) if isinstance(step.edit, Remove)}
        """Where the last removal of a path is."""
        self.index = 0

    def run(self) -> None:
        for index, step in enumerate(self.steps):
            self.index = index
            match step.edit:
                case Move(old, new):
                    self.move(old, new)
                case Remove(path):
                    self.remove(path, kept=step.is_kept)
                case Put(path, value):
                    if not step.is_kept:
                        self.put(path, value, step.source)
                case NameItems(path):
                    self.name_items(path)
                case Order(path, names):
                    self.order(path, names)

    def move(self, old: ConfigPath, new: ConfigPath) -> None:
        found = self.place(old)
        if found is None:
            return  # done already, through another alias of the same mapping
        source, entry = found
        if old[:-1] == new[:-1]:
            entry.key, entry.name = key(str(new[-1]), entry, self.document), str(new[-1])
            return
        is_up = len(new) <= len(old) and old[: len(new) - 1] == new[:-1]
        target = self.group(new[:-1])
        left = self.find(target, old[len(new) - 1]) if is_up else None
        self.editor.take(entry, source)
        if left is not None and self.removed.get(old[: len(new)], -1) > self.index:
            self.hand_over(left[1], target, entry, source)
        if not is_up:
            entry.lead = entry.lead.lstrip("\r\n") if not source.is_flow else entry.lead
        if isinstance(new[-1], str):
            entry.key, entry.name = key(new[-1], entry if entry.key else target, self.document), new[-1]
            entry.mark = entry.mark if source.is_mapping else ":"
        self.join(entry, source, target, target.entries.index(left[1]) if left else None, new[:-1])

    def hand_over(self, group: Entry, holder: Group, entry: Entry, source: Group) -> None:
        """What is said above a group, and beside its name, goes to the first entry that is lifted out of it."""
        above = comments(group.lead) + (comments(self.editor.head_of(group)) if not holder.is_flow else [])
        if holder.is_flow or source.is_flow:
            if above:
                entry.lead = "".join(f"{self.document.newline}{line}" for line in above) + entry.lead
                group.lead = self.editor.between(holder) if holder.is_flow else ""
                self.editor.set_bare(group)
            return
        lead = group.lead + self.editor.lead_of(comments(self.editor.head_of(group)), holder)
        entry.lead = rebased_lines(lead, holder.pad, source.pad) + entry.lead
        group.lead = ""
        self.editor.set_bare(group)

    def join(self, entry: Entry, source: Group, target: Group, index: int | None, path: ConfigPath) -> None:
        """Put an entry from one group into another, by default as its last."""
        needs_lines = is_lines(entry.value) or bool(comments(entry.lead + entry.after + entry.tail))
        if target.is_flow and needs_lines and not (target.is_spread and not is_lines(entry.value)):
            target = self.open(path)
        fitted = self.editor.fitted(entry, source, target)
        self.editor.insert(fitted, target, len(target.entries) if index is None else index)

    def remove(self, path: ConfigPath, *, kept: bool) -> None:
        found = self.place(path)
        if found is None:
            return
        holder, entry = found
        group = resolved(entry.value) if isinstance(entry.value, Group) else None
        if kept or (isinstance(group, Group) and any(_is_hidden(each) for each in group.entries)):
            entry.hidden = True
        else:
            self.editor.drop(entry, holder, inner=isinstance(group, Group) and not group.entries)

    def put(self, path: ConfigPath, value: JsonValue, source: ConfigPath | None) -> None:
        given = self.place_of(source) if source is not None and source != path else None
        parent = self.group(path[:-1])
        found = self.find(parent, path[-1])
        if found is not None and not is_null(found[1].value):
            write(found[1], found[0], value, self.editor)
        elif given is not None and _is_alike(plain(given[1].value), value):
            copy = self.copy(given, parent, path)
            write(copy, self.group(path[:-1]), value, self.editor)
        elif found is not None:
            self.editor.set_value(found[1], found[0], self.editor.made(value, found[0]))
        elif given is not None and (name := _member_of(value, plain(given[1].value))) is not None:
            self.put_new(path, {member: each for member, each in _members(value) if member != name}, parent, None)
            self.copy(given, self.group(path), (*path, name))
        else:
            self.put_new(path, value, parent, source)

    def put_new(self, path: ConfigPath, value: JsonValue, parent: Group, source: ConfigPath | None) -> None:
        """Write what was not there, last, or in the place of what it is made from and what goes."""
        given = self.place_of(source) if source is not None and source != path else None
        entry = self.editor.new_entry(parent, path[-1] if isinstance(path[-1], str) else None, value)
        index = len(parent.entries)
        if given is not None and given[0] is parent and source and self.removed.get(source, -1) > self.index:
            index = parent.entries.index(given[1])
            self.hand_over(given[1], parent, entry, parent)
        self.editor.insert(entry, parent, index)

    def copy(self, given: tuple[Group, Entry], target: Group, path: ConfigPath) -> Entry:
        """Write what stands elsewhere here too, with its comments."""
        holder, entry = given
        new = copied_entry(entry, holder, self.editor)
        new.lead = "" if not comments(new.lead) else new.lead.lstrip("\r\n") if not holder.is_flow else new.lead
        if isinstance(path[-1], str):
            new.key, new.name = key(path[-1], entry if entry.key else target, self.document), path[-1]
            new.mark, new.gap = new.mark if holder.is_mapping else ":", new.gap or self.document.gap
        self.join(new, holder, target, None, path[:-1])
        return new

    def name_items(self, path: ConfigPath) -> None:
        group = self.at(path)
        if not isinstance(group, Group) or not group.is_mapping:
            return  # done already, through another alias
        if any(is_merge(entry) for entry in group.seen):
            raise Unfit
        for entry in group.entries:
            name, item = entry.name or "", resolved(entry.value)
            if is_null(item):
                self.editor.set_value(entry, group, self.empty(group))
                item = entry.value
            if not isinstance(item, Group) or not item.is_mapping:
                raise Unfit
            rest = self.editor.head_of(entry) if not item.is_flow else ""
            if (inner := item.entry("name")) is not None:
                write(inner, item, name, self.editor)  # others refer to it by its key
            else:
                inner = self.editor.new_entry(item, "name", name, None if item.is_flow else group)
                inner.after, rest = rest or inner.after, ""
                self.editor.insert(inner, item, 0)
            if not item.is_flow:
                self.editor.set_bare(entry)
            self.editor.as_item(entry, replace(group, is_mapping=False))
            entry.lead += self.editor.lead_of(comments(rest), group)
        group.is_mapping = False
        group.opening = group.opening.replace("{", "[")

    def order(self, path: ConfigPath, names: tuple[str, ...]) -> None:
        group = self.at(path)
        if not isinstance(group, Group) or any(is_merge(entry) for entry in group.seen):
            raise Unfit
        places = {name: index for index, name in enumerate(names)}
        leads = [entry.lead for entry in group.entries]
        group.entries.sort(key=lambda entry: places.get(entry.name or "", len(names)))
        if group.is_flow and not any(comments(lead) for lead in leads):
            for entry, lead in zip(group.entries, leads, strict=True):
                entry.lead = lead


def _is_alike(source: JsonValue, value: JsonValue) -> bool:
    """Whether a value is what stands elsewhere, perhaps with members more."""
    if isinstance(source, dict) and isinstance(value, dict):
        return bool(source) and all(name in value and value[name] == source[name] for name in source)
    return source == value


def _member_of(value: JsonValue, source: JsonValue) -> str | None:
    """The member of a mapping that is a group that stands elsewhere."""
    return next((name for name, each in _members(value) if isinstance(each, dict) and each == source), None)


def _members(value: JsonValue) -> list[tuple[str, JsonValue]]:
    return list(value.items()) if isinstance(value, dict) else []


def _is_hidden(entry: Entry) -> bool:
    return entry.hidden or (isinstance(entry.value, Group) and any(_is_hidden(each) for each in entry.value.entries))
