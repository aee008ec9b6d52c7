"""What an environment is to hold, as pip and uv read it: requirement lines and files, laid flat."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, cast
from urllib.parse import unquote, urlsplit

from pydantic import JsonValue

from olive_engine import __version__
from olive_engine.digests import digest, file_digest
from olive_engine.errors import SystemUnavailable
from olive_engine.requirements import DISTRIBUTION, canonical
from olive_systems.python_environment.logins import without_login

if TYPE_CHECKING:
    from packaging.requirements import Requirement

OPTIONS = (
    *("-i", "--index-url", "--extra-index-url", "-f", "--find-links", "--no-index", "--trusted-host"),
    *("--pre", "--prefer-binary", "--no-binary", "--only-binary"),
)
"""Options that a line may hold: where packages come from, and which of them will do."""
_FILES = {"-r": "-r", "--requirement": "-r", "-c": "-c", "--constraint": "-c"}
_URL = re.compile(r"[a-z][a-z0-9+]*://")
_COMMENT = re.compile(r"(^|\s)#.*$")
_ARCHIVES = (".whl", ".zip", ".tar.gz", ".tar.bz2")
_FOUND = (*_ARCHIVES, ".tgz", ".tar", ".tar.xz", ".tbz", ".html", ".htm")
"""What pip and uv look at in a folder of `--find-links`."""
_A_WHEEL = "my_tool-1.0-py3-none-any.whl or my_tool-1.0.tar.gz"
_WHEEL = re.compile(r"(?P<name>[A-Za-z0-9._]+?)-[^-]+(-[^-]+){3,4}\.whl")
_SOURCE = re.compile(r"(?P<name>[A-Za-z0-9._-]+)-[^-]+\.(zip|tar\.gz|tar\.bz2)")


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked for, in lines that need no folder to be understood."""

    requirements: tuple[str, ...] = ()
    """Each by name and bounds, or by name and URL; a file of this machine with the digest of its contents."""
    constraints: tuple[str, ...] = ()
    """Versions that will do, of what something else may ask for."""
    options: tuple[str, ...] = ()
    """Where packages come from."""
    extras: tuple[str, ...] = ()
    """Of the engine, which is in every environment and is not among the requirements."""
    sources: tuple[str, ...] = ()
    """The options as they count: without logins, a folder of this machine by the files in it that can be installed."""


def asked_for(requirements: Sequence[str], file: Path | None) -> Asked:
    """Lay requirements flat.

    Args:
        requirements: lines as in a requirements file.
        file: a requirements file; files that it names are read too.

    Raises:
        SystemUnavailable: a file cannot be read, or a line asks for what no list of versions can hold.
    """
    found: dict[str, list[str]] = {"-r": [], "-c": [], "option": []}
    for line in _flat(requirements, file):
        if line.fault:
            raise SystemUnavailable(line.fault)
        found[line.kind].append(line.text if line.kind == "option" else _requirement(line.text))
    extras = {extra for line in found["-r"] for extra in _own_extras(line) or ()}
    others = (line for line in found["-r"] if _own_extras(line) is None)
    sources = (_source(line) for line in found["option"])
    return Asked(
        tuple(others), tuple(found["-c"]), tuple(found["option"]), tuple(sorted(extras)), sources=tuple(sources)
    )


def faults(requirements: Sequence[str], file: Path | None) -> Iterator[str]:
    """All that speaks against requirements on this machine, told by their text and by which files are here."""
    for line in _flat(requirements, file):
        if fault := line.fault or (line.kind != "option" and _unreadable(line.text)):
            yield fault


def fault_of(line: str) -> str:
    """What is wrong with a line, as far as it can be told without looking at this machine; empty: nothing."""
    from packaging.requirements import InvalidRequirement, Requirement

    text = _COMMENT.sub("", line).strip()
    option, _ = _split(text)
    if not text or option in _FILES or option in OPTIONS:
        return ""
    if fault := _unheld(text, option):
        return fault
    if _is_place(text) or _URL.match(text):
        return ""
    try:
        Requirement(text)
    except InvalidRequirement as error:
        return f"`{line}` is no requirement as pip takes it, such as `numpy>=2`: {str(error).splitlines()[0]}"
    return ""


@dataclass(frozen=True, slots=True)
class _Line:
    """A line that says something."""

    kind: str
    """``-r``, a requirement; ``-c``, a constraint; ``option``."""
    text: str
    fault: str = ""
    """Why it cannot be used."""


def _own_extras(line: str) -> set[str] | None:
    """The extras of a requirement that asks for the engine itself; none: it asks for something else."""
    asked = _own(line)
    return None if asked is None else {canonical(extra) for extra in asked.extras}


def _own(line: str) -> Requirement | None:
    """A requirement that asks for the engine itself; none: it asks for something else."""
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        asked = Requirement(line)
    except InvalidRequirement:
        return None  # a URL alone
    return asked if canonical(asked.name) == DISTRIBUTION else None


def _flat(requirements: Sequence[str], file: Path | None) -> Iterator[_Line]:
    """Each line that says something, those of files in their place."""
    yield from _sorted(requirements, None, ())
    if file:
        yield from _from_file(file, "-r", ())


def _from_file(path: Path, kind: str, above: tuple[Path, ...]) -> Iterator[_Line]:
    path = path.expanduser().absolute()
    if path in above:
        yield _Line(kind, str(path), f"the requirements file {path} includes itself")
        return
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        yield _Line(kind, str(path), f"the requirements file {path} cannot be read: {why}")
        return
    for line in _sorted(text.replace("\\\n", " ").splitlines(), path, above):
        yield replace(line, kind="-c") if kind == "-c" and line.kind == "-r" else line


