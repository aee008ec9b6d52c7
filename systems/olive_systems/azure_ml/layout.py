"""Where a job's inputs are in its folder: what an engine sends, and what a job lays out and finds right."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from olive_engine.contracts import Job
from olive_engine.digests import file_digest, files_under
from olive_engine.errors import SystemUnavailable
from olive_engine.job_folder import input_folder
from olive_engine.models import FileEntry, Manifest, Tree, is_local, local_folder

READERS = 4
"""Files that are read at once: what is mounted comes faster so."""


class Spoilt(BaseModel):
    """A file of an input that is not what the job was given it for; as JSON a line of the job's log."""

    place: str
    """The input, as `placed` has it."""
    name: str
    found: str
    """What is wrong with it: "is missing"."""

    def __str__(self) -> str:
        return f"{self.name} of the input {self.place} {self.found}"


class InputSpoilt(Exception):
    """What a job should read is not what it is said to be."""

    def __init__(self, spoilt: Spoilt) -> None:
        super().__init__(str(spoilt))
        self.spoilt = spoilt


def placed(job: Job) -> dict[str, Tree]:
    """Each place under ``inputs/`` of a job folder, as ``slot/index/part``, and the tree that belongs there."""
    return {
        f"{slot}/{part}": tree
        for slot, manifest in _slots(job)
        for part, tree in manifest.parts.items()
        if tree.files or not is_here(tree)
    }


def as_sent(job: Job) -> Job:
    """A job as others may read it: where the files were that came with it is nobody's business."""

    def bare(manifest: Manifest) -> Manifest:
        parts = {name: Tree(files=tree.files) if is_here(tree) else tree for name, tree in manifest.parts.items()}
        return manifest.model_copy(update={"parts": parts})

    items = tuple(
        item.model_copy(
            update={
                "data": {option: bare(manifest) for option, manifest in item.data.items()},
                "state": bare(item.state) if item.state else None,
            }
        )
        for item in job.items
    )
    return job.model_copy(update={"models": tuple(map(bare, job.models)), "items": items})


def in_users_words(message: str, job: Job) -> str:
    """What a job has said, with the names that its inputs have for the user in place of its node's folders."""
    for place, tree in placed(job).items():
        if tree.location:
            known = str(local_folder(tree.location)) if is_local(tree.location) else tree.location
            there = rf"(?:/[^\s'\":]+)?/{re.escape(place_under(Path(), place).as_posix())}(?![\w-])"
            message = re.sub(there, known.replace("\\", r"\\"), message)
    return message


def is_here(tree: Tree) -> bool:
    """Whether a tree's bytes are in the job folder that was staged here, rather than somewhere that a job can read."""
    return not tree.location.startswith("azureml:")


def place_under(folder: Path, place: str) -> Path:
    """Where a place of `placed` is in a job folder."""
    slot, index, part = place.rsplit("/", 2)
    return input_folder(folder, slot, int(index), part)


def lay_out(folder: Path, described: Path, inputs: Mapping[str, Path]) -> Job:
    """Make the job folder: its description, and links to the inputs, every byte of which is read and found right.

    Raises:
        SystemUnavailable: an input was not given.
        InputSpoilt: an input lacks a file, or has one with other bytes.
    """
    text = described.read_bytes()
    (folder / "job.json").write_bytes(text)
    job = Job.model_validate_json(text)
    trees = placed(job)
    if missing := next((place for place in trees if place not in inputs), ""):
        raise SystemUnavailable(f"the job was submitted without its input {missing}")
    files = [
        _File(place, name, inputs[place] / tree.place_of(name), entry)
        for place, tree in trees.items()
        for name, entry in tree.files.items()
    ]
    with ThreadPoolExecutor(READERS) as pool:
        for file, fault in zip(files, pool.map(_fault, files), strict=True):
            if fault:
                pool.shutdown(wait=False, cancel_futures=True)
                raise InputSpoilt(Spoilt(place=file.place, name=file.name, found=fault))
    for place, tree in trees.items():
        _link(place_under(folder, place), tree, inputs[place])
    return job


@dataclass(frozen=True, slots=True)
class _File:
    place: str
    name: str
    path: Path
    entry: FileEntry


def _fault(file: _File) -> str:
    """What is wrong with a file; empty: nothing."""
    if not file.path.is_file():
        return "is missing"
    if (size := file.path.stat().st_size) != file.entry.size:
        return f"has {size} bytes, not {file.entry.size}"
    return "" if file_digest(file.path) == file.entry.sha256 else "has other bytes than when it was described"


def _link(target: Path, tree: Tree, source: Path) -> None:
    """A link to the folder where it is the tree, else one to each of the tree's files."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if not tree.files or (not tree.places and set(files_under(source)) == set(tree.files)):
        target.symlink_to(source)
        return
    for name in tree.files:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).symlink_to(source / tree.place_of(name))


def _slots(job: Job) -> Iterator[tuple[str, Manifest]]:
    """The manifests of a job by their places, as ``slot/index``."""
    for index, manifest in enumerate(job.models):
        yield f"models/{index}", manifest
    for index, item in enumerate(job.items):
        for option, manifest in item.data.items():
            yield f"items/{index}/{option}/0", manifest
        if item.state:
            yield f"items/{index}/initial_state/0", item.state
