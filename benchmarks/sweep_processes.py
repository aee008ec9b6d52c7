"""A command watched: wall time, CPU time of all its processes, and each process's peak memory."""

from __future__ import annotations

import os
import resource
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # it ships no types

from benchmarks.commands import environment

ROOT = Path(__file__).parents[1]
INTERVAL = 0.2
"""Seconds between two looks at the processes. The kernel keeps the peak of each, so none is missed in between."""


@dataclass(frozen=True, slots=True)
class Watched:
    """What a command took."""

    wall: float
    """Seconds."""
    cpu: float
    """Seconds, user and system, of the process and all that it waited for."""
    peaks: Mapping[str, float]
    """Peak resident memory of each process, in MiB, by what it is and its id."""
    load: float
    """Mean number of runnable processes in the minute before."""
    output: str

    @property
    def peak(self) -> float:
        """Of the process that took most."""
        return max(self.peaks.values())


def watched(command: Sequence[str], folder: Path, variables: Mapping[str, str] | None = None) -> Watched:
    """Run a command to its end, from the root of the repository.

    Args:
        command: the program and its arguments.
        folder: where what it writes to its standard streams is kept, as ``output.txt``.
        variables: of the environment, over `commands.environment`.

    Raises:
        RuntimeError: it fails; the message holds the end of what it wrote.
    """
    folder.mkdir(parents=True, exist_ok=True)
    load = os.getloadavg()[0]
    peaks: dict[str, float] = {}
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    with (folder / "output.txt").open("w+", encoding="utf-8") as stream:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment() | dict(variables or {}), stdout=stream, stderr=subprocess.STDOUT
        )
        while True:
            peaks |= _peaks(process.pid)
            try:
                code = process.wait(INTERVAL)
                break
            except subprocess.TimeoutExpired:
                continue
        wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
        stream.seek(0)
        output = stream.read()
    if code:
        raise RuntimeError(f"{' '.join(command)} ended with exit code {code}:\n{output[-4000:]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Watched(wall, cpu, peaks, load, output)


def _peaks(pid: int) -> dict[str, float]:
    """Linux's ``VmHWM`` of a process and those under it, in MiB."""
    found: dict[str, float] = {}
    try:
        processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return found
    for each in processes:
        try:
            command = " ".join(each.cmdline())
            lines = Path(f"/proc/{each.pid}/status").read_text(encoding="utf-8").splitlines()
        except (psutil.Error, OSError):
            continue  # it has ended in the meantime
        peak = next((line.split()[1] for line in lines if line.startswith("VmHWM")), None)
        if peak is not None:
            kind = "worker" if "olive_engine.worker" in command else "main" if each.pid == pid else "other"
            found[f"{kind} {each.pid}"] = int(peak) / 1024
    return found
