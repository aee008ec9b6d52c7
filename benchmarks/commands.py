"""Commands and what they cost: wall time, and the CPU time of the process and all that it waited for."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

OLIVE = shutil.which("olive", path=str(Path(sys.executable).parent)) or "olive"
"""The console script of this interpreter's environment."""
SAMPLE = Path(__file__).parents[1] / "samples" / "phrase_tone"


@dataclass(frozen=True, slots=True)
class Cost:
    """What one call took, in seconds."""

    wall: float
    cpu: float


def cost(command: Sequence[str], cwd: Path) -> Cost:
    """Run a command to its end, its output thrown away.

    Raises:
        RuntimeError: it fails; the message holds what it wrote to stderr.
    """
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, cwd=cwd, env=environment(), capture_output=True, text=True, check=False)
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with exit code {done.returncode}:\n{done.stderr}")
    return Cost(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def alternated(commands: Mapping[str, Sequence[str]], cwd: Path, rounds: int) -> dict[str, Cost]:
    """The best of `rounds` calls of each command, one after another in each round; a first round is not counted."""
    for command in commands.values():
        cost(command, cwd)
    costs: dict[str, list[Cost]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            costs[name].append(cost(command, cwd))
    return {name: Cost(min(each.wall for each in of), min(each.cpu for each in of)) for name, of in costs.items()}


def environment() -> dict[str, str]:
    """A user's environment: byte code is kept, one thread, no hub."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


def copy_sample(folder: Path) -> Path:
    """The sample without what earlier runs left there."""
    left = shutil.ignore_patterns(".olive-cache", "output", "__pycache__")
    return shutil.copytree(SAMPLE, folder / "sample", ignore=left)
