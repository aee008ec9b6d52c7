"""What the engine adds to a step: passes that do next to nothing, one after another in a warm worker."""

from __future__ import annotations

import os
import resource
import tempfile
import time
from pathlib import Path

from benchmarks.report import Machine, Report, judged
from olive_engine import api
from olive_engine.config.workflow import HfModelConfig, PassEntry, Workflow
from olive_engine.testing.toys import ToyScaleConfig, build_toy_model

LIMIT = 20.0
"""Milliseconds a step."""
STEPS = 1_000
MEMORY = Path("/dev/shm")


def measure(*, quick: bool = False) -> Report:
    """Run a chain of passes twice: computed, then reused. On disk, and where there is one in a memory file system."""
    machine, steps = Machine(), 100 if quick else STEPS
    rows: list[tuple[str, ...]] = []
    notes = [f"an fsync of a small file takes {_fsync():.1f} ms here; a step makes four, so that a crash loses nothing"]
    for place, root in (("disk", None), ("memory", MEMORY)):
        if root is not None and not root.is_dir():
            continue
        with tempfile.TemporaryDirectory(dir=root) as folder:
            base = Path(folder)
            build_toy_model(base / "base")
            start = _run(_chain(1, base, 1.5))[0]
            wall, engine, worker = _run(_chain(steps, base, 1.0))
            again, reusing, _ = _run(_chain(steps, base, 1.0))
        each = (wall - start) / steps * 1e3
        rows += [
            (
                f"{place}: {steps:,} steps",
                f"{wall:.1f} s",
                f"{each:.1f} ms",
                f"{engine / steps * 1e3:.1f} ms",
                f"{worker / steps * 1e3:.1f} ms",
                judged(each, LIMIT, "ms"),
            ),
            (
                f"{place}: again, all reused",
                f"{again:.1f} s",
                f"{again / steps * 1e3:.1f} ms",
                f"{reusing / steps * 1e3:.1f} ms",
                "",
                "",
            ),
        ]
    columns = ("run", "wall", "wall per step", "engine cpu per step", "worker cpu per step", "wanted (wall)")
    return Report("Overhead of a step", columns, rows, tuple(notes), machine)


def _run(workflow: Workflow) -> tuple[float, float, float]:
    """Seconds: wall, CPU of this process, CPU of the workers."""
    started, cpu, before = time.perf_counter(), time.process_time(), _children()
    api.run(workflow)
    return time.perf_counter() - started, time.process_time() - cpu, _children() - before


def _children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _chain(size: int, folder: Path, factor: float) -> Workflow:
    passes = {
        f"pass{index}": (PassEntry(type="ToyScale", options=ToyScaleConfig(factor=factor + index / 1e6)),)
        for index in range(size)
    }
    return Workflow(input_model=HfModelConfig(model_path="base"), passes=passes, base_dir=folder)


def _fsync() -> float:
    """Milliseconds, the mean of 50."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        for index in range(50):
            with (Path(folder) / str(index)).open("w") as stream:
                stream.write("x")
                stream.flush()
                os.fsync(stream.fileno())
        return (time.perf_counter() - started) / 50 * 1e3
