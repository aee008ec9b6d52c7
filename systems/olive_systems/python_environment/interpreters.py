"""Python interpreters of this machine: found in a path, described without a start, told apart by what they hold."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from olive_engine.digests import LEFT_OUT, digest
from olive_engine.environments import Environments
from olive_engine.errors import SystemUnavailable
from olive_engine.requirements import canonical
from olive_systems.python_environment.index_settings import tool_variables

OLDEST = (3, 11)
PATIENCE = 60.0
"""Seconds that an interpreter may take to say what it is."""
ANSWERS = "interpreters"
"""The kind of note that says what an interpreter is."""
_BINARIES = ("Scripts", "bin")
_NAMES = ("python.exe",) if os.name == "nt" else ("python", "python3")
_QUESTION = """\
import json, platform, sys, sysconfig
version = ".".join(map(str, sys.version_info[:3]))
json.dump({"version": version, "kind": sys.implementation.name, "platform": sysconfig.get_platform(), "path": sys.path},
          sys.stdout)
"""


class Interpreter(BaseModel):
    """What an interpreter is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    python: Path
    """What is started; a link stays one, for it says which environment is meant."""
    version: str
    kind: str = "cpython"
    platform: str = ""
    """As `sysconfig` names it; empty: not asked."""
    path: tuple[Path, ...] = ()
    """The folders that it imports from; those that files in them add are not listed."""


def find_interpreter(place: Path) -> Path:
    """The interpreter that a path means: itself, one in its folder of programs, or one in an environment's folder.

    Raises:
        SystemUnavailable: there is none, or it cannot be executed.
    """
    place = place.expanduser().absolute()
    if place.is_dir():
        folders = (place, *(place / name for name in _BINARIES))
        found = next((path for folder in folders for name in _NAMES if (path := folder / name).is_file()), None)
        if found is None:
            raise SystemUnavailable(
                f"there is no Python interpreter in {place}; name an environment's folder, its bin folder (on Windows "
                "Scripts), or the interpreter itself"
            )
        place = found
    elif not place.exists():
        broken = " (it is a link to what has gone)" if place.is_symlink() else ""
        raise SystemUnavailable(f"{place} does not exist{broken}; make the environment, or correct its path")
    if not os.access(place, os.X_OK):
        raise SystemUnavailable(f"{place} cannot be executed; name a Python interpreter, or the folder of one")
    return place


def described(python: Path, kept: Environments) -> Interpreter | None:
    """What an interpreter is, by the files around it, or by what it said before; it is not started. None: unknown.

    Args:
        python: as `find_interpreter` gives it.
        kept: where answers are remembered.
    """
    return _by_layout(python) or remembered(python, kept)


def remembered(python: Path, kept: Environments) -> Interpreter | None:
    """What an interpreter said of itself before, as long as it is the same; none: it never did."""
    said = kept.noted(ANSWERS, _identity(python))
    if said is None:
        return None
    try:
        return Interpreter.model_validate_json(said)
    except ValidationError:
        return None


