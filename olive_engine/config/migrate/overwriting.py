"""A value written over another: only what is different, as far as they are alike."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import JsonValue

from olive_engine.config.migrate.blanks import comments
from olive_engine.config.migrate.editing import Editor
from olive_engine.config.migrate.pieces import Entry, Group, Node, Scalar, Unfit, is_lines, plain, rebase, resolved
from olive_engine.config.migrate.spelling import flow_safe


def write(entry: Entry, holder: Group, value: JsonValue, editor: Editor) -> None:
    """Write a value over another: only what is different, as far as they are alike."""
    old_value = plain(entry.value)
    if old_value == value and isinstance(old_value, bool) == isinstance(value, bool):
        return
    old = resolved(entry.value)
    if isinstance(value, list) and len(value) == 1 and value[0] == old_value:
        _wrap(entry, holder, old, editor)
    elif isinstance(old, Group) and isinstance(value, list) and not old.is_mapping and len(old.seen) == len(value):
        for each, new in zip(old.seen, value, strict=True):
            write(each, old, new, editor)
    elif isinstance(old, Group) and isinstance(value, dict) and old.is_mapping and set(value) & _names(old):
        _write_members(old, value, editor)
    else:
        said = _comments_in(old)
        node = editor.made(value, holder, like=old)
        if said and not editor.document.is_json:
            if not holder.is_flow:
                entry.lead += editor.lead_of(said, holder)
            elif holder.is_spread:
                entry.lead = editor.lead_of([*comments(entry.lead), *said], holder) + editor.between(holder)
        editor.set_value(entry, holder, node)


def _write_members(old: Group, value: Mapping[str, JsonValue], editor: Editor) -> None:
    for each in old.seen:
        if each.name not in value:
            editor.drop(each, old, inner=False)
    for name, new in value.items():
        if (found := old.entry(name)) is not None:
            write(found, old, new, editor)
        else:
            editor.insert(editor.new_entry(old, name, new), old, len(old.entries))


def _wrap(entry: Entry, holder: Group, node: Node, editor: Editor) -> None:
    """One value becomes the only item of a list."""
    if not is_lines(node):
        inner = flow_safe(node) if isinstance(node, Scalar) else node
        entry.value = Group(False, True, holder.pad, holder.pad, [Entry(inner)], "[")
        return
    if not isinstance(node, Group) or not node.is_mapping:
        raise Unfit
    dash = holder.pad + editor.document.dash
    rebase(node, node.pad, dash + "  ")
    node.base, node.is_compact = dash, True
    entry.value = Group(False, False, holder.pad, dash, [Entry(node, mark="-", gap=" ")])


def _names(group: Group) -> set[str]:
    return {entry.name or "" for entry in group.seen}


def _comments_in(node: Node) -> list[str]:
    """Every comment inside a value, in order."""
    if isinstance(node, Scalar):
        return []
    found: list[str] = []
    for entry in node.entries:
        found += comments(entry.lead) + comments(entry.gap) + _comments_in(entry.value)
        found += comments(entry.after) + comments(entry.tail)
    return found + comments(node.end)
