"""Rows of local json, csv and text files, with every value as it is written.

Read with the standard library rather than with `datasets`, whose type inference changes what people train on: a CSV
cell ``007`` becomes 7.0, a label ``NA`` becomes null, and a JSON date becomes a timestamp of another look.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

from pydantic import JsonValue

from olive_engine.config.data import FileFormat

Row = dict[str, JsonValue]

CSV_CELL = 1 << 30
"""The longest CSV cell in characters; Python's own limit of 131072 is too small for a document."""

OTHER_SEPARATORS = (";", "\t", "|")
"""What stands between the columns of files that are called CSV and are not."""


class UnreadableRows(ValueError):
    """A data file cannot be read as what it is said to be; the message is one sentence with file and line."""


def read_rows(path: Path, data_format: FileFormat, field: str | None = None, *, name: str = "") -> Iterator[Row]:
    """The rows of one json, csv or text file.

    Args:
        path: the file.
        data_format: not parquet.
        field: key of the JSON document under which the rows are.
        name: what messages call the file.

    Raises:
        UnreadableRows: while reading.
    """
    name = name or path.name
    return parse_rows(decode(path.read_bytes(), name), data_format, field, name=name)


def parse_rows(
    text: str, data_format: FileFormat, field: str | None = None, *, name: str, complete: bool = True
) -> Iterator[Row]:
    """The rows in the text of a file; with ``complete=False`` only its beginning, and a cut-off row is left out."""
    if data_format == "text":
        return _text_rows(text, complete=complete)
    if data_format == "csv":
        return _csv_rows(text, name, complete=complete)
    if field is not None:
        return _field_rows(text, field, name)
    if text.lstrip()[:1] == "[":
        return _array_rows(text, name, complete=complete)
    return _json_lines(text, name, complete=complete)


def decode(content: bytes, name: str, *, complete: bool = True) -> str:
    """The text of a file in UTF-8, without a byte order mark.

    Raises:
        UnreadableRows: it is in another encoding.
    """
    if not complete:  # don't stumble over a character that the cut went through
        content = content[: content.rfind(b"\n") + 1] or content
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UnreadableRows(
            f"{name}:{line}: expected UTF-8 text, found the byte 0x{content[error.start]:02x}"
        ) from None


def _text_rows(text: str, *, complete: bool) -> Iterator[Row]:
    for line in _lines(text, complete=complete):
        yield {"text": line}


def _lines(text: str, *, complete: bool) -> Iterator[str]:
    # Only line ends count: str.splitlines would also break at form feeds and other separators inside a value.
    lines = text.replace("\r\n", "\n").split("\n")
    yield from lines[:-1]
    if complete and lines[-1]:
        yield lines[-1]


def _json_lines(text: str, name: str, *, complete: bool) -> Iterator[Row]:
    for number, line in enumerate(_lines(text, complete=complete), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except json.JSONDecodeError as error:
            raise UnreadableRows(
                f"{name}:{number}:{error.colno}: bad JSON ({error.msg}); expected one object a line, a list of "
                "objects, or a document with `field` set to the key of its rows"
            ) from None
        yield _object(value, f"{name}:{number}")


def _array_rows(text: str, name: str, *, complete: bool) -> Iterator[Row]:
    decoder = json.JSONDecoder()
    at = _skip(text, text.index("[") + 1)
    row = 0
    if text[at : at + 1] == "]":
        return
    while True:
        try:
            value, at = decoder.raw_decode(text, at)
        except json.JSONDecodeError as error:
            if not complete:
                return
            raise UnreadableRows(f"{name}:{error.lineno}:{error.colno}: bad JSON ({error.msg})") from None
        row += 1
        yield _object(value, f"{name}: row {row}")
        at = _skip(text, at)
        mark = text[at : at + 1]
        if mark == "]":
            if rest := text[at + 1 :].strip():
                raise UnreadableRows(f"{name}: expected the end of the file after the list, found {rest[:20]!r}")
            return
        if mark != ",":
            if not complete:
                return
            line = text.count("\n", 0, at) + 1
            raise UnreadableRows(
                f"{name}:{line}: bad JSON (expected ',' or ']' after row {row}, found {mark or 'the end'})"
            )
        at = _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


def _field_rows(text: str, field: str, name: str) -> Iterator[Row]:
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise UnreadableRows(f"{name}:{error.lineno}:{error.colno}: bad JSON ({error.msg})") from None
    if not isinstance(document, dict):
        raise UnreadableRows(f"{name}: with `field` the file must be one JSON object, found {_kind(document)}")
    if field not in document:
        raise UnreadableRows(f"{name}: no key {field!r}; it has {', '.join(document) or 'none'}")
    rows = document[field]
    if not isinstance(rows, list):
        raise UnreadableRows(f"{name}: {field!r} must hold a list of rows, found {_kind(rows)}")
    for number, value in enumerate(rows, start=1):
        yield _object(value, f"{name}: row {number}")


def _object(value: JsonValue, place: str) -> Row:
    if not isinstance(value, dict):
        raise UnreadableRows(f"{place}: a row must be an object with a value for each column, found {_kind(value)}")
    return value


def _kind(value: JsonValue) -> str:
    return {dict: "an object", list: "a list", str: "a text", type(None): "null"}.get(type(value), f"{value}")


def _csv_rows(text: str, name: str, *, complete: bool) -> Iterator[Row]:
    limit = csv.field_size_limit(CSV_CELL)  # a setting of the whole process: put back below
    try:
        rows, lines = _csv_cells(text, name, complete=complete)
    finally:
        csv.field_size_limit(limit)
    header = rows[0] if rows else []
    other = next((mark for mark in OTHER_SEPARATORS if len(header) == 1 and mark in header[0]), None)
    if other is not None:
        raise UnreadableRows(
            f"{name}:1: expected columns separated by commas, found {header[0]!r}; save the file with `,` for {other!r}"
        )
    if len(set(header)) < len(header):
        raise UnreadableRows(f"{name}:1: the columns must have different names, found {', '.join(header)}")
    for cells, line in list(zip(rows, lines, strict=True))[1 : None if complete else -1]:
        if len(cells) != len(header):
            raise UnreadableRows(
                f"{name}:{line}: expected {len(header)} values ({', '.join(header)}), found {len(cells)}"
            )
        yield dict(zip(header, cells, strict=True))


def _csv_cells(text: str, name: str, *, complete: bool) -> tuple[list[list[str]], list[int]]:
    rows, lines = [], []
    reader = csv.reader(io.StringIO(text, newline=""), strict=complete)  # strict: a quote left open is an error
    try:
        for cells in reader:
            if cells:  # a blank line
                rows.append(cells)
                lines.append(reader.line_num)
    except csv.Error as error:
        raise UnreadableRows(f"{name}:{reader.line_num}: bad CSV ({error})") from None
    return rows, lines
