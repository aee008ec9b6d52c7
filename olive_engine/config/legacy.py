"""Older spellings, and the only place that knows them: a table of rewrites, applied to each file's tree by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from olive_engine.config.tree import Node, Source, find, rename, with_node
from olive_engine.errors import ConfigPath, Problem

ANY = "*"
"""In a path: any key, or any index."""


@dataclass(frozen=True, slots=True)
class Rewrite:
    """One older spelling. `old` and `new` have the same wildcards, in the same order."""

    old: ConfigPath
    new: ConfigPath
    notice: str
    values: Mapping[str, str] | None = None
    """None: whatever the value. Else only these values (in any case) are rewritten, each to today's."""


REWRITES: tuple[Rewrite, ...] = (
    Rewrite(("model",), ("input_model",), "`model` is called `input_model`"),
    Rewrite(
        ("input_model", "type"),
        ("input_model", "type"),
        "`PyTorchModel` is called `HfModel`",
        {"pytorchmodel": "HfModel"},
    ),
)


def rewrite(source: Source, table: Sequence[Rewrite] = REWRITES) -> tuple[Source, tuple[Problem, ...]]:
    """Bring one file into today's spelling. Order and positions stay as written; each rewrite is noticed.

    Where the new name is written as well, it wins: the old one is left, and is an unknown key then.
    """
    root, notices = source.root, []
    for entry in table:
        for old in list(_matches(root, entry.old)):
            node, new = find(root, old), _filled(entry.new, entry.old, old)
            if node is None or (new != old and find(root, new) is not None):
                continue
            if entry.values is not None:
                if not isinstance(node.value, str) or node.value.lower() not in entry.values:
                    continue
                node = replace(node, value=entry.values[node.value.lower()])
            notices.append(Problem(new, entry.notice, position=node.key_position, severity="warning"))
            if new[:-1] == old[:-1]:
                root = with_node(rename(root, old, str(new[-1])), new, node)
            else:
                root = with_node(with_node(root, old, None), new, node)
    return Source(source.text, root), tuple(notices)


def _matches(node: Node, pattern: ConfigPath, path: ConfigPath = ()) -> Iterator[ConfigPath]:
    """The paths under `node` that exist and fit the pattern."""
    if len(path) == len(pattern):
        yield path
        return
    part = pattern[len(path)]
    members: list[tuple[str | int, Node]] = []
    if isinstance(node.value, Mapping):
        members += node.value.items()
    elif isinstance(node.value, tuple):
        members += enumerate(node.value)
    for key, child in members:
        if part in (ANY, key):
            yield from _matches(child, pattern, (*path, key))


def _filled(new: ConfigPath, old: ConfigPath, found: ConfigPath) -> ConfigPath:
    """`new` with its wildcards replaced by what those of `old` matched."""
    wild = iter([part for part, each in zip(found, old, strict=True) if each == ANY])
    return tuple(next(wild) if part == ANY else part for part in new)
