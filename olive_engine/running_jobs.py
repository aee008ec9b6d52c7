"""The jobs that run now: whether a step has room beside them, and what becomes of them when the run is interrupted."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from olive_engine.contracts import Handle, Job, System, Update
from olive_engine.errors import LeftRunning, SystemUnavailable
from olive_engine.ground import Detach
from olive_engine.left_jobs import mark_settled
from olive_engine.planner import Step
from olive_engine.staging import is_timing


@dataclass(slots=True)
class Running:
    """A submitted job and the steps that are its items."""

    job: Job
    folder: Path
    steps: tuple[Step, ...]
    system: System
    handle: Handle
    started: float = field(default_factory=time.time)
    """Seconds since the epoch."""
    log: list[str] = field(default_factory=list)
    stage: str = ""
    name: str = ""
    """What its system calls it."""

    def look(self) -> Update:
        """What happened since the last look.

        Raises:
            StoreCorrupt: what it should read is not what it is said to be.
            Unreachable: its system cannot be asked now.
            SystemUnavailable: its system could not run it, whatever its items are.
        """
        return self.handle.poll()

    def stop(self) -> str:
        """Stop it for good; why it could not be. One that cannot be reached stays marked, and the next run finds it."""
        try:
            self.handle.stop()
        except SystemUnavailable as error:
            return str(error)
        mark_settled(self.folder)
        return ""

    def is_there(self) -> bool:
        """Whether it goes on without the engine: its system knows it, and not only its handle."""
        try:
            return self.system.attach(self.folder) is not None
        except SystemUnavailable:  # whoever comes back for it is told
            return True


class RunningJobs:
    """Jobs that were submitted and have not ended, as far as is known."""

    def __init__(self, systems: Mapping[str, System], used: Collection[str]) -> None:
        """None yet.

        Args:
            systems: by name.
            used: the names of those on which the plan has steps.
        """
        self._systems = systems
        self._divided = {name for name in used if systems[name].capabilities.cpu_slots > 0}
        self._jobs: list[Running] = []

    def __bool__(self) -> bool:
        return bool(self._jobs)

    def __iter__(self) -> Iterator[Running]:
        return iter(list(self._jobs))

    def add(self, job: Running) -> None:
        """It was submitted, or taken over."""
        self._jobs.append(job)

    def discard(self, job: Running) -> None:
        """It has ended, or nobody can tell; nothing happens if it is none of these."""
        self._jobs = [each for each in self._jobs if each is not job]

    def has_room(self, step: Step) -> bool:
        """Whether a step may begin now."""
        if any(running.job.resources.exclusive for running in self._jobs):
            return False  # it measures time, and systems may share this machine
        if is_timing(step.node):
            return not self._jobs
        return self.free(step) > 0

    def free(self, step: Step) -> int:
        """How many jobs there is room for in the lane of a step."""
        capabilities, lane = self._systems[step.node.system].capabilities, self.lane(step)
        slots = capabilities.cpu_slots if lane[1] else capabilities.max_parallel
        return slots - sum(self.lane(running.steps[0]) == lane for running in self._jobs)

    def lane(self, step: Step) -> tuple[str, bool]:
        """What a step takes its slot of: its system, and whether of the slots there without an accelerator."""
        return step.node.system, step.node.kind == "data" and step.node.system in self._divided

    def leave(self, detach: Detach | None) -> tuple[LeftRunning, ...]:
        """Ask about the jobs that can go on without the engine, and let go of those that are to, and are there."""
        able = [running for running in self._jobs if running.system.capabilities.outlives_engine]
        if not able or detach is None:
            return ()
        left = {id(running): _left(running) for running in able}
        if not detach(tuple(left.values())):
            return ()
        there = [running for running in able if running.is_there()]
        self._jobs = [running for running in self._jobs if running not in there]
        return tuple(left[id(running)] for running in there)

    def stop(self) -> list[tuple[Running, str]]:
        """Stop all of them at once; those that could not be stopped, and why."""
        if not self._jobs:
            return []
        with ThreadPoolExecutor(len(self._jobs)) as pool:
            errors = list(pool.map(Running.stop, self._jobs))
        return [(running, error) for running, error in zip(self._jobs, errors, strict=True) if error]


def _left(running: Running) -> LeftRunning:
    return LeftRunning(running.system.name, tuple(step.node.name for step in running.steps), running.folder)
