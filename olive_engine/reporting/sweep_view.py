"""A running search, as it is drawn at the bottom of a terminal: its trials as a table, and a line for the whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from olive_engine.reporting import phrases
from olive_engine.reporting.live import bar, frame
from olive_engine.reporting.progress import RunningStep
from olive_engine.reporting.sweep import Sweep
from olive_engine.reporting.sweep_table import TrialLine, state_words, trial_table
from olive_engine.reporting.sweep_words import standing
from olive_engine.reporting.tables import Cell, painted
from olive_engine.reporting.trials import TrialRow, percent, ranked

_MARKS = {"complete": ("✓", "green"), "pruned": ("-", "dim"), "failed": ("✗", "bold red"), "waiting": (" ", "")}
_OTHER_LINES = 5
"""Lines that are not trials: heads, what is left out, shared steps, the whole search, and where the cursor stands."""
_NO_BAR, _WIDE = 72, 100
_NARROW_BAR, _WIDE_BAR = 8, 16
_STATE = 24
"""As wide as ``loss 0.4123 · 3,400 tok/s``; always kept, so that the columns stand still."""


class SweepView:
    """Draws as many trials as there are lines: those at work, then the best."""

    def __init__(self, sweep: Sweep, now: Callable[[], float]) -> None:
        self._sweep = sweep
        self._now = now

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        now, width, sweep = self._now(), options.max_width, self._sweep
        doing, rows, best = sweep.doing(now), sweep.current(), sweep.best
        shown, rest = chosen(rows, ranked(rows, sweep.scheme), max(1, console.height - _OTHER_LINES))
        lines = [
            TrialLine(
                row,
                doing.get(row.trial) or state_words(row),
                _trained(row, width, ascii_only=options.ascii_only),
                _mark(row, now),
            )
            for row in shown
        ]
        if lines:
            marked = () if best is None else (best,)
            room = min(_STATE, width * 3 // 10)
            table = trial_table(lines, sweep.scheme, best=marked, width=width, state_width=room, rest=rest)
            for line in painted(table):
                line.highlight_regex(r"─+|\.\.+", "dim")
                line.truncate(width, overflow="ellipsis")
                yield line
        if shared := sweep.shared():
            yield Text(phrases.cut(f"  {_sharing(shared, now)}", width), style="dim")
        whole = standing(sweep, now)
        yield Text(phrases.cut(f"  {phrases.fitting(whole, width - 2)}", width), style="dim")


def chosen(
    rows: Sequence[TrialRow], best_first: Sequence[TrialRow], room: int
) -> tuple[list[TrialRow], list[TrialRow]]:
    """The trials to be shown where there is room for so many, by number, and the others.

    Those at work come first and the best three with them, then what waits, then what is over.
    """
    if len(rows) <= room:
        return sorted(rows, key=lambda row: row.trial), []
    order = {"running": 0, "waiting": 1, "complete": 2, "pruned": 3, "failed": 4}
    place = {row.trial: place for place, row in enumerate(best_first)}
    top = min(3, room // 3)
    by_need = sorted(rows, key=lambda row: (-1 if place[row.trial] < top else order[row.state], place[row.trial]))
    return sorted(by_need[:room], key=lambda row: row.trial), by_need[room:]


def _mark(row: TrialRow, now: float) -> Cell:
    return Cell(frame(now), "cyan") if row.state == "running" else Cell(*_MARKS[row.state])


def _trained(row: TrialRow, width: int, *, ascii_only: bool) -> Cell:
    cells = 0 if width < _NO_BAR else _WIDE_BAR if width >= _WIDE else _NARROW_BAR
    drawn = bar(row.spent, cells).plain
    if ascii_only:
        drawn = drawn.replace("━", "#").replace("─", ".")
    share = percent(row.spent if row.spent < 0.01 else round(row.spent, 2))  # no halves: it moves
    text = f"{drawn} {share:>5}".strip()
    return Cell(text, "dim" if row.state in ("pruned", "failed") else "cyan")


def _sharing(steps: Sequence[RunningStep], now: float) -> str:
    """``data:train 1,200/5,000 rows``, for all trials."""
    parts = [f"{step.step} {step.position if step.total > 0 else phrases.clock(now - step.started)}" for step in steps]
    return f"for all trials: {', '.join(parts)}"
