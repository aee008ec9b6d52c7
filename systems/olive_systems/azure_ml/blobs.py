# ruff: noqa: TID253 - heavy module, imported lazily by olive_systems.azure_ml.system
"""Trees to a datastore and back: each once, several files at a time, every byte compared with its digest."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from typing import IO, TypeVar

from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.storage.blob import ContainerClient

from olive_engine.digests import file_digest
from olive_engine.errors import StoreCorrupt, SystemUnavailable
from olive_engine.models import FileEntry, Tree
from olive_systems.azure_ml.failures import in_words
from olive_systems.azure_ml.locations import Place
from olive_systems.azure_ml.uploads import Stopped, Upload
from olive_systems.azure_ml.workspace import Workspace

FILES_AT_ONCE = 4
BLOCKS_AT_ONCE = 4
"""Of one large file."""
ATTEMPTS = 2
"""A file that came with other bytes is asked for once more: it may have been the way."""
_THROTTLED = 429
_PAUSE = 5.0
"""Seconds to wait for a service that is throttling and does not say how long."""

T = TypeVar("T")


def lacking_of(workspace: Workspace, tree: Tree, place: Place) -> dict[str, FileEntry]:
    """Which files of a tree are not at `place`, or of another size there."""
    with in_words(f"the datastore {place.datastore} cannot be listed"):
        container = workspace.container(place.datastore)
        prefix = f"{place.path}/"
        there = {blob.name.removeprefix(prefix): blob.size for blob in container.list_blobs(name_starts_with=prefix)}
    return {name: entry for name, entry in tree.files.items() if there.get(tree.place_of(name)) != entry.size}


def upload_tree(workspace: Workspace, tree: Tree, folder: Path, place: Place, upload: Upload) -> None:
    """Bring to `place` what is not there of a tree whose files lie in `folder`.

    Raises:
        SystemUnavailable: the datastore refuses, or a file's bytes are not those of its digest.
        Stopped: the upload was ended; what is there by then is not brought again.
    """
    lacking = lacking_of(workspace, tree, place)
    upload.begin(sum(entry.size for entry in lacking.values()), f"the datastore {place.datastore}")

    def put(name: str, entry: FileEntry) -> None:
        _put_file(workspace, folder / name, entry, place / name, upload)

    _each(lacking, put, at_failure=upload.stop)


def _put_file(workspace: Workspace, path: Path, entry: FileEntry, place: Place, upload: Upload) -> None:
    """Write one file; what is not of its digest is never committed."""

    def put() -> None:
        with path.open("rb") as stream:
            workspace.container(place.datastore).upload_blob(
                place.path,
                _Checked(stream, entry, path),  # type: ignore[arg-type]  # it reads, which is all that is asked of it
                length=entry.size,
                overwrite=True,
                max_concurrency=BLOCKS_AT_ONCE,
                progress_hook=lambda there, _: upload.reached(place.path, there),
                raw_request_hook=upload.watch,
            )

    with in_words(f"{path.name} cannot be uploaded to the datastore {place.datastore}"):
        _patiently(workspace, put, upload.rest)


def put_bytes(workspace: Workspace, data: bytes, place: Place) -> None:
    """Write a small blob."""
    with in_words(f"{place.path} cannot be written to the datastore {place.datastore}"):
        _patiently(
            workspace, lambda: workspace.container(place.datastore).upload_blob(place.path, data, overwrite=True)
        )


def get_bytes(workspace: Workspace, place: Place) -> bytes:
    """Read a small blob."""
    missing = f"there is no {place.path} in the datastore {place.datastore}"
    with in_words(f"{place.path} cannot be read from the datastore {place.datastore}", missing=missing):
        return _patiently(workspace, lambda: _content(workspace.container(place.datastore), place.path))


def remove(workspace: Workspace, place: Place) -> None:
    """Delete a blob; one that is not there is none to delete."""
    with in_words(f"{place.path} cannot be deleted from the datastore {place.datastore}"):
        try:
            workspace.container(place.datastore).delete_blob(place.path)
        except ResourceNotFoundError:
            return


def download_tree(workspace: Workspace, tree: Tree, place: Place, into: Path) -> None:
    """Bring the files of a tree that lies at `place` into a folder.

    Raises:
        SystemUnavailable: the datastore refuses, or a file is not there.
        StoreCorrupt: a file came with other bytes than its digest says, twice; it was not kept.
    """

    def download(name: str, entry: FileEntry) -> None:
        target = into / name
        target.parent.mkdir(parents=True, exist_ok=True)
        _get_file(workspace, place / tree.place_of(name), entry, target)

    _each(tree.files, download, at_failure=lambda: None)


def _get_file(workspace: Workspace, place: Place, entry: FileEntry, target: Path) -> None:
    def get() -> None:
        with target.open("wb") as stream:
            blob = workspace.container(place.datastore).get_blob_client(place.path)
            blob.download_blob(max_concurrency=BLOCKS_AT_ONCE).readinto(stream)

    missing = f"{place.path} is no longer in the datastore {place.datastore}"
    for _ in range(ATTEMPTS):
        try:
            with in_words(f"{place.path} cannot be fetched from the datastore {place.datastore}", missing=missing):
                _patiently(workspace, get)
        except SystemUnavailable:
            target.unlink(missing_ok=True)
            raise
        if target.stat().st_size == entry.size and file_digest(target) == entry.sha256:
            return
        target.unlink()
    raise StoreCorrupt(entry.sha256, f"{place.path} came from the datastore {place.datastore} with other bytes")


def _content(container: ContainerClient, path: str) -> bytes:
    return container.download_blob(path).readall()


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


def _patiently(workspace: Workspace, action: Callable[[], T], rest: Callable[[float], None] = time.sleep) -> T:
    """Do something with a storage service; it is waited for where it throttles, which its client does not know of."""
    for _ in range(workspace.retries):
        try:
            return action()
        except HttpResponseError as error:
            if error.status_code != _THROTTLED:
                raise
            said = str(getattr(error.response, "headers", {}).get("Retry-After", ""))
            rest(float(said) if said.isdecimal() else _PAUSE)
    return action()


class _Checked:
    """A file that is read once, from its beginning to its end, whose last bytes are given only if the digest is right.

    It cannot be rewound: the client reads each block into memory before it sends it, and sends that again.
    """

    def __init__(self, stream: IO[bytes], entry: FileEntry, path: Path) -> None:
        self._stream = stream
        self._entry = entry
        self._path = path
        self._sha = hashlib.sha256()
        self._read = 0

    def read(self, size: int = -1) -> bytes:
        """The next bytes.

        Raises:
            SystemUnavailable: they are the last, and the file is another than the one described.
        """
        data = self._stream.read(size)
        self._sha.update(data)
        self._read += len(data)
        whole = self._read >= self._entry.size
        if (whole and self._sha.hexdigest() != self._entry.sha256) or (not data and not whole):
            raise SystemUnavailable(f"{self._path.resolve()} was changed since the run began; run again")
        return data
