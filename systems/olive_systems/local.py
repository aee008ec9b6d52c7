"""This machine: jobs run in warm worker processes of the same interpreter."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field, JsonValue, field_validator

from olive_engine import machine
from olive_engine.contracts import (
    Accelerator,
    Capabilities,
    Environment,
    Resources,
    System,
)
from olive_engine.digests import digest
from olive_engine.options import Options
from olive_systems.processes import WorkerHandle, WorkerProcess, worker_variables

DEFAULT_WORKERS = 2
MOST_WORKERS = 8
"""In a search: each has the model in memory."""
REFUSED_VARIABLES = {
    **dict.fromkeys(("PYTHONPATH", "PYTHONHOME"), "install the packages where the engine runs"),
    **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "use `threads`"),
}
"""What `environment_variables` may not set, for the result would depend on what no key knows -> what to do instead."""


class LocalSystemConfig(Options):
    """Options of a LocalSystem."""

    accelerators: tuple[Accelerator, ...] = Field(
        default=(), description="The devices to use; default: what is found here."
    )
    workers: int | None = Field(
        default=None,
        ge=1,
        description="Jobs that run at once; default: 2, or 1 on a single core or with a GPU; in a search one for each "
        "core, 8 at the most.",
    )
    threads: int | None = Field(
        default=None,
        ge=1,
        description="CPU threads of each job; default: the cores divided by `workers`. Results are bit-identical for "
        "equal threads.",
    )
    environment_variables: dict[str, str] = Field(
        default={}, description="Set for the workers, over this process's own."
    )

    @field_validator("environment_variables")
    @classmethod
    def _not_ours(cls, value: dict[str, str]) -> dict[str, str]:
        for name in value:
            if instead := REFUSED_VARIABLES.get(name):
                raise ValueError(f"{name} cannot be set for workers; {instead} instead")
        return value


def local_resources(config: LocalSystemConfig) -> tuple[int, Resources]:
    """How many jobs run at once, and what each gets."""
    device = config.accelerators[0].device if config.accelerators else machine.environment(()).device
    workers = config.workers or (1 if device == "gpu" else min(DEFAULT_WORKERS, machine.cores()))
    threads = config.threads or max(1, machine.cores() // workers)
    return workers, Resources(threads=threads, device=device)


class LocalSystem(System):
    """Runs jobs here, each in a worker process that stays warm for the next."""

    type = "LocalSystem"
    config_type = LocalSystemConfig

    def __init__(self, name: str, config: Options) -> None:
        super().__init__(name, config)
        self._options = LocalSystemConfig.model_validate(config.model_dump())
        self._workers, self._resources = local_resources(self._options)
        self._processes: list[WorkerProcess] = []

    @property
    def capabilities(self) -> Capabilities:
        """A shared file system, live events, stop."""
        return Capabilities(shared_filesystem=True, max_parallel=self._workers, accelerators=(self._resources.device,))

    @property
    def resources(self) -> Resources:
        """Threads and device of each job."""
        return self._resources

    def for_many(self) -> LocalSystem:
        """A worker for each core with a thread of its own: small models gain more from that than from threads."""
        options = self._options
        if options.workers is not None or options.threads is not None or self._resources.device != "cpu":
            return self
        workers = min(machine.cores(), MOST_WORKERS)
        threads = max(1, machine.cores() // workers)
        return LocalSystem(self.name, options.model_copy(update={"workers": workers, "threads": threads}))

    def environment(self, packages: Sequence[str]) -> Environment:
        """This interpreter's packages, this machine's device, and the variables, as configured."""
        found = machine.environment(packages, self._resources.device)
        variables: dict[str, JsonValue] = {**self._options.environment_variables}
        return found.model_copy(update={"variables": digest(variables)}) if variables else found

    def submit(self, job: Path) -> WorkerHandle:
        """Hand the job to an idle worker, or start one."""
        for dead in [process for process in self._processes if not process.alive]:
            dead.close()
            self._processes.remove(dead)
        idle = next((process for process in self._processes if process.idle), None)
        if idle is None:
            idle = self._start()
        return idle.start(job)

    def warm_up(self, packages: Sequence[str]) -> None:
        """Start all workers, and let them import what takes seconds while the first jobs are prepared."""
        while len(self._processes) < self._workers:
            self._start()
        for process in self._processes:
            process.import_(packages)

    def close(self) -> None:
        """End the workers."""
        for process in self._processes:
            process.close()
        self._processes = []

    def _start(self) -> WorkerProcess:
        command = [sys.executable, "-P", "-m", "olive_engine.worker", "--serve"]
        process = WorkerProcess(command, worker_variables(self._resources.threads, self._options.environment_variables))
        self._processes.append(process)
        return process
