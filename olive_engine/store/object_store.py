"""A shared cache's files on whatever fsspec opens: Azure Blob Storage, S3, a web server, memory.

Nothing here waits for ever: a call that gives no sign of life for a while is given up.
"""

from __future__ import annotations

import contextlib
import hashlib
import queue
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from olive_engine.store.places import Stored, TooLong

T = TypeVar("T")
Tick = Callable[[], None]
"""Called whenever a piece of work has got on."""

ANSWER = 10.0
"""Seconds in which a small request is answered."""
STALL = 120.0
"""Seconds without a byte after which a transfer is given up."""
PIECE = 8 << 20
"""Bytes that are read at once."""
BY_RENAME = {"sftp", "ssh", "smb", "hdfs", "arrow_hdfs", "webhdfs", "ftp", "dbfs", "jlab"}
"""Protocols where a reader could see half a file: it is written beside its place and then moved."""
_IMPATIENT: Mapping[str, Mapping[str, Any]] = {
    "abfs": {"connection_timeout": 5, "read_timeout": 60},
    "s3": {"config_kwargs": {"connect_timeout": 5, "read_timeout": 60, "retries": {"max_attempts": 2}}},
}
"""What makes a protocol's own library give up early; storage options count over it."""
_FAMILY = {"abfss": "abfs", "az": "abfs", "s3a": "s3"}


class ObjectStore:
    """The files under a URL. Several threads may use it at once."""

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        """Open the file system; asks nobody yet.

        Raises:
            ImportError: fsspec, or what it needs for the protocol, is not installed.
            ValueError: the protocol is not known, or its options are not right.
        """
        from fsspec.core import url_to_fs

        self._protocol = url.partition("://")[0]
        family = _FAMILY.get(self._protocol, self._protocol)
        own = {"use_listings_cache": False, "skip_instance_cache": self._protocol != "memory"}
        fs, root = _patiently(lambda _: url_to_fs(url, **own, **_IMPATIENT.get(family, {}), **options), ANSWER)
        self._fs: Any = fs
        self._root = str(root).rstrip("/")

    def read(self, name: str, limit: int) -> bytes:
        """See `Place`."""
        try:
            content: bytes = _patiently(lambda _: self._fs.cat_file(self._at(name), start=0, end=limit + 1), ANSWER)
        except Exception as error:
            if _is_empty(error):
                return b""
            raise
        if len(content) > limit:
            raise TooLong(name)
        return content

    def size(self, name: str) -> int | None:
        """See `Place`."""
        try:
            return int(_patiently(lambda _: self._fs.info(self._at(name)), ANSWER)["size"])
        except FileNotFoundError:
            return None

    def download(self, name: str, target: Path, size: int) -> str:
        """See `Place`."""

        def copy(tick: Tick) -> str:
            with target.open("xb") as writing:
                return self._read_through(name, tick, writing.write, size)

        return _patiently(copy, STALL)

    def digest(self, name: str) -> str:
        """See `Place`."""
        return _patiently(lambda tick: self._read_through(name, tick, lambda _: 0, None), STALL)

    def write(self, name: str, content: bytes) -> None:
        """See `Place`."""
        self._put(name, lambda place, _: self._fs.pipe_file(place, content))

    def upload(self, source: Path, name: str) -> None:
        """See `Place`."""
        from fsspec.callbacks import Callback

        class Ticking(Callback):  # type: ignore[misc]  # fsspec ships no type information
            """Passes on that something has moved."""

            def call(self, hook_name: str | None = None, **kwargs: object) -> None:  # noqa: ARG002 - its signature
                """Called by the file system at every step."""
                self.tick()

        def put(place: str, tick: Tick) -> None:
            callback = Ticking()
            callback.tick = tick
            self._fs.put_file(str(source), place, callback=callback)

        self._put(name, put)

    def each(self, folder: str) -> Iterator[Stored]:
        """See `Place`."""
        try:
            found = _patiently(lambda _: self._fs.find(self._at(folder), detail=True), STALL)
        except FileNotFoundError:
            return
        for path, info in sorted(found.items()):
            name = str(path).rstrip("/")
            if info.get("type") == "file" and name.startswith(f"{self._root}/"):
                yield Stored(name[len(self._root) + 1 :], int(info["size"] or 0), _written(info))

    def remove(self, name: str) -> None:
        """See `Place`."""
        with contextlib.suppress(FileNotFoundError):
            _patiently(lambda _: self._fs.rm_file(self._at(name)), ANSWER)

    def close(self) -> None:
        """Connections are closed with the file system, when nobody holds it any more."""

    def _at(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _put(self, name: str, put: Callable[[str, Tick], None]) -> None:
        place = self._at(name)
        if self._protocol not in BY_RENAME:  # one request; seen by others when it is complete
            _patiently(lambda tick: put(place, tick), STALL)
            return
        temporary = f"{place}.{uuid.uuid4().hex[:12]}.tmp"

        def write_and_move(tick: Tick) -> None:
            self._fs.makedirs(str(PurePosixPath(place).parent), exist_ok=True)
            try:
                put(temporary, tick)
                self._fs.mv(temporary, place)
            except BaseException:
                with contextlib.suppress(OSError):
                    self._fs.rm_file(temporary)
                raise

        _patiently(write_and_move, STALL)

    def _read_through(self, name: str, tick: Tick, write: Callable[[bytes], object], limit: int | None) -> str:
        sha, count = hashlib.sha256(), 0
        with self._fs.open(self._at(name), "rb", block_size=PIECE, cache_type="none") as reading:
            while chunk := reading.read(PIECE if limit is None else min(PIECE, limit + 1 - count)):
                tick()
                count += len(chunk)
                if limit is not None and count > limit:
                    raise TooLong(name)
                sha.update(chunk)
                write(chunk)
        return sha.hexdigest()


def _is_empty(error: Exception) -> bool:
    """Whether a storage says that a file has no bytes of which it could give a range."""
    return getattr(error, "status_code", None) == 416 or "InvalidRange" in str(error)


def _written(info: Mapping[str, Any]) -> float:
    """When a file was written, under whichever name its protocol tells it."""
    for name in ("last_modified", "LastModified", "mtime", "updated", "created"):
        value = info.get(name)
        if isinstance(value, datetime):
            return value.timestamp()
        if isinstance(value, int | float):
            return float(value)
    return 0.0


def _patiently(work: Callable[[Tick], T], patience: float) -> T:
    """Do `work`, and give it up when it has not got on for `patience` seconds.

    A library that hangs cannot be stopped: it is left behind on a thread that does not keep the process alive.

    Raises:
        TimeoutError: it was given up.
    """
    answers: queue.SimpleQueue[tuple[bool, T | BaseException | None]] = queue.SimpleQueue()

    def do() -> None:
        try:
            answers.put((True, work(lambda: answers.put((False, None)))))
        except BaseException as error:  # noqa: BLE001 - raised where it was asked for
            answers.put((True, error))

    threading.Thread(target=do, daemon=True, name="shared-cache").start()
    while True:
        try:
            done, answer = answers.get(timeout=patience)
        except queue.Empty:
            raise TimeoutError(f"no answer within {patience:g} seconds") from None
        if isinstance(answer, BaseException):
            raise answer
        if done:
            return answer  # type: ignore[return-value]  # what `work` gave
