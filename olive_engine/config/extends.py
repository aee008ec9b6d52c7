"""``extends: base.yaml``: a workflow file that begins with what others say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from olive_engine.config.findings import shown
from olive_engine.config.loader import load
from olive_engine.config.tree import Node, Source, plain
from olive_engine.config.variables import filled_in
from olive_engine.errors import InvalidWorkflow, Problem

KEY = "extends"
MAX_FILES = 50
"""More files than any workflow is made of."""


def with_bases(path: Path) -> list[Source]:
    """The file, after all that it extends; a later one counts over an earlier one.

    Raises:
        InvalidWorkflow: a file cannot be read, or files extend each other in a circle.
    """
    found: list[Source] = []
    _load(path, (), found)
    return found


def _load(path: Path, above: tuple[Path, ...], found: list[Source]) -> None:
    source = load(path)
    members = source.root.value
    node = members.get(KEY) if isinstance(members, Mapping) else None
    if node is None or not isinstance(members, Mapping):
        found.append(source)
        return
    chain = (*above, path.resolve())
    for name in _names(node):
        base = _file(name, path)
        if base.resolve() in chain:
            circle = " -> ".join(each.name for each in (*chain, base))
            raise _invalid(name, f"the files extend each other in a circle: {circle}")
        if len(found) >= MAX_FILES:
            raise _invalid(name, f"more than {MAX_FILES} files are extended")
        _load(base, chain, found)
    rest = {name: child for name, child in members.items() if name != KEY}
    found.append(Source(source.text, replace(source.root, value=rest)))


def _names(node: Node) -> tuple[Node, ...]:
    problems: list[Problem] = []
    filled = filled_in(node, (), problems)
    if problems:
        raise InvalidWorkflow(tuple(replace(problem, path=(KEY, *problem.path)) for problem in problems))
    names = filled.value if isinstance(filled.value, tuple) else (filled,)
    wrong = next((name for name in names if not isinstance(name.value, str) or not name.value), None)
    if not names or wrong is not None:
        found = shown(plain(wrong)) if wrong is not None else "an empty list"
        raise _invalid(
            wrong or node, f"expected a file name or a list of them, found {found}", "e.g. extends: base.yaml"
        )
    return names


def _file(name: Node, path: Path) -> Path:
    """The file of that name, relative to the one at `path` that says it."""
    try:
        base = path.parent / Path(str(name.value)).expanduser()
        if base.is_file():
            return base
        what = "a folder, not a file" if base.is_dir() else "no such file"
    except (OSError, RuntimeError, ValueError):  # a name too long, a home that nobody has, a null character
        what = "no such file"
    raise _invalid(name, f"{what}: {shown(str(name.value))}", f"it is looked for beside {path.name}")


def _invalid(node: Node, what: str, hint: str = "") -> InvalidWorkflow:
    return InvalidWorkflow((Problem((KEY,), what, hint, node.position),))
