"""Faults as data: which request, the how-many-eth of its kind, and what happens to it."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from threading import Lock


@dataclass(frozen=True, slots=True)
class Refuse:
    """The service answers with an error, before it does anything."""

    status: int
    code: str = "InternalServerError"
    message: str = "An internal error occurred."
    retry_after_s: int | None = None


@dataclass(frozen=True, slots=True)
class Reset:
    """The connection is reset: before the service sees the request, or when it has done what was asked."""

    done: bool = False


@dataclass(frozen=True, slots=True)
class Slow:
    """The request's body is taken at this rate."""

    bytes_per_s: int


@dataclass(frozen=True, slots=True)
class ExpireToken:
    """The request's token is refused from now on; one asked for afterwards is accepted."""


@dataclass(frozen=True, slots=True)
class Corrupt:
    """The response's body comes with other bytes, and as many."""


@dataclass(frozen=True, slots=True)
class Status:
    """Of a job that is asked for, the answer tells this status; it is none the less what it is."""

    status: str


@dataclass(frozen=True, slots=True)
class Requeue:
    """The service takes the node of a job that runs; it waits for another, and is begun anew, as its log is."""


@dataclass(frozen=True, slots=True)
class JobFails:
    """The service fails a job that runs, without its command being at fault."""

    code: str = "SystemError"
    message: str = "The node was lost."


@dataclass(frozen=True, slots=True)
class JobVanishes:
    """A job that runs is known no longer: whoever asks for it gets 404."""


Fault = Refuse | Reset | Slow | ExpireToken | Corrupt | Status | JobFails | JobVanishes | Requeue
RUN = "RUN"
"""The method of rules about jobs that have begun to run; their path is the job's name."""


@dataclass(slots=True)
class Rule:
    """One rule; ``seen`` and ``hits`` say what it met.

    Attributes:
        path: A shell pattern for ``host/path``, or for the name of a job where the method is RUN.
        nth: The first matching request that is hit, counted from 1.
        times: How many are hit from there on; None is all of them.
    """

    method: str
    path: str
    what: Fault
    nth: int = 1
    times: int | None = 1
    seen: int = 0
    hits: int = 0

    def meets(self, method: str, path: str) -> bool:
        """Count a request; True when it is to be hit."""
        if self.method not in ("*", method) or not fnmatchcase(path, self.path):
            return False
        self.seen += 1
        if self.seen < self.nth or (self.times is not None and self.hits >= self.times):
            return False
        self.hits += 1
        return True


class Faults:
    """The rules of one emulator, in the order in which they were given."""

    def __init__(self) -> None:
        self._rules: list[Rule] = []
        self._lock = Lock()

    def add(self, method: str, path: str, what: Fault, *, nth: int = 1, times: int | None = 1) -> Rule:
        """Add a rule; what it hit can be asked of the rule that is returned."""
        is_of_jobs = isinstance(what, JobFails | JobVanishes | Requeue)
        if is_of_jobs != (method == RUN):
            raise ValueError(
                f"{type(what).__name__} is a fault of {'jobs (RUN)' if is_of_jobs else 'requests'}, not {method}"
            )
        rule = Rule(method, path, what, nth, times)
        with self._lock:
            self._rules.append(rule)
        return rule

    def find(self, method: str, path: str) -> Fault | None:
        """What happens to this request; the first rule that hits it decides."""
        with self._lock:
            return next((rule.what for rule in self._rules if rule.meets(method, path)), None)
