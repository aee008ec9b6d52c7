"""A workflow file in today's spelling: the edits of the reader, made to the file's own text.

What is not rewritten stays as it is, to the blank. What comes out is read again and compared. Where a text cannot be
edited in its own form, its anchors are written out, and if need be its comments given up.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import JsonValue

from olive_engine import registry
from olive_engine.config.findings import in_line_order
from olive_engine.config.legacy import bring_together, revise, revise_whole
from olive_engine.config.loader import load, loads
from olive_engine.config.migrate.convert import as_json, as_yaml
from olive_engine.config.migrate.copying import copied
from olive_engine.config.migrate.editing import Editor
from olive_engine.config.migrate.pieces import Document, Unfit
from olive_engine.config.migrate.reading import read
from olive_engine.config.migrate.recording import Recording
from olive_engine.config.migrate.replay import replay
from olive_engine.config.migrate.yaml_pieces import has_comments
from olive_engine.config.tree import Node, Source, plain
from olive_engine.config.variables import REFERENCE, filled_in
from olive_engine.errors import InvalidWorkflow, Position, Problem

_IS_JSON = {".json": True, ".yaml": False, ".yml": False}


@dataclass(frozen=True, slots=True)
class Migrated:
    """A file in today's spelling."""

    text: str
    is_changed: bool
    """Whether any of it was spelt otherwise."""
    is_whole: bool
    """Whether it is a workflow by itself, and not only what is laid over another file."""
    notices: tuple[Problem, ...] = ()
    """What is spelt otherwise now."""
    lacks: tuple[Problem, ...] = ()
    """What cannot be had yet, and stays in the file as it is written."""
    refused: tuple[Problem, ...] = ()
    """What has no place today, and stays in the file as it is written."""
    keeps_comments: bool = True


def migrate(path: Path, target: Path | None = None) -> Migrated:
    """Write a file's workflow in today's spelling. The file itself is left alone.

    Args:
        path: the file.
        target: the file that the text is for: its suffix says JSON or YAML.

    Raises:
        InvalidWorkflow: it cannot be read, or cannot be rewritten without changing what it says.
    """
    source = load(path)
    content = source.text.content or ""
    is_json = _IS_JSON.get(path.suffix.lower(), content.lstrip().startswith("{"))
    before = _revised(source)
    text, keeps_comments = content, True
    if any(not step.is_kept for step in before.steps):
        text, keeps_comments = _rewritten(source, before, is_json=is_json)
    is_changed = text != content
    wants_json = is_json if target is None else _IS_JSON.get(target.suffix.lower(), is_json)
    if wants_json and not is_json:
        keeps_comments = not has_comments(text)
        text = as_json(plain(loads(text.encode(), source.text.name, "yaml").root))
    elif is_json and not wants_json:
        text = as_yaml(text)
    return Migrated(
        ("\ufeff" if _has_mark(path) else "") + text,
        is_changed=is_changed,
        is_whole=before.is_whole,
        notices=in_line_order(before.told),
        lacks=in_line_order(lack for lacks in before.lacks.values() for lack in lacks),
        refused=in_line_order(before.problems),
        keeps_comments=keeps_comments,
    )


def _has_mark(path: Path) -> bool:
    """Whether a file begins with the byte order mark of some editors on Windows; it is kept."""
    with path.open("rb") as stream:
        return stream.read(len(codecs.BOM_UTF8)) == codecs.BOM_UTF8


def _revised(source: Source) -> Recording:
    """The file alone; what needs the whole is done where nothing else belongs to it."""
    revision = Recording(source.root, source.text.name)
    revise(revision)
    if revision.is_whole and not revision.has(("extends",)):
        revise_whole(revision)
    else:
        bring_together(revision)
    return revision


def _rewritten(source: Source, before: Recording, *, is_json: bool) -> tuple[str, bool]:
    """The text after the edits, and whether it has all its comments."""
    for document, keeps_comments in _attempts(source, is_json=is_json):
        with suppress(Unfit):
            replay(document, before.steps)
            text = document.text()
            if _says(text, source, before, is_json=is_json):
                return text, keeps_comments
    what = "it cannot be rewritten without changing what it says"
    hint = "write out its variables and aliases, and try again"
    raise InvalidWorkflow((Problem((), what, hint, Position(source.text.name, 0, 0)),))


def _attempts(source: Source, *, is_json: bool) -> Iterator[tuple[Document, bool]]:
    """What to edit, and whether it has all the comments: the text, or if need be the text with aliases written out."""
    content = source.text.content or ""
    with suppress(Unfit):
        yield read(content, is_json=is_json), True
        for scalars in (False, True):
            document = read(content, is_json=is_json)
            document.root = copied(document.root, "", Editor(document), scalars=scalars)
            yield document, True
    values = as_json(plain(source.root))
    yield read(values if is_json else as_yaml(values), is_json=is_json), False


def _says(text: str, source: Source, before: Recording, *, is_json: bool) -> bool:
    """Whether a text says what the file says, with and without the values of its variables."""
    try:
        new = loads(text.encode(), source.text.name, "json" if is_json else "yaml")
    except InvalidWorkflow:
        return False
    if not _is_same(_revised(new).root, before.root):
        return False
    said = set(REFERENCE.findall(source.text.content or ""))
    return not said or (set(REFERENCE.findall(text)) <= said and _is_same(_filled(new), _filled(source)))


def _filled(source: Source) -> Node:
    return _revised(replace(source, root=filled_in(source.root, registry.secrets(), []))).root


def _is_same(new: Node, old: Node) -> bool:
    """Equal values, and the passes in the same order, which is that of the chain."""
    mine, yours = plain(new), plain(old)
    return mine == yours and _passes(mine) == _passes(yours)


def _passes(tree: JsonValue) -> list[str]:
    passes = tree.get("passes") if isinstance(tree, dict) else None
    return list(passes) if isinstance(passes, dict) else []
