"""The sentence that ends a run."""

from __future__ import annotations

import os
from pathlib import Path

from olive_engine.reporting import phrases
from olive_engine.reporting.events import RunFinished


def summary(event: RunFinished, skipped: int) -> str:
    """How the run went, how long it took, and where its output is."""
    took = phrases.duration(event.seconds)
    counts = [f"{event.executed:,} run" if event.executed else "", f"{event.reused:,} reused" if event.reused else ""]
    if event.failed:
        counts = [f"{phrases.count(event.failed, 'step')} failed", f"{skipped:,} skipped" if skipped else "", *counts]
        return f"Failed after {took}: {', '.join(filter(None, counts))}"
    if not event.executed:
        done = f"Nothing to do: {_all(event.reused)} reused, {took}"
    else:
        steps = phrases.count(event.executed, "step")
        done = f"Done in {took}: {steps} run" + (f", {event.reused:,} reused" if event.reused else "")
    return done + (f"; output in {_near(event.output_dir)}" if event.output_dir else "")


def _all(steps: int) -> str:
    return "the one step was" if steps == 1 else f"all {steps:,} steps were"


def _near(path: Path) -> str:
    """The path as one would type it here."""
    return f"{os.path.relpath(path) if path.is_relative_to(Path.cwd()) else path}{os.sep}"
