"""The folder of a job: what lies in it when the job begins, and what its items may leave there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Hashable
from pathlib import Path

from pydantic import ValidationError

from olive_engine import __version__
from olive_engine.contracts import PROTOCOL, Job
from olive_engine.digests import file_digest, files_under
from olive_engine.errors import SystemUnavailable
from olive_engine.models import Artifact, FileEntry, Manifest, Model, Tree, TrialState, is_local, local_folder

STOP_FILE = "stop"
"""A file of this name in the job folder asks the job to stop, where standard input does not reach."""


def read_job(folder: Path) -> Job:
    """Read and check ``job.json``.

    Raises:
        SystemUnavailable: it is of another protocol version, or not a job.
    """
    raw = json.loads((folder / "job.json").read_bytes())
    if raw.get("protocol") != PROTOCOL:
        raise SystemUnavailable(
            f"the job speaks protocol {raw.get('protocol')}, this worker (olive-engine {__version__}) speaks "
            f"{PROTOCOL}: install the same version of olive-engine on both sides"
        )
    try:
        return Job.model_validate(raw)
    except ValidationError as error:
        raise SystemUnavailable(f"job.json is not a job: {error}") from None


def input_folder(job: Path, slot: str, index: int, part: str) -> Path:
    """Where a part of an input lies in a job folder; `slot` is ``models`` or an item's ``items/<i>/<option>``."""
    return job / "inputs" / slot / str(index) / part


class JobFolder:
    """The folder of a running job."""

    def __init__(self, job: Job, path: Path) -> None:
        self._job = job
        self.path = path
        self._given: dict[Path, Tree] = {}

    def asks_to_stop(self) -> bool:
        """Whether somebody has put the file there that asks for it."""
        return (self.path / STOP_FILE).exists()

    # --- what is given --------------------------------------------------------------------------------------------

    def models(self) -> tuple[Model, ...]:
        """The models that the job's items share.

        Raises:
            SystemUnavailable: one is missing; so for all inputs.
        """
        models = [self._artifact(manifest, "models", index) for index, manifest in enumerate(self._job.models)]
        return tuple(models)  # type: ignore[arg-type]  # a job's models are models

    def data(self, index: int) -> dict[str, Path]:
        """The folders of an item's data, by option."""
        folders = {}
        for option, manifest in self._job.items[index].data.items():
            artifact = self._artifact(manifest, f"items/{index}/{option}", 0)
            folders[option] = getattr(artifact, artifact.part_names()[0])
        return folders

    def initial_state(self, index: int) -> TrialState | None:
        """What the segment before an item's has left; none: it begins the training, or has no segments."""
        given = self._job.items[index].state
        state = self._artifact(given, f"items/{index}/initial_state", 0) if given else None
        return state if isinstance(state, TrialState) else None

    def contents_of(self, value: Hashable) -> Hashable:
        """For the folder of an input what is in it, which other jobs may have elsewhere; else the value itself."""
        return self._given[value].digest if isinstance(value, Path) and value in self._given else value

    def with_users_paths(self, message: str) -> str:
        """A message in which the user's own folders have their own paths, which mean something outside this job."""
        for folder, tree in self._given.items():
            if is_local(tree.location):
                message = message.replace(str(folder), str(local_folder(tree.location)))
        return message

    def _artifact(self, manifest: Manifest, slot: str, index: int) -> Artifact:
        folders = {name: input_folder(self.path, slot, index, name) for name in manifest.parts}
        for name, tree in manifest.parts.items():
            if tree.files and not folders[name].exists():
                missing = folders[name].relative_to(self.path)
                raise SystemUnavailable(f"the input {missing} is missing in the job folder {self.path}")
            self._given[folders[name]] = tree
        return Artifact.from_manifest(manifest, folders)

    # --- what is left ---------------------------------------------------------------------------------------------

    def working_folders(self, index: int) -> tuple[Path, Path, Path]:
        """The folders that an item may write to: outputs, state, scratch."""
        out, state, scratch = (self.path / name / str(index) for name in ("outputs", "state", "scratch"))
        for folder in (out, state, scratch):
            folder.mkdir(parents=True, exist_ok=True)
        return out, state, scratch

    def drop_outputs(self, index: int) -> None:
        """Remove what an item has left: it is begun again."""
        shutil.rmtree(self.path / "outputs" / str(index), ignore_errors=True)

    def tree(self, path: Path, index: int) -> Tree:
        """The tree of an output's part: an input's own tree where it is one, else the digests of what was written.

        Raises:
            ValueError: it is neither an input nor a folder of files of its own under the item's outputs.
        """
        if path in self._given:
            return self._given[path]
        out = self.path / "outputs" / str(index)
        if not path.is_relative_to(out):
            raise ValueError(f"the output {path} is neither an input nor under the folder given for outputs")
        if path.resolve() != out.resolve() / path.relative_to(out):
            raise ValueError(f"the output {path} is reached through a link or `..`; outputs must be files of their own")
        if path.exists() and not path.is_dir():
            raise ValueError(f"the output {path} is a file; outputs are folders")
        for entry in path.rglob("*"):
            if entry.is_symlink():
                raise ValueError(f"the output {entry} is a link; outputs must be files of their own")
        files = {name: _own_file(path / name) for name in files_under(path)}
        if not files:
            raise ValueError(f"the pass wrote nothing under {path.relative_to(self.path)}")
        return Tree(files=files, location=f"job:{path.relative_to(self.path).as_posix()}")


def _own_file(path: Path) -> FileEntry:
    """Describe a file of an output; one that shares its bytes with another name is made a file of its own first."""
    if path.name != path.name.encode("utf-8", "replace").decode():
        raise ValueError(f"the name of the output {path.name!r} is not UTF-8")
    if path.stat().st_nlink > 1:
        temporary = path.with_name(f".{path.name}.copy")
        shutil.copyfile(path, temporary)
        temporary.replace(path)
    return FileEntry(sha256=file_digest(path), size=path.stat().st_size)
