"""What can be told about a data set before anything runs: from its description and its local files alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

from olive_engine.config.data import DataConfig, FileFormat
from olive_engine.config.findings import known, nearest
from olive_engine.data.columns import first_rows
from olive_engine.data.files import expand
from olive_engine.data.readers import Row, UnreadableRows
from olive_engine.data.text import messages_of, render
from olive_engine.errors import ConfigPath, Problem

SAMPLE = 100
"""Rows of each file whose values are tried on the template."""

_FILES = ("load_dataset_config", "data_files")


def check(config: DataConfig, base_dir: Path) -> list[Problem]:
    """Everything wrong with a data set that its local files tell; nothing is said of the hub.

    Args:
        config: the data set.
        base_dir: what relative paths are relative to.

    Returns:
        Problems whose paths start at the data config.
    """
    load = config.load_dataset_config
    if load.format is None or load.is_remote:
        return []
    problems: list[Problem] = []
    counts: dict[str, int | None] = {}
    columns: dict[str, None] | None = {}
    for split in dict.fromkeys(part.name for part in load.splits):
        counts[split] = 0
        for name, place in _named(config, split):
            try:
                paths = expand(name, base_dir, load.format)
            except FileNotFoundError as error:
                problems.append(Problem(place, str(error), _near(name, base_dir)))
                columns = counts[split] = None
                continue
            for path in paths:
                found = _look(path, place, config, load.format, problems)
                counts[split] = _sum(counts[split], found.count)
                columns = None if columns is None or found.columns is None else columns | found.columns
    if problems:
        return problems
    # JSON rows may name a column for the first time far down: where only the beginning was read, that is a doubt.
    sure = load.format == "csv" or None not in counts.values()
    return _missing(config, columns, "error" if sure else "warning") + _empty(config, counts)


class _Found:
    """What a look into one file found; None: not known."""

    def __init__(self, count: int | None = None, columns: dict[str, None] | None = None) -> None:
        self.count = count
        self.columns = columns


def _named(config: DataConfig, split: str) -> Iterable[tuple[str, ConfigPath]]:
    """The entries of ``data_files`` for a split, and where each is written."""
    written = config.load_dataset_config.data_files
    place: ConfigPath = _FILES
    if isinstance(written, dict):
        written, place = written[split], (*_FILES, split)
    if isinstance(written, str):
        return [(written, place)]
    return [(name, (*place, index)) for index, name in enumerate(written or ())]


def _look(
    path: Path, place: ConfigPath, config: DataConfig, data_format: FileFormat, problems: list[Problem]
) -> _Found:
    try:
        if path.stat().st_size == 0:
            problems.append(Problem(place, f"{path} is empty"))
            return _Found()
        head = first_rows(path, data_format, config.load_dataset_config.field)
        if head is None:
            return _Found()
        rows, complete = head
        columns: dict[str, None] = {}
        count = 0
        misfit: Problem | None = None
        for row in rows:
            columns |= dict.fromkeys(row)
            count += 1
            if misfit is None and count <= SAMPLE:
                misfit = _misfit(row, config, f"{path}: row {count}")
    except UnreadableRows as error:
        problems.append(Problem(place, str(error)))
        return _Found()
    except OSError as error:
        problems.append(Problem(place, f"{path} cannot be read: {error.strerror or error}"))
        return _Found()
    if misfit is not None:
        problems.append(misfit)
    return _Found(count if complete else None, columns)


def _misfit(row: Row, config: DataConfig, place: str) -> Problem | None:
    """A value that the template or the chat cannot take; missing ones are reported as columns, or left out as rows."""
    options = config.pre_process_data_config
    attempts: dict[str, Callable[[], object]] = {}
    if options.text_template is not None:
        template = options.text_template
        attempts["text_template"] = lambda: render(template, row)
    elif options.chat_template is not False:
        attempts["message_col"] = lambda: messages_of(row, options.columns["message_col"][0])
    for option, attempt in attempts.items():
        if any(row.get(column) is None for column in options.columns[option]):
            continue
        try:
            attempt()
        except ValueError as error:
            return Problem(("pre_process_data_config", option), f"{place}: {error}")
    return None


def _missing(
    config: DataConfig, columns: dict[str, None] | None, severity: Literal["error", "warning"]
) -> list[Problem]:
    if not columns:
        return []
    problems = []
    for option, wanted in config.pre_process_data_config.columns.items():
        for column in wanted:
            if column not in columns:
                near = nearest(column, columns)
                hint = known(columns, "the rows have")
                hint = f"did you mean `{near}`? {hint}" if near else hint
                place = ("pre_process_data_config", option)
                problems.append(Problem(place, f"no column is called {column!r}", hint, severity=severity))
    return problems


def _empty(config: DataConfig, counts: dict[str, int | None]) -> list[Problem]:
    """No row in the split at all: so far as the counts are known."""
    load, taken = config.load_dataset_config, 0
    for part in load.splits:
        count = counts[part.name]
        if count is None:
            return []
        taken += len(part.rows(count))
    if taken:
        return []
    found = ", ".join(f"{name} has {count} rows" for name, count in counts.items())
    return [Problem(("load_dataset_config", "split"), f"{load.split} takes no row; {found}")]


def _sum(total: int | None, count: int | None) -> int | None:
    return None if total is None or count is None else total + count


def _near(name: str, base_dir: Path) -> str:
    path = base_dir / os.path.expanduser(name)  # noqa: PTH111 - an unknown user stays as written
    if path.exists() or not path.parent.is_dir():
        return ""
    near = nearest(path.name, (each.name for each in path.parent.iterdir()))
    return f"did you mean `{Path(name).parent / near}`?" if near else ""
