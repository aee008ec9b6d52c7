"""Where an environment comes from: it is the user's own, or the engine makes it from requirements."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from olive_engine import __version__
from olive_engine.environments import Environments, Hold, interpreter_of
from olive_engine.errors import SystemUnavailable
from olive_engine.own_wheel import TAG, is_checkout
from olive_engine.requirements import DISTRIBUTION
from olive_systems.python_environment.environments import Recipe, known_key, known_packages, own_base, provide
from olive_systems.python_environment.interpreters import (
    Interpreter,
    ask,
    described,
    find_interpreter,
    fingerprint,
    installed,
    remembered,
    require_recent,
)
from olive_systems.python_environment.requirement_lines import asked_for

WHEELS = "wheels"
"""The folder that a message proposes to pack the engine into."""


class Origin(Protocol):
    """An environment that is there, or is to be."""

    @property
    def id(self) -> str:
        """Changes whenever the environment does; empty: it cannot be told before `ready`."""

    def described(self) -> Interpreter | None:
        """Its interpreter, as far as it can be told without starting anything; none: it cannot."""

    def packages(self) -> Mapping[str, str]:
        """The distributions that it holds, or is to hold, and their versions, as far as that can be told."""

    def ready(self, say: Callable[[str], None]) -> Interpreter:
        """Its interpreter, in which jobs can run.

        Raises:
            SystemUnavailable: they cannot.
        """

    def release(self) -> None:
        """Nobody needs it any longer."""


class GivenEnvironment:
    """One of the user's."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._kept = Environments()

    @property
    def id(self) -> str:
        """A digest of what is installed there."""
        found = self.described()
        return fingerprint(found) if found else ""

    def described(self) -> Interpreter | None:
        """By the files around it."""
        try:
            return described(find_interpreter(self._place), self._kept)
        except SystemUnavailable:  # `ready` says why
            return None

    def packages(self) -> Mapping[str, str]:
        """Those that are installed there."""
        found = self.described()
        return installed(found) if found else {}

    def ready(self, say: Callable[[str], None]) -> Interpreter:  # noqa: ARG002 - nothing takes long
        """Look whether it is a Python with an engine."""
        python = find_interpreter(self._place)
        found = described(python, self._kept) or ask(python, self._kept)
        require_recent(found)
        _require_engine(found)
        return found

    def release(self) -> None:
        """It is not ours."""


class MadeEnvironment:
    """One that the engine makes from requirements, and keeps."""

    def __init__(self, requirements: Sequence[str], file: Path | None, python: str | None) -> None:
        self._requirements = requirements
        self._file = file
        self._python = python
        self._kept = Environments()
        self._hold: Hold | None = None
        self._key = ""
        """Of the environment that is held."""

    @property
    def id(self) -> str:
        """The digest of all that it is made from, made or not."""
        if self._hold:
            return self._key  # code of the engine that is edited from now on is not in it
        try:
            base = self._base()
            return known_key(self._recipe(base), self._kept) if base else ""
        except SystemUnavailable:  # `ready` says why
            return ""

    def described(self) -> Interpreter | None:
        """That of the environment, if it is made."""
        key = self.id
        return described(interpreter_of(self._kept.folder(key)), self._kept) if key and self._kept.find(key) else None

    def packages(self) -> Mapping[str, str]:
        """Those that are installed there; before it is made, what its requirements came to."""
        if found := self.described():
            return installed(found)
        try:
            base = self._base()
            return known_packages(self._recipe(base), self._kept) if base else {}
        except SystemUnavailable:  # `ready` says why
            return {}

    def ready(self, say: Callable[[str], None]) -> Interpreter:
        """Make it, if it is not there; it is held until it is released."""
        base = self._base() or ask(_command(self._python or ""), self._kept)
        require_recent(base)
        self.release()
        self._key, self._hold = provide(self._recipe(base), self._kept, say)
        python = interpreter_of(self._kept.folder(self._key))
        return described(python, self._kept) or ask(python, self._kept)

    def release(self) -> None:
        """It may be removed."""
        if self._hold:
            self._hold.release()
            self._hold = None

    def _base(self) -> Interpreter | None:
        """The interpreter that it is made from; none: it has to be asked what it is."""
        return own_base() if self._python is None else remembered(_command(self._python), self._kept)

    def _recipe(self, base: Interpreter) -> Recipe:
        return Recipe(asked_for(self._requirements, self._file), base)


def _command(python: str) -> Path:
    """The interpreter that a command or a path means.

    Raises:
        SystemUnavailable: there is none.
    """
    if os.sep in python or (os.altsep and os.altsep in python):
        return find_interpreter(Path(python))
    if found := shutil.which(python):
        return Path(found)
    raise SystemUnavailable(f"there is no command {python} here; name a Python interpreter by its path")


def _require_engine(found: Interpreter) -> None:
    """Refuse an environment without the engine.

    Raises:
        SystemUnavailable: the sentence has the line that installs it.
    """
    there = installed(found)
    if DISTRIBUTION in there:
        return
    python = shlex.quote(str(found.python))
    pip = f"{python} -m pip install" if "pip" in there else f"uv pip install --python {python}"
    what = f"olive-engine is not installed in {found.python}; install the version that runs here"
    if is_checkout():
        packed = f"{WHEELS}/{DISTRIBUTION.replace('-', '_')}-{__version__}-{TAG}.whl[cpu]"
        raise SystemUnavailable(
            f"{what}, a checkout:\n  olive environments wheel --into {WHEELS}\n  {pip} {shlex.quote(packed)}"
        )
    raise SystemUnavailable(f"{what}: {pip} {shlex.quote(f'{DISTRIBUTION}[cpu]=={__version__}')}")
