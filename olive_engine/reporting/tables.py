"""Tables of text, drawn with colour and wrapping in a terminal and as aligned plain lines anywhere else."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TextIO

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

GAP = 2
"""Blanks between two columns."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its title, and which side its cells keep to. A `flexible` one gives way when the table is too wide."""

    title: str
    align: Literal["left", "right"] = "left"
    flexible: bool = False


@dataclass(frozen=True, slots=True)
class Cell:
    """What stands in one place: a text, and a note beside it, or below it where there is no room beside it."""

    text: str
    style: str = ""
    note: str = ""
    note_style: str = "dim"


@dataclass(frozen=True, slots=True)
class Table:
    """Columns and rows of equal length, with a line that ends it ("… and 12 more")."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    foot: str = ""


def is_terminal(stream: TextIO) -> bool:
    """Whether somebody may be watching: a terminal that understands cursor movement."""
    return stream.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")


def terminal(stream: TextIO) -> Console:
    """A rich console on a terminal, in which no text is markup and no number is painted by guess."""
    from rich.console import Console

    return Console(file=stream, markup=False, highlight=False, emoji=False)


def width_of(stream: TextIO) -> int | None:
    """Columns of a terminal, one without cursor movement too; None: a file or a pipe, whose lines may be long."""
    return shutil.get_terminal_size().columns if stream.isatty() else None


def show(table: Table, stream: TextIO) -> None:
    """Draw the table on a stream, as fits what the stream is."""
    if is_terminal(stream):
        console = terminal(stream)
        console.print(draw(table, console.width))
    else:
        stream.write("\n".join(lines(table)) + "\n")
        stream.flush()


def lines(table: Table) -> list[str]:
    """The table as plain lines of aligned columns, as wide as they need to be, without trailing blanks."""
    columns = [
        _aligned(column, [Cell(column.title), *(row[index] for row in table.rows)])
        for index, column in enumerate(table.columns)
    ]
    done = ["  " + (" " * GAP).join(parts).rstrip() for parts in zip(*columns, strict=True)]
    return [*done, f"  {table.foot}"] if table.foot else done


def draw(table: Table, width: int) -> RenderableType:
    """The table for a terminal of that width; notes move below their cells if the table would not fit otherwise."""
    from rich.console import Group
    from rich.table import Table as RichTable
    from rich.text import Text

    below = not any(column.flexible for column in table.columns) and max(map(len, lines(table))) > width
    drawn = RichTable(box=None, padding=(0, GAP, 0, 0), pad_edge=False, header_style="bold")
    drawn.add_column("", width=0, no_wrap=True)  # with its padding, the indent of everything that is printed
    columns = []
    for index, column in enumerate(table.columns):
        cells = [row[index] for row in table.rows]
        if below or column.flexible:
            drawn.add_column(column.title, justify=column.align, overflow="fold", no_wrap=not column.flexible)
            columns.append([_stacked(cell) for cell in cells])
        else:  # aligned here: rich would not put notes below notes
            title, *texts = _aligned(column, [Cell(column.title), *cells])
            drawn.add_column(title, overflow="fold", no_wrap=True)
            columns.append([_styled(text, cell) for text, cell in zip(texts, cells, strict=True)])
    for row_texts in zip(*columns, strict=True):
        drawn.add_row("", *row_texts)
    # Not a caption: rich would fold that to the width of the table.
    return Group(drawn, Text(f"  {table.foot}", "dim")) if table.foot else drawn


def painted(table: Table) -> list[Text]:
    """The table as in `lines`, in its colours: for what is drawn anew many times a second."""
    from rich.text import Text

    columns = []
    for index, column in enumerate(table.columns):
        cells = [row[index] for row in table.rows]
        title, *texts = _aligned(column, [Cell(column.title), *cells])
        columns.append([Text(title, "bold"), *(_styled(text, cell) for text, cell in zip(texts, cells, strict=True))])
    gap = Text(" " * GAP)
    done = [Text("  ").append_text(gap.join(parts)) for parts in zip(*columns, strict=True)]
    return [*done, Text(f"  {table.foot}", "dim")] if table.foot else done


def _aligned(column: Column, cells: Sequence[Cell]) -> list[str]:
    """The cells of a column in equal width, the notes of a column of numbers below each other too."""
    note_width = max((len(cell.note) for cell in cells), default=0)
    if column.align == "right" and note_width:
        text_width = max(len(cell.text) for cell in cells)
        texts = [f"{cell.text.rjust(text_width)} {cell.note.ljust(note_width)}" for cell in cells]
    else:
        texts = [f"{cell.text} {cell.note}" if cell.note else cell.text for cell in cells]
    width = max(map(len, texts), default=0)
    return [text.rjust(width) if column.align == "right" else text.ljust(width) for text in texts]


def _stacked(cell: Cell) -> Text:
    """A cell with its note on a line of its own."""
    from rich.text import Text

    return Text.assemble((cell.text, cell.style), *([("\n" + cell.note, cell.note_style)] if cell.note else []))


def _styled(text: str, cell: Cell) -> Text:
    """A cell and its note, aligned as in `text`, each in its style."""
    from rich.text import Text

    styled = Text(text)
    start = text.index(cell.text)
    styled.stylize(cell.style, start, start + len(cell.text))
    if cell.note:
        start = text.index(cell.note, start + len(cell.text))
        styled.stylize(cell.note_style, start, start + len(cell.note))
    return styled
