"""What can be told about a data set before anything runs: from its description and its local files alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from olive_engine.config.data import DataConfig, FileFormat, template_fields
from olive_engine.config.findings import known
from olive_engine.config.local_models import beside_file
from olive_engine.config.spelling import nearest
from olive_engine.data.columns import first_rows
from olive_engine.data.files import expand
from olive_engine.data.readers import Row, UnreadableRows
from olive_engine.data.text import messages_of, render
from olive_engine.errors import ConfigPath, Position, Problem

SAMPLE = 100
"""Rows of each file whose values are tried on the template."""

_FILES = ("load_dataset_config", "data_files")


@dataclass(frozen=True, slots=True)
class Checked:
    """What the local files of a data set tell."""

    problems: tuple[Problem, ...] = ()
    """With paths that start at the data config."""
    rows: int | None = None
    """How many rows it takes, where they had to be read for the check anyway."""


def check(config: DataConfig, base_dir: Path, written: Position | None = None) -> Checked:
    """Look at a data set's local files; nothing is said of the hub.

    Args:
        config: the data set.
        base_dir: what relative paths are relative to.
        written: where ``data_files`` stand, so that files beside that file are hinted at.
    """
    load = config.load_dataset_config
    if load.format is None or load.is_remote:
        return Checked()
    problems: list[Problem] = []
    counts: dict[str, int | None] = {}
    columns: dict[str, None] | None = {}
    lacking: dict[str, _Lacking] = {}
    for split in dict.fromkeys(part.name for part in load.splits):
        counts[split] = 0
        for name, place in _named(config, split):
            try:
                paths = expand(name, base_dir, load.format)
            except FileNotFoundError as error:
                problems.append(Problem(place, str(error), beside_file(name, written) or _near(name, base_dir)))
                columns = counts[split] = None
                continue
            for path in paths:
                found = _look(path, place, config, load.format, problems)
                counts[split] = _sum(counts[split], found.count)
                columns = None if columns is None or found.columns is None else columns | found.columns
                for column, rows in found.lacking.items():
                    lacking.setdefault(column, _Lacking(rows.first)).count += rows.count
    if problems:
        return Checked(tuple(problems))
    # JSON rows may name a column for the first time far down: where only the beginning was read, that is a doubt.
    sure = load.format == "csv" or None not in counts.values()
    taken = _taken(config, counts)
    missing = _missing(config, columns, "error" if sure else "warning")
    told = [problem for problem in _left_out(config, lacking) if problem.path not in {each.path for each in missing}]
    return Checked((*missing, *told, *(_empty(config, counts) if taken == 0 else ())), taken)


@dataclass
class _Lacking:
    """Rows without a value in a column that they need."""

    first: str
    """Where the first of them is."""
    count: int = 0


@dataclass(frozen=True)
class _Found:
    """What a look into one file found; None: not known."""

    count: int | None = None
    columns: dict[str, None] | None = None
    lacking: dict[str, _Lacking] = field(default_factory=dict)


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
        lacking: dict[str, _Lacking] = {}
        wanted = template_fields(config)
        for row in rows:
            columns |= dict.fromkeys(row)
            count += 1
            for column in wanted:
                if row.get(column) is None:
                    lacking.setdefault(column, _Lacking(f"{path}: row {count}")).count += 1
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
    return _Found(count if complete else None, columns, lacking)


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


def _left_out(config: DataConfig, lacking: dict[str, _Lacking]) -> list[Problem]:
    """A warning for each column that some rows have no value in: they are left out, which may not be meant."""
    problems = []
    for option, wanted in config.pre_process_data_config.columns.items():
        for column in wanted:
            if rows := lacking.get(column):
                more = f", and {rows.count - 1} more rows have none" if rows.count > 1 else ""
                what = f"{rows.first} has no {column!r}{more}"
                place = ("pre_process_data_config", option)
                problems.append(Problem(place, what, "such rows are left out", severity="warning"))
    return problems


def _taken(config: DataConfig, counts: dict[str, int | None]) -> int | None:
    """How many rows the split takes; None where the counts are not all known."""
    load, taken = config.load_dataset_config, 0
    for part in load.splits:
        count = counts[part.name]
        if count is None:
            return None
        taken += len(part.rows(count))
    return taken if load.max_samples is None else min(taken, load.max_samples)


def _empty(config: DataConfig, counts: dict[str, int | None]) -> list[Problem]:
    """No row in the split at all."""
    load = config.load_dataset_config
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
