"""Environment variables that a system sets for its workers: references to secrets stay references until one starts."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Annotated

from pydantic import AfterValidator

from olive_engine.config.variables import REFERENCE
from olive_engine.contracts import Objection
from olive_engine.errors import SystemUnavailable
from olive_engine.secrecy import KNOWN_FORMS, LISTED, looks_secret

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_UNKNOWN = re.compile(r"\$\{(?P<braced>[^}]*)\}+|\$(?P<bare>[A-Za-z_][A-Za-z0-9_]*)")
"""What looks like a variable of a shell, or of another tool."""
_ABOUT_A_SECRET = re.compile(r"_(?:file|path|dir|name|id|url)$", re.IGNORECASE)
"""Names of what leads to a secret, or tells which one it is."""
_NO_SECRET = re.compile(r"\d{0,4}|true|false|yes|no|on|off|none|(?:\$\{[^}]*\})+", re.IGNORECASE)
"""Switches, small numbers, and references to variables."""
_NAME = re.compile(r"(?:(?i:env)[:.])?\s*(?P<name>[A-Za-z_][A-Za-z0-9_]*)")


def holds_secret(name: str, text: str) -> bool:
    """Whether what a file sets is a secret: by its look, or by its name where it is no reference and no switch.

    Args:
        name: of a variable, a tag or another thing that is set.
        text: what it is set to.
    """
    if KNOWN_FORMS.search(text):
        return True
    about_one = _ABOUT_A_SECRET.search(name) is not None
    return looks_secret(name) and not about_one and not _NO_SECRET.fullmatch(text.strip())


def refused(packages: str) -> dict[str, str]:
    """Names that may not be set for workers of our own, for results would depend on what no key knows -> what to do.

    Args:
        packages: how a system's workers get packages.
    """
    return {
        **dict.fromkeys(("PYTHONPATH", "PYTHONHOME"), f"{packages} instead"),
        **dict.fromkeys(_THREADS, "use `threads` instead"),
    }


def checked(advice: Mapping[str, str]) -> Callable[[str], str]:
    """A validator of names that lets none pass of those that `advice` says what to do instead of."""

    def check(name: str) -> str:
        if not name or "=" in name or name == LISTED:
            raise ValueError(f"`{name}` cannot be set; it is no name, or one of the engine's own")
        if instead := advice.get(name):
            raise ValueError(f"{name} cannot be set for workers; {instead}")
        return name

    return check


def _with_sound_references(text: str) -> str:
    if "${env:" in REFERENCE.sub("", text):
        raise ValueError("a reference that is not of the form ${env:NAME} or ${env:NAME:-default}")
    return text


Text = Annotated[str, AfterValidator(_with_sound_references)]
"""The value of a variable. ``${env:NAME}`` in it stays as it is written."""
Variables = dict[Annotated[str, AfterValidator(checked({}))], Text]
"""The option `environment_variables` of a system."""
WorkerVariables = dict[
    Annotated[str, AfterValidator(checked(refused("install the packages where the engine runs")))], Text
]
"""The same where the engine itself starts the workers, and decides on their threads and imports."""


def doubts(
    variables: Mapping[str, str], option: str = "environment_variables", *, hint: str = ""
) -> Iterator[Objection]:
    """What was probably meant as a reference, and is none: ``${TOKEN}``, ``$TOKEN``.

    Args:
        variables: what is set.
        option: where they stand.
        hint: what to do instead where references to this machine's variables are refused; empty: how one is written.
    """
    for variable, text in variables.items():
        for match in _UNKNOWN.finditer(REFERENCE.sub("", text)):
            name = _NAME.match(match["braced"] or match["bare"] or "")
            may_be_secret = looks_secret(variable) and match["braced"] is None  # `$` and letters may be a password
            meant = f"did you mean ${{env:{name['name']}}}?" if name else "a variable is written ${env:NAME}"
            what = f"`{match[0]}` is passed on as it is, for it names no variable"
            if may_be_secret:
                what, meant = "a `$` is passed on as it is", "a variable is written ${env:NAME}"
            yield Objection(f"{option}.{variable}", what, hint or meant, severity="warning")


def resolved(own: Mapping[str, str]) -> dict[str, str]:
    """What `own` comes to now, with `LISTED` added: which variables hold secrets. Resolved already, it stays.

    Raises:
        SystemUnavailable: a variable that is referred to is not set.
    """
    if LISTED in own:
        return dict(own)
    listed: set[str] = set()
    values: dict[str, str] = {}
    for variable, text in own.items():
        references = list(REFERENCE.finditer(text))
        listed |= {variable, *(match[1] for match in references)} if references else set()
        values[variable] = REFERENCE.sub(partial(_value, variable), text)
    return {**values, LISTED: ",".join(sorted(listed))} if listed else values


def _value(variable: str, reference: re.Match[str]) -> str:
    name, default = reference[1], reference[2]
    found = os.environ.get(name)
    if not found and default is not None:
        return str(default)
    if found is None:
        raise SystemUnavailable(
            f"the environment variable {name}, which {variable} of `environment_variables` refers to, is not set: set "
            f"it, or give a default: ${{env:{name}:-…}}"
        )
    return found
