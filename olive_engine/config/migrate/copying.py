"""Copies of pieces: without anchors, and with what aliases stand for written out."""

from __future__ import annotations

import copy

from olive_engine.config.migrate.blanks import without_properties
from olive_engine.config.migrate.editing import Editor
from olive_engine.config.migrate.pieces import (
    Entry,
    Group,
    Node,
    Scalar,
    Unfit,
    bases,
    is_lines,
    is_merge,
    rebase,
    resolved,
)


def copied(node: Node, base: str, editor: Editor, *, scalars: bool = True) -> Node:
    """A copy for a line that begins with the blanks `base`: without anchors, and with what its aliases stand for.

    Without `scalars` the aliases of scalars stay.
    """
    target = resolved(node)
    if isinstance(target, Scalar):
        if not scalars and isinstance(node, Scalar):
            return copy.copy(node)
        return Scalar(without_properties(target.text), target.value)
    node = target
    new = copy.copy(node)
    new.opening = node.opening[-1:]
    new.entries = []
    for entry in node.entries:
        if is_merge(entry) and not entry.hidden:
            new.entries += _brought_in(node, entry, editor, scalars=scalars)
        else:
            new.entries.append(copied_entry(entry, node, editor, scalars=scalars))
    rebase(new, node.base, base)
    return new


def copied_entry(entry: Entry, holder: Group, editor: Editor, *, scalars: bool = True) -> Entry:
    """A copy of an entry, without anchors and aliases."""
    new = copy.copy(entry)
    node = copied(entry.value, holder.pad, editor, scalars=scalars)
    if is_lines(node) == is_lines(entry.value):
        bare = without_properties(entry.gap) if is_lines(node) else entry.gap
        new.gap = bare if bare == entry.gap or bare.strip() else bare.lstrip(" \t")
        new.value = node
    else:
        editor.set_value(new, holder, node)
    return new


def _brought_in(holder: Group, merge: Entry, editor: Editor, *, scalars: bool) -> list[Entry]:
    """What ``<<`` brings into a mapping, as entries of its own."""
    taken = {entry.name for entry in holder.seen}
    entries: list[Entry] = []
    for base in bases(merge):
        for entry in base.seen:
            if is_merge(entry):
                raise Unfit
            if entry.name not in taken:
                taken.add(entry.name)
                entries.append(editor.fitted(copied_entry(entry, base, editor, scalars=scalars), base, holder))
    if entries and not holder.is_flow:
        entries[0].lead = merge.lead + entries[0].lead
    elif entries:
        entries[0].lead = merge.lead
    return entries
