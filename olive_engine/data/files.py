"""The local files that a data set reads, under names that say nothing about where they come from.

A file is called by its split and its place in it, ``train/00000.jsonl``: a data set that was moved or renamed keeps its
digest, and one whose files change places does not.
"""

from __future__ import annotations

import glob
import os
from pathlib import Path

from olive_engine.config.data import SUFFIXES, DataConfig, DataLoaderConfig
from olive_engine.digests import files_under


def local_files(config: DataConfig, base_dir: Path) -> dict[str, Path]:
    """Every local file of the splits that `config` takes rows from, by its name in the step; none if they are not here.

    Args:
        config: the data set.
        base_dir: what relative paths are relative to.

    Raises:
        FileNotFoundError: a file, folder or pattern names no file; the message says which.
    """
    load = config.load_dataset_config
    if load.format is None or load.is_remote:
        return {}
    used = {part.name for part in load.splits}
    found = {}
    for split in sorted(used):
        paths = [path for name in load.files[split] for path in expand(name, base_dir, load.format)]
        for index, path in enumerate(paths):
            found[f"{split}/{index:05}{path.suffix.lower()}"] = path
    return found


def expand(name: str, base_dir: Path, data_format: str) -> list[Path]:
    """The files that one entry of ``data_files`` stands for: a file, a folder's files of the format, or a pattern's.

    Raises:
        FileNotFoundError: there is none.
    """
    path = base_dir / os.path.expanduser(name)  # noqa: PTH111 - an unknown user stays as written
    if path.is_file():
        return [path]
    if path.is_dir():
        suffixes = tuple(suffix for suffix, of in SUFFIXES.items() if of == data_format)
        paths = [path / file for file in files_under(path) if file.lower().endswith(suffixes)]
        if not paths:
            raise FileNotFoundError(f"the folder {name} has no {data_format} file ({', '.join(suffixes)})")
        return paths
    pattern = os.path.expanduser(name)  # noqa: PTH111 - as above
    matches = glob.glob(pattern, root_dir=base_dir, recursive=True)  # noqa: PTH207 - Path.glob takes no absolute patterns
    if not (paths := [base_dir / match for match in sorted(matches) if (base_dir / match).is_file()]):
        what = "no file matches the pattern" if glob.has_magic(name) else "there is no file or folder"
        raise FileNotFoundError(f"{what} {name} (looked in {base_dir.resolve()})")
    return paths


def portable(config: DataConfig) -> DataConfig:
    """The same data set without the paths and names of this machine: what the result depends on, beside the bytes.

    `prepare` gives for it, and the files under the names of `local_files`, what it gives for `config`.
    """
    load = config.load_dataset_config
    if load.format is not None:
        splits = {part.name: f"{part.name}/" for part in load.splits}
        load = load.model_copy(update={"data_name": load.format, "data_files": splits})
    return config.model_copy(
        update={"name": "data", "load_dataset_config": load, "dataloader_config": DataLoaderConfig()}
    )
