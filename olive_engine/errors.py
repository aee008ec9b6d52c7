"""Everything that can go wrong, as one tree.

    WorkflowError              the root: catch it to catch all of ours
    ├── InvalidWorkflow        the file is wrong; nothing ran; exit code 2
    ├── PassFailed             a step failed; the others were finished; exit code 1
    ├── SystemUnavailable      the place where a step should run cannot run it; exit code 1
    │   └── Unreachable        it cannot be asked now about a job that it was handed
    ├── StoreCorrupt           the cache holds something other than what was put there; exit code 1
    └── Interrupted            the user stopped the run; finished steps are kept; exit code 130

A pass itself raises whatever it likes; the executor wraps it in `PassFailed` with one sentence of cause.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

ConfigPath = tuple[str | int, ...]
"""Where in a workflow a value stands: ``("passes", "lora", "r")``."""


def dotted(path: ConfigPath) -> str:
    """Write a config path the way users write it: ``passes.lora.r``, ``data_configs[0].name``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a file; ``line`` and ``column`` count from 1. For ``--set``, `file` is that word and line is 0."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong (or doubtful) in a workflow, with all that is needed to mend it."""

    path: ConfigPath
    what: str
    hint: str = ""
    position: Position | None = None
    severity: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        place = f"{self.position}: " if self.position else ""
        subject = f"{dotted(self.path)}: " if self.path else ""
        return f"{place}{subject}{self.what}" + (f"; {self.hint}" if self.hint else "")


class WorkflowError(Exception):
    """The root of the tree; `exit_code` is what the command line returns for it."""

    exit_code: ClassVar[int] = 1


class InvalidWorkflow(WorkflowError):
    """The workflow cannot be run as it is written; nothing ran. Holds every problem found, not the first only."""

    exit_code: ClassVar[int] = 2

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Failure:
    """Why one step failed: one sentence, and the details for who asks."""

    step: str
    cause: str
    traceback: str = ""
    log: tuple[str, ...] = field(default=())
    error: str = ""
    """The type of the exception, if there was one."""

    def __str__(self) -> str:
        return f"{self.step}: {self.cause}"


class PassFailed(WorkflowError):
    """One or more steps failed. Independent steps were finished and are kept."""

    def __init__(self, failures: tuple[Failure, ...]) -> None:
        super().__init__("; ".join(str(failure) for failure in failures))
        self.failures = failures


class SystemUnavailable(WorkflowError):
    """A system cannot do its work now: its environment is missing, of another version, or unreachable."""


class Unreachable(SystemUnavailable):
    """A system cannot be asked now about a job that it was handed. The job may run on: a later run looks for it."""


class StoreCorrupt(WorkflowError):
    """Bytes in the cache differ from the digest they are stored under; they have been moved to quarantine."""

    def __init__(self, digest: str, detail: str) -> None:
        super().__init__(f"cached file {digest[:12]}… is damaged ({detail})")
        self.digest = digest


@dataclass(frozen=True, slots=True)
class LeftRunning:
    """A job that goes on without the engine, on a system that it was handed to."""

    system: str
    steps: tuple[str, ...]
    folder: Path
    """The job's folder in the cache."""

    def __str__(self) -> str:
        return f"{self.system}: {', '.join(self.steps)}"


class Interrupted(WorkflowError):
    """The user stopped the run. Finished steps are in the cache; the same command continues."""

    exit_code: ClassVar[int] = 130

    def __init__(self, message: str, left: tuple[LeftRunning, ...] = ()) -> None:
        super().__init__(message)
        self.left = left
        """The jobs that were not stopped, as the user wished; a run of the same workflow takes them over."""


class Stopped(Exception):
    """Raised inside a pass that saw `PassContext.should_stop()` and has saved what it wants to keep."""
