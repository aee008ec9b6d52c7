"""Problems as text for people: one line each, and in a terminal the source line with a caret."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from olive_engine.config.loader import MAX_BYTES
from olive_engine.config.tree import Text
from olive_engine.errors import Position, Problem

WIDTH = 100
"""Columns of source shown: a minified file is one line."""

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*("|$)|\'[^\']*(\'|$)|[^\s,:{}\[\]]+')


def render(problems: Iterable[Problem], *, source: bool = True) -> str:
    """One line for each problem: ``file:line:column: path: what; hint``; with `source`, the line and a caret below it.

    The lines are read from the files again; where that fails they are left out.
    """
    files: dict[str, Text | None] = {}
    blocks = []
    for problem in problems:
        label = "warning: " if problem.severity == "warning" else ""
        block = label + _printable(str(problem))
        if source and problem.position is not None and problem.position.line:
            line = _line(problem.position, files)
            if line is not None:
                block += "\n" + _excerpt(line, problem.position)
        blocks.append(block)
    return "\n".join(blocks)


def _line(position: Position, files: dict[str, Text | None]) -> str | None:
    if position.file not in files:
        try:
            with Path(position.file).open("rb") as stream:
                content = stream.read(MAX_BYTES).decode("utf-8-sig", errors="replace")
        except (OSError, ValueError):
            files[position.file] = None
        else:
            files[position.file] = Text(position.file, content)
    text = files[position.file]
    line = text.line(position.line) if text is not None else None
    return line.rstrip("\r\n") if line is not None else None


def _excerpt(line: str, position: Position) -> str:
    """The line with its number, and carets under the word at the position."""
    column = min(position.column - 1, len(line))
    start = 0 if len(line) <= WIDTH else max(0, column - WIDTH // 3)
    shown = line[start : start + WIDTH]
    token = _TOKEN.match(line[column : start + WIDTH])  # in what is shown only: a line may be a whole file
    before, marked = line[start:column], token[0] if token else line[column : column + 1]
    lead = "…" if start else ""
    tail = "…" if start + WIDTH < len(line) else ""
    gutter = f"{position.line:>5} | "
    carets = " " * _width(lead + before) + "^" * max(1, _width(marked))
    return f"{gutter}{_printable(lead + shown + tail)}\n{' ' * (len(gutter) - 2)}| {carets}"


def _printable(text: str) -> str:
    """Text that cannot steer a terminal: tabs as one blank, other control characters as a dot."""
    return "".join(char if char.isprintable() else " " if char in "\t\n" else "·" for char in text)


def _width(text: str) -> int:
    """How many columns a terminal uses for `text` as `_printable` writes it."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )
