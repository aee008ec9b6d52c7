"""The trials of a search as a table: options, how far each came, what was measured, and what became of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from olive_engine.reporting import phrases
from olive_engine.reporting.sweep_columns import (
    NOT_CHOSEN,
    Draft,
    fit,
    measured_column,
    option_column,
    short_names,
    total_width,
)
from olive_engine.reporting.tables import GAP, Cell, Column, Table
from olive_engine.reporting.trials import Scheme, TrialRow, TrialState, leader, percent, ranked

MOST_TRIALS = 20
"""How many trials are listed where nothing else is said."""

_STYLES: Mapping[TrialState, str] = {
    "waiting": "dim", "running": "", "complete": "green", "pruned": "dim", "failed": "red",
}  # fmt: skip
_INDENT = 2
NARROWEST_STATE = 14
"""As wide as ``pruned at 25 %``."""


def sweep_table(
    rows: Iterable[TrialRow],
    scheme: Scheme,
    *,
    best: Collection[int] | None = None,
    most: int | None = MOST_TRIALS,
    width: int | None = None,
    causes: bool = False,
) -> Table:
    """The best trials, the best first, with a line that counts the rest.

    Args:
        rows: all trials.
        scheme: what is searched and measured.
        best: trials to be marked with ``*``; none: the best so far.
        most: how many trials are listed; none: all.
        width: columns of the terminal; titles are shortened and options left out to fit; none: as wide as it needs.
        causes: say why trials failed.
    """
    ordered = ranked(rows, scheme)
    first = leader(ordered, scheme)
    lines = [TrialLine(row, _state(row, causes=causes)) for row in ordered[:most]]
    marked = best if best is not None else () if first is None else (first,)
    longest = max((len(", ".join(line.state)) for line in lines), default=0)
    room = NARROWEST_STATE if width is None else max(NARROWEST_STATE, min(longest, width // 3))
    return trial_table(lines, scheme, best=marked, width=width, state_width=room, rest=ordered[len(lines) :])


@dataclass(frozen=True, slots=True)
class TrialLine:
    """A trial and what is said of it beside its numbers."""

    row: TrialRow
    state: Sequence[str]
    """What is said in the last place: as many of the phrases as there is room for."""
    trained: Cell | None = None
    """How far it has come, if not in the usual words."""
    mark: Cell | None = None
    """What stands before it; all lines have one, or none has."""


def trial_table(
    lines: Sequence[TrialLine],
    scheme: Scheme,
    *,
    best: Collection[int],
    width: int | None,
    state_width: int = NARROWEST_STATE,
    rest: Sequence[TrialRow] = (),
) -> Table:
    """These trials in this order.

    Args:
        lines: the trials.
        scheme: what is searched and measured.
        best: trials to be marked with ``*``.
        width: columns of the terminal; none: as wide as it needs.
        state_width: columns kept for the last place, unless options would have to go for it.
        rest: trials that are not listed, but counted.
    """
    drafts, dropped, room = _columns(lines, scheme, best), list[str](), None
    if width is not None:
        left = width - _INDENT - GAP
        kept, dropped = fit(drafts, left - state_width)
        if dropped:
            kept, dropped = fit(drafts, left - NARROWEST_STATE)
        drafts, room = kept, max(NARROWEST_STATE, left - total_width(kept))
    columns = (*(Column(draft.head, draft.align) for draft in drafts), Column("state"))
    rows = []
    for place, line in enumerate(lines):
        cells = [_toned(draft.cells[place], line.row, best) for draft in drafts]
        rows.append((*cells, Cell(_said(line.state, room), _STYLES[line.row.state])))
    foot = _foot(rest, dropped)
    return Table(columns, tuple(rows), foot if width is None else phrases.cut(foot, width - _INDENT))


def state_words(row: TrialRow) -> list[str]:
    """What became of a trial: ``pruned at 12.5 %``; then whose place it takes, if it tries another again."""
    words = f"pruned at {percent(row.spent)}" if row.state == "pruned" else row.state
    return [words] if row.again is None else [words, f"trial {row.again} again"]


def counted(rows: Iterable[TrialRow]) -> str:
    """``9 pruned, 3 waiting``."""
    states = Counter(row.state for row in rows)
    order: tuple[TrialState, ...] = ("running", "complete", "pruned", "failed", "waiting")
    return ", ".join(f"{states[state]:,} {state}" for state in order if states[state])


def _state(row: TrialRow, *, causes: bool) -> list[str]:
    words = state_words(row)
    return [f"{words[0]}: {' '.join(row.cause.split())}", *words[1:]] if causes and row.cause else words


def _said(said: Sequence[str], room: int | None) -> str:
    """As many of the phrases as there is room for, the first one cut if it must be."""
    if room is None:
        return ", ".join(said)
    return phrases.fitting(said, room) or (phrases.cut(said[0], room) if said else "")


def _columns(lines: Sequence[TrialLine], scheme: Scheme, best: Collection[int]) -> list[Draft]:
    rows = [line.row for line in lines]
    marks = [line.mark for line in lines if line.mark is not None]
    drafts = [Draft(("",), marks, "left")] if marks else []
    drafts.append(Draft(("trial",), [Cell(f"{row.trial}{'*' if row.trial in best else ' '}") for row in rows]))
    options = list(dict.fromkeys([*scheme.searched, *(name for row in rows for name in row.options)]))
    for name, short in short_names(options).items():
        drafts.append(option_column(short, [row.options.get(name, NOT_CHOSEN) for row in rows]))
    drafts.append(Draft(("trained",), [line.trained or _trained(line.row) for line in lines]))
    names = [name for name, _ in scheme.objectives]
    yardstick = None if scheme.yardstick is None else scheme.yardstick[0]
    measured = []
    if yardstick is not None and yardstick not in names:
        measured.append((yardstick, [row.judged for row in rows]))
    for place, name in enumerate(names):
        # One column where both are the same value: it is told at each rung, and the last is what the trial came to.
        otherwise = [row.judged if yardstick == name else None for row in rows]
        values = [
            row.values[place] if place < len(row.values) else other for row, other in zip(rows, otherwise, strict=True)
        ]
        measured.append((name, values))
    there = [(name, values) for name, values in measured if any(value is not None for value in values)]
    needed = {yardstick, *names[:1]}
    return drafts + [measured_column(name, values, needed=name in needed) for name, values in there]


def _trained(row: TrialRow) -> Cell:
    return Cell(percent(row.spent) if row.spent else "")


def _toned(cell: Cell, row: TrialRow, best: Collection[int]) -> Cell:
    """The best stands out, and what is out of the race stands back."""
    if cell.style:
        return cell
    style = "bold green" if row.trial in best else "dim" if row.state in ("pruned", "failed", "waiting") else ""
    return Cell(cell.text, style)


def _foot(rest: Sequence[TrialRow], dropped: Sequence[str]) -> str:
    more = [f"… and {len(rest):,} more ({counted(rest)})"] if rest else []
    return "; ".join([*more, *([f"no room for {', '.join(dropped)}"] if dropped else [])])