def _sorted(lines: Iterable[str], file: Path | None, above: tuple[Path, ...]) -> Iterator[_Line]:
    """Each line that says something, with what it is."""
    for raw in lines:
        line = _COMMENT.sub("", raw).strip()
        if not line:
            continue
        option, value = _split(line)
        if option in _FILES:
            place = (file.parent if file else Path()) / Path(value).expanduser()
            yield from _from_file(place, _FILES[option], (*above, *([file] if file else ())))
        elif option in OPTIONS:
            yield _Line("option", _with_place(option, value))
        else:
            fault = _unheld(line, option)
            yield _Line("-r", line, f"{file}: {fault}" if fault and file else fault)


def _unheld(line: str, option: str) -> str:
    """Why a line cannot be used, whatever is on this machine; empty: it can."""
    if option in ("-e", "--editable"):
        return f"`{line}`: {_NO_FOLDER}"
    if option:
        return (
            f"`{line}` cannot be used in the requirements of an environment that the engine makes; of options there "
            f"are -r, -c, {', '.join(OPTIONS)}"
        )
    if " --hash" in line:
        return (
            f"`{line}`: hashes in requirements are not supported; leave them out, or make the environment yourself "
            "with pip and name it with `python_environment_path`"
        )
    if _is_place(line) and _archive(line) is None:
        return f"`{line}` is neither a requirement such as `numpy>=2` nor a file such as {_A_WHEEL}; {_NO_FOLDER}"
    own = _own(line)
    if own and (own.url or not own.specifier.contains(__version__, prereleases=True)):
        return (
            f"`{line}` asks for another olive-engine than {__version__}, which runs here and is what its environments "
            "get; leave the version out, or make the environment yourself and name it with `python_environment_path`"
        )
    return ""


_NO_FOLDER = (
    "a folder cannot be a requirement here, for its contents may change; build a wheel of it with `python -m pip wheel "
    "--no-deps FOLDER`, and name that"
)


def _split(line: str) -> tuple[str, str]:
    """An option and its value; no option: empty."""
    if not line.startswith("-"):
        return "", line
    for name in sorted((*OPTIONS, *_FILES, "-e", "--editable"), key=len, reverse=True):
        rest = line.removeprefix(name)
        if rest != line and (not rest or rest[0] in " =\t" or not name.startswith("--")):
            return name, rest.lstrip(" =\t").strip("\"'")
    return line.split()[0], ""


def _with_place(option: str, value: str) -> str:
    """An option whose value, if it is a folder here, is found from any other."""
    if option in ("-f", "--find-links") and "://" not in value:
        value = str(Path(value).expanduser().absolute())
    return f"{option} {value}".rstrip()


def _source(line: str) -> str:
    """An option as it counts: two folders with the same files are one place, and one with other files is another.

    Raises:
        SystemUnavailable: a file there cannot be read.
    """
    option, value = _split(line)
    if option not in ("-f", "--find-links") or ("://" in value and not value.startswith("file:")):
        return without_login(line)
    place = _local(value) if value.startswith("file:") else Path(value)
    try:
        files = [path for path in (sorted(place.iterdir()) if place.is_dir() else [place]) if path.is_file()]
        there = [[path.name, _known_digest(path, *_state(path))] for path in files if path.name.endswith(_FOUND)]
    except OSError as error:
        raise SystemUnavailable(f"{place}, where `{line}` looks, cannot be read: {error.strerror or error}") from None
    return f"--find-links {digest(cast(JsonValue, there))}"


@lru_cache(maxsize=1024)
def _known_digest(path: Path, size: int, changed: int) -> str:  # noqa: ARG001 - they tell one state from the next
    """The digest of a file, which is read once in each state: a folder of packages may be large, and is asked often."""
    return file_digest(path)


def _state(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def _requirement(line: str) -> str:
    """A requirement that means the same in any folder."""
    path = _place(line)
    if path is None:
        return line
    if fault := _unreadable(line):
        raise SystemUnavailable(fault)
    match = _archive(line) if _is_place(line) else None
    name = match["name"] if match else line.partition("@")[0].strip()
    return f"{name} @ {_file_url(path)}"


def _unreadable(line: str) -> str:
    """Why the file that a requirement names cannot be installed; empty: it can, or none is named."""
    path = _place(line)
    if path is None or path.is_file():
        return ""
    if path.is_dir():
        return f"`{line}`: {_NO_FOLDER}"
    return f"the required file {path} cannot be read: {os.strerror(errno.ENOENT)}"


def _place(line: str) -> Path | None:
    """The file of this machine that a requirement names; none: it names none."""
    if _is_place(line):
        return _local(line) if line.startswith("file:") else Path(line).expanduser().absolute()
    _, at, url = line.partition("@")
    return _local(url.strip()) if at and url.strip().startswith("file:") else None


def _archive(line: str) -> re.Match[str] | None:
    """The parts of the name of a wheel or an archive, if a place has such a name."""
    name = (_local(line) if line.startswith("file:") else Path(line)).name
    return _WHEEL.fullmatch(name) or _SOURCE.fullmatch(name)


def _is_place(text: str) -> bool:
    """Whether a requirement is a path, or a ``file:`` URL, alone."""
    if text.startswith((".", "/", "~", "\\", "file:")):
        return True
    return text.endswith(_ARCHIVES) and "@" not in text and not _URL.match(text)


def _local(url: str) -> Path:
    return Path(unquote(urlsplit(url).path))


def _file_url(path: Path) -> str:
    try:
        return f"{path.as_uri()}#sha256={file_digest(path)}"
    except OSError as error:
        raise SystemUnavailable(f"the required file {path} cannot be read: {error.strerror}") from None
