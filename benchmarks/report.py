"""What a benchmark found: a table for the reader, JSON for comparing."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path

PACKAGES = ("pydantic", "torch", "transformers", "peft")
"""Whose versions are reported."""


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine's state when a benchmark began."""

    cores: int = field(default_factory=lambda: len(os.sched_getaffinity(0)))
    load: tuple[float, ...] = field(default_factory=os.getloadavg)
    """Mean number of runnable processes in the last 1, 5 and 15 minutes: above `cores` the figures are of a contended
    machine."""
    python: str = field(default_factory=platform.python_version)
    packages: dict[str, str] = field(default_factory=lambda: {name: version(name) for name in PACKAGES})
    date: str = field(default_factory=lambda: time.strftime("%Y-%m-%d %H:%M"))


@dataclass(frozen=True, slots=True)
class Report:
    """A benchmark's table. The last column says what is wanted, and whether it was met."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    notes: tuple[str, ...] = ()
    machine: Machine = field(default_factory=Machine)

    def show(self) -> None:
        """Print it."""
        table = [self.columns, *self.rows]
        widths = [max(len(row[index]) for row in table) for index in range(len(self.columns))]
        print(f"\n{self.title}  (load {self.machine.load[0]:.1f} on {self.machine.cores} cores)")
        for row in table:
            first, *rest = (
                text.ljust(width) if not index else text.rjust(width)
                for index, (text, width) in enumerate(zip(row, widths, strict=True))
            )
            print("  " + "  ".join([first, *rest]).rstrip())
        for note in self.notes:
            print(f"  {note}")

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")


def judged(value: float, limit: float, unit: str) -> str:
    """``< 6 x  ok``: a limit and whether `value` keeps to it."""
    return f"< {limit:g} {unit}  {'ok' if value <= limit else 'OVER'}"
