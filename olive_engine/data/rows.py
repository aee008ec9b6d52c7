"""The rows of a data set: json, csv and text files through `readers`, parquet files and the hub through `datasets`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from olive_engine.config.data import LoadDatasetConfig, SplitPart
from olive_engine.data.readers import Row, UnreadableRows, read_rows

if TYPE_CHECKING:
    from datasets import Dataset


def source_rows(load: LoadDatasetConfig, columns: Sequence[str], files: Path | None, scratch: Path) -> list[Row]:
    """The rows that the data set is made of: the split's, in order, at most ``max_samples``; a missing value is None.

    Args:
        load: where the rows are.
        columns: the columns wanted; others are left out.
        files: the folder with the local files, under the names of `olive_engine.data.files.local_files`.
        scratch: a folder for the caches of `datasets`.

    Raises:
        UnreadableRows: a file cannot be read, or no row has one of the columns.
        ConnectionError: the hub cannot be reached or does not have the data set.
    """
    rows: list[Row] = []
    for part in load.splits:
        if load.format is None or load.format == "parquet":
            rows += _from_datasets(load, part, columns, files, scratch)
        else:
            found = [
                row
                for path in _files(files, part)
                for row in read_rows(path, load.format, load.field, name=_name(path))
            ]
            check_columns(columns, list(dict.fromkeys(name for row in found for name in row)), part.name)
            rows += [{name: found[index].get(name) for name in columns} for index in part.rows(len(found))]
    return rows[: load.max_samples]


def check_columns(wanted: Sequence[str], present: Sequence[str], split: str) -> None:
    """See that all columns are there; a split without rows has none and is no reason to complain.

    Raises:
        UnreadableRows: naming the missing and the present ones.
    """
    if present and (missing := [name for name in wanted if name not in present]):
        raise UnreadableRows(f"no column {', '.join(map(repr, missing))} in split {split}; it has {', '.join(present)}")


def _files(files: Path | None, part: SplitPart) -> list[Path]:
    folder = (files or Path()) / part.name
    if files is None or not folder.is_dir():
        raise UnreadableRows(
            f"the files of split {part.name} were not brought along; expected them in a folder {part.name}/"
        )
    return sorted(path for path in folder.iterdir() if path.is_file())


def _name(path: Path) -> str:
    """Name a file for messages by its place: the user's own name for it did not travel."""
    return f"{path.parent.name}/{path.name}"


def _from_datasets(
    load: LoadDatasetConfig, part: SplitPart, columns: Sequence[str], files: Path | None, scratch: Path
) -> list[Row]:
    from datasets.exceptions import DatasetsError

    try:
        dataset = _hub(load, part, scratch) if load.format is None else _parquet(_files(files, part), part, scratch)
    except (
        OSError,
        ValueError,
        DatasetsError,
    ) as error:  # what `datasets` raises for want of network, name, split, format
        if isinstance(error, UnreadableRows):
            raise
        cause = str(error.__cause__ or error).strip().split("\n")[0]
        if load.format is None:
            raise ConnectionError(f"cannot load {load.data_name!r} from the hub: {cause}") from error
        raise UnreadableRows(f"cannot read the parquet files of split {part.name}: {cause}") from error
    check_columns(columns, dataset.column_names, part.name)
    rows: list[Row] = dataset.select_columns(list(columns)).select(part.rows(len(dataset))).to_list()
    return rows


def _hub(load: LoadDatasetConfig, part: SplitPart, scratch: Path) -> Dataset:
    from datasets import load_dataset

    with _no_progress_bars():
        return load_dataset(
            load.data_name,
            name=load.subset,
            revision=load.revision,
            split=part.name,
            data_files={split: list(names) for split, names in load.files.items()} or None,
            cache_dir=str(scratch / "datasets"),
        )


def _parquet(paths: Sequence[Path], part: SplitPart, scratch: Path) -> Dataset:
    from datasets import load_dataset

    with _no_progress_bars():
        return load_dataset(
            "parquet",
            data_files={part.name: [str(path.resolve()) for path in paths]},
            split=part.name,
            cache_dir=str(scratch / "datasets"),
        )


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    """Keep `datasets` from drawing on stderr, and leave the process's setting as it was."""
    from datasets.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    were_disabled = are_progress_bars_disabled()
    disable_progress_bars()
    try:
        yield
    finally:
        if not were_disabled:
            enable_progress_bars()
