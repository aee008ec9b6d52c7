"""The plan of a run as a table: each step, what it is, whether it runs, and why."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence

from olive_engine.reporting import phrases
from olive_engine.reporting.planned import PlannedStep
from olive_engine.reporting.tables import Cell, Column, Table

MOST_LINES = 50
"""How many steps of a plan are listed, and up to how many steps each gets a line of its own when it is done."""


def plan_heading(steps: Sequence[PlannedStep], what: str = "Plan") -> str:
    """One line: ``Plan: 12 steps, 9 to run, 3 reused``."""
    to_run = sum(step.action == "run" for step in steps)
    counted = f"{what}: {phrases.count(len(steps), 'step')}"
    if not to_run:
        return f"{counted}, all reused"
    return counted + (f", {to_run:,} to run, {len(steps) - to_run:,} reused" if to_run < len(steps) else ", all to run")


def plan_table(steps: Sequence[PlannedStep], most: int = MOST_LINES) -> Table:
    """The first `most` steps, those that run before those that are reused if not all can be shown."""
    shown = list(steps)
    if len(shown) > most:
        chosen = sorted(range(len(shown)), key=lambda index: shown[index].action != "run")[:most]
        shown = [shown[index] for index in sorted(chosen)]
    somewhere = len({step.system for step in steps}) > 1
    columns = [Column("step"), Column("what"), *([Column("where")] if somewhere else []), Column("action")]
    rows = [_row(step, somewhere=somewhere) for step in shown]
    rest = len(steps) - len(shown)
    return Table((*columns, Column("why", flexible=True)), tuple(rows), f"… and {rest:,} more" if rest else "")


def notes_lines(notes: Mapping[str, Sequence[str]], width: int | None) -> Iterator[str]:
    """What systems have to say, under the name of each.

    Args:
        notes: by system: sentences, and texts of several lines.
        width: of the terminal, at which sentences are wrapped; None: lines may be long.
    """
    for system, said in notes.items():
        yield f"{system}:"
        for note in said:
            lines = note.splitlines()
            if len(lines) > 1:
                yield from (f"    {line}" for line in lines)
            elif width is None:
                yield f"  {note}"
            else:
                wrapper = textwrap.TextWrapper(
                    max(width, 40), initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False
                )
                yield from wrapper.wrap(note)


def _row(step: PlannedStep, *, somewhere: bool) -> tuple[Cell, ...]:
    dim = "dim" if step.action == "reuse" else ""
    what = {"data": "data", "pass": step.type, "evaluate": f"measure {step.type}"}[step.kind]
    return (
        Cell(step.step, dim),
        Cell(what, dim),
        *([Cell(step.system, dim)] if somewhere else []),
        Cell(step.action, dim or "cyan"),
        Cell(_why(step), dim),
    )


def _why(step: PlannedStep) -> str:
    reasons = step.reasons
    if not reasons:
        return f"in the shared cache {step.source}" if step.source else ""
    return reasons[0] + (f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else "")
