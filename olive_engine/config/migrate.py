"""A workflow file in today's spelling, with its comments and its order: the edits of the reader on the file's own text.

YAML is edited as a round trip of ruamel.yaml; where that cannot say the same (an anchor whose uses become different),
the anchors are written out, and if need be the comments given up. What comes out is read again and compared.
"""

from __future__ import annotations

import copy
import io
import json
import re
from collections.abc import MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from olive_engine.config.legacy import Edit, Move, NameItems, Order, Put, Remove, Revision, revise, revise_whole
from olive_engine.config.loader import load, loads
from olive_engine.config.tree import Source, plain
from olive_engine.errors import ConfigPath, InvalidWorkflow, Problem

if TYPE_CHECKING:
    from ruamel.yaml import YAML

Container = Any
"""A mapping or list of json's or of ruamel.yaml's, which have no type in common."""


@dataclass(frozen=True, slots=True)
class Migrated:
    """A file in today's spelling."""

    text: str
    notices: tuple[Problem, ...]
    """What is spelt otherwise now."""
    lacks: tuple[Problem, ...]
    """What cannot be had yet, and stays in the file as it is written."""
    keeps_comments: bool = True


def migrate(path: Path) -> Migrated:
    """Write a file's workflow in today's spelling. The file itself is left alone.

    Raises:
        InvalidWorkflow: it cannot be read, or says something that has no place today.
    """
    source = load(path)
    revision = _revised(source)
    if revision.problems:
        raise InvalidWorkflow(tuple(revision.problems))
    notices = tuple(revision.notices)
    lacks = tuple(lack for lacks in revision.lacks.values() for lack in lacks)
    content, wanted = source.text.content or "", plain(revision.root)
    if not revision.edits:
        return Migrated(content, notices, lacks)
    if content.lstrip().startswith("{"):
        return Migrated(_json(content, revision.edits), notices, lacks)
    for aliases in (True, False):
        text = _yaml(content, revision.edits, aliases=aliases)
        if text is not None and _reads_as(text, wanted):
            return Migrated(text, notices, lacks)
    import yaml

    text = yaml.safe_dump(wanted, sort_keys=False, allow_unicode=True, width=120)
    return Migrated(text, notices, lacks, keeps_comments=False)


def _revised(source: Source) -> Revision:
    """The file alone; what needs the whole is done where nothing else belongs to it."""
    revision = Revision(source.root, (source.text.name,))
    revise(revision)
    if not revision.has(("extends",)) and revision.has(("input_model",)):
        revise_whole(revision)
    return revision


def _reads_as(text: str, wanted: JsonValue) -> bool:
    try:
        return plain(loads(text.encode(), "migrated", "yaml").root) == wanted
    except InvalidWorkflow:
        return False


# --- texts --------------------------------------------------------------------------------------------------------


def _json(content: str, edits: list[Edit]) -> str:
    tree = json.loads(content)
    for edit in edits:
        _replay(tree, edit)
    indent = re.search(r"\n([ \t]+)\S", content)
    text = json.dumps(tree, indent=indent[1] if indent else None, ensure_ascii=False)
    return text + ("\n" if content.endswith("\n") else "")


def _yaml(content: str, edits: list[Edit], *, aliases: bool) -> str | None:
    """The text after the edits; None where they cannot be made in it."""
    yaml = _round_trip(content)
    tree = yaml.load(content)
    if not aliases:
        tree = _written_out(tree)
    try:
        for edit in edits:
            _replay(tree, edit)
    except (KeyError, IndexError, TypeError):
        return None
    stream = io.StringIO()
    yaml.dump(tree, stream)
    return stream.getvalue()


def _round_trip(content: str) -> YAML:
    from ruamel.yaml import YAML

    yaml = YAML(typ="rt")
    yaml.preserve_quotes = True
    yaml.width = 4096
    dash = re.search(r"^( *)[^\s#-][^\n]*:[ \t]*(?:#[^\n]*)?\n(?:[ \t]*(?:#[^\n]*)?\n)*( *)- ", content, re.MULTILINE)
    offset = len(dash[2]) - len(dash[1]) if dash else 2
    yaml.indent(mapping=2, sequence=offset + 2, offset=offset)
    yaml.explicit_start = content.startswith("---")
    return yaml


def _written_out(node: Container) -> Container:
    """Every alias as a copy of its own, merge keys as plain keys; comments stay."""
    from ruamel.yaml.comments import CommentedMap, CommentedSeq

    new: Container
    if isinstance(node, CommentedMap):
        new = CommentedMap((key, _written_out(value)) for key, value in node.items())
    elif isinstance(node, CommentedSeq):
        new = CommentedSeq(_written_out(value) for value in node)
    else:
        return node
    node.copy_attributes(new)
    new.yaml_set_anchor(None)
    if hasattr(new, "_yaml_merge"):
        delattr(new, "_yaml_merge")
    return copy.copy(new)


# --- edits --------------------------------------------------------------------------------------------------------


def _replay(tree: Container, edit: Edit) -> None:
    match edit:
        case Move(old, new):
            _move(tree, old, new)
        case Remove(path):
            _take(_at(tree, path[:-1]), path[-1])
        case Put(path, value):
            parent = _made(tree, path[:-1])
            if isinstance(parent, list) and path[-1] == len(parent):
                parent.append(copy.deepcopy(value))
            else:
                parent[path[-1]] = copy.deepcopy(value)
        case NameItems(path):
            parent = _at(tree, path[:-1])
            items = parent[path[-1]]
            for name, item in items.items():
                item.pop("name", None)
                _insert(item, 0, "name", name)
            parent[path[-1]] = list(items.values())
        case Order(path, names):
            mapping = _at(tree, path)
            for name in [*names, *(each for each in mapping if each not in names)]:
                mapping.move_to_end(name) if hasattr(mapping, "move_to_end") else mapping.update(
                    {name: mapping.pop(name)}
                )


def _move(tree: Container, old: ConfigPath, new: ConfigPath) -> None:
    source = _at(tree, old[:-1])
    if old[-1] not in source:
        return  # done already, through another alias of the same mapping
    index = list(source).index(old[-1])
    comment = _comments(source).pop(old[-1], None)
    value = _take(source, old[-1])
    target = _made(tree, new[:-1])
    if old[:-1] == new[:-1]:
        _insert(target, index, new[-1], value)
    elif len(new) <= len(old) and old[: len(new) - 1] == new[:-1]:
        _insert(target, list(target).index(old[len(new) - 1]), new[-1], value)
    else:
        target[new[-1]] = value
    if comment is not None:
        _comments(target)[new[-1]] = comment


def _at(tree: Container, path: ConfigPath) -> Container:
    for part in path:
        tree = tree[part]
    return tree


def _made(tree: Container, path: ConfigPath) -> Container:
    """What stands at `path`; mappings that are missing are made."""
    for part in path:
        if isinstance(tree, MutableMapping) and tree.get(part) is None:
            tree[part] = type(tree)()
        tree = tree[part]
    return tree


def _take(parent: Container, key: str | int) -> Container:
    """Remove a member; the comments above its first line stay, before what comes next."""
    return parent.pop(key)


def _insert(mapping: Container, index: int, key: str | int, value: Container) -> None:
    """Put a member at a place of a mapping, ruamel.yaml's or a dict."""
    if hasattr(mapping, "insert"):
        mapping.insert(index, key, value)
        return
    items = list(mapping.items())
    items.insert(index, (key, value))
    mapping.clear()
    mapping.update(items)


def _comments(container: Container) -> MutableMapping[Any, Any]:
    """The comments of a mapping's members by key; of a plain dict none."""
    return container.ca.items if hasattr(container, "ca") else {}
