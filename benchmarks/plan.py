"""Planning large graphs: the time should grow as the number of steps does."""

from __future__ import annotations

import gc
import tempfile
import time
from pathlib import Path

from benchmarks.report import Machine, Report, judged
from olive_engine import api
from olive_engine.config.workflow import INPUT_MODEL, HfModelConfig, PassEntry, Workflow
from olive_engine.testing.toys import ToyScaleConfig, build_toy_model

LIMIT = 5.0
"""Seconds for the largest graph."""
SIZES = (1_000, 2_000, 5_000, 10_000)


def measure(*, quick: bool = False) -> Report:
    """Plan binary trees of passes with an empty cache."""
    machine, rows = Machine(), []
    sizes = SIZES[:2] if quick else SIZES
    with tempfile.TemporaryDirectory() as folder:
        build_toy_model(Path(folder) / "base")
        api.plan(_tree(10, Path(folder)))  # imports, and the entry points
        for size in sizes:
            workflow = _tree(size, Path(folder))
            gc.collect()
            started, cpu = time.perf_counter(), time.process_time()
            made = api.plan(workflow)
            wall, used = time.perf_counter() - started, time.process_time() - cpu
            if len(made.to_run) != size:
                raise AssertionError(f"{len(made.to_run)} of {size} steps are to run")
            limit = judged(wall, LIMIT, "s") if size == SIZES[-1] else ""
            rows.append((f"{size:,} steps", f"{wall:.2f} s", f"{used:.2f} s", f"{used / size * 1e6:.0f} us", limit))
    return Report("Planning", ("graph", "wall", "cpu", "cpu per step", "wanted"), rows, machine=machine)


def _tree(size: int, folder: Path) -> Workflow:
    """Each pass takes the model of the pass at half its index."""
    passes = {
        f"pass{index}": (
            PassEntry(
                type="ToyScale",
                options=ToyScaleConfig(factor=1 + index / size),
                input=f"pass{(index - 1) // 2}" if index else INPUT_MODEL,
            ),
        )
        for index in range(size)
    }
    return Workflow(input_model=HfModelConfig(model_path="base"), passes=passes, base_dir=folder)
