"""Where in the pieces of a text a path leads."""

from __future__ import annotations

from olive_engine.config.migrate.editing import Editor
from olive_engine.config.migrate.pieces import (
    Document,
    Entry,
    Group,
    Node,
    Unfit,
    bases,
    is_merge,
    is_null,
    resolved,
)
from olive_engine.errors import ConfigPath


class Places:
    """The groups and entries of a document by their paths, through aliases and merge keys."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.editor = Editor(document)

    def at(self, path: ConfigPath) -> Node:
        """The node at a path."""
        node = resolved(self.document.root)
        for part in path:
            found = self.find(node, part)
            if found is None:
                raise Unfit
            node = resolved(found[1].value)
        return node

    def find(self, node: Node, part: str | int) -> tuple[Group, Entry] | None:
        """The entry of a group that a part of a path names, and the group that it is written in."""
        if not isinstance(node, Group):
            return None
        if (entry := node.entry(part)) is not None:
            return node, entry
        merged = [base for entry in node.seen if is_merge(entry) for base in bases(entry)]
        return next((found for base in merged if (found := self.find(base, part))), None)

    def place(self, path: ConfigPath) -> tuple[Group, Entry] | None:
        """The entry at a path and the group that it is written in."""
        return self.find(self.at(path[:-1]), path[-1])

    def place_of(self, path: ConfigPath) -> tuple[Group, Entry] | None:
        """The same; none if the path leads nowhere."""
        try:
            return self.place(path) if path else None
        except Unfit:
            return None

    def group(self, path: ConfigPath) -> Group:
        """The group at a path; mappings that are missing are made."""
        node = resolved(self.document.root)
        for part in path:
            if not isinstance(node, Group):
                raise Unfit
            found = self.find(node, part)
            if found is None:
                entry = self.editor.new_entry(node, str(part), self.empty(node))
                self.editor.insert(entry, node, len(node.entries))
            else:
                holder, entry = found
                if is_null(entry.value):
                    self.editor.set_value(entry, holder, self.empty(holder))
            node = resolved(entry.value)
        if not isinstance(node, Group):
            raise Unfit
        return node

    def empty(self, holder: Group) -> Group:
        """A mapping to be filled, in the form of what is to hold it."""
        step = self.document.step
        if not holder.is_flow:
            return Group(True, False, holder.pad, holder.pad + step)
        return Group(True, True, holder.pad, holder.pad + (step if holder.is_spread else ""), opening="{")

    def open(self, path: ConfigPath) -> Group:
        """The group at a path, written as lines, and all that hold it too."""
        if self.document.is_json:
            raise Unfit
        node, base, entry, in_list = self.document.root, "", None, False
        for part in (*path, None):
            node = resolved(node)
            if not isinstance(node, Group):
                raise Unfit
            if node.is_flow:
                self.editor.opened(node, entry, base, compact=in_list and node.is_mapping)
            if part is None:
                return node
            found = self.find(node, part)
            if found is None:
                raise Unfit
            holder, entry = found
            node, base, in_list = entry.value, holder.pad, not holder.is_mapping
        raise Unfit
