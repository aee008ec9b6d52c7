"""Environment variables that a system sets for its workers: references to secrets stay references until one starts."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import partial
from typing import Annotated

from pydantic import AfterValidator

from olive_engine.config.variables import REFERENCE
from olive_engine.errors import SystemUnavailable
from olive_engine.secrecy import LISTED

REFUSED = {
    **dict.fromkeys(("PYTHONPATH", "PYTHONHOME"), "install the packages where the engine runs"),
    **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "use `threads`"),
}
"""What may not be set for workers of our own, for the result would depend on what no key knows -> what to do."""


def _sound(value: dict[str, str]) -> dict[str, str]:
    for name, text in value.items():
        if not name or "=" in name or name == LISTED:
            raise ValueError(f"`{name}` cannot be set; it is no name, or one of the engine's own")
        if "${env:" in REFERENCE.sub("", text):
            raise ValueError(f"{name} has a reference that is not of the form ${{env:NAME}} or ${{env:NAME:-default}}")
    return value


def _allowed(value: dict[str, str]) -> dict[str, str]:
    for name in value:
        if instead := REFUSED.get(name):
            raise ValueError(f"{name} cannot be set for workers; {instead} instead")
    return value


Variables = Annotated[dict[str, str], AfterValidator(_sound)]
"""The option `environment_variables` of a system. ``${env:NAME}`` in a text stays as it is written."""
WorkerVariables = Annotated[Variables, AfterValidator(_allowed)]
"""The same where the engine itself starts the workers, and decides on their threads and imports."""


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
