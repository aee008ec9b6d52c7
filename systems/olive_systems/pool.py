"""Warm workers that take jobs, each in a seat: what a worker is bound to belongs to its seat."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from olive_systems.processes import WorkerHandle, WorkerProcess


class WorkerPool:
    """Workers of one command. They are started when they are needed, and stay for the next job."""

    def __init__(self, command: Sequence[str | Path], variables: Callable[[int], Mapping[str, str]]) -> None:
        """Start nothing yet.

        Args:
            command: what starts a worker that serves.
            variables: the whole environment of a worker, by its seat; seats count from 0.
        """
        self._command = command
        self._variables = variables
        self._seats: dict[int, WorkerProcess] = {}

    def submit(self, job: Path) -> WorkerHandle:
        """Hand the job to an idle worker, or start one in the first free seat.

        Raises:
            SystemUnavailable: it cannot be started.
        """
        for seat, dead in [(seat, process) for seat, process in self._seats.items() if not process.alive]:
            dead.close()
            del self._seats[seat]
        idle = next((process for _, process in sorted(self._seats.items()) if process.idle), None)
        return (idle or self._start()).start(job)

    def warm_up(self, workers: int, packages: Sequence[str]) -> None:
        """Have so many workers started, and let them import what takes seconds."""
        while len(self._seats) < workers:
            self._start()
        for process in self._seats.values():
            process.import_(packages)

    def close(self) -> None:
        """End them."""
        for process in self._seats.values():
            process.close()
        self._seats = {}

    def _start(self) -> WorkerProcess:
        seat = next(number for number in range(len(self._seats) + 1) if number not in self._seats)
        self._seats[seat] = WorkerProcess(self._command, self._variables(seat))
        return self._seats[seat]
