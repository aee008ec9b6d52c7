"""What this distribution asks of others: which versions, and which extra brings them. Read from its metadata."""

from __future__ import annotations

import operator as op
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution, requires
from pathlib import Path

DISTRIBUTION = "olive-engine"
FOR_DEVELOPERS = "dev"
"""The extra that no workflow needs."""

_LINE = re.compile(r"(?P<name>[\w.\-]+)\s*(?:\[[^\]]*\])?\s*\(?(?P<bounds>[^;)]*)\)?\s*(?:;(?P<marker>.*))?")
_EXTRA = re.compile(r"extra\s*==\s*['\"]([^'\"]+)['\"]")
_PLATFORM = re.compile(r"sys_platform\s*(==|!=)\s*['\"]([^'\"]+)['\"]")
_CLAUSE = re.compile(r"(==|!=|>=|<=|>|<)\s*([^,\s*]+)")
_VERSION = re.compile(r"^Version:\s*(\S+)\s*$", re.MULTILINE)
_COMPARE = {"==": op.eq, "!=": op.ne, ">=": op.ge, "<=": op.le, ">": op.gt, "<": op.lt}


@dataclass(frozen=True, slots=True)
class Requirement:
    """A distribution and the versions of it that will do."""

    name: str
    bounds: str = ""
    """As in ``>=2.8,<3``; empty: any version."""

    def __str__(self) -> str:
        return f"{self.name}{self.bounds}"


def canonical(name: str) -> str:
    """A distribution's name as it is compared: ``huggingface_hub`` and ``Huggingface-Hub`` are one."""
    return re.sub(r"[-_.]+", "-", name).lower()


def package_version(name: str) -> str:
    """The installed version of a distribution, from its metadata; empty if it is not installed."""
    try:
        found = distribution(name)
    except PackageNotFoundError:
        return ""
    # `importlib.metadata.version` would parse the whole of it, description and all: ten times the time.
    written = _VERSION.search(found.read_text("METADATA") or "")
    return written[1] if written else found.version


def tested_versions() -> dict[str, str]:
    """The versions that this version of the engine is tested with, by canonical name.

    Raises:
        FileNotFoundError: the list is neither in the installed package nor beside it in a checkout.
    """
    package = Path(__file__).resolve().parent
    places = (package / "tested_versions.txt", package.parent / "constraints.txt")
    text = next((place for place in places if place.is_file()), places[0]).read_text(encoding="utf-8")
    pairs = (line.split("==") for line in text.splitlines() if "==" in line and not line.startswith("#"))
    return {canonical(name.strip()): found.strip() for name, found in pairs}


def extras(platform: str = sys.platform) -> dict[str, tuple[Requirement, ...]]:
    """Each extra with what it installs on such a platform; under the empty name what is always installed."""
    try:
        lines = requires(DISTRIBUTION) or ()
    except PackageNotFoundError:  # run from its sources, never installed: then nothing is known to be asked
        lines = ()
    return read_extras(lines, platform)


def read_extras(lines: Iterable[str], platform: str) -> dict[str, tuple[Requirement, ...]]:
    """The same from the lines ``Requires-Dist`` of a distribution's metadata, as far as our own use the notation."""
    found: dict[str, list[Requirement]] = {}
    for line in lines:
        match = _LINE.match(line)
        if match is None:
            continue
        marker = match["marker"] or ""
        extra = _EXTRA.search(marker)
        asked = found.setdefault(extra[1] if extra else "", [])
        if all((platform == name) == (relation == "==") for relation, name in _PLATFORM.findall(marker)):
            asked.append(Requirement(match["name"], match["bounds"].replace(" ", "")))
    return {name: tuple(asked) for name, asked in found.items()}


def bounds(known: Mapping[str, tuple[Requirement, ...]]) -> dict[str, str]:
    """What is asked of each distribution, by canonical name: the extras agree, and the first that asks counts."""
    asked: dict[str, str] = {}
    for name, requirements in known.items():
        if name != FOR_DEVELOPERS:
            for requirement in requirements:
                asked.setdefault(canonical(requirement.name), requirement.bounds)
    return asked


def satisfies(found: str, asked: str) -> bool:
    """Whether a version is within bounds; one that cannot be read is given the benefit of the doubt."""
    from packaging.version import InvalidVersion, Version

    try:
        have = Version(found)
        clauses = [(relation, Version(wanted)) for relation, wanted in _CLAUSE.findall(asked)]
    except InvalidVersion:
        return True
    public = Version(have.public)  # 2.13.0+cpu is a 2.13.0
    return all(_COMPARE[relation](public, wanted) for relation, wanted in clauses)


def pip_line(wanted: Iterable[str], others: Iterable[Requirement] = ()) -> str:
    """The command that installs extras of this distribution, and others that no extra of it brings."""
    return f"pip install {pip_arguments(wanted, others)}"


def pip_arguments(wanted: Iterable[str], others: Iterable[Requirement] = ()) -> str:
    """What a command of pip names to install these."""
    chosen = ",".join(sorted(wanted))
    return " ".join(([f'"{DISTRIBUTION}[{chosen}]"'] if chosen else []) + [f'"{other}"' for other in others])
