"""Jobs whose engine has died while they ran on a system that they outlive: found by the keys of their items.

A mark in the job folder says that the job was submitted, and is taken away once its end was seen. Who holds the lock
of a step knows that no living run waits for a job of it.
"""

from __future__ import annotations

from pathlib import Path

from olive_engine.contracts import Job
from olive_engine.errors import SystemUnavailable
from olive_engine.job_run import read_job
from olive_engine.store import Store

MARK = "submitted"


def mark_submitted(folder: Path) -> None:
    """Say that the job is handed to its system now."""
    (folder / MARK).touch()


def mark_settled(folder: Path) -> None:
    """Say that the end of the job was seen."""
    (folder / MARK).unlink(missing_ok=True)


def left_jobs(store: Store) -> dict[str, tuple[Path, Job]]:
    """Each step key that a submitted job works on -> its folder, and the job. Some are those of runs that live."""
    found: dict[str, tuple[Path, Job]] = {}
    for mark in sorted(store.jobs_root.glob(f"*/{MARK}")):
        try:
            job = read_job(mark.parent)
        except (OSError, ValueError, SystemUnavailable):  # another version's, or torn: nobody can take it over
            continue
        found |= {item.key: (mark.parent, job) for item in job.items}
    return found
