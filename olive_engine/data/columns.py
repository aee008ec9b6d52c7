"""The columns of local files, without any library: enough to tell a mistyped name before anything runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from olive_engine.config.data import FileFormat
from olive_engine.data.readers import Row, decode, parse_rows

HEAD = 1 << 20
"""Bytes that are read of a file: of most data sets for tuning that is all of it."""


def local_columns(files: Iterable[Path], data_name: FileFormat, field: str | None = None) -> tuple[str, ...] | None:
    """The columns of all files together, in order of appearance; None where only `datasets` can tell.

    Raises:
        UnreadableRows: a file is not what `data_name` says.
        OSError: it cannot be read.
    """
    columns: dict[str, None] = {}
    for path in files:
        rows = first_rows(path, data_name, field)
        if rows is None:
            return None
        for row in rows[0]:
            columns |= dict.fromkeys(row)
    return tuple(columns)


def first_rows(path: Path, data_name: FileFormat, field: str | None = None) -> tuple[Iterator[Row], bool] | None:
    """The rows in the first megabyte of a file, and whether they are all; None where only `datasets` can tell.

    Raises:
        UnreadableRows: the file is not what `data_name` says (also while the rows are taken).
        OSError: it cannot be read.
    """
    if data_name == "parquet":
        return None
    with path.open("rb") as stream:
        content = stream.read(HEAD + 1)
    complete = len(content) <= HEAD
    if not complete and field is not None:
        return None  # the key may stand anywhere in the document
    text = decode(content[:HEAD], str(path), complete=complete)
    return parse_rows(text, data_name, field, name=str(path), complete=complete), complete
