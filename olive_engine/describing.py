"""Files that are where a job runs and nowhere else: described by content, so that keys can speak of them."""

from __future__ import annotations

from pathlib import Path

from olive_engine.config.mlflow_models import layout
from olive_engine.contracts import Describe
from olive_engine.digests import file_digest, files_under
from olive_engine.models import FileEntry, Tree


def described(folder: Path, asked: Describe, location: str) -> Tree:
    """The digests of files; of an MLflow model those of the Hugging Face model in it.

    Args:
        folder: where the files are seen by this job.
        asked: which files.
        location: where they are for everybody.

    Raises:
        NoHuggingFaceModel: it is an MLflow model of another kind.
        FileNotFoundError: there is none.
        OSError: a file cannot be read.
    """
    laid_out = layout(folder, location) if asked.is_model else None
    names = asked.names if asked.names is not None else files_under(folder)
    places = laid_out if laid_out is not None else {name: name for name in names}
    entries = {
        name: FileEntry(sha256=file_digest(folder / place), size=(folder / place).stat().st_size)
        for name, place in places.items()
    }
    if not entries:
        raise FileNotFoundError(f"there is no file at {location}")
    return Tree(
        files=entries, location=location, places={name: place for name, place in places.items() if name != place}
    )
