"""Environments that the engine makes from requirements, and keeps: requirements -> packages -> key -> a folder.

What requirements came to is remembered, so that a plan, and every run after the first, asks no index.
"""

from __future__ import annotations

import json
import os
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from functools import cached_property
from pathlib import Path
from typing import cast

from pydantic import JsonValue

from olive_engine.digests import digest
from olive_engine.environments import RESOLVED, Environments, Hold, Made
from olive_engine.errors import SystemUnavailable
from olive_engine.own_wheel import build_wheel, own_requirements, wheel_digest
from olive_engine.requirements import DISTRIBUTION, canonical
from olive_engine.secrecy import Secrets
from olive_systems.python_environment.installers import Installer, installer_for
from olive_systems.python_environment.interpreters import Interpreter
from olive_systems.python_environment.logins import with_logins
from olive_systems.python_environment.requirement_lines import Asked


@dataclass(frozen=True)
class Recipe:
    """What an environment is made from."""

    asked: Asked
    base: Interpreter
    """The interpreter that it is made from, with its platform told."""

    @cached_property
    def request(self) -> str:
        """What its packages are remembered under: all that decides which they are, but the time."""
        asked = [list(part) for part in astuple(self.asked)]
        engine = list(own_requirements())
        return digest(cast(JsonValue, {"asked": asked, "engine": engine, "python": self._python}))

    def key(self, packages: Sequence[str]) -> str:
        """The digest of all that it is made from, the engine's own code included."""
        sources: list[JsonValue] = list(self.asked.sources)
        return digest({"packages": list(packages), "sources": sources, "python": self._python, "engine": self.engine})

    @cached_property
    def engine(self) -> str:
        """The digest of the engine's own code."""
        return wheel_digest()

    @cached_property
    def _python(self) -> list[JsonValue]:
        return [self.base.kind, self.base.version, self.base.platform]


def own_base() -> Interpreter:
    """The interpreter that the environment of this one was made from; itself, if it is in none."""
    python = Path(getattr(sys, "_base_executable", None) or sys.executable)
    version = ".".join(str(part) for part in sys.version_info[:3])
    return Interpreter(python=python, version=version, kind=sys.implementation.name, platform=sysconfig.get_platform())


def known_key(recipe: Recipe, kept: Environments) -> str:
    """The key of a recipe's environment, made or not; empty: what its requirements come to is not known yet."""
    packages = _known_packages(recipe, kept)
    return "" if packages is None else recipe.key(packages)


def known_packages(recipe: Recipe, kept: Environments) -> dict[str, str]:
    """The versions that a recipe's requirements came to, by name; what comes from a URL is left out."""
    pins = (package.partition("==") for package in _known_packages(recipe, kept) or ())
    return {canonical(name): version for name, equal, version in pins if equal}


def provide(recipe: Recipe, kept: Environments, say: Callable[[str], None]) -> tuple[str, Hold]:
    """The environment of a recipe, made if it is not whole; gives its key, and what keeps it from being removed.

    Only one process makes it; others wait.

    Args:
        recipe: what it is made from.
        kept: where environments are kept.
        say: tells the user what is being done.

    Raises:
        SystemUnavailable: it cannot be made; the sentence has the last that pip or uv said.
    """
    packages = _known_packages(recipe, kept)
    if packages is None:
        installer = installer_for(recipe.base.python, kept)
        say(f"finding the packages that its requirements come to, with {installer.name}")
        packages = _resolve(recipe.asked, installer)
        kept.note(RESOLVED, recipe.request, json.dumps(packages))
    key = recipe.key(packages)
    folder = kept.folder(key)
    with kept.working_on(folder, lambda: say("waiting for another run, which makes the same environment")):
        if kept.find(key) is None:
            installer = installer_for(recipe.base.python, kept)
            say(f"making an environment of {len(packages)} packages with {installer.name}")
            started = time.monotonic()
            kept.clear(folder)  # of what a crash has left
            _make(recipe, packages, installer, folder)
            kept.finish(
                Made(
                    key=key,
                    request=recipe.request,
                    python=recipe.base.version,
                    requirements=_shown(recipe.asked),
                    packages=packages,
                    installer=installer.name,
                    made=time.time(),
                )
            )
            say(f"made its environment in {time.monotonic() - started:.1f} s: {folder}")
        return key, kept.hold(key)


def _known_packages(recipe: Recipe, kept: Environments) -> tuple[str, ...] | None:
    noted = kept.noted(RESOLVED, recipe.request)
    return None if noted is None else tuple(json.loads(noted))


def _resolve(asked: Asked, installer: Installer) -> tuple[str, ...]:
    """What the requirements come to, together with those of the engine."""
    with tempfile.TemporaryDirectory(prefix="olive-") as scratch:
        wanted, constraints = Path(scratch) / "requirements.txt", Path(scratch) / "constraints.txt"
        _write(wanted, [*asked.options, *asked.requirements, _own(Path(scratch), asked.extras)])
        _write(constraints, asked.constraints)
        return installer.resolve(wanted, constraints)


def _make(recipe: Recipe, packages: Sequence[str], installer: Installer, folder: Path) -> None:
    installer.create(folder)
    with tempfile.TemporaryDirectory(prefix="olive-") as scratch:
        listed = Path(scratch) / "packages.txt"
        asked = (*recipe.asked.requirements, *recipe.asked.constraints)
        _write(listed, [*recipe.asked.options, *with_logins(packages, asked), _own(Path(scratch))])
        installer.install(folder, listed)
    if wheel_digest() != recipe.engine:
        raise SystemUnavailable("the code of olive-engine was edited while it was packed for an environment; try again")


def _own(scratch: Path, extras: Sequence[str] = ()) -> str:
    """The running engine as a requirement."""
    return f"{DISTRIBUTION}{_bracketed(extras)} @ {build_wheel(scratch).as_uri()}"


def _write(path: Path, lines: Sequence[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _bracketed(extras: Sequence[str]) -> str:
    return f"[{','.join(extras)}]" if extras else ""


def _shown(asked: Asked) -> tuple[str, ...]:
    """What was asked for, as it is listed."""
    own = [f"{DISTRIBUTION}{_bracketed(asked.extras)}"] if asked.extras else []
    secrets = Secrets.among(os.environ)
    return tuple(secrets.masked(line) for line in (*own, *asked.requirements))
