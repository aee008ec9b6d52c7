"""Collecting every problem of a workflow, each with its place, and the nearest valid name."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from difflib import get_close_matches

from pydantic import JsonValue

from olive_engine.config.tree import Node, find, locate, rename
from olive_engine.errors import ConfigPath, Position, Problem

MAX_PROBLEMS = 200
"""More than anyone reads; keeps absurd files cheap."""
MAX_NAMES = 20
"""How many valid names a message lists."""


class Findings:
    """The problems found so far in the tree under `root`."""

    def __init__(self, root: Node) -> None:
        self.root = root
        self.more = 0
        self.incomplete: set[ConfigPath] = set()
        """Mappings with a key that is unknown and near to none: what else is missing in them may be what it says."""
        self._problems: list[Problem] = []
        self._seen: set[tuple[ConfigPath, bool]] = set()
        self._judged: set[ConfigPath] = set()

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All problems, in the order of the files' lines."""
        rest = (Problem((), f"and {self.more} more problems, not shown"),) if self.more else ()
        return (*in_line_order(self._problems), *rest)

    @property
    def count(self) -> int:
        """How many problems there are so far."""
        return len(self._problems) + self.more

    @property
    def full(self) -> bool:
        """Whether there are so many that further ones are only counted."""
        return len(self._problems) >= MAX_PROBLEMS

    def add(self, path: ConfigPath, what: str, hint: str = "", *, at_key: bool = False) -> None:
        """Report a problem with the value at `path`, or with its key; of several at one place the first is kept."""
        if not at_key and path in self._judged:
            return
        if (path, at_key) in self._seen:
            return
        self._seen.add((path, at_key))
        if self.full:
            self.more += 1
            return
        self._problems.append(Problem(path, what, hint, self.locate(path, at_key=at_key)))

    def judge(self, path: ConfigPath) -> None:
        """Take the value at `path` as judged: further problems with it would only follow from one that is reported."""
        self._judged.add(path)

    def locate(self, path: ConfigPath, *, at_key: bool = False) -> Position | None:
        """Where the value at `path` stands, or else its nearest ancestor."""
        return locate(self.root, path, key=at_key)

    def unknown_key(self, path: ConfigPath, valid: Iterable[str], noun: str = "option") -> str | None:
        """Report an unknown key. If a valid one is near, go on as if it had been written, and return it."""
        if self.full:
            self.more += 1
            return None
        valid, name = list(valid), str(path[-1])
        parent = find(self.root, path[:-1])
        written = parent.value if parent is not None and isinstance(parent.value, Mapping) else {}
        absent = [each for each in valid if each not in written]
        near, twin = nearest(name, absent), nearest(name, valid)
        hint = f"did you mean `{near}`?" if near else known(valid, f"{noun}s here")
        if twin is not None and twin in written:  # the nearest of all is written: another is no good guess
            near, hint = None, ""
        if near is None and twin is not None:
            hint = f"did you mean `{twin}`, which is there already?"
        self.add(path, f"unknown {noun} `{name}`", hint, at_key=True)
        if near is None and twin is None:
            self.incomplete.add(path[:-1])
        elif near is not None:
            self.root = rename(self.root, path, near)
            self.judge((*path[:-1], near))  # the key was our guess: that its value does not fit is no news
        return near

    def unknown_name(self, path: ConfigPath, kind: str, name: str, valid: Iterable[str], *, listed: str) -> None:
        """Report a value that names nothing there is. `listed` introduces the list of valid names."""
        valid = list(valid)
        near = None if self.full else nearest(name, valid)
        hint = f"did you mean `{near}`?" if near else known(valid, listed)
        self.add(path, f"no {kind} is called {shown(name)}", hint)


def nearest(name: str, valid: Iterable[str]) -> str | None:
    """The valid name that `name` is most likely a slip of, if any is near."""
    if len(name) > 100:  # longer is no slip, and comparing would be slow
        return None
    folded = {each.lower(): each for each in valid}
    matches = get_close_matches(name.lower(), folded, n=1)
    return folded[matches[0]] if matches else None


def known(valid: Iterable[str], listed: str) -> str:
    """A list of valid names for a hint: `listed: a, b, c`."""
    names = list(valid)
    if not names:
        return f"{listed}: none"
    rest = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return f"{listed}: {', '.join(names[:MAX_NAMES])}{rest}"


def shown(value: JsonValue | object) -> str:
    """A found value in a message: short, on one line, spelt as in a file."""
    if value is None:
        return "nothing (null)"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return repr(value if len(value) <= 60 else value[:57] + "…")
    if isinstance(value, list | tuple):
        return "a list"
    return "a mapping" if isinstance(value, dict) else repr(value)


def in_line_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Problems as one meets them in reading; those without a line come last, in the order they were found."""
    return tuple(sorted(problems, key=_line_order))


def _line_order(problem: Problem) -> tuple[str, float, int]:
    position = problem.position
    if position is None:
        return ("\U0010ffff", math.inf, 0)
    return (position.file, position.line or math.inf, position.column)
