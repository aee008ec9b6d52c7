"""What went between the client and Azure ML, and in which step of a chain."""

# The tests have no py.typed, nor a package at their top, so mypy takes what is imported of them as untyped.
# mypy: disable-error-code="import-untyped"

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.emulators.azureml.recording import Exchange, Recorder

STORAGE = ".blob.core.windows.net"
DETAILS, LOGS = "/details", "/user_logs/"
"""In the addresses that are asked again and again while a job runs: for its state, and for what it has said."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """Requests by what they are for, and the bytes of their bodies, without polls; a mean of several has fractions."""

    up: float = 0
    down: float = 0
    management: float = 0
    """Requests about assets, datastores, computes and jobs, and for tokens."""
    blobs: float = 0
    """Requests to the storage account."""
    polls: float = 0
    """Requests that ask how a job does and what it has said: how many depends on how long it takes."""
    polled: float = 0
    """Bytes of their answers."""

    @property
    def bytes(self) -> float:
        """Both ways."""
        return self.up + self.down

    @property
    def requests(self) -> float:
        """Those that do not depend on how long a job takes."""
        return self.management + self.blobs


@dataclass(frozen=True, slots=True)
class Chain:
    """What one run of a chain of passes needed of the client."""

    steps: tuple[Traffic, ...]
    whole: Traffic
    """The steps, and what came before and after them."""
    wall: float
    """Seconds from the beginning of the first step on."""

    @property
    def step(self) -> Traffic:
        """The mean of the steps between the first, which may bring the model, and the last, whose result comes here."""
        return mean(self.steps[1:-1])


def measured(recorder: Recorder, steps: Sequence[str], label: str, wall: float) -> Chain:
    """What was recorded of a chain under its label, ``LABEL`` or ``LABEL/STEP``."""

    def of(pattern: str) -> Traffic:
        return tally(recorder.exchanges(label=pattern, caller="client"))

    return Chain(tuple(of(f"{label}/{step}") for step in steps), of(f"{label}*"), wall)


def tally(exchanges: Sequence[Exchange]) -> Traffic:
    """Add exchanges up."""
    of: dict[str, list[Exchange]] = {"management": [], "blobs": [], "polls": []}
    for each in exchanges:
        of[_kind(each)].append(each)
    moving = [*of["management"], *of["blobs"]]
    return Traffic(
        up=sum(each.up for each in moving),
        down=sum(each.down for each in moving),
        management=len(of["management"]),
        blobs=len(of["blobs"]),
        polls=len(of["polls"]),
        polled=sum(each.down for each in of["polls"]),
    )


def mean(of: Sequence[Traffic]) -> Traffic:
    """The mean of each number."""
    return Traffic(*(sum(getattr(each, field.name) for each in of) / max(1, len(of)) for field in fields(Traffic)))


def _kind(exchange: Exchange) -> str:
    if exchange.host.endswith(STORAGE):
        return "polls" if LOGS in exchange.path else "blobs"
    return "polls" if exchange.path.endswith(DETAILS) else "management"
