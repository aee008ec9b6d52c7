"""Job folders without an engine: what the conformance suites run passes and systems on."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from olive_engine.contracts import Item, ItemResult, Job, Resources, Segment
from olive_engine.digests import digest, file_digest, files_under
from olive_engine.job_folder import input_folder
from olive_engine.models import Artifact, FileEntry, Manifest, Tree
from olive_engine.worker import Worker


@dataclass(frozen=True)
class Trial:
    """One item of a job."""

    config: Mapping[str, JsonValue]
    seed: int = 0
    segment: Segment | None = None
    state: Artifact | Manifest | None = None
    """Where the segment starts; a manifest is one that the system under test holds itself."""


def tree_of(folder: Path) -> Tree:
    """The digests of a folder's files, located there."""
    files = {
        name: FileEntry(sha256=file_digest(folder / name), size=(folder / name).stat().st_size)
        for name in files_under(folder)
    }
    return Tree(files=files, location=folder.absolute().as_uri())


def write_job(
    root: Path,
    type_: str,
    trials: Sequence[Trial],
    models: Sequence[Artifact],
    data: Mapping[str, Artifact] | None = None,
    threads: int = 1,
) -> Path:
    """Write a job folder that runs a pass on `models`; inputs are links to their files."""
    folder = root / f"job-{uuid.uuid4().hex[:8]}"
    folder.mkdir(parents=True)
    datasets = {option: artifact.to_manifest(tree_of) for option, artifact in (data or {}).items()}
    items = tuple(
        Item(
            key=digest([type_, dict(trial.config), trial.seed, index]),
            step=f"step-{index}",
            type=type_,
            config=dict(trial.config),
            seed=trial.seed,
            data=datasets,
            segment=trial.segment,
            state=trial.state.to_manifest(tree_of) if isinstance(trial.state, Artifact) else trial.state,
        )
        for index, trial in enumerate(trials)
    )
    manifests = tuple(model.to_manifest(tree_of) for model in models)
    job = Job(id=folder.name, kind="pass", models=manifests, items=items, resources=Resources(threads=threads))
    for index, model in enumerate(models):
        _link(folder, "models", index, model)
    for index, trial in enumerate(trials):
        for option, artifact in (data or {}).items():
            _link(folder, f"items/{index}/{option}", 0, artifact)
        if isinstance(trial.state, Artifact):
            _link(folder, f"items/{index}/initial_state", 0, trial.state)
    (folder / "job.json").write_text(job.model_dump_json())
    return folder


def run_pass(
    root: Path,
    type_: str,
    trials: Sequence[Trial],
    models: Sequence[Artifact],
    data: Mapping[str, Artifact] | None = None,
    worker: Worker | None = None,
) -> tuple[Path, tuple[ItemResult, ...]]:
    """Run a pass here, through a worker as any system does; gives the job folder and each item's result."""
    folder = write_job(root, type_, trials, models, data)
    return folder, (worker or Worker(None)).run(folder).items


def output_of(folder: Path, result: ItemResult) -> Artifact:
    """An item's output as an artifact on this disk.

    Raises:
        AssertionError: the item has none; the message is its failure.
    """
    if result.output is None:
        raise AssertionError(result.error)
    folders = {name: _located(folder, tree) for name, tree in result.output.parts.items()}
    return Artifact.from_manifest(result.output, folders)


def manifest_of(result: ItemResult) -> Manifest:
    """An item's output by content.

    Raises:
        AssertionError: the item has none; the message is its failure.
    """
    if result.output is None:
        raise AssertionError(result.error)
    return result.output


def _located(folder: Path, tree: Tree) -> Path:
    if tree.location.startswith("job:"):
        return folder / tree.location.removeprefix("job:")
    return Path(tree.location.removeprefix("file://"))


def _link(folder: Path, slot: str, index: int, artifact: Artifact) -> None:
    for part in artifact.part_names():
        target = input_folder(folder, slot, index, part)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(getattr(artifact, part).absolute())
