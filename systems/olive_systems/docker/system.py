"""Docker: each job runs in a container of its own, which sees the job's folder at its own path."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from olive_engine.contracts import Capabilities, Environment, Objection, Resources, System
from olive_engine.digests import digest
from olive_engine.errors import SystemUnavailable
from olive_engine.options import Options
from olive_engine.secrecy import Secrets
from olive_systems.docker.containers import DockerClient
from olive_systems.docker.jobs import ContainerHandle
from olive_systems.docker.mounts import mounts_of
from olive_systems.docker.options import DockerSystemConfig, gpu_request, shares
from olive_systems.processes import worker_settings
from olive_systems.variables import doubts, resolved

LABEL = "olive-engine.job"
"""Every container has it: what an engine that died for good has left is found by it."""
LIMITS_LENGTH = 16
"""Hex digits."""
USER = "olive"
"""The name of the user in a container, which knows no name for the number: torch asks for one."""


class Docker(System):
    """Runs each job in a container of an image, with limits on cores and memory, with or without GPUs."""

    type = "Docker"
    config_type = DockerSystemConfig

    def __init__(self, name: str, config: Options) -> None:
        super().__init__(name, config)
        self._options = DockerSystemConfig.model_validate(config.model_dump())
        self._docker = DockerClient()
        self._image = ""
        self._handles: list[ContainerHandle] = []
        self._workers, self._resources = shares(self._options)

    @classmethod
    def objections(cls, config: Options) -> Iterator[Objection]:
        """Texts of variables that look like references and are none."""
        if isinstance(config, DockerSystemConfig):
            yield from doubts(config.environment_variables)

    @property
    def capabilities(self) -> Capabilities:
        """A shared file system, live events, stop; jobs go on without the engine."""
        return Capabilities(
            shared_filesystem=True,
            max_parallel=self._workers,
            accelerators=(self._resources.device,),
            outlives_engine=True,
        )

    @property
    def resources(self) -> Resources:
        """Threads and device of each job."""
        return self._resources

    def environment(self, packages: Sequence[str]) -> Environment | None:  # noqa: ARG002 - it takes a probe
        """Only a job in the image can tell."""
        return None

    @property
    def environment_id(self) -> str:
        """The image's id, the machine, and what a container gets of it; empty where the image is not here yet."""
        try:
            image, daemon = self._image_id(), self._docker.daemon
        except SystemUnavailable:  # `prepare` says why
            return ""
        options = self._options.model_dump(mode="json", include={"gpus", "memory", "python"})
        return digest([image, daemon.machine, self._resources.device, options, self.variables]) if image else ""

    @property
    def limits(self) -> str:
        """Digest of a container's cores, memory and GPUs, where they are limited."""
        options = self._options.model_dump(mode="json", include={"cpus", "memory", "gpus"}, exclude_none=True)
        given = {name: value for name, value in options.items() if value != "all"}
        return digest(given)[:LIMITS_LENGTH] if given else ""

    @classmethod
    def to_install(cls, packages: str, config: Options, environment: Environment) -> str:  # noqa: ARG003 - the contract's
        """An image gets more from its Dockerfile."""
        return f"add to the image's Dockerfile: RUN pip install {packages}"

    def prepare(self, say: Callable[[str], None]) -> None:
        """Pull the image if it is not here."""
        try:
            if not self._image_id():
                say(f"the image {self._options.image_name} is not here: pulling it")
                self._docker.pull(self._options.image_name)
                self._known_image()
        except SystemUnavailable as error:
            raise self._named(error) from None

    def submit(self, job: Path) -> ContainerHandle:
        """Start a container that runs the job folder."""
        try:
            image = self._known_image()
            own = resolved(self._options.environment_variables)
            (job / "scratch" / "home").mkdir(parents=True, exist_ok=True)
            arguments = [*self._limits(), *self._surroundings(job), *self._variables(job, own)]
            mounts = [f"--mount={mount.argument}" for mount in mounts_of(job)]
            command = [self._options.python, "-P", "-m", "olive_engine.worker", str(job)]
            name = container_name(job)
            self._docker.run(name, [*arguments, *mounts, image, *command], own)
        except SystemUnavailable as error:
            raise self._named(error) from None
        return self._handle(job, name)

    def attach(self, job: Path) -> ContainerHandle | None:
        """The container of a job that was submitted before, running or ended; one that never started is removed."""
        name = container_name(job)
        try:
            state = self._docker.state(name)
            if state is not None and state.Status == "created":
                self._docker.remove(name)
                return None
        except SystemUnavailable as error:
            raise self._named(error) from None
        return None if state is None else self._handle(job, name)

    def close(self) -> None:
        """Follow no container any longer; jobs that were not stopped run on."""
        for handle in self._handles:
            handle.let_go()
        self._handles = []

    def _handle(self, job: Path, name: str) -> ContainerHandle:
        own: Mapping[str, str] = {}
        with suppress(SystemUnavailable):  # attached to by a run that lacks a variable: the container has it
            own = resolved(self._options.environment_variables)
        handle = ContainerHandle(job, name, self._docker, Secrets.among(own), self._options.memory or "")
        self._handles = [each for each in self._handles if not each.is_over] + [handle]
        return handle

    def _image_id(self) -> str:
        """The id of the image, once it is known the same for all jobs: a name may move on. Empty: it is not here."""
        self._image = self._image or self._docker.image_id(self._options.image_name)
        return self._image

    def _known_image(self) -> str:
        image = self._image_id()
        if not image:
            name = self._options.image_name
            raise SystemUnavailable(
                f"the image {name} is not here; build it with `docker build -t {name} …`, or pull it"
            )
        return image

    def _named(self, error: SystemUnavailable) -> SystemUnavailable:
        """The error with the system that it is about, said once."""
        text = str(error)
        return SystemUnavailable(text if text.startswith(f"{self.name}: ") else f"{self.name}: {text}")

    # --- the command line -----------------------------------------------------------------------------------------

    def _limits(self) -> list[str]:
        """What a container may use."""
        options = self._options
        given = {
            "cpus": options.cpus,
            "memory": options.memory,
            "shm-size": options.shm_size,
            "network": options.network,
        }
        arguments = [f"--{name}={value}" for name, value in given.items() if value is not None]
        if self._resources.device == "gpu":
            arguments.append(f"--gpus={gpu_request(options.gpus)}")
        return arguments

    def _surroundings(self, job: Path) -> list[str]:
        """Who a worker is, and where: it writes as the user who started the engine, and has a home of its own."""
        daemon = self._docker.daemon
        arguments = ["--init", "--pull=never", f"--label={LABEL}={job.name}", f"--workdir={job}"]
        if daemon.machine and not (self._options.network or "").startswith("container:"):
            arguments.append(f"--hostname={daemon.machine}")  # the same machine for metrics of time
        if daemon.labels:
            arguments.append("--security-opt=label=disable")
        if daemon.remaps_users:
            arguments.append("--userns=host")
        if hasattr(os, "getuid") and not daemon.runs_as_user:
            arguments.append(f"--user={os.getuid()}:{os.getgid()}")
        return arguments

    def _variables(self, job: Path, own: Mapping[str, str]) -> list[str]:
        """Fixed settings with their values; what the user sets by name alone, for others see a command line."""
        settings = {**worker_settings(self._resources.threads), "HOME": str(job / "scratch" / "home"), "USER": USER}
        fixed = [f"--env={name}={value}" for name, value in settings.items() if name not in own]
        return [*fixed, *(f"--env={name}" for name in sorted(own))]


def container_name(job: Path) -> str:
    """The name of a job's container."""
    return f"olive-{job.name}"
