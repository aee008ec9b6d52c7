"""The sample run again with everything in its cache."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.commands import OLIVE, alternated, copy_sample, cost, environment
from benchmarks.report import Machine, Report, judged

LIMIT = 1.0
"""Seconds."""
BRIEF = ("--set", "passes.lora.training_args.max_steps=5")
"""The first run trains this much only: what its results are costs the rerun nothing."""


def measure(*, quick: bool = False) -> Report:
    """Run LoRA -> merge -> int4 with evaluations once, then again and again."""
    machine = Machine()
    with tempfile.TemporaryDirectory() as folder:
        sample = copy_sample(Path(folder))
        run = [OLIVE, "run", "workflow.yaml", *BRIEF]
        first = cost(run, sample)
        costs = alternated(
            {"pydantic": [sys.executable, "-c", "import pydantic"], "run": run}, sample, 3 if quick else 10
        )
        report = json.loads((sample / "output" / "run.json").read_bytes())
        torch = _imports_torch(sample)
    if executed := [step["step"] for step in report["steps"] if step["status"] != "reused"]:
        raise AssertionError(f"the rerun computed {', '.join(executed)}")
    again = costs["run"]
    rows = [
        ("olive run, first", f"{first.wall:.1f} s", f"{first.cpu:.1f} s", ""),
        ("olive run, again", f"{again.wall:.2f} s", f"{again.cpu:.2f} s", judged(again.wall, LIMIT, "s")),
    ]
    notes = (
        f"{len(report['steps'])} steps, all reused; torch {'WAS' if torch else 'was not'} imported; "
        f"{again.cpu / costs['pydantic'].cpu:.1f} x `import pydantic`",
    )
    return Report("Cached rerun of the sample", ("command", "wall", "cpu", "wanted"), rows, notes, machine)


def _imports_torch(sample: Path) -> bool:
    command = [sys.executable, "-P", "-X", "importtime", "-m", "olive_engine", "run", "workflow.yaml", *BRIEF]
    done = subprocess.run(command, cwd=sample, env=environment(), capture_output=True, text=True, check=True)
    modules = {line.split("|")[-1].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    return "torch" in modules
