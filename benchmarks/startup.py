"""How long commands take that compute nothing, against importing one library that every one of them needs."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from benchmarks.commands import OLIVE, alternated, copy_sample
from benchmarks.report import Machine, Report, judged

BASE = "import pydantic"
LIMITS = {"olive --help": 3.0, "olive validate": 6.0, "olive plan": 6.0}


def measure(*, quick: bool = False) -> Report:
    """Best of several rounds. The ratios are of CPU times, which other processes disturb less than wall times."""
    machine = Machine()
    commands = {
        BASE: [sys.executable, "-c", BASE],
        "olive --help": [OLIVE, "--help"],
        "olive validate": [OLIVE, "validate", "workflow.yaml"],
        "olive plan": [OLIVE, "plan", "workflow.yaml"],
    }
    with tempfile.TemporaryDirectory() as folder:
        sample = copy_sample(Path(folder))
        costs = alternated(commands, sample, 5 if quick else 20)
        scale = {"import torch": [sys.executable, "-c", "import torch"]}
        costs |= alternated(scale, sample, 1 if quick else 3)
    rows = []
    for name, each in costs.items():
        ratio = each.cpu / costs[BASE].cpu
        limit = judged(ratio, LIMITS[name], "x") if name in LIMITS else ""
        rows.append((name, f"{each.wall * 1e3:.0f} ms", f"{each.cpu * 1e3:.0f} ms", f"{ratio:.2f} x", limit))
    return Report("Start-up", ("command", "wall", "cpu", "ratio (cpu)", "wanted"), rows, machine=machine)
