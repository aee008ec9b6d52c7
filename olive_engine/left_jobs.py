"""Jobs whose engine has died while they ran on a system that they outlive: found by the keys of their items.

A mark in the job folder says that the job was submitted, where, and for which output folder; it is taken away once the
job's end was seen and settled. Who holds the lock of a step knows that no living run waits for a job of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from olive_engine.config.workflow import Workflow
from olive_engine.contracts import Handle, Job, System
from olive_engine.errors import StoreCorrupt, SystemUnavailable
from olive_engine.job_folder import read_job
from olive_engine.store import Store
from olive_engine.store.files import remove_tree
from olive_engine.store.store import SUBMITTED as MARK


class Mark(BaseModel):
    """What is known of a job that was submitted."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    system: str
    """The name of the system in its workflow."""
    type: str
    purpose: str
    """What the run is for, which a later run of the same has too: the folder that its models go to."""


@dataclass(frozen=True, slots=True)
class LeftJob:
    """A job folder that bears a mark."""

    folder: Path
    job: Job
    mark: Mark

    def handle(self, systems: Mapping[str, System]) -> Handle | None:
        """The job, running or over, from the system that it was submitted to; none: nothing of it is there.

        Raises:
            SystemUnavailable: the system cannot be asked, or is not one of these.
        """
        system = systems.get(self.mark.system)
        others = [each for each in systems.values() if each.type == self.mark.type and each is not system]
        asked = [*([system] if system and system.type == self.mark.type else []), *others]
        if not asked:
            raise SystemUnavailable(f"{self.mark.system} ({self.mark.type}) is no system of this workflow any more")
        return next((handle for each in asked if (handle := each.attach(self.folder)) is not None), None)


def purpose_of(workflow: Workflow) -> str:
    """What a run of a workflow is for: the models in its output folder."""
    return str(workflow.base_dir / workflow.output_dir)


def mark_submitted(folder: Path, system: System, purpose: str) -> None:
    """Say that the job is handed to its system now."""
    mark = Mark(system=system.name, type=system.type, purpose=purpose)
    (folder / MARK).write_text(mark.model_dump_json(), encoding="utf-8")


def mark_settled(folder: Path) -> None:
    """Say that the end of the job was seen, and whatever came of it is kept."""
    (folder / MARK).unlink(missing_ok=True)


def is_marked(folder: Path) -> bool:
    """Whether a job was submitted and nobody has seen its end."""
    return (folder / MARK).is_file()


def left_jobs(store: Store) -> dict[str, LeftJob]:
    """Each step key that a submitted job works on -> the job. Some are those of runs that live."""
    return {item.key: left for left in _each(store) for item in left.job.items}


def stop_superseded(store: Store, systems: Mapping[str, System], purpose: str) -> Iterator[str]:
    """Stop the jobs that earlier runs for the same purpose have left and this one, which is done, had no use for.

    Yields:
        What was done, a sentence for each job.
    """
    for left in _each(store):
        if left.mark.purpose != purpose or not _is_nobodys(left, store):
            continue
        steps = ", ".join(item.step for item in left.job.items)
        try:
            handle = left.handle(systems)
            if handle is not None and handle.poll().state == "running":
                handle.stop()
                if handle.poll().state == "running":
                    raise SystemUnavailable("its system cannot stop jobs")
                yield f"{left.mark.system}: stopped a job of an earlier run ({steps}), which nothing needs"
        except StoreCorrupt:
            pass  # it is over, and nobody needs what it could not read
        except SystemUnavailable as error:
            yield f"{left.mark.system}: a job of an earlier run ({steps}) may still run: {error}"
            continue
        remove_tree(left.folder)


def _each(store: Store) -> Iterator[LeftJob]:
    for path in sorted(store.jobs_root.glob(f"*/{MARK}")):
        try:
            mark = Mark.model_validate_json(path.read_bytes())
            yield LeftJob(path.parent, read_job(path.parent), mark)
        except (OSError, ValueError, ValidationError, SystemUnavailable):  # torn, or of another version
            continue


def _is_nobodys(left: LeftJob, store: Store) -> bool:
    """Whether no living run has the lock of one of its steps."""
    locks = [store.lock(item.key) for item in left.job.items]
    free = [lock.try_acquire() for lock in locks]
    for lock, taken in zip(locks, free, strict=True):
        if taken:
            lock.release()
    return all(free)
