"""Problems as text for people: one line each, and in a terminal the source line with a caret."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from olive_engine.config.loader import MAX_BYTES
from olive_engine.config.masking import MASK, is_secret, known_forms_masked, secret_spans
from olive_engine.config.tree import Text
from olive_engine.errors import Position, Problem

WIDTH = 100
"""Columns of source shown: a minified file is one line."""

REACH = 4000
"""Columns left and right of a place in which secrets are looked for."""

_QUOTED = r'"(?:[^"\\]|\\.)*(?:"|$)|\'[^\']*(?:\'|$)'
_IN_BLOCK = re.compile(rf"{_QUOTED}|-(?=\s)|(?![\[\]{{}},])(?:(?!:(?:\s|$)|\s#).)+")
_IN_BRACKETS = re.compile(rf"{_QUOTED}|(?:(?!:(?:\s|$)|\s#)[^,\[\]{{}}])+")
_IN_JSON = re.compile(rf"{_QUOTED}|[^\s,:{{}}\[\]]+")


def render(problems: Iterable[Problem], *, source: bool = True) -> str:
    """One line for each problem: ``file:line:column: path: what; hint``; with `source`, the line and a caret below it.

    The lines are read from the files again; where that fails they are left out.
    """
    files: dict[str, Text | None] = {}
    blocks = []
    for problem in problems:
        label = "warning: " if problem.severity == "warning" else ""
        block = label + known_forms_masked(_printable(str(problem)))
        if source and problem.position is not None and problem.position.line:
            line = _line(problem.position, files)
            if line is not None:
                block += "\n" + _excerpt(*_masked(line, problem), problem.position)
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


def _masked(line: str, problem: Problem) -> tuple[str, int]:
    """The line without the secrets in it, and where in it the problem stands, from 0."""
    column = min(problem.position.column - 1, len(line)) if problem.position else 0
    first = max(0, column - REACH)
    at = column - first if is_secret(problem.path) else None
    for start, end in reversed(secret_spans(line[first : column + REACH], at)):
        start, end = first + start, first + end
        line = line[:start] + MASK + line[end:]
        if column >= end:
            column += len(MASK) - (end - start)
        elif column > start:
            column = start
    return line, column


def _excerpt(line: str, column: int, position: Position) -> str:
    """The line with its number, and carets under the word at the column."""
    start = 0 if len(line) <= WIDTH else max(0, column - WIDTH // 3)
    shown = line[start : start + WIDTH]
    before, marked = line[start:column], _word(line, column, start + WIDTH, position.file)
    lead = "…" if start else ""
    tail = "…" if start + WIDTH < len(line) else ""
    gutter = f"{position.line:>5} | "
    carets = " " * _width(lead + before) + "^" * max(1, _width(marked))
    return f"{gutter}{_printable(lead + shown + tail)}\n{' ' * (len(gutter) - 2)}| {carets}"


def _word(line: str, column: int, end: int, file: str) -> str:
    """The key or scalar that begins at the column, whole; of what is shown only: a line may be a whole file."""
    rest = line[column:end]
    before = re.sub(_QUOTED, "", line[max(0, column - REACH) : column])
    in_brackets = sum(map(before.count, "{[")) > sum(map(before.count, "}]"))
    if file.lower().endswith(".json") or line.startswith("{"):
        token = _IN_JSON.match(rest)
    elif in_brackets:
        token = _IN_BRACKETS.match(rest)
    else:
        token = _IN_BLOCK.match(rest)
        if token and "," in token[0] and line[column + token.end() : column + token.end() + 1] == ":":
            token = _IN_BRACKETS.match(rest)  # of brackets opened in a line above
    return (token[0].rstrip() if token else "") or rest[:1]


def _printable(text: str) -> str:
    """Text that cannot steer a terminal: tabs as one blank, other control characters as a dot."""
    return "".join(char if char.isprintable() else " " if char in "\t\n" else "·" for char in text)


def _width(text: str) -> int:
    """How many columns a terminal uses for `text` as `_printable` writes it."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )
