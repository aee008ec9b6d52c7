"""What a system is: a place that can run job folders."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal, Protocol

from pydantic import Field

from olive_engine.contracts.passes import Objection
from olive_engine.contracts.wire import Environment, EventLine, Resources, Result
from olive_engine.digests import digest
from olive_engine.models import Tree
from olive_engine.options import Options, OptionsClass
from olive_engine.secrecy import counted


class Accelerator(Options):
    """A device and how ONNX models run on it."""

    device: Literal["cpu", "gpu", "npu"] = Field(description="The kind of device.")
    execution_providers: tuple[str, ...] = Field(
        default=(), description="ONNX Runtime execution providers, best first."
    )


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a system can do, as data. The executor reads these and never asks a system's type."""

    shared_filesystem: bool
    """A worker there reads the job folder where the engine wrote it; else the system carries it over."""
    max_parallel: int
    """How many jobs it takes at once."""
    cpu_slots: int = 0
    """How many more it takes beside these of jobs that need no accelerator, which is data preparation; 0: these count
    like any other."""
    accelerators: tuple[Literal["cpu", "gpu", "npu"], ...] = ("cpu",)
    streams_events: bool = True
    can_stop: bool = True
    keeps_state: bool = True
    """`state/` of a key survives from one attempt to the next."""
    keeps_outputs: bool = False
    """Outputs stay where they were made until someone here reads them; `System.fetch` brings them."""
    outlives_engine: bool = False
    """A job goes on when the engine has died; `System.attach` finds it for the next one."""


@dataclass(frozen=True, slots=True)
class Listing:
    """What a URL names in a place that a system reaches, as it is now."""

    location: str
    """The URL of the folder that its files lie under; the system holds what is there."""
    names: tuple[str, ...] | None
    """The files by their paths under it; none: all that are there, which only a job can tell."""
    version: str
    """Another one whenever a byte of them may be another."""


@dataclass(frozen=True, slots=True)
class Update:
    """What happened to a job since the last look."""

    state: Literal["running", "done", "lost"]
    events: Sequence[EventLine] = field(default=())
    detail: str = ""
    """Why it was lost: "killed by signal 9"."""
    log: tuple[str, ...] = field(default=())
    stage: str = ""
    """What a job is in before its worker speaks, which may take long: "queued on gpu-cluster"; empty: nothing."""
    job: str = ""
    """What its system calls the job, so that a person finds it there; empty: it has no name."""


class Handle(Protocol):
    """A submitted job."""

    def poll(self) -> Update:
        """Look, without waiting. After "done" or "lost" nothing changes any more.

        Raises:
            StoreCorrupt: what the job should read is not what it is said to be.
            Unreachable: its system cannot be asked now, nor could it for a while; the job may run on.
            SystemUnavailable: the system could not run it, whatever its items are: none of them is tried alone.
        """

    def stop(self) -> None:
        """Ask the job to stop, and see to it that it does. Returns once nothing of it runs, if the system can stop."""

    def collect(self, *, fetch: bool) -> Result:
        """The result of a job that is done; with `fetch` the outputs are in the job folder as well.

        Raises:
            Unreachable: its system cannot be asked now; the result may be there.
            SystemUnavailable: the result cannot be read, or is of another protocol version.
        """


class System(ABC):
    """A place that runs job folders; made from its config, closed at the end of the run."""

    type: ClassVar[str]
    config_type: ClassVar[OptionsClass]
    schemes: ClassVar[tuple[str, ...]] = ()
    """Of the URLs that its place can read: ``azureml``. `holds` says which of them, `listing` what they name."""
    engines_interpreter: ClassVar[bool] = False
    """Its workers are run by the interpreter that the engine runs in: what a step needs is installed into that."""
    extra: ClassVar[str] = ""
    """The extra of this distribution that the engine needs to use such a system; empty: none."""
    not_yet: ClassVar[str] = ""
    """Why no job can be run there in this version, though it may be described and planned for; empty: one can."""

    def __init__(self, name: str, config: Options) -> None:
        self.name = name
        self.config = config
        self.notes_told = False
        """Whether the run that it was made for has told its `notes`; the engine sees to it."""

    @classmethod
    def objections(cls, config: Options) -> Iterable[Objection]:  # noqa: ARG003 - for systems that have some
        """What speaks against its options, as far as they and the local files that they name tell."""
        return ()

    @classmethod
    def objects_to(cls, url: str, config: Options) -> Objection | None:  # noqa: ARG003 - for systems that read URLs
        """What speaks against a URL of one of its `schemes`, as far as its text and the options tell; none: nothing.

        The objection's `option` is empty: the URL stands elsewhere in the workflow.
        """
        return None

    @property
    @abstractmethod
    def capabilities(self) -> Capabilities:
        """What it can do."""

    @property
    @abstractmethod
    def resources(self) -> Resources:
        """What a job gets there if nothing else is said."""

    @abstractmethod
    def environment(self, packages: Sequence[str]) -> Environment | None:
        """Versions and device of the place, without starting anything; none: only a probe job can tell."""

    @property
    def variables(self) -> str:
        """Digest of the environment variables that it sets for its workers, as `counted`; empty: none."""
        own = getattr(self.config, "environment_variables", None)
        return digest(counted(own)) if own else ""

    @property
    def limits(self) -> str:
        """Digest of what it lets a worker use of its machine, which measurements of time depend on; empty: all."""
        return ""

    @property
    def environment_id(self) -> str:
        """What a probe's answer is remembered under: it changes whenever the environment does.

        Told without the network. Empty: it cannot be told before `prepare`.
        """
        return ""

    def notes(self) -> tuple[str, ...]:
        """What a plan should say of the place: how its environment differs from what is written.

        Each is a sentence, or a text of several lines that are shown as they are. Told without the network.

        Raises:
            SystemUnavailable: what its options name cannot be read.
        """
        return ()

    def prepare(self, say: Callable[[str], None]) -> None:
        """Make ready what jobs need there and what may take minutes: an environment, an image. May ask the network.

        Args:
            say: tells the user what is being done.

        Raises:
            SystemUnavailable: it cannot be had.
        """

    @classmethod
    def to_install(cls, packages: str, config: Options, environment: Environment) -> str:  # noqa: ARG003 - for others
        """What to do so that its jobs have some distributions, as a hint.

        Args:
            packages: as they stand in a command line of pip.
            config: its options.
            environment: what is there now.
        """
        return (
            f"{environment.executable} -m pip install {packages}"
            if environment.executable
            else f"pip install {packages}"
        )

    @abstractmethod
    def submit(self, job: Path) -> Handle:
        """Start the job folder. Returns at once: what takes long, such as an upload, happens behind the handle.

        Raises:
            Unreachable: whether it was started cannot be told now; `attach` will know.
            SystemUnavailable: it cannot be started there.
        """

    def attach(self, job: Path) -> Handle | None:  # noqa: ARG002 - for systems whose jobs outlive the engine
        """The job of a folder that an engine submitted here and does not follow any more; none: nothing of it is here.

        Raises:
            Unreachable: the place cannot be asked now: its steps fail, for that job may run on.
            SystemUnavailable: it never will tell: its steps are begun anew.
        """
        return None

    def holds(self, tree: Tree) -> bool:  # noqa: ARG002 - for systems that keep outputs
        """Whether the tree's bytes are already where this system's workers read."""
        return False

    def listing(self, url: str) -> Listing:
        """What a URL of one of its `schemes` names now: a file, or all that is in a folder. Asks the network.

        Raises:
            SystemUnavailable: nothing is there, or it cannot be asked.
        """
        raise NotImplementedError(f"{self.type} reads no URLs ({url})")

    def fetch(self, tree: Tree, into: Path) -> None:
        """Bring the bytes of a tree that this system `holds` into a folder here, each file under its name.

        Raises:
            StoreCorrupt: a file does not have the bytes of its digest.
            SystemUnavailable: they cannot be had.
        """
        raise NotImplementedError(f"{self.type} keeps no outputs ({tree.location} into {into})")

    def for_many(self) -> System:
        """The same place, set up for many small jobs at once as a search has them, where its options leave it open."""
        return self

    def warm_up(self, packages: Sequence[str]) -> None:
        """Jobs that need these distributions come soon: get ready for them, if that saves time. Returns at once."""

    def close(self) -> None:
        """Release what the system holds (worker processes, connections)."""
