# ruff: noqa: TID253 - heavy module, imported lazily by olive_systems.azure_ml.system
"""Trees to a datastore and back: each once, several files at a time, every byte compared with its digest."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path

from azure.core.exceptions import (
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.storage.blob import BlobProperties, ContainerClient

from olive_engine.digests import file_digest
from olive_engine.errors import StoreCorrupt, SystemUnavailable
from olive_engine.models import FileEntry, Tree
from olive_systems.azure_ml.failures import in_words
from olive_systems.azure_ml.locations import Place, below
from olive_systems.azure_ml.uploads import Checked, Stopped, Upload
from olive_systems.azure_ml.workspace import Workspace

FILES_AT_ONCE = 4
BLOCKS_AT_ONCE = 4
"""Of one large file."""
ATTEMPTS = 2
"""A file that came with other bytes is asked for once more: it may have been the way."""
NOTED = "sha256"
"""What a blob that was uploaded here has among its metadata."""
_BLOCKS_GONE = "InvalidBlockList"
"""Of a commit whose blocks are no longer there: somebody else has committed that blob meanwhile."""


def lacking_of(workspace: Workspace, tree: Tree, place: Place) -> dict[str, FileEntry]:
    """Which files of a tree that a job has left are not at `place`, or of another size there."""
    there = _found(workspace, place)

    def is_there(name: str, entry: FileEntry) -> bool:
        blob = there.get(tree.place_of(name))
        return blob is not None and blob.size == entry.size

    return {name: entry for name, entry in tree.files.items() if not is_there(name, entry)}


def upload_tree(
    workspace: Workspace, tree: Tree, folder: Path, place: Place, upload: Upload, *, wrong: Collection[str] = ()
) -> None:
    """Bring to `place` what is not there of a tree whose files lie in `folder`.

    Args:
        workspace: where it goes.
        tree: its files.
        folder: where they are here.
        place: where they go.
        upload: hears how far it is, and may end it.
        wrong: names of files that are known to have other bytes there.

    Raises:
        SystemUnavailable: the datastore refuses, or a file's bytes are not those of its digest.
        Stopped: the upload was ended; what is there by then is not brought again.
    """
    if name := next((name for name in tree.files if "\\" in name), ""):
        raise SystemUnavailable(f"{folder / name}: Azure takes no name with a backslash; rename the file")
    there = _found(workspace, place)
    lacking = {
        name: entry
        for name, entry in tree.files.items()
        if name in wrong or name not in there or not _is(there[name], entry)
    }
    upload.begin(sum(entry.size for entry in lacking.values()), f"the datastore {place.datastore}")

    def put(name: str, entry: FileEntry) -> None:
        with in_words(f"{name} cannot be uploaded to the datastore {place.datastore}"):
            _put_file(workspace, folder / name, entry, place / name, upload, replace=name in there)

    _each(lacking, put, at_failure=upload.stop)


def _put_file(
    workspace: Workspace, path: Path, entry: FileEntry, place: Place, upload: Upload, *, replace: bool
) -> None:
    """Write one file; what is not of its digest is never committed.

    Two engines may bring the same one at once: the first to commit spoils the other's blocks, and has done its work.
    """
    blob = workspace.datastores.container(place.datastore).get_blob_client(place.path)
    for attempt in range(ATTEMPTS):
        try:
            with path.open("rb") as stream:
                blob.upload_blob(
                    Checked(stream, entry, path),  # type: ignore[arg-type]  # it reads, which is all that is asked
                    length=entry.size,
                    overwrite=replace,
                    metadata={NOTED: entry.sha256},
                    max_concurrency=BLOCKS_AT_ONCE,
                    progress_hook=lambda there, _: upload.reached(place.path, there),
                    raw_request_hook=upload.watch,
                    rest=upload.rest,
                )
        except HttpResponseError as error:
            code = getattr(error, "error_code", "")
            met = isinstance(error, ResourceExistsError | ResourceModifiedError) or code == _BLOCKS_GONE
            if not met or attempt == ATTEMPTS - 1:
                raise
            if _is(blob.get_blob_properties(), entry):
                upload.reached(place.path, entry.size)
                return
            replace = True
        else:
            return


def _found(workspace: Workspace, place: Place) -> dict[str, BlobProperties]:
    """The blobs below a place, by their paths from there."""
    with in_words(f"the datastore {place.datastore} cannot be listed"):
        container, prefix = workspace.datastores.container(place.datastore), f"{place.path}/"
        found = container.list_blobs(name_starts_with=prefix, include=["metadata"])
        return {blob.name.removeprefix(prefix): blob for blob in found}


def _is(blob: BlobProperties, entry: FileEntry) -> bool:
    """Whether a blob that was uploaded by an engine is a file, as far as it says itself."""
    noted = {name.lower(): value for name, value in (blob.metadata or {}).items()}
    return blob.size == entry.size and noted.get(NOTED) == entry.sha256


def put_bytes(workspace: Workspace, data: bytes, place: Place) -> None:
    """Write a small blob."""
    with in_words(f"{place.path} cannot be written to the datastore {place.datastore}"):
        workspace.datastores.container(place.datastore).upload_blob(place.path, data, overwrite=True)


def get_bytes(workspace: Workspace, place: Place) -> bytes:
    """Read a small blob."""
    missing = f"there is no {place.path} in the datastore {place.datastore}"
    with in_words(f"{place.path} cannot be read from the datastore {place.datastore}", missing=missing):
        return workspace.datastores.container(place.datastore).download_blob(place.path).readall()


def remove(workspace: Workspace, place: Place) -> None:
    """Delete a blob; one that is not there is none to delete."""
    with in_words(f"{place.path} cannot be deleted from the datastore {place.datastore}"):
        try:
            workspace.datastores.container(place.datastore).delete_blob(place.path)
        except ResourceNotFoundError:
            return


def download_tree(workspace: Workspace, tree: Tree, place: Place, into: Path) -> None:
    """Bring the files of a tree that lies at `place` into a folder.

    Raises:
        SystemUnavailable: the datastore refuses, or a file is not there.
        StoreCorrupt: a file came with other bytes than its digest says, twice; it was not kept.
    """
    where = f"the datastore {place.datastore}"
    with in_words(f"the datastore {place.datastore} cannot be opened"):
        container = workspace.datastores.container(place.datastore)
    fetch(container, tree, place.path, into, where)


def fetch(container: ContainerClient, tree: Tree, root: str, into: Path, where: str) -> None:
    """Bring the files of a tree from a container into a folder.

    Args:
        container: has them.
        tree: their names, and where each lies under `root`.
        root: a path in the container; empty: all of it.
        into: the folder.
        where: what to call the container.

    Raises:
        SystemUnavailable: the container refuses, or a file is not there.
        StoreCorrupt: a file came with other bytes than its digest says, twice; it was not kept.
    """

    def get(name: str, entry: FileEntry) -> None:
        target = into / name
        target.parent.mkdir(parents=True, exist_ok=True)
        path = below(root, tree.place_of(name))
        missing = f"{path} is no longer in {where}"
        try:
            with in_words(f"{path} cannot be fetched from {where}", missing=missing):
                came = _get_file(container, path, entry, target)
        except SystemUnavailable:
            target.unlink(missing_ok=True)
            raise
        if not came:
            raise StoreCorrupt(entry.sha256, f"{path} came from {where} with other bytes")

    _each(tree.files, get, at_failure=lambda: None)


def _get_file(container: ContainerClient, path: str, entry: FileEntry, target: Path) -> bool:
    """Fetch one file; whether it came with the bytes of its digest, else it is not kept."""
    for attempt in range(ATTEMPTS):
        try:
            with target.open("wb") as stream:
                container.get_blob_client(path).download_blob(max_concurrency=BLOCKS_AT_ONCE).readinto(stream)
        except ResourceModifiedError:  # it was written anew while it was read
            if attempt == ATTEMPTS - 1:
                raise
        if target.stat().st_size == entry.size and file_digest(target) == entry.sha256:
            return True
    target.unlink()
    return False


def _each(
    files: Mapping[str, FileEntry], work: Callable[[str, FileEntry], None], *, at_failure: Callable[[], None]
) -> None:
    """Do something with each file, several at a time, the largest first; the first failure ends it.

    Args:
        files: by name.
        work: what is done.
        at_failure: has those that are at work end, too.
    """
    ordered = sorted(files.items(), key=lambda each: -each[1].size)
    with ThreadPoolExecutor(FILES_AT_ONCE) as pool:
        futures = [pool.submit(work, name, entry) for name, entry in ordered]
        wait(futures, return_when=FIRST_EXCEPTION)
        failed = [error for future in futures if future.done() and (error := future.exception())]
        if failed:
            at_failure()
            pool.shutdown(wait=False, cancel_futures=True)
            raise next((error for error in failed if not isinstance(error, Stopped)), failed[0])
