"""The result of a run as a table: a row for each model, a column for each value, differences from the baseline."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from olive_engine.reporting import phrases
from olive_engine.reporting.tables import Cell, Column, Table


@dataclass(frozen=True, slots=True)
class Measured:
    """A value that is measured on models."""

    name: str
    """Its key in `ModelScores.scores`."""
    title: str
    higher_is_better: bool
    in_bytes: bool = False
    """It is a size, and shown as one."""


@dataclass(frozen=True, slots=True)
class Score:
    """One measured value. `goal_met` is None where no goal was set."""

    value: float
    goal_met: bool | None = None


@dataclass(frozen=True, slots=True)
class ModelScores:
    """What was measured on one model."""

    model: str
    scores: Mapping[str, Score]


def result_table(models: Sequence[ModelScores], measured: Sequence[Measured], baseline: str | None = None) -> Table:
    """Rows of models, columns of values; a value that no model has is left out.

    The others are compared with the model called `baseline`, where that was measured too. A goal that was met has a ✓
    before its value, one that was missed a ✗.
    """
    shown = [value for value in measured if any(value.name in model.scores for model in models)]
    base = next((model.scores for model in models if model.model == baseline), {})
    columns = []
    for value in shown:
        write = _writer(value, [model.scores[value.name].value for model in models if value.name in model.scores])
        columns.append(
            [
                _cell(
                    model.scores.get(value.name),
                    None if model.model == baseline else base.get(value.name),
                    value,
                    write,
                )
                for model in models
            ]
        )
    names = [Cell(model.model, note="(baseline)" if model.model == baseline else "") for model in models]
    titles = (Column("model"), *(Column(value.title, "right") for value in shown))
    return Table(titles, tuple(zip(names, *columns, strict=True)))


def _cell(score: Score | None, base: Score | None, value: Measured, write: Callable[[float], str]) -> Cell:
    if score is None:
        return Cell("-", "dim")
    mark = {True: "✓ ", False: "✗ ", None: ""}[score.goal_met]
    style = {True: "green", False: "red", None: ""}[score.goal_met]
    text = mark + write(score.value)
    if base is None:
        return Cell(text, style)
    change = score.value - base.value
    if not math.isfinite(change):
        return Cell(text, style)
    sign = "-" if change < 0 else "+" if change > 0 else "±"
    better = (change > 0) == value.higher_is_better
    return Cell(text, style, f"({sign}{write(abs(change))})", "dim" if change == 0 else "green" if better else "yellow")


def _writer(value: Measured, numbers: Iterable[float]) -> Callable[[float], str]:
    """How the numbers of one column are written: all with the same digits after the point."""
    if value.in_bytes:
        return lambda number: phrases.size(round(number)) if math.isfinite(number) else str(number)
    return phrases.alike(numbers)
