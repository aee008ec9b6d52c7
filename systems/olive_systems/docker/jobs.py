"""A job in a container: followed through its folder, which the container shares, and ended in order."""

from __future__ import annotations

import subprocess
import time
from contextlib import suppress
from pathlib import Path

from olive_engine import __version__
from olive_engine.contracts import EventLine, Result, Update, read_events
from olive_engine.errors import SystemUnavailable
from olive_engine.job_folder import STOP_FILE
from olive_engine.secrecy import Secrets
from olive_systems.docker.containers import ContainerState, DockerClient
from olive_systems.processes import LOG_LINES, STOP_GRACE, death_of, read_result

OUTAGE = 60.0
"""Seconds that the daemon may be away, as when it is restarted, before its jobs count as lost."""
RETRY = 1.0
"""Seconds between two questions to a daemon that is away."""
EVENTS = "events.jsonl"


class ContainerHandle:
    """A job in a container. Its events are read from the job folder; ``docker wait`` tells its end."""

    def __init__(self, job: Path, name: str, docker: DockerClient, secrets: Secrets, memory: str = "") -> None:
        """Follow a container from now on; what its worker has said before is not repeated.

        Args:
            job: the job's folder.
            name: the container's.
            docker: asks the daemon.
            secrets: what may not be seen of the container's output.
            memory: the container's limit, for the words about a death.
        """
        self._job = job
        self._name = name
        self._docker = docker
        self._memory = memory
        self._secrets = secrets
        self._heard = _whole_lines(job / EVENTS)
        self._waiter = docker.wait(name)
        self._away_since: float | None = None
        self._asked = 0.0
        self._end: Update | None = None

    @property
    def is_over(self) -> bool:
        """Whether the container is known to have ended."""
        return self._end is not None

    def poll(self) -> Update:
        """What the worker wrote since the last look, and whether it has ended."""
        if self._end is None:
            self._look()
        events, log = self._new_events()  # after the look, so that nothing said before the end is missed
        if self._end is None:
            return Update("running", events, log=log)
        end, self._end = self._end, Update(self._end.state, detail=self._end.detail)
        return Update(end.state, events, end.detail, (*log, *end.log))

    def stop(self) -> None:
        """Ask, wait for the checkpoint, then kill; the container is gone afterwards.

        Raises:
            SystemUnavailable: the daemon cannot be asked: the container may still run.
        """
        if self._end is not None:
            return
        (self._job / STOP_FILE).touch()
        try:
            self._waiter.wait(STOP_GRACE)
        except subprocess.TimeoutExpired:
            self._docker.kill(self._name)
            with suppress(subprocess.TimeoutExpired):
                self._waiter.wait(STOP_GRACE)
        self._look()
        self._docker.remove(self._name)
        if self._end is None:
            self._over(Update("lost", detail="it was stopped"))

    def collect(self, *, fetch: bool) -> Result:  # noqa: ARG002 - outputs are in the job folder anyway
        """Read ``result.json``."""
        return read_result(self._job)

    def let_go(self) -> None:
        """Follow the container no longer; it runs on."""
        if self._waiter.poll() is None:
            self._waiter.terminate()
            self._waiter.wait()
        if self._waiter.stdout:
            self._waiter.stdout.close()

    # --- the end --------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        """Settle the job if its container has ended."""
        if self._waiter.poll() is None:
            return
        if self._waiter.returncode == 0 and self._waiter.stdout and not self._waiter.stdout.closed:
            self._settle(int(self._waiter.stdout.read()))
        elif time.monotonic() - self._asked >= RETRY:
            self._asked = time.monotonic()
            self._ask()

    def _ask(self) -> None:
        """``docker wait`` was cut off: by a daemon that is restarted, or with the container."""
        try:
            state = self._docker.state(self._name)
        except SystemUnavailable as error:
            self._away_since = self._away_since or time.monotonic()
            if time.monotonic() - self._away_since >= OUTAGE:
                self._over(Update("lost", detail=f"its container cannot be followed: {error}"))
            return
        self._away_since = None
        if state is None:
            self._over(Update("lost", detail="its container was removed before the result was collected"))
        elif state.is_running:
            self.let_go()
            self._waiter = self._docker.wait(self._name)
        else:
            self._settle(state.ExitCode)

    def _settle(self, code: int) -> None:
        """Tell the end, and delete the container."""
        log = tuple(map(self._secrets.masked, self._docker.log(self._name)[-LOG_LINES:]))
        if code == 0 and (self._job / "result.json").exists():
            self._over(Update("done", log=log))
        else:
            state = None
            with suppress(SystemUnavailable):  # what is known is enough
                state = self._docker.state(self._name)
            self._over(Update("lost", detail=self._death(code, state, log), log=log))
        with suppress(SystemUnavailable):  # it has ended: a container that is left over harms nobody
            self._docker.remove(self._name)

    def _over(self, end: Update) -> None:
        self._end = end
        self.let_go()

    def _death(self, code: int, state: ContainerState | None, log: tuple[str, ...]) -> str:
        """Why there is no result, in one sentence."""
        said = "\n".join(log)
        if state and state.OOMKilled:
            limit = f"its memory limit of {self._memory}" if self._memory else "the memory that there is"
            return f"its worker was killed (signal 9), for it needed more than {limit}"
        if code > _SIGNALS:
            limit = f"; its memory limit is {self._memory}" if code == _SIGNALS + 9 and self._memory else ""
            return death_of(_SIGNALS - code, log) + limit
        if "No module named 'olive_engine'" in said or "No module named olive_engine" in said:
            return f"the image has no olive-engine; add to its Dockerfile: RUN pip install olive-engine=={__version__}"
        if "olive worker:" in said and str(self._job / "job.json") in said:
            return (
                f"the worker found no job in {self._job}: the folder is mounted from the Docker daemon's machine, so "
                "the daemon must run on this one"
            )
        if code in _NOT_STARTED:
            why = state.Error if state and state.Error else log[-1] if log else f"exit code {code}"
            return f"its worker could not be started ({why}); name the image's Python interpreter in `python`"
        if "nknown option: -P" in said:
            return "the image's Python is too old for olive-engine, which needs 3.11"
        return death_of(code, log)

    # --- events ---------------------------------------------------------------------------------------------------

    def _new_events(self) -> tuple[tuple[EventLine, ...], tuple[str, ...]]:
        """What the whole lines that are new say, and those that say nothing; what is being written comes later."""
        path = self._job / EVENTS
        if not path.exists():
            return (), ()
        with path.open("rb") as stream:
            stream.seek(self._heard)
            lines, found, _ = stream.read().rpartition(b"\n")
        if not found:
            return (), ()
        self._heard += len(lines) + 1
        events, others = read_events(lines)
        return events, tuple(map(self._secrets.masked, others))


_SIGNALS = 128
"""A process that a signal ends has this exit code plus the signal's number."""
_NOT_STARTED = (126, 127)


def _whole_lines(path: Path) -> int:
    """The bytes of a file up to the end of its last whole line; 0: there is none."""
    return path.read_bytes().rfind(b"\n") + 1 if path.exists() else 0
