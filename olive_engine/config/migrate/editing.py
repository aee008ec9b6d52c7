"""Changes to the pieces of a text: entries taken out and put in, in the form of where they come to stand."""

from __future__ import annotations

import copy

from pydantic import JsonValue

from olive_engine.config.migrate.blanks import comments, properties, rebased_lines, without_properties
from olive_engine.config.migrate.pieces import (
    Document,
    Entry,
    Group,
    Node,
    Scalar,
    Unfit,
    is_lines,
    rebase,
    rebase_entry,
)
from olive_engine.config.migrate.spelling import flow_safe, key, spelt


class Editor:
    """A document, and what may be done to its groups."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.newline = document.newline

    # --- entries --------------------------------------------------------------------------------------------------

    def insert(self, entry: Entry, target: Group, index: int) -> None:
        """Put an entry that has the form of the group at a place in it."""
        entries = target.entries
        if target.is_flow and index == 0 and entries and not comments(entries[0].lead):
            entry.lead, entries[0].lead = entries[0].lead, entry.lead or self.between(target)
        if target.is_flow and not entries and target.base != target.pad and not target.end:
            target.end = self.newline + target.base
        entries.insert(index, entry)

    def take(self, entry: Entry, holder: Group) -> None:
        """Take an entry out, with all that belongs to it."""
        index = holder.entries.index(entry)
        holder.entries.remove(entry)
        if not holder.entries:
            if holder.is_flow and not comments(holder.end):
                holder.end = ""
            return
        if index == 0:
            first = holder.entries[0]
            if holder.is_flow and not comments(first.lead):
                first.lead = (
                    "" if comments(entry.lead) and not holder.is_spread else _blank_part(entry.lead, first.lead)
                )
            elif not holder.is_flow and not entry.lead[:1].isspace():
                first.lead = first.lead.lstrip("\r\n")

    def drop(self, entry: Entry, holder: Group, *, inner: bool) -> None:
        """Take an entry out and leave the comments above it; with `inner` also those that its value held around."""
        index = holder.entries.index(entry)
        value = entry.value
        left = entry.lead if not holder.is_flow else self.lead_of(comments(entry.lead), holder)
        if inner and isinstance(value, Group):
            left += self.lead_of(comments(self.head_of(entry)), holder)
            if holder.is_flow or value.is_flow:
                left += self.lead_of([*comments(value.end), *comments(entry.tail)], holder)
            else:
                left += rebased_lines(value.end, value.pad, holder.pad)
        self.take(entry, holder)
        following = holder.entries[index] if index < len(holder.entries) else None
        if holder.is_flow:
            if left and following is not None:
                following.lead = left + (following.lead if following.lead.strip(" ") else self.between(holder))
            elif left:
                holder.end = left + (holder.end if holder.end.strip(" ") else self.newline + holder.base)
        elif following is not None:
            following.lead = _joined(left, following.lead)
        else:
            holder.end = _joined(left, holder.end) if left.strip() else holder.end

    def fitted(self, entry: Entry, source: Group, target: Group) -> Entry:
        """An entry that was taken from one group, in the form of another; its comments stay with it."""
        rebase_entry(entry, source, source.pad, target.pad)
        if target.is_flow:
            beside = comments(entry.after) if not source.is_flow else []
            if (not target.is_spread and (comments(entry.lead) or beside)) or is_lines(entry.value):
                raise Unfit
            entry.lead = self.lead_of(comments(entry.lead), target) + self.between(target)
            if not source.is_flow:
                entry.after, entry.tail = "", f"  {beside[0]}" if beside else ""
                if isinstance(entry.value, Scalar):
                    entry.value = flow_safe(entry.value)
        elif source.is_flow:
            beside = [*comments(entry.after), *comments(entry.tail)]
            entry.lead = self.lead_of(comments(entry.lead), target)
            entry.after, entry.tail = (f"  {' '.join(beside)}" if beside else "") + self.newline, ""
        if not target.is_mapping:
            self.as_item(entry, target)
        else:
            entry.mark = entry.mark or ("" if target.is_flow else ":")
            if entry.mark and not entry.gap:
                entry.gap = self.document.gap if target.is_flow else " "
        return entry

    def as_item(self, entry: Entry, target: Group) -> None:
        """What had a key, as an item of a list."""
        entry.key, entry.name = "", None
        if target.is_flow:
            entry.mark = entry.gap = ""
            return
        entry.mark = "-"
        value = entry.value
        if isinstance(value, Group) and not value.is_flow and not value.is_compact:
            entry.lead += self.lead_of(comments(self.head_of(entry)), target)
            rebase(value, value.pad, target.pad + "  ")
            value.base, value.is_compact = target.pad, True
        entry.gap = " "

    def lead_of(self, lines: list[str], target: Group) -> str:
        """Comments as they stand before an entry of a group."""
        if target.is_flow:
            return "".join(f"{self.newline}{target.pad}{line}" for line in lines)
        return "".join(f"{target.pad}{line}{self.newline}" for line in lines)

    def between(self, group: Group) -> str:
        """What stands before an entry of a flow group that is not the first; before the only one, if it is empty."""
        if group.is_spread or (not group.entries and group.pad != group.base):
            return self.newline + group.pad
        if not group.entries:
            return ""
        return next((entry.lead for entry in group.entries[1:] if entry.lead.strip(" ") == ""), self.document.gap)

    # --- values ---------------------------------------------------------------------------------------------------

    def set_value(self, entry: Entry, holder: Group, node: Node) -> None:
        """Give an entry another value; a comment beside the old one stays beside the new one."""
        if holder.is_flow:
            if is_lines(node):
                raise Unfit
            entry.value = node
            return
        rest = self.head_of(entry) or self.newline
        if isinstance(node, Scalar) and is_lines(node):
            entry.lead += self.lead_of(comments(rest), holder)
            entry.gap, entry.after = " ", ""
        elif is_lines(node) and isinstance(node, Group) and node.is_compact:
            first = node.entries[0]
            if comments(rest) and not is_lines(first.value):
                first.after = rest
            else:
                entry.lead += self.lead_of(comments(rest), holder)
            entry.gap, entry.after = " ", ""
        elif is_lines(node):
            entry.gap, entry.after = rest, ""
        else:
            inline = not is_lines(entry.value) and entry.gap and "\n" not in entry.gap
            entry.gap, entry.after = entry.gap if inline else " ", rest
        entry.value = node

    def head_of(self, entry: Entry) -> str:
        """The rest of the line that an entry of a block group begins on, or ends on: a comment, or nothing."""
        value = entry.value
        if isinstance(value, Group) and is_lines(value):
            return "" if value.is_compact else without_properties(entry.gap)
        return "" if is_lines(value) else entry.after

    def set_bare(self, entry: Entry) -> None:
        """Take the comment beside the name of an entry away."""
        if isinstance(entry.value, Group) and is_lines(entry.value) and not entry.value.is_compact:
            entry.gap = self.newline
        elif comments(entry.after):
            entry.after = self.newline

    def opened(self, group: Group, entry: Entry | None, base: str, *, compact: bool = False) -> None:
        """Write a flow group as lines. `entry` holds it; nothing does if it is the whole text."""
        flow = copy.copy(group)
        rest = self.head_of(entry) if entry is not None else ""
        group.is_flow, group.base, group.opening, group.comma = False, base, "", False
        inner = "  " if compact else self.document.step if group.is_mapping else self.document.dash
        group.pad = base + inner if entry is not None else ""
        group.entries = []
        group.end = self.lead_of(comments(flow.end), group)
        group.is_compact = compact
        for each in flow.entries:
            moved = self.fitted(each, flow, group)
            moved.mark = moved.mark.strip() if group.is_mapping else "-"
            moved.gap = moved.gap if group.is_mapping else " "
            group.entries.append(moved)
        if entry is not None:
            anchor = properties(flow.opening).strip()
            entry.gap = f" {anchor}{rest}" if anchor else rest or self.newline
            entry.after = ""
            if compact:
                entry.gap = " "
                entry.lead += rebased_lines(self.lead_of(comments(rest), group), group.pad, base)

    # --- new text -------------------------------------------------------------------------------------------------

    def made(self, value: JsonValue, holder: Group, *, like: Node | None = None) -> Node:
        """A value in the form that an entry of a group has."""
        if not isinstance(value, dict | list):
            return Scalar(spelt(value, self.document, in_flow=holder.is_flow, like=like), value)
        is_mapping = isinstance(value, dict)
        children = list(value.values()) if isinstance(value, dict) else value
        lines = bool(children) and (is_mapping or any(isinstance(child, dict | list) for child in children))
        in_list = not holder.is_mapping
        if lines and not holder.is_flow:
            inner = "  " if in_list else self.document.step if is_mapping else self.document.dash
            group = Group(is_mapping, False, holder.pad, holder.pad + inner, is_compact=in_list)
        else:
            spread = lines and holder.is_flow and holder.is_spread
            pad = holder.pad + self.document.step if spread else holder.pad
            group = Group(is_mapping, True, holder.pad, pad, opening="{" if is_mapping else "[")
        names = list(value) if isinstance(value, dict) else [None] * len(children)
        for name, child in zip(names, children, strict=True):
            self.insert(self.new_entry(group, name, child, holder), group, len(group.entries))
        return group

    def new_entry(self, group: Group, name: str | None, value: JsonValue | Node, like: Group | None = None) -> Entry:
        """An entry for a group, at its end."""
        entry = Entry(Scalar(""), name)
        if name is not None:
            entry.key = key(name, group if group.entries or like is None else like, self.document)
            entry.mark, entry.gap = ":", self.document.gap if group.is_flow else " "
        elif not group.is_flow:
            entry.mark, entry.gap = "-", " "
        entry.lead = self.between(group) if group.is_flow else ""
        entry.after = "" if group.is_flow else self.newline
        node = value if isinstance(value, Scalar | Group) else self.made(value, group)
        self.set_value(entry, group, node)
        return entry


def _blank_part(lead: str, other: str) -> str:
    """The blanks of what stood before an entry that is gone."""
    return lead if not comments(lead) else other


def _joined(left: str, lead: str) -> str:
    """Lines that stood before what is gone, and those before what comes next; no more blank lines than there were."""
    if left.strip():
        return left + lead
    return left + lead.lstrip("\r\n") if lead[:1] in ("\r", "\n") else left + lead
