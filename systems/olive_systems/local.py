"""This machine: jobs run in warm worker processes of the same interpreter."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path

from pydantic import Field

from olive_engine import machine
from olive_engine.contracts import Capabilities, Environment, Objection, Resources, System
from olive_engine.options import Options
from olive_systems.crew import Crew
from olive_systems.places import Places, PlacesConfig, places
from olive_systems.processes import WorkerHandle, worker_variables
from olive_systems.variables import WorkerVariables, doubts, resolved

MOST_WORKERS = 8
"""In a search: each has the model in memory."""


class LocalSystemConfig(PlacesConfig):
    """Options of a LocalSystem."""

    environment_variables: WorkerVariables = Field(
        default={},
        description="Set for the workers, over this process's own. A secret is written as ${env:NAME}: it is read when "
        "a worker starts, and kept out of every file and message.",
    )


class LocalSystem(System):
    """Runs jobs here, each in a worker process that stays warm for the next."""

    type = "LocalSystem"
    config_type = LocalSystemConfig
    engines_interpreter = True

    def __init__(self, name: str, config: Options) -> None:
        super().__init__(name, config)
        self._options = LocalSystemConfig.model_validate(config.model_dump())
        self._crew: Crew | None = None

    @classmethod
    def objections(cls, config: Options) -> Iterator[Objection]:
        """Texts of variables that look like references and are none."""
        if isinstance(config, LocalSystemConfig):
            yield from doubts(config.environment_variables)

    @property
    def capabilities(self) -> Capabilities:
        """A shared file system, live events, stop."""
        return Capabilities(
            shared_filesystem=True,
            max_parallel=self._places.workers,
            cpu_slots=self._places.cpu_workers,
            accelerators=(self.resources.device,),
        )

    @property
    def resources(self) -> Resources:
        """Threads and device of each job."""
        return self._places.resources

    def for_many(self) -> LocalSystem:
        """A worker for each core with a thread of its own: small models gain more from that than from threads."""
        options = self._options
        if options.workers is not None or options.threads is not None or self.resources.device != "cpu":
            return self
        workers = min(machine.cores(), MOST_WORKERS)
        threads = max(1, machine.cores() // workers)
        return LocalSystem(self.name, options.model_copy(update={"workers": workers, "threads": threads}))

    def environment(self, packages: Sequence[str]) -> Environment:
        """This interpreter's packages and this machine's device, as configured."""
        return machine.environment(packages, self.resources.device)

    def prepare(self, say: Callable[[str], None]) -> None:  # noqa: ARG002 - nothing takes long
        """See that the GPUs and the variables that the options name are there."""
        self._places.require(self.name)
        resolved(self._options.environment_variables)

    def submit(self, job: Path) -> WorkerHandle:
        """Hand the job to an idle worker, or start one."""
        return self._ready().submit(job)

    def warm_up(self, packages: Sequence[str]) -> None:
        """Start all workers, and let them import what takes seconds while the first jobs are prepared."""
        self._ready().warm_up(packages)

    def close(self) -> None:
        """End the workers."""
        if self._crew:
            self._crew.close()
            self._crew = None

    @cached_property
    def _places(self) -> Places:
        """Found out when it is first needed: GPUs are asked for."""
        return places(self._options, self._options.environment_variables)

    def _ready(self) -> Crew:
        """The workers, none of which is started before it is needed."""
        if self._crew is None:
            command = [sys.executable, "-P", "-m", "olive_engine.worker", "--serve"]
            variables = worker_variables(self.resources.threads, self._options.environment_variables)
            self._crew = Crew(command, variables, self._places)
        return self._crew
