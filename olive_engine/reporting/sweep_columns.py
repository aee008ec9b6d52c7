"""The columns of a table of trials: short heads, numbers of one column written alike, and what to leave out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from olive_engine.reporting import phrases
from olive_engine.reporting.tables import GAP, Cell

NOT_CHOSEN = object()
"""The value of an option of which a trial has made no use."""
_LONGEST_VALUE = 24
_LONGEST_NUMBER = 10


@dataclass(slots=True)
class Draft:
    """A column before it is known how wide it may be."""

    heads: tuple[str, ...]
    """Its title, and shorter ones for when there is little room."""
    cells: Sequence[Cell]
    align: Literal["left", "right"] = "right"
    needed: bool = True
    """It is shown however little room there is."""
    chosen: int = field(default=0)

    @property
    def head(self) -> str:
        """The title as it is now."""
        return self.heads[self.chosen]

    @property
    def inner(self) -> int:
        """How wide the cells are."""
        return max((len(cell.text) for cell in self.cells), default=0)

    @property
    def width(self) -> int:
        """How wide the column is."""
        return max(self.inner, len(self.head))


def fit(drafts: Sequence[Draft], width: int) -> tuple[list[Draft], list[str]]:
    """The columns that fit beside each other, and the whole titles of those left out.

    First the longest titles become shorter, then columns that are not needed go, the last one first.
    """
    kept, dropped = list(drafts), list[str]()
    for draft in kept:
        draft.chosen = 0
    while total_width(kept) > width:
        longer = [d for d in kept if len(d.head) > d.inner and d.chosen + 1 < len(d.heads)]
        if longer:
            max(longer, key=lambda draft: len(draft.head)).chosen += 1
            continue
        optional = [draft for draft in kept if not draft.needed]
        if not optional:
            break
        kept.remove(optional[-1])
        dropped.insert(0, optional[-1].heads[0])
        for draft in kept:
            draft.chosen = 0
    for draft in reversed(kept):  # what the last step gained too much is given back, to what was measured first
        while draft.chosen and total_width(kept) + len(draft.heads[draft.chosen - 1]) - draft.width <= width:
            draft.chosen -= 1
    return kept, dropped


def total_width(drafts: Sequence[Draft]) -> int:
    """How wide the columns are beside each other."""
    return sum(draft.width + GAP for draft in drafts) - GAP


def short_names(names: Sequence[str]) -> dict[str, str]:
    """Each dotted name -> its shortest end that is the end of no other: ``tune.r`` -> ``r``."""
    found = {}
    for name in names:
        parts = name.split(".")
        ends = (".".join(parts[start:]) for start in range(len(parts) - 1, -1, -1))
        others = [f".{other}" for other in names if other != name]
        found[name] = next((end for end in ends if not any(other.endswith(f".{end}") for other in others)), name)
    return found


def heads(name: str) -> tuple[str, ...]:
    """A title, and ever shorter ones: ``per_device_train_batch_size``, ``…train_batch_size``, … ``…size``."""
    words = name.split("_")
    shorter = [f"…{'_'.join(words[start:])}" for start in range(1, len(words))]
    known = [phrases.SHORT[name]] if name in phrases.SHORT else []
    return name, *known, *(() if known else shorter)


def measure_name(name: str) -> str:
    """A metric's value in a title: ``accuracy.accuracy_score`` says twice what it is."""
    metric, _, value = name.rpartition(".")
    return value if metric and value.startswith(metric.rpartition(":")[2]) else name


def option_column(head: str, chosen: Sequence[object]) -> Draft:
    """The values of an option, those that were not chosen as ``-``."""
    there = [value for value in chosen if value is not NOT_CHOSEN]
    write = _alike(there)
    cells = [Cell("-", "dim") if value is NOT_CHOSEN else Cell(write(value)) for value in chosen]
    return Draft(heads(head), cells, "right" if all(map(_is_number, there)) else "left", needed=False)


def options_text(options: Mapping[str, object], names: Mapping[str, str]) -> str:
    """A trial's options in a line: ``r 8, learning_rate 2.3e-04``."""
    return ", ".join(f"{names.get(name, name)} {_alike([value])(value)}" for name, value in options.items())


def measured_column(name: str, values: Sequence[float | None], *, needed: bool) -> Draft:
    """Measured values, all with the same digits after the point; a size in bytes as a size."""
    there = [value for value in values if value is not None]
    write = _size if name.endswith(".bytes") else _digits(there)
    cells = [Cell("") if value is None else Cell(write(value)) for value in values]
    return Draft(heads(measure_name(name)), cells, needed=needed)


def measured_text(name: str, value: float) -> str:
    """A measured value by itself: ``eval_loss 0.6543``."""
    return f"{measure_name(name)} {_size(value) if name.endswith('.bytes') else phrases.number(value)}"


def _size(value: float) -> str:
    return phrases.size(round(value)) if math.isfinite(value) else str(value)


def _digits(values: Iterable[float]) -> Callable[[float], str]:
    """The way of `phrases.alike`, but for a value so far from the others that it would fill the line."""
    # A loss that explodes must not cost the others their digits, nor the table its width.
    write = phrases.alike([value for value in values if abs(value) < 10**6])
    return lambda value: text if len(text := write(value)) <= _LONGEST_NUMBER else f"{value:.3g}"


def _alike(values: Sequence[object]) -> Callable[[object], str]:
    """How the values of one option are written: numbers with exponents if one of them asks for it."""
    sizes = [abs(value) for value in values if isinstance(value, float) and math.isfinite(value) and value]
    form = ".1e" if sizes and (min(sizes) < 0.01 or max(sizes) >= 10**5) else ".3g"

    def write(value: object) -> str:
        if value is None or isinstance(value, bool):
            return "none" if value is None else str(value).lower()
        if isinstance(value, float):
            return format(value, form)
        if isinstance(value, list | tuple):
            return phrases.cut(f"[{', '.join(map(write, value))}]", _LONGEST_VALUE)
        return phrases.cut(" ".join(str(value).split()), _LONGEST_VALUE)

    return write


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
