"""The two tools that make environments: uv where its command is there, else venv and pip."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from pydantic import BaseModel, ConfigDict

from olive_engine.digests import digest
from olive_engine.environments import ID_LENGTH, Environments, interpreter_of
from olive_engine.errors import SystemUnavailable
from olive_engine.requirements import DISTRIBUTION, canonical
from olive_engine.secrecy import Secrets
from olive_systems.python_environment.index_settings import tool_variables
from olive_systems.python_environment.logins import without_login

FIRST_LINES, LAST_LINES = 3, 6
"""Of what a tool said when it gave up: what it could not do, and why."""
WHOLE = "pip"
"""The kind of note that says that an environment for pip is whole."""
_NAME = re.compile(r"[ =@\[]")


class Installer(Protocol):
    """Finds the packages that requirements come to, makes environments, and installs packages into them."""

    @property
    def name(self) -> str:
        """Of the tool, as users know it."""

    def resolve(self, requirements: Path, constraints: Path) -> tuple[str, ...]:
        """The packages that a requirements file comes to, the engine left out: ``name==version`` or ``name @ url``.

        Raises:
            SystemUnavailable: none fit, or no index can be reached.
        """

    def create(self, folder: Path) -> None:
        """Make an empty environment.

        Raises:
            SystemUnavailable: it cannot be made.
        """

    def install(self, folder: Path, packages: Path) -> None:
        """Install exactly what a requirements file lists.

        Raises:
            SystemUnavailable: something of it cannot be had, or be built.
        """


def installer_for(python: Path, kept: Environments) -> Installer:
    """The tool to use.

    Args:
        python: the interpreter that environments are made from.
        kept: where environments are kept.
    """
    uv = uv_command()
    return Uv(uv, python) if uv else Pip(python, kept)


def uv_command() -> Path | None:
    """The command uv: one that is found as any command, else one beside this interpreter, activated or not."""
    found = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    return Path(found) if found else None


class Uv:
    """uv."""

    name = "uv"

    def __init__(self, command: Path, python: Path) -> None:
        self._command = command
        self._python = python

    def resolve(self, requirements: Path, constraints: Path) -> tuple[str, ...]:
        """``uv pip compile``."""
        found = requirements.with_name("resolved.txt")
        quiet = ("--no-header", "--no-annotate", "--output-file", found)
        sources = ("--python", self._python, "--constraint", constraints, requirements)
        self._call("find versions that fit", "compile", *quiet, *sources)
        lines = (line.strip() for line in found.read_text(encoding="utf-8").splitlines())
        return _pins(line for line in lines if line and not line.startswith(("#", "-")))

    def create(self, folder: Path) -> None:
        """``uv venv``."""
        _run(self.name, "make an environment", [self._command, "venv", "--quiet", "--python", self._python, folder])

    def install(self, folder: Path, packages: Path) -> None:
        """``uv pip install``."""
        self._call("install", "install", "--no-deps", "--python", interpreter_of(folder), "--requirement", packages)

    def _call(self, what: str, command: str, *arguments: str | Path) -> None:
        _run(self.name, what, [self._command, "pip", command, "--quiet", *arguments])


class Pip:
    """venv, and a pip in an environment of its own, which is made once: those that jobs run in have none."""

    name = "pip"

    def __init__(self, python: Path, kept: Environments) -> None:
        self._python = python
        self._kept = kept

    def resolve(self, requirements: Path, constraints: Path) -> tuple[str, ...]:
        """``pip install --dry-run --report``."""
        report = requirements.with_name("report.json")
        dry = ("--dry-run", "--ignore-installed", "--report", report)
        self._call("find versions that fit", "install", *dry, "-r", requirements, "-c", constraints)
        found = _Report.model_validate_json(report.read_bytes())
        return _pins(package.line for package in found.install)

    def create(self, folder: Path) -> None:
        """``python -m venv``."""
        _run("venv", "make an environment", [self._python, "-Im", "venv", "--without-pip", "--clear", folder])

    def install(self, folder: Path, packages: Path) -> None:
        """``pip --python … install``."""
        exactly = ("--no-deps", "--no-compile", "--no-warn-script-location")
        self._call("install", "--python", interpreter_of(folder), "install", *exactly, "-r", packages)

    def _call(self, what: str, *arguments: str | Path) -> None:
        _run(self.name, what, [self._own(), "-Im", "pip", *arguments])

    def _own(self) -> Path:
        """The interpreter that has the pip; its environment is made if it is not whole."""
        real = self._python.resolve()
        name = digest([str(real), real.stat().st_mtime_ns])[:ID_LENGTH]
        folder = self._kept.root / "pip" / name
        python = interpreter_of(folder)
        with self._kept.working_on(folder, lambda: None):
            if self._kept.noted(WHOLE, name) is None or not python.exists():
                self._kept.clear(folder)
                _run("venv", "make an environment for pip", [self._python, "-Im", "venv", folder])
                self._kept.note(WHOLE, name, str(folder))
        return python


def _run(tool: str, what: str, command: Sequence[str | Path]) -> None:
    """Run a tool that says nothing when all is well.

    Raises:
        SystemUnavailable: it failed; the last of what it said is in the message.
    """
    variables = tool_variables()
    with tempfile.TemporaryDirectory(prefix="olive-") as empty:  # no file of the working directory counts
        try:
            done = subprocess.run(
                command,
                cwd=empty,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                check=False,
            )
        except OSError as error:
            raise SystemUnavailable(f"{command[0]} cannot be started: {error.strerror or error}") from None
    if done.returncode:
        said = "".join(f"\n  {line}" for line in _last_words(done.stdout))
        masked = Secrets.among(variables).masked(said)
        raise SystemUnavailable(f"{tool} could not {what} (exit code {done.returncode}):{masked or ' it said nothing'}")


def _last_words(text: str) -> list[str]:
    """The lines that matter of an output: from the first error on, without its middle if that is long."""
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith(("WARNING:", "[notice]", "warning:"))] or lines
    first = next((index for index, line in enumerate(lines) if line.strip().lower().startswith("error:")), 0)
    end = next((index for index, line in enumerate(lines) if line.strip() == "[end of output]"), len(lines))
    said = lines[first : max(end, first + 1)]
    return said if len(said) <= FIRST_LINES + LAST_LINES else [*said[:FIRST_LINES], "…", *said[-LAST_LINES:]]


def _pins(lines: Iterable[str]) -> tuple[str, ...]:
    """The packages in order, without the engine, and without logins: these stay where the user put them."""
    pins = {without_login(line) for line in lines}
    return tuple(sorted(pin for pin in pins if _NAME.split(pin, maxsplit=1)[0] != DISTRIBUTION))


class _Info(BaseModel):
    """Where pip would get a package from."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    url: str
    subdirectory: str = ""
    vcs_info: dict[str, str] = {}
    archive_info: dict[str, object] = {}


class _Metadata(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    version: str


class _Package(BaseModel):
    """A package in pip's report."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    download_info: _Info
    is_direct: bool
    metadata: _Metadata

    @property
    def line(self) -> str:
        """What installs exactly it."""
        name, info = canonical(self.metadata.name), self.download_info
        if not self.is_direct:
            return f"{name}=={self.metadata.version}"
        fragment = [f"subdirectory={info.subdirectory}"] if info.subdirectory else []
        if commit := info.vcs_info.get("commit_id"):
            url = f"{info.vcs_info['vcs']}+{info.url}@{commit}"
        else:
            url = info.url
            hashed = str(info.archive_info.get("hash", ""))
            fragment += [hashed] if hashed.startswith("sha256=") else []
        return f"{name} @ {url}{'#' if fragment else ''}{'&'.join(fragment)}"


class _Report(BaseModel):
    """What ``pip install --report`` writes, as far as it is read."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    install: tuple[_Package, ...]
