"""Logins in the URLs of requirements, tokens among them: installations need them, and nothing that is kept has them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_LOGIN = re.compile(r"(?<=://)(?:[^/\s@:]*:[^/\s@]*|(?<!ssh://)[^/\s@]+)@")
_URL = re.compile(r"(?:git\+|hg\+|svn\+|bzr\+)?[a-z][a-z0-9.+]*://[^\s;#]+")
_REVISION = re.compile(r"(?<=[^/])@[^/@]*$")


def without_login(line: str) -> str:
    """A requirement or an option without what says in its URL who asks; the user of an SSH server is no secret."""
    return _LOGIN.sub("", line)


def with_logins(packages: Iterable[str], asked: Sequence[str]) -> tuple[str, ...]:
    """Packages as they are remembered, with the logins of the requirements that asked for them.

    Args:
        packages: ``name==version``, or ``name @ url``.
        asked: requirements and constraints as the user wrote them.
    """
    logins = {_place(without_login(line)): match[0] for line in asked if (match := _LOGIN.search(line))}
    return tuple(
        line.replace("://", f"://{login}", 1) if (login := logins.get(_place(line))) else line for line in packages
    )


def _place(line: str) -> str:
    """What is downloaded, whichever revision; empty: the line has no URL."""
    found = _URL.search(line)
    return _REVISION.sub("", found[0]) if found else ""
