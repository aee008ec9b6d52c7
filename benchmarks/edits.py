"""Whether one mistake is told as one problem: every value of the workflows taken out, and written as another type."""

from __future__ import annotations

import contextlib
import copy
import json
import random
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from benchmarks.report import Machine, Report
from benchmarks.typos import FILES
from olive_engine.config.loader import load
from olive_engine.errors import ConfigPath, Problem, dotted
from olive_engine.reading import read_workflow

OTHERS: tuple[tuple[str, JsonValue], ...] = (
    ("a text", "wrong"),
    ("a number", -7.5),
    ("true", True),
    ("null", None),
    ("a list", [1]),
    ("a mapping", {}),
)
"""What is written in a value's place, where it is not of that type itself."""
EXPECTED: Mapping[tuple[str, str], str] = {
    ("search.yaml", "passes.tune"): "two entries of search_space mean options of this pass: each is told",
    (
        "search.yaml",
        "passes.small[1].precision",
    ): "both values to search are ruled out by it: each is told at its place",
}
"""File and path of edits that rightly give several errors, and why."""


@dataclass(frozen=True, slots=True)
class Edit:
    """One value of a workflow that was taken out, or written as another type."""

    file: Path
    path: ConfigPath
    change: str
    tree: JsonValue
    """The whole workflow with it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What was said about an edit; None: something else than problems came out."""

    edit: Edit
    errors: tuple[Problem, ...] | None
    crash: str = ""

    @property
    def is_wrong(self) -> bool:
        """Whether something else than problems came out, or more errors than one without a reason."""
        expected = (self.edit.file.name, dotted(self.edit.path)) in EXPECTED
        return self.errors is None or (len(self.errors) > 1 and not expected)


def measure(*, quick: bool = False) -> Report:
    """Make the edits, read each file, and count the errors: more than one is a consequence told as a cause."""
    machine = Machine()
    every = [edit for file in FILES for edit in edits(file)]
    answers = judge(random.Random(0).sample(every, len(every) // 10) if quick else every)
    rows = [_row(name, [each for each in answers if each.edit.change == name]) for name in ("nothing", *dict(OTHERS))]
    total = _row("all", answers)
    wrong = [each for each in answers if each.is_wrong]
    rows = [*((*row, "") for row in rows), (*total, f"at most one  {'MISSED' if wrong else 'ok'}")]
    columns = ("value becomes", "edits", "no error", "one error", "more", "crashed", "wanted")
    title = f"Single edits of {len(FILES)} workflows"
    return Report(title, columns, rows, notes=tuple(_described(each) for each in wrong), machine=machine)


def edits(file: Path) -> Iterator[Edit]:
    """Every value of a file taken out, and written as each other type."""
    tree = load(file).tree
    for path, value in _values(tree, ()):
        yield Edit(file, path, "nothing", _without(tree, path))
        for change, other in OTHERS:
            if type(other) is not type(value):
                yield Edit(file, path, change, _with(tree, path, other))


def judge(made: Iterable[Edit]) -> list[Answer]:
    """Read each workflow as a JSON file, where relative paths mean what they do in the file that it came from."""
    answers = []
    with tempfile.TemporaryDirectory() as folder:
        copied = Path(folder) / "workflow.json"
        for edit in made:
            copied.write_text(json.dumps(edit.tree, indent=1), encoding="utf-8")
            try:
                with contextlib.chdir(edit.file.parent):
                    problems = read_workflow([copied]).problems
            except Exception as error:  # noqa: BLE001 - whatever escapes is what is looked for
                answers.append(Answer(edit, None, f"{type(error).__name__}: {error}"))
            else:
                answers.append(Answer(edit, tuple(each for each in problems if each.severity == "error")))
    return answers


def _values(value: JsonValue, path: ConfigPath) -> Iterator[tuple[ConfigPath, JsonValue]]:
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, child in members:
        yield (*path, name), child
        yield from _values(child, (*path, name))


def _with(tree: JsonValue, path: ConfigPath, value: JsonValue) -> JsonValue:
    changed, parent = _parent(tree, path)
    parent[path[-1]] = value
    return changed


def _without(tree: JsonValue, path: ConfigPath) -> JsonValue:
    changed, parent = _parent(tree, path)
    del parent[path[-1]]
    return changed


def _parent(tree: JsonValue, path: ConfigPath) -> tuple[JsonValue, dict[str | int, JsonValue]]:
    """A copy of the tree, and what holds the value at `path` in it: a mapping, or a list that is used like one."""
    changed = copy.deepcopy(tree)
    parent = changed
    for part in path[:-1]:
        parent = parent[part]  # type: ignore[index]  # the path was found in the tree
    return changed, parent  # type: ignore[return-value]  # likewise


def _row(name: str, answers: Sequence[Answer]) -> tuple[str, ...]:
    counts = [-1 if each.errors is None else len(each.errors) for each in answers]
    one, none, crashed = counts.count(1), counts.count(0), counts.count(-1)
    return (name, *map(str, (len(counts), none, one, len(counts) - one - none - crashed, crashed)))


def _described(answer: Answer) -> str:
    edit = answer.edit
    said = answer.crash or " | ".join(str(problem) for problem in answer.errors or ())
    return f"{edit.file.name}: {dotted(edit.path)} becomes {edit.change}: {said}"[:400]
