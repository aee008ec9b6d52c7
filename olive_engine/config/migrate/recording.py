"""What the rules do to a file, with what each edit is for."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace

from pydantic import JsonValue

from olive_engine import registry
from olive_engine.config.legacy import PLANNED, Edit, Put, Remove, Revision
from olive_engine.config.migrate.replay import Step
from olive_engine.config.parse import MODELS
from olive_engine.config.tree import Node
from olive_engine.config.variables import REFERENCE
from olive_engine.errors import ConfigPath, Problem

_KINDS: Mapping[str, Callable[[str], object]] = {
    "input_model": lambda name: next((cls for known, cls in MODELS.items() if known.lower() == name.lower()), None),
    "systems": lambda name: registry.find_system(name),
    "passes": lambda name: registry.find_pass(name),
}


class Recording(Revision):
    """A revision that knows which edits only take something aside that stays in the file, and whence values come.

    What cannot be had yet, or was refused, stays: rules report it, and then take it out of the tree before they note
    anything else. Nor is anything lost that is said of a model, system or pass of a kind that is not there, or that is
    the value of a variable.
    """

    def __init__(self, root: Node, name: str) -> None:
        super().__init__(root, (name,))
        self._steps: list[Step] = []
        self._noted: list[int] = []
        self._lost: list[set[str]] = []
        self._aside: list[ConfigPath] = []
        self._source: ConfigPath | None = None

    @property
    def is_whole(self) -> bool:
        """Whether this is a workflow by itself, and not only what is laid over another file."""
        return self.has(("input_model",))

    @property
    def steps(self) -> list[Step]:
        """Everything that was done, in order."""
        left = _references(self.value(()))
        return [
            replace(step, is_kept=True) if not lost <= left or self._is_foreign(step) else step
            for step, lost in zip(self._steps, self._lost, strict=True)
        ]

    @property
    def told(self) -> tuple[Problem, ...]:
        """What is to be told of the changes that are made."""
        steps = list(zip(self._noted, self.steps, strict=True))
        kept = {index for index, step in steps if step.is_kept} - {index for index, step in steps if not step.is_kept}
        return tuple(notice for index, notice in enumerate(self.notices) if index not in kept)

    def note(self, path: ConfigPath, text: str, at: ConfigPath | None = None) -> None:
        """Tell that something is read as something else."""
        self._aside = []
        super().note(path, text, at)

    def refuse(self, path: ConfigPath, what: str, hint: str = "", *, at_value: bool = False) -> None:
        """Report what cannot be read as anything here."""
        self._aside.append(path)
        super().refuse(path, what, hint, at_value=at_value)

    def lack(
        self, path: ConfigPath, what: str, name: JsonValue, at: ConfigPath | None = None, *, hint: str = PLANNED
    ) -> None:
        """Report what is right and cannot be had yet."""
        self._aside.append(path)
        super().lack(path, what, name, at, hint=hint)

    def put(self, path: ConfigPath, value: JsonValue, at: ConfigPath | None = None) -> None:
        """Write a value, which may have been taken from `at`."""
        self._source = at
        super().put(path, value, at)
        self._source = None

    def _do(self, edit: Edit, source: Node | None = None) -> None:
        before, old = len(self.edits), self.value(edit.path) if isinstance(edit, Put | Remove) else None
        super()._do(edit, source)
        if len(self.edits) > before:
            kept = isinstance(edit, Put | Remove) and any(
                edit.path == aside[: len(edit.path)] or edit.path[:-1] == aside[:-1] for aside in self._aside
            )
            said = _references(edit.value if isinstance(edit, Put) else None)
            self._lost.append(_references(old) - said if isinstance(old, str) else set())
            self._steps.append(Step(edit, self._source, is_kept=kept, is_empty=old == {}))
            self._noted.append(len(self.notices) - 1)

    def _is_foreign(self, step: Step) -> bool:
        """Whether an edit takes out what is said of a thing that is not there, or puts what stands for it in a plan."""
        if isinstance(step.edit, Put):
            return step.edit.path[:1] == ("evaluators",) and step.edit.path in self.lacks
        if not isinstance(step.edit, Remove) or step.is_empty or step.edit.path[0] not in _KINDS:
            return False
        if any(each.source == step.edit.path for each in self._steps):
            return False  # it stands elsewhere now
        path = step.edit.path
        is_alternative = len(path) > 2 and isinstance(path[2], int)
        thing = path[: 1 if path[0] == "input_model" else 3 if is_alternative else 2]
        kind = self.value((*thing, "type"))
        return len(path) > len(thing) and isinstance(kind, str) and _KINDS[str(path[0])](kind) is None


def _references(value: JsonValue) -> set[str]:
    """The references to variables in a value."""
    return {match[0] for match in REFERENCE.finditer(json.dumps(value, ensure_ascii=False))}
