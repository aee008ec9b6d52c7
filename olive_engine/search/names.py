"""How studies, storages and rungs are called: names that a person can read, and no password in them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from pydantic import JsonValue

from olive_engine.digests import digest

_PASSWORD = re.compile(r"^([a-zA-Z][\w+.\-]*://[^:/@?]*):(.*)@")
_IN_QUERY = re.compile(r"([?&][^=&]*(?:password|passwd|pwd|secret|token|key)=)[^&]*", re.IGNORECASE)
_UNREADABLE = re.compile(r"[^\w.\-]+")


def study_name(parts: Mapping[str, JsonValue], readable: str = "search") -> str:
    """A study's name: something to know it by, and 16 hex digits of all that makes it what it is.

    Args:
        parts: what two searches must have in common to be one: input model, space, objectives, seed, …
        readable: the beginning, e.g. the workflow's file name without its suffix.
    """
    prefix = _UNREADABLE.sub("-", readable).strip("-.")[:40] or "search"
    return f"{prefix}-{digest(dict(parts))[:16]}"


def masked(spec: str) -> str:
    """A path or URL as it may be shown: a password is ``***``."""
    return _IN_QUERY.sub(r"\1***", _PASSWORD.sub(r"\1:***@", spec)) if "://" in spec else spec


def password_in(spec: str) -> str:
    """The password of a URL as it stands there; empty if it has none."""
    found = _PASSWORD.match(spec)
    return found[2] if found else ""


def step_of(fraction: float) -> int:
    """The step under which Optuna knows a rung: the percentage of a trial's budget, rounded up."""
    return math.ceil(fraction * 100 - 1e-9)