def ask(python: Path, kept: Environments) -> Interpreter:
    """Have an interpreter say what it is, and remember it.

    Raises:
        SystemUnavailable: it is no Python.
    """
    try:
        done = subprocess.run(
            [str(python), "-I", "-c", _QUESTION],
            env=tool_variables(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PATIENCE,
            check=False,
        )
        told = json.loads(done.stdout)
        found = Interpreter(python=python, **told)
    except OSError as error:
        raise SystemUnavailable(f"{python} cannot be started: {error.strerror or error}") from None
    except subprocess.TimeoutExpired:
        raise SystemUnavailable(f"{python} did not answer within {PATIENCE:.0f} seconds; is it a Python?") from None
    except (ValueError, TypeError):
        raise SystemUnavailable(f"{python} is no Python interpreter that works: it did not say its version") from None
    kept.note(ANSWERS, _identity(python), found.model_dump_json())
    return found


def require_recent(found: Interpreter) -> None:
    """Refuse an interpreter that the engine does not run on.

    Raises:
        SystemUnavailable: it is too old.
    """
    numbers = tuple(int(number) for number in found.version.split(".")[:2])
    if numbers < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise SystemUnavailable(f"{found.python} is Python {found.version}; olive-engine needs {oldest} or newer")


def installed(found: Interpreter) -> dict[str, str]:
    """The distributions that an interpreter has and their versions, by the names of their folders."""
    names = [entry.name for folder in _folders(found) for entry in _entries(folder)]
    pairs = (_DIST_INFO.fullmatch(name) for name in reversed(names))  # of two, the one that Python meets first counts
    return {canonical(match["name"]): match["version"] for match in pairs if match}


def activation(python: Path, variables: Mapping[str, str], first: Sequence[str] = ()) -> dict[str, str]:
    """A process's variables with an environment activated: its programs come first, and no packages but its own.

    Args:
        python: its interpreter.
        variables: what the process has else.
        first: folders of programs that come before those of the environment.
    """
    root = _root(python)
    is_conda = (root / "conda-meta").is_dir()
    folders = [*first, str(python.parent)]
    if is_conda and os.name == "nt":
        folders += [str(root / "Library" / "bin"), str(root / "Scripts")]
    kept = {name: value for name, value in variables.items() if name not in ("CONDA_PREFIX", "VIRTUAL_ENV")}
    return {
        **kept,
        "CONDA_PREFIX" if is_conda else "VIRTUAL_ENV": str(root),
        "PATH": os.pathsep.join(folders + [kept["PATH"]] * ("PATH" in kept)),
        "PYTHONNOUSERSITE": "1",
    }


def fingerprint(found: Interpreter) -> str:
    """A digest that changes whenever something is installed, removed, replaced, or edited where it was installed from.

    Read from the listing of its folders; no package is opened. What an editable installation points at counts file by
    file, by size and time.
    """
    real = found.python.resolve()
    parts: list[JsonValue] = [str(found.python), str(real), *_stat(real), found.version, found.kind]
    for folder in _folders(found):
        for entry in _entries(folder):
            parts.append([str(entry), *_stat(entry), *_stat(entry / "RECORD")])
            if source := _editable(entry):
                parts += [[str(path), *_stat(path)] for path in _sources(source)]
    conda = _root(found.python) / "conda-meta"
    parts += [[path.name, *_stat(path)] for path in sorted(conda.glob("*.json"))]
    return digest(parts)


# --- what files tell ----------------------------------------------------------------------------------------------

_DIST_INFO = re.compile(r"(?P<name>.+?)-(?P<version>[^-]+)\.dist-info")
_VERSION = re.compile(r"\d+\.\d+\.\d+")


def _root(python: Path) -> Path:
    return python.parent.parent if python.parent.name in _BINARIES else python.parent


def _by_layout(python: Path) -> Interpreter | None:
    """A virtual environment that sees no packages but its own, or a conda environment: both say their version."""
    root = _root(python)
    settings = _settings(root / "pyvenv.cfg")
    if settings:
        if settings.get("include-system-site-packages", "false").lower() != "false":
            return None
        written = settings.get("version") or settings.get("version_info") or ""
    else:
        written = next((path.name for path in sorted((root / "conda-meta").glob("python-3*.json"))), "")
    version = _VERSION.search(written)
    if version is None:
        return None
    minor = version[0].rpartition(".")[0]
    site = root / "Lib" / "site-packages" if os.name == "nt" else root / "lib" / f"python{minor}" / "site-packages"
    return Interpreter(python=python, version=version[0], path=(site,)) if site.is_dir() else None


def _settings(file: Path) -> dict[str, str]:
    """The lines ``name = value`` of a file; none where there is no such file."""
    try:
        pairs = (line.partition("=") for line in file.read_text(encoding="utf-8").splitlines())
    except (OSError, UnicodeDecodeError):
        return {}
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _identity(python: Path) -> str:
    """Changes when an interpreter is another, though its path is the same."""
    real = python.resolve()
    return digest([str(python), str(real), *_stat(real), *_stat(_root(python) / "pyvenv.cfg")])


def _folders(found: Interpreter) -> list[Path]:
    """The folders that it imports from, with those that ``.pth`` files in them add."""
    folders: dict[Path, None] = {}
    waiting = list(found.path)
    while waiting:
        folder = waiting.pop(0)
        if folder in folders or not folder.is_dir():
            continue
        folders[folder] = None
        waiting += [folder / line for path in sorted(folder.glob("*.pth")) for line in _lines(path)]
    return list(folders)


def _lines(pth: Path) -> Sequence[str]:
    """The folders that a ``.pth`` file names."""
    try:
        lines = pth.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return ()
    return [line.strip() for line in lines if line.strip() and not line.startswith(("#", "import ", "import\t"))]


def _entries(folder: Path) -> list[Path]:
    """What in a folder says that something is installed."""
    endings = (".dist-info", ".egg-info", ".egg-link", ".pth")
    return sorted(path for path in folder.iterdir() if path.name.endswith(endings))


def _editable(entry: Path) -> Path | None:
    """The folder that an editable installation points at."""
    if entry.suffix == ".egg-link":  # as setuptools made them once
        return Path(entry.read_text(encoding="utf-8").partition("\n")[0])
    try:
        said = json.loads((entry / "direct_url.json").read_bytes())
    except (OSError, ValueError):
        return None
    if not (isinstance(said, dict) and said.get("dir_info", {}).get("editable")):
        return None
    return Path(unquote(urlsplit(str(said.get("url"))).path))


def _sources(project: Path) -> Iterator[Path]:
    """The Python files of a project, and what lies beside them in its packages; hidden folders are left out."""
    for folder, folders, names in os.walk(project):
        here = Path(folder)
        is_package = here != project and any(name.endswith(".py") for name in names)
        folders[:] = sorted(
            name
            for name in folders
            if name not in LEFT_OUT and not name.startswith(".") and not (here / name / "pyvenv.cfg").exists()
        )
        yield from (here / name for name in sorted(names) if is_package or name.endswith(".py"))


def _stat(path: Path) -> tuple[int, int]:
    """Size and time of change; zeros where there is no such file. A folder's size says nothing."""
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return (0 if path.is_dir() else found.st_size), found.st_mtime_ns
