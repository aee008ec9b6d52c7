"""Collecting every problem of a workflow, each with its place, and the nearest valid name."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from pydantic import JsonValue

from olive_engine.config.masking import is_secret, known_forms_masked, without
from olive_engine.config.spelling import (
    Corrections,
    is_old_group,
    key_place,
    likely,
    old_names,
    old_values,
    one_of,
    synonym,
)
from olive_engine.config.spelling import nearest as nearest
from olive_engine.config.tree import Node, find, locate, plain, rename
from olive_engine.config.variables import Unfilled
from olive_engine.errors import ConfigPath, Position, Problem

MAX_PROBLEMS = 200
"""More than anyone reads; keeps absurd files cheap."""
MAX_NAMES = 20
"""How many valid names a message lists."""

_OF_A_SHELL = re.compile(r"\$\{([A-Za-z_]\w*)\}")


class Findings:
    """The problems found so far in the tree under `root`.

    Args:
        root: the tree.
        guessed: keys that were misspelt in the files, and stand in the tree as what was probably meant.
    """

    def __init__(self, root: Node, guessed: Corrections | None = None) -> None:
        self.root = root
        self.more = 0
        self.incomplete: set[ConfigPath] = set()
        """Mappings with a key that is unknown and near to none: what else is missing in them may be what it says."""
        self.unread: set[ConfigPath] = set()
        """Mappings of which a part could not be read at all: nothing can be said to be missing in them."""
        self.corrections: dict[tuple[str, int], str] = {}
        """Misspelt keys of files, and what was probably meant: reading again with these, all else can be judged."""
        self.slips: list[Problem] = []
        """The problems that `corrections` would mend."""
        self._guessed: Corrections = guessed or {}
        self._problems: list[Problem] = []
        self._seen: set[tuple[ConfigPath, bool]] = set()
        self._judged: set[ConfigPath] = set()
        self._disagreements: dict[int, ConfigPath] = {}
        self._renamed: set[ConfigPath] = set()
        self._unknown: dict[tuple[str, str], list[tuple[ConfigPath, str]]] = {}

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All problems, in the order of the files' lines."""
        rest = (Problem((), f"and {self.more} more problems, not shown"),) if self.more else ()
        others = (each for index, each in enumerate(self._problems) if index not in self._disagreements)
        wrong = {problem.path[:length] for problem in others for length in range(len(problem.path))}
        told = [each for index, each in enumerate(self._problems) if self._disagreements.get(index) not in wrong]
        return (*in_line_order(told), *rest)

    @property
    def count(self) -> int:
        """How many problems there are so far."""
        return len(self._problems) + self.more

    @property
    def full(self) -> bool:
        """Whether there are so many that further ones are only counted."""
        return len(self._problems) >= MAX_PROBLEMS

    def add(
        self, path: ConfigPath, what: str, hint: str = "", *, at_key: bool = False, within: ConfigPath | None = None
    ) -> None:
        """Report a problem with the value at `path`, or with its key; of several at one place the first is kept.

        With `within`, it is that the members of that mapping do not agree: no news if one of them is wrong itself.
        """
        node = find(self.root, path)
        if not at_key and (path in self._judged or key_place(node) in self._guessed):
            return
        if not at_key and node is not None and isinstance(node.value, Unfilled):
            return
        if (path, at_key) in self._seen:
            return
        self._seen.add((path, at_key))
        if self.full:
            self.more += 1
            return
        if within is not None:
            self._disagreements[len(self._problems)] = within
        if not at_key and node is not None and isinstance(node.value, str):
            shell = _OF_A_SHELL.search(node.value)
            hint = f"write ${{env:{shell[1]}}} for a variable" if shell else hint
        if node is not None and is_secret(path):
            what, hint = without(what, plain(node)), without(hint, plain(node))
        what, hint = known_forms_masked(what), known_forms_masked(hint)
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
        if name in old_names(path[:-1]) and self._old_value(path):
            return None
        meant, hint = self._meant(path, valid)
        self.add(path, f"unknown {noun} `{name}`", hint or known(valid, f"{noun}s here"), at_key=True)
        if meant is not None and not any(path[:length] in self._renamed for length in range(len(path))):
            self._correct(path, meant)
        if meant is None and not hint:
            self.incomplete.add(path[:-1])
        if meant not in valid:
            return None
        self.root = rename(self.root, path, meant)
        self.judge((*path[:-1], meant))  # the key was our guess: that its value does not fit is no news
        return meant

    def _correct(self, path: ConfigPath, meant: str) -> None:
        """Have the files read again with the key as it was meant: then what is in it can be judged, too."""
        if place := key_place(find(self.root, path)):
            self._renamed.add((*path[:-1], meant))
            self.corrections[place] = meant
            self.slips.append(self._problems[-1])

    def _meant(self, path: ConfigPath, valid: Sequence[str]) -> tuple[str | None, str]:
        """What an unknown key was probably meant to be, if that is not there yet, and the question that asks so."""
        name, node, parent = str(path[-1]), find(self.root, path), find(self.root, path[:-1])
        glued = name.partition(":")[0]
        if glued != name and glued in valid and node is not None and node.value is None:
            return None, f"a blank is missing after `:`: write `{glued}: …`"
        written = parent.value if parent is not None and isinstance(parent.value, Mapping) else {}
        old = old_names(path[:-1])
        other = synonym(name, valid)
        near = (other,) if other is not None else likely(name, [*valid, *(each for each in old if each != name)])
        absent = [each for each in near if each not in written]
        if len(absent) > 1:  # `input` takes one, `inputs` several
            several = node is not None and isinstance(node.value, Mapping | tuple)
            absent = [each for each in absent if each.endswith("s") == several] or absent
        if absent:
            today = f", which is `{new}` today" if (new := old.get(absent[0])) and len(absent) == 1 else ""
            return absent[0], f"did you mean {one_of(absent)}{today}?"
        return None, f"did you mean `{near[0]}`, which is there already?" if near else ""

    def _old_value(self, path: ConfigPath) -> bool:
        """Report an older option whose value is none that it can be read with. Whether that is what is wrong."""
        node, values = find(self.root, path), old_values(path)
        value = plain(node) if node is not None else None
        if values:
            near = likely(value, values) if isinstance(value, str) else ()
            hint = f"did you mean {one_of(near)}?" if near else "it says nothing here: remove it"
            self.add(path, f"must be {one_of(values)}, found {shown(value)}", hint)
        elif is_old_group(path):
            self.add(path, f"expected a mapping, found {shown(value)}", "its members may stand beside it, too")
            self.unread.add(path[:-1])
        return bool(values) or is_old_group(path)

    def unknown_name(self, path: ConfigPath, kind: str, name: str, valid: Iterable[str], *, listed: str) -> None:
        """Report a value that names nothing there is. `listed` introduces the valid names.

        A part of the workflow that many places name is one problem: it may be its definition that is misspelt.
        """
        valid = list(valid)
        places = self._unknown.setdefault((kind, name if valid else ""), [])
        if path[-1:] != ("type",):
            places.append((path, name))
        if len(places) > 1:
            self._repeat(kind, places)
            return
        near = () if self.full else likely(name, [*valid, *old_values(path)])
        hint = f"did you mean {one_of(near)}?" if near else known(valid, listed)
        self.add(path, f"no {kind} is called {shown(name)}", hint)

    def _repeat(self, kind: str, places: Sequence[tuple[ConfigPath, str]]) -> None:
        """Count another place that names what is not there, in the problem for all of them: at the first."""
        paths = [path for path, _ in places]
        for index, problem in enumerate(self._problems):
            if problem.path in paths and problem.what.startswith(f"no {kind} is called "):
                here = replace(problem, path=paths[-1], position=self.locate(paths[-1]))
                names = [shown(name) for name in dict.fromkeys(name for _, name in places)][:MAX_NAMES]
                what = f"no {kind} is called {' or '.join(names)}, named in {len(places)} places"
                self._problems[index] = replace(min(problem, here, key=_line_order), what=what)


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
    """Problems as one meets them in reading; those without a line come last, in the order they were found.

    What is wrong in a part that aliases repeat, or that counts for several others, is one problem.
    """
    kept: dict[object, Problem] = {}
    for number, problem in enumerate(problems):
        written = problem.position is not None and problem.position.line
        kept.setdefault((problem.position, problem.what, problem.severity) if written else number, problem)
    return tuple(sorted(kept.values(), key=_line_order))


def _line_order(problem: Problem) -> tuple[str, float, int]:
    position = problem.position
    if position is None:
        return ("\U0010ffff", math.inf, 0)
    return (position.file, position.line or math.inf, position.column)
