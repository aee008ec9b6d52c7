"""Another Python environment of this machine: one of the user's, or one that the engine makes and keeps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field, model_validator

from olive_engine import machine
from olive_engine.contracts import Accelerator, Capabilities, Environment, Objection, Resources, System
from olive_engine.digests import digest
from olive_engine.errors import SystemUnavailable
from olive_engine.options import Options
from olive_engine.secrecy import KNOWN_FORMS, MASK
from olive_systems.crew import Crew
from olive_systems.local import MOST_WORKERS, LocalSystemConfig
from olive_systems.places import Places, places
from olive_systems.processes import WorkerHandle, worker_variables
from olive_systems.variables import Text, checked, doubts, refused, resolved

if TYPE_CHECKING:  # what makes and examines environments is imported where it is used: reading a file needs none of it
    from olive_systems.python_environment.interpreters import Interpreter
    from olive_systems.python_environment.origins import Origin

_DECIDED = {
    "PATH": "write `prepend_to_path`",
    **dict.fromkeys(("VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONNOUSERSITE"), "name another environment"),
}
"""Variables that the environment decides on -> what to do instead of setting them."""
_PACKAGES = "install the packages into that environment, or list them in its `requirements`,"


def _not_decided(name: str) -> str:
    if instead := _DECIDED.get(name.upper()):
        raise ValueError(f"{name} cannot be set, for the environment decides on it; {instead} instead")
    return name


def _sound_line(line: str) -> str:
    from olive_systems.python_environment.requirement_lines import fault_of

    if fault := fault_of(line):
        raise ValueError(fault)
    return line


EnvironmentVariables = dict[
    Annotated[str, AfterValidator(checked(refused(_PACKAGES))), AfterValidator(_not_decided)], Text
]


class PythonEnvironmentConfig(LocalSystemConfig):
    """Options of a PythonEnvironment."""

    python_environment_path: Path | None = Field(
        default=None,
        description="An environment with this version of olive-engine: its folder, its bin folder (on Windows "
        "Scripts), or its interpreter.",
        examples=["envs/onnx/bin"],
    )
    requirements: tuple[Annotated[str, AfterValidator(_sound_line)], ...] | None = Field(
        default=None,
        description="What an environment is to hold that the engine makes, and keeps for every workflow: lines as pip "
        "takes them. This olive-engine comes with them; an empty list is an environment with nothing else.",
        examples=[["olive-engine[cpu]", "transformers<5.3"]],
    )
    requirements_file: Path | None = Field(
        default=None, description="The same as a requirements file; with `requirements`, both count."
    )
    python: str | None = Field(
        default=None,
        min_length=1,
        description="The interpreter to make it from: a command or a path; default: the one that this olive-engine's "
        "environment was made from.",
        examples=["python3.12"],
    )
    prepend_to_path: tuple[Path, ...] = Field(
        default=(), description="Folders that its workers look for programs in first, before those of the environment."
    )

    environment_variables: EnvironmentVariables = Field(
        default={}, description=LocalSystemConfig.model_fields["environment_variables"].description
    )

    @model_validator(mode="after")
    def _one_way(self) -> PythonEnvironmentConfig:
        made = [name for name in ("requirements", "requirements_file", "python") if getattr(self, name) is not None]
        if self.python_environment_path is not None and made:
            raise ValueError(
                f"python_environment_path names an environment of yours, and {made[0]} is for one that the engine "
                "makes; leave one of them out"
            )
        if self.python_environment_path is None and made in ([], ["python"]):
            raise ValueError(
                "an environment is needed: one of yours (python_environment_path), or what one is to hold that the "
                "engine makes (requirements or requirements_file)"
            )
        return self


class PythonEnvironment(System):
    """Runs jobs in another Python environment of this machine, in worker processes that stay warm for the next."""

    type = "PythonEnvironment"
    config_type = PythonEnvironmentConfig

    def __init__(self, name: str, config: Options) -> None:
        super().__init__(name, config)
        self._options = PythonEnvironmentConfig.model_validate(config.model_dump())
        self._origin = _origin(self._options)
        self._interpreter: Interpreter | None = None
        self._crew: Crew | None = None

    @classmethod
    def objections(cls, config: Options) -> Iterator[Objection]:
        """Files that its requirements name and that cannot be used; an environment that is not here may be elsewhere.

        So may be the one that a file is written for: that is a doubt alone.
        """
        if not isinstance(config, PythonEnvironmentConfig):
            return
        from olive_systems.python_environment.requirement_lines import faults

        yield from doubts(config.environment_variables)
        for index, line in enumerate(config.requirements or ()):
            yield from (Objection(f"requirements.{index}", _masked(fault)) for fault in faults((line,), None))
        if config.requirements_file:
            told = faults((), config.requirements_file)
            yield from (Objection("requirements_file", _masked(fault)) for fault in told)
        place = config.python_environment_path
        if place and not place.expanduser().exists():
            what = f"there is no environment {place.expanduser().absolute()} on this machine"
            yield Objection(
                "python_environment_path", what, "make it, or correct its path, before a run", severity="warning"
            )

    @property
    def capabilities(self) -> Capabilities:
        """A shared file system, live events, stop."""
        shares = self._places
        return Capabilities(
            shared_filesystem=True,
            max_parallel=shares.workers,
            cpu_slots=shares.cpu_workers,
            accelerators=(shares.resources.device,),
        )

    @property
    def resources(self) -> Resources:
        """Threads and device of each job."""
        return self._places.resources

    def for_many(self) -> PythonEnvironment:
        """A worker for each core with a thread of its own: small models gain more from that than from threads."""
        options = self._options
        if options.workers is not None or options.threads is not None or self.resources.device != "cpu":
            return self
        workers = min(machine.cores(), MOST_WORKERS)
        threads = max(1, machine.cores() // workers)
        return PythonEnvironment(self.name, options.model_copy(update={"workers": workers, "threads": threads}))

    def environment(self, packages: Sequence[str]) -> Environment | None:  # noqa: ARG002 - it takes a probe
        """Only a worker there can tell."""
        return None

    @property
    def variables(self) -> str:
        """Digest of what it sets for its workers, `prepend_to_path` included: other programs give other results."""
        own, first = super().variables, [str(folder) for folder in self._options.prepend_to_path]
        return digest([own, *first]) if first else own

    @property
    def environment_id(self) -> str:
        """What is installed there, or what it is to be made from; and the device, for which a probe answers."""
        known = self._origin.id
        return digest([known, self.resources.device]) if known else ""

    @classmethod
    def to_install(cls, packages: str, config: Options, environment: Environment) -> str:
        """An environment that the engine makes gets more from its requirements."""
        if isinstance(config, PythonEnvironmentConfig) and config.python_environment_path is None:
            return f"add to its `requirements`: {packages}"
        return super().to_install(packages, config, environment)

    def prepare(self, say: Callable[[str], None]) -> None:
        """Make the environment, if it is one that the engine makes; see that jobs can run in it."""
        try:
            self._places.require(self.name)
            resolved(self._options.environment_variables)
            self._ready(say)
        except SystemUnavailable as error:
            text = str(error)
            named = text if text.startswith(f"{self.name}: ") else f"{self.name}: {text}"
            raise SystemUnavailable(named) from None

    def submit(self, job: Path) -> WorkerHandle:
        """Hand the job to an idle worker, or start one."""
        if self._crew is None:
            self.prepare(lambda _: None)
            self._crew = self._start()
        return self._crew.submit(job)

    def warm_up(self, packages: Sequence[str]) -> None:
        """Start all workers of an environment that is there, and let them import what takes seconds."""
        if self._interpreter is not None:
            self._crew = self._crew or self._start()
            self._crew.warm_up(packages)

    def close(self) -> None:
        """End the workers, and let the environment go."""
        if self._crew:
            self._crew.close()
            self._crew = None
        self._origin.release()
        self._interpreter = None

    # --- its workers --------------------------------------------------------------------------------------------------

    @cached_property
    def _places(self) -> Places:
        """Found out when it is first needed: GPUs are asked for."""
        options = self._options
        if not options.accelerators:
            device = machine.best_device(self._origin.packages().get("torch", ""))
            options = options.model_copy(update={"accelerators": (Accelerator(device=device),)})
        return places(options, options.environment_variables)

    def _ready(self, say: Callable[[str], None]) -> Interpreter:
        """The interpreter that jobs can run in.

        Raises:
            SystemUnavailable: they cannot.
        """
        if self._interpreter is None:
            self._interpreter = self._origin.ready(say)
            self.__dict__.pop("_places", None)  # its torch may be for another device than was thought
        return self._interpreter

    def _start(self) -> Crew:
        """Its workers, none of them started."""
        from olive_systems.python_environment.interpreters import activation

        python = self._ready(lambda _: None).python
        own = worker_variables(self.resources.threads, self._options.environment_variables)
        first = [str(folder.expanduser().absolute()) for folder in self._options.prepend_to_path]
        command = [str(python), "-P", "-m", "olive_engine.worker", "--serve"]
        return Crew(command, activation(python, own, first), self._places)


def _masked(text: str) -> str:
    """A message without the logins of URLs in it."""
    return KNOWN_FORMS.sub(MASK, text)


def _origin(options: PythonEnvironmentConfig) -> Origin:
    from olive_systems.python_environment.origins import GivenEnvironment, MadeEnvironment

    if options.python_environment_path:
        return GivenEnvironment(options.python_environment_path)
    return MadeEnvironment(options.requirements or (), options.requirements_file, options.python)
