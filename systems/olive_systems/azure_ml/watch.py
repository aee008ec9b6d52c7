"""One attempt of a job, from its being put to its end: what is asked about it, and how long an answer may be wanting.

A job has ended where the service says so. Whatever goes wrong with a question tells nothing of the job.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from olive_engine.contracts import EventLine, Result
from olive_engine.errors import SystemUnavailable, Unreachable, WorkflowError
from olive_systems.azure_ml import blobs
from olive_systems.azure_ml.failures import is_missing, is_passing
from olive_systems.azure_ml.job_log import JobLog
from olive_systems.azure_ml.jobs import ENDS, LOG_PIECE, VANISHED, WAITING, JobState
from olive_systems.azure_ml.locations import Place
from olive_systems.azure_ml.workspace import Workspace

OUTAGE = 600.0
"""Seconds that the service may be away before it cannot be told what becomes of its jobs."""
GRACE = 60.0
"""Seconds that an answer may last which may be wrong: that a job, or its result, is not there, or may not be seen."""
LAST_WORDS = 30.0
"""Seconds that the log of a job that has ended is waited for."""
_STAGES = {
    "NotStarted": "queued on {}",
    "Queued": "queued on {}",
    "Scheduled": "queued on {}",
    "Provisioning": "waiting for a node of {}",
    "Preparing": "preparing on {} (its image is being built or pulled)",
    "Starting": "starting on {}",
    "Running": "running on {}",
    "Finalizing": "leaving its results in the datastore",
    "CancelRequested": "being cancelled",
    "Paused": "paused on {}",
    "NotResponding": "not responding on {}; it may come back",
}
"""Statuses -> what a job is in, for people."""


@dataclass(frozen=True, slots=True)
class End:
    """What became of a job."""

    state: Literal["done", "lost"]
    why: str = ""
    result: Result | None = None
    """Of a job that is done."""
    error: WorkflowError | None = None
    """Raised to whoever looks: nothing can be said of the job, or it is not its steps' fault."""
    again: bool = False
    """The service failed it for reasons of its own: it may do better with the next attempt."""


class Watch:
    """Looks at one attempt, as often as its owner wishes; used by one thread."""

    def __init__(
        self, workspace: Workspace, name: str, result: Place, compute: str, hear: Callable[[EventLine], None]
    ) -> None:
        """Begin one.

        Args:
            workspace: where the job is.
            name: the attempt's.
            result: where it leaves its output.
            compute: that it runs on.
            hear: hears its events.
        """
        self.stage = ""
        self.log = JobLog(hear)
        self.changed = time.monotonic()
        """When something of it was other than before."""
        self._workspace, self._name, self._result, self._compute = workspace, name, result, compute
        self._status = ""
        self._heard_from = ""
        self._away, self._missing, self._unheard, self._unread = _Trouble(), _Trouble(), _Trouble(), _Trouble()

    def look(self) -> End | None:
        """Ask once; none: it goes on, or nobody knows yet."""
        try:
            state = self._state()
        except SystemUnavailable as error:
            patience = OUTAGE if is_passing(error) else GRACE
            return _unreachable(error) if self._away.lasts() > patience else None
        self._away.over()
        if state is None:
            return None
        self._see(state.status)
        if state.status not in WAITING and not self._hear(state) and state.has_ended:
            return None  # a little later, perhaps
        if not state.has_ended:
            return None
        self.log.end()
        if state.status == "Completed":
            return self._read()
        if state.status == "Canceled":
            return End("lost", f"the job {self._name} was cancelled")
        return self._failed(state)

    # --- the service's word -----------------------------------------------------------------------------------------

    def _state(self) -> JobState | None:
        """What the run history says; none: it does not know the job, and not for long enough to believe it.

        Raises:
            SystemUnavailable: it cannot be asked.
        """
        state = self._workspace.jobs.state(self._name)
        if state is not None:
            self._missing.over()
            return state
        if self._missing.lasts() <= GRACE:
            return None
        found = self._workspace.jobs.find(self._name)
        self._missing.over()
        return JobState(found.status if found else VANISHED)

    def _see(self, status: str) -> None:
        if status == self._status:
            return
        if status in WAITING and self._status and self._status not in WAITING:
            self.log.begin_anew()  # its node has gone, and it waits for another
        self._status, self.changed = status, time.monotonic()
        if status not in ENDS:
            self.stage = _STAGES.get(status, f"{status} on {{}}").format(self._compute)

    # --- the log ----------------------------------------------------------------------------------------------------

    def _hear(self, state: JobState) -> bool:
        """Read on in the log; whether there is no more to wait for, should the job have ended."""
        if not (name := state.log):
            return True
        if name != self._heard_from:
            self._heard_from = name
            self.log.begin_anew()
        try:
            while self._heard_more(state.logs[name]):
                pass
        except SystemUnavailable as error:
            if is_passing(error) or is_missing(error):
                return self._unheard.lasts() > LAST_WORDS
            return True
        self._unheard.over()
        return True

    def _heard_more(self, address: str) -> bool:
        """Read a piece of the log; whether there may be another."""
        tail = self.log.tail
        piece = self._workspace.jobs.read_log(address, self.log.heard - len(tail))
        if not piece.startswith(tail):
            self.log.begin_anew()
            return True
        if new := piece[len(tail) :]:
            self.log.hear(new)
            self.changed = time.monotonic()
        return len(piece) == LOG_PIECE

    # --- the end ----------------------------------------------------------------------------------------------------

    def _read(self) -> End | None:
        """The end of a job that is done, once its result is here."""
        try:
            data = blobs.get_bytes(self._workspace, self._result / "result.json")
            return End("done", result=Result.model_validate_json(data))
        except SystemUnavailable as error:
            if is_missing(error):
                return End("lost", f"{error}: the job {self._name} left none") if self._unread.lasts() > GRACE else None
            patience = OUTAGE if is_passing(error) else GRACE
            return _unreachable(error) if self._unread.lasts() > patience else None
        except ValueError as error:
            if self._unread.lasts() <= GRACE / 10:  # it may have been the way
                return None
            first = str(error).splitlines()[0]
            return End("lost", f"the result of the job {self._name} cannot be read: {first}")

    def _failed(self, state: JobState) -> End:
        if state.status == VANISHED:
            return End("lost", f"the job {self._name} has vanished from the workspace")
        said = " ".join(": ".join(part for part in (state.code, state.message) if part).split()) or "no reason given"
        why = f"Azure ML ended the job {self._name} with the status {state.status}: {said}"
        if state.is_services_own:
            return End("lost", why, again=True)
        if not state.log and state.build_log:
            self._show_build(state.logs[state.build_log])
        return End("lost", self.log.cause() or why)

    def _show_build(self, address: str) -> None:
        start, last = 0, b""
        try:
            while piece := self._workspace.jobs.read_log(address, start):
                start, last = start + len(piece), piece
        except SystemUnavailable:
            return  # the service's own words have to do
        self.log.show(last)


class _Trouble:
    """How long something has gone wrong without a break."""

    def __init__(self) -> None:
        self._since: float | None = None

    def lasts(self) -> float:
        """It goes wrong now: since how many seconds?"""
        self._since = time.monotonic() if self._since is None else self._since
        return time.monotonic() - self._since

    def over(self) -> None:
        """It goes well."""
        self._since = None


def _unreachable(error: SystemUnavailable) -> End:
    away = Unreachable(str(error))
    away.__cause__ = error.__cause__
    return End("lost", str(error), error=away)
