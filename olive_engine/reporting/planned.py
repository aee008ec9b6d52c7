"""A step as the plan shows it. Apart from the events, so that a plan can be shown without them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """One line of the plan."""

    step: str
    kind: Literal["data", "pass", "evaluate"]
    type: str
    action: Literal["run", "reuse"]
    reasons: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    system: str = ""
    source: str = ""
    """The URL of the shared cache that a reused result is in; empty: it is in the cache of this machine."""
