"""The workers of a system on this machine: those that have its accelerator, and those for jobs that need none."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from olive_systems.places import NO_GPU, Places
from olive_systems.pool import WorkerPool
from olive_systems.processes import WorkerHandle


class Crew:
    """Warm workers in their places."""

    def __init__(self, command: Sequence[str | Path], variables: Mapping[str, str], places: Places) -> None:
        """Start nothing yet.

        Args:
            command: what starts a worker that serves.
            variables: a worker's whole environment, but for the GPUs that it is bound to.
            places: how they share the machine.
        """
        self._places = places
        self._workers = WorkerPool(command, lambda seat: {**variables, **places.binding(seat)})
        self._cpu_workers = WorkerPool(command, lambda _: {**variables, **NO_GPU})

    def submit(self, job: Path) -> WorkerHandle:
        """Hand the job to an idle worker, or start one.

        Raises:
            SystemUnavailable: it cannot be started.
        """
        return (self._cpu_workers if self._needs_none(job) else self._workers).submit(job)

    def warm_up(self, packages: Sequence[str]) -> None:
        """Start all that have an accelerator, and let them import what takes seconds."""
        self._workers.warm_up(self._places.workers, packages)

    def close(self) -> None:
        """End them."""
        self._workers.close()
        self._cpu_workers.close()

    def _needs_none(self, job: Path) -> bool:
        """Whether a job leaves the accelerator to others."""
        return self._places.cpu_workers > 0 and bool(json.loads((job / "job.json").read_bytes())["kind"] == "data")
