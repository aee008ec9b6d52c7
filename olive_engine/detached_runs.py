"""Runs that were left while jobs of theirs go on elsewhere: how to come back to them, from any folder of this user.

<home>/runs/<id>.json       one for each; its job folders, in the caches, bear marks until somebody takes the jobs over
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from olive_engine.digests import digest
from olive_engine.environments import home
from olive_engine.errors import LeftRunning, SystemUnavailable
from olive_engine.left_jobs import is_marked
from olive_engine.store.files import write_atomic

ID_LENGTH = 8
"""Hex digits."""


class DetachedJob(BaseModel):
    """A job that goes on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    system: str
    steps: tuple[str, ...]
    folder: Path
    """The job's folder in the cache."""

    def __str__(self) -> str:
        return f"{self.system}: {', '.join(self.steps)}"


class DetachedRun(BaseModel):
    """A run that was left: the contents of its file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    arguments: tuple[str, ...]
    """The command's words after its name: ``("run", "workflow.yaml")``."""
    folder: Path
    """Where it was called."""
    detached: float
    """Seconds since the epoch."""
    jobs: tuple[DetachedJob, ...]

    @property
    def id(self) -> str:
        """The same for the same command in the same folder: to leave it twice is to leave one run."""
        return run_id(self.arguments, self.folder)

    @property
    def words(self) -> str:
        """The command as one types it."""
        return f"olive {shlex.join(self.arguments)}"

    @property
    def going_on(self) -> tuple[DetachedJob, ...]:
        """The jobs that nobody has taken over."""
        return tuple(job for job in self.jobs if is_marked(job.folder))


def run_id(arguments: Iterable[str], folder: Path) -> str:
    """The name of the run of a command in a folder."""
    return digest([str(folder), *arguments])[:ID_LENGTH]


def remember(arguments: Sequence[str], left: Iterable[LeftRunning]) -> DetachedRun:
    """Write down that a command, called in this folder, was left.

    Raises:
        OSError: it cannot be written.
    """
    jobs = tuple(DetachedJob(system=each.system, steps=each.steps, folder=each.folder.absolute()) for each in left)
    run = DetachedRun(arguments=tuple(arguments), folder=Path.cwd(), detached=time.time(), jobs=jobs)
    _file(run.id).parent.mkdir(mode=0o700, parents=True, exist_ok=True)  # a value after --set may be a secret
    write_atomic(_file(run.id), run.model_dump_json(indent=2))
    return run


def forget(identity: str) -> None:
    """Nobody needs to come back to that run; nothing happens if it was not left."""
    _file(identity).unlink(missing_ok=True)


def detached_runs() -> Iterator[DetachedRun]:
    """The runs to which somebody can come back, the last one first. Those whose jobs were taken over are forgotten."""
    found = [run for path in (home() / "runs").glob("*.json") if (run := _read(path)) is not None]
    for run in sorted(found, key=lambda run: -run.detached):
        if run.going_on:
            yield run
        else:
            forget(run.id)


def detached_run(named: str) -> DetachedRun:
    """The run of that id, or the only one whose id begins like this.

    Raises:
        SystemUnavailable: there is none, or there are several.
    """
    runs = list(detached_runs())
    fitting = [run for run in runs if named and run.id.startswith(named)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise SystemUnavailable(f"{named} begins the ids of {', '.join(run.id for run in fitting)}: write one of them")
    there_are = f"there are {', '.join(run.id for run in runs)}" if runs else "no run was left"
    raise SystemUnavailable(
        f"no run that was left is called {named} ({there_are}); a run that has ended, or whose engine was killed, goes "
        "on with its own command, `olive run`"
    )


def _file(identity: str) -> Path:
    return home() / "runs" / f"{identity}.json"


def _read(path: Path) -> DetachedRun | None:
    try:
        return DetachedRun.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):  # of another version, or gone
        return None
