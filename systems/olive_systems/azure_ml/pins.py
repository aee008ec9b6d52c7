"""What a line of a conda file asks for, and the same line asking for no less than the engine does."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from urllib.parse import unquote

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from olive_engine.requirements import DISTRIBUTION, canonical

OLIVE = "olive-ai"
"""The distribution of the tool whose files are read, too."""

_URL = re.compile(r"[a-z][a-z0-9+]*://", re.IGNORECASE)
_EGG = re.compile(r"#(?:.*&)?egg=(?P<name>[\w.\-]+)(?:\[(?P<extras>[^\]]*)\])?")
_OF_OLIVE = re.compile(r"github\.com[/:]microsoft/olive(\.git)?(?=$|[@#?/])", re.IGNORECASE)
_CONDA = re.compile(r"(?:[\w./\-]+::)?(?P<name>[A-Za-z0-9_.\-]+)\s*(?P<version>[^\[]*?)\s*(?:\[.*\])?")
_OF_CONDA = {"pytorch": "torch", "pytorch-gpu": "torch", "pytorch-cpu": "torch"}
"""Packages of conda that are called otherwise by pip."""


def pip_name(line: str) -> str:
    """The canonical name of what a line of pip asks for; empty: it is an option, or an address without a name."""
    if line.startswith("-"):
        return ""
    try:
        return canonical(Requirement(line).name)
    except InvalidRequirement:
        egg = _EGG.search(unquote(line))
        return canonical(egg["name"]) if egg else ""


def engine_extras(line: str) -> frozenset[str] | None:
    """The extras of a line of pip that asks for Olive, or for this engine; none: it asks for something else."""
    egg = _EGG.search(unquote(line))
    if pip_name(line) not in (OLIVE, DISTRIBUTION):
        return frozenset() if _URL.search(line) and not egg and _OF_OLIVE.search(line) else None
    try:
        return frozenset(map(canonical, Requirement(line).extras))
    except InvalidRequirement:
        named = egg["extras"] if egg else ""
        return frozenset(canonical(extra.strip()) for extra in (named or "").split(",") if extra.strip())


def bounded(line: str, bounds: str) -> tuple[str, bool]:
    """The line of pip with bounds that are no looser than `bounds`, and whether what it asks for can go with them.

    Where it cannot, its own bounds give way. A line that is tight enough, or names an address, stays as it is.
    """
    try:
        asked = Requirement(line)
        ours = SpecifierSet(bounds)
    except (InvalidRequirement, InvalidSpecifier):
        return line, True
    if not bounds or asked.url or _implies(asked.specifier, ours):
        return line, True
    fits = _meets(asked.specifier, ours)
    kept = [clause for clause in asked.specifier if not _implies(ours, SpecifierSet(str(clause)))] if fits else []
    asked.specifier = SpecifierSet(",".join([*map(str, kept), bounds]))
    return str(asked), fits


def conda_name(entry: str) -> str:
    """The name that pip has for a package of conda; empty: the entry cannot be read."""
    match = _CONDA.fullmatch(entry.strip())
    name = canonical(match["name"]) if match else ""
    return _OF_CONDA.get(name, name)


def conda_allows(entry: str, bounds: str) -> bool:
    """Whether a package of conda, as it is asked for, can be of a version within bounds; in doubt it can."""
    try:
        ours = SpecifierSet(bounds)
        return any(_meets(alternative, ours) for alternative in _versions(entry))
    except InvalidSpecifier:
        return True


def allows_python(entry: str, lowest: tuple[int, int]) -> bool:
    """Whether an entry ``python=…`` of conda leaves room for that version of Python, or a later one."""
    major, minor = lowest
    later = [f"{major}.{each}.{patch}" for each in range(minor, minor + 10) for patch in range(30)]
    try:
        return any(alternative.contains(each) for alternative in _versions(entry) for each in later)
    except InvalidSpecifier:
        return True


def _versions(entry: str) -> Iterator[SpecifierSet]:
    """The versions that an entry of conda allows, an item for each alternative.

    Raises:
        InvalidSpecifier: they are written in a way that is not known here.
    """
    match = _CONDA.fullmatch(entry.strip())
    for text in (match["version"] if match else "").split("|"):
        clauses = [_clause(clause) for clause in text.split(",")]
        yield SpecifierSet(",".join(clause for clause in clauses if clause))


def _clause(text: str) -> str:
    """A clause as pip writes it: conda's ``=3.8`` is ``==3.8.*``, and a build may follow."""
    text = text.strip()
    fuzzy = re.fullmatch(r"=\s*(?P<version>[^=<>!~\s]+?)(?:\.?\*)?(?:\s*=\s*\S+|\s+\S+)?", text)
    if fuzzy:
        return f"=={fuzzy['version']}.*"
    bare = re.fullmatch(r"(?P<version>[0-9][^=<>!~\s]*)(?:\s+\S+)?", text)
    return f"=={bare['version']}" if bare else "" if text == "*" else text


def _implies(narrow: SpecifierSet, wide: SpecifierSet) -> bool:
    """Whether every version that the one allows is allowed by the other."""
    return all(wide.contains(each, prereleases=True) for each in _tried(narrow, wide) if _has(narrow, each))


def _meets(one: SpecifierSet, other: SpecifierSet) -> bool:
    """Whether some version is allowed by both."""
    return any(_has(one, each) and _has(other, each) for each in _tried(one, other))


def _has(specifier: SpecifierSet, version: str) -> bool:
    return specifier.contains(version, prereleases=True)


def _tried(*specifiers: SpecifierSet) -> Iterable[str]:
    """Versions that tell what bounds allow: each that they name, and one on either side of it."""
    found = {"0": None}
    for specifier in specifiers:
        for clause in specifier:
            text = clause.version.removesuffix(".*")
            try:
                release = Version(text).release
            except InvalidVersion:  # `===` takes any text
                continue
            public = ".".join(map(str, release))
            found.update(dict.fromkeys((text, public, f"{public}.0.1", f"{public}.1")))
            found.update(dict.fromkeys(_bumped(release)))
    return found


def _bumped(release: tuple[int, ...]) -> Iterator[str]:
    """The next version at each place, and the one before the last."""
    for place in range(len(release)):
        yield ".".join(map(str, (*release[:place], release[place] + 1)))
    if release[-1]:
        yield ".".join(map(str, (*release[:-1], release[-1] - 1)))
