# ruff: noqa: TID253 - heavy module, imported lazily by olive_systems.azure_ml.system
"""The way of a job's inputs to the workspace: how far it is, and that it ends at once when nobody waits any more."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event as Flag
from threading import Lock
from typing import IO

from azure.core.pipeline import PipelineRequest
from azure.core.rest import HttpRequest

from olive_engine.contracts import Event, Log, Progress
from olive_engine.errors import SystemUnavailable
from olive_engine.models import FileEntry

TOLD_FROM = 1_000_000
"""Bytes from which on an upload is worth a word."""
TOLD_EVERY = 1.0
"""Seconds between two words on how far it is."""
PIECE = 1 << 16
"""Bytes of a request that are sent between two looks at whether to go on."""
LOOK = 0.1
"""Seconds between two looks while it waits for another upload."""
_MB, _GB = 1_000_000, 1_000_000_000


class Stopped(Exception):
    """Nobody waits for the upload any more."""


class Upload:
    """One job's; several threads may work for it."""

    def __init__(self, tell: Callable[[Event], None]) -> None:
        """Begin one.

        Args:
            tell: hears how far it is.
        """
        self._tell = tell
        self._stopped = Flag()
        self._is_being_put = False
        self._lock = Lock()
        self._total = 0
        self._reached: dict[str, int] = {}
        self._told = 0.0

    def stop(self) -> None:
        """End it: whoever works for it hears of that with the next look, inside a request too."""
        with self._lock:
            self._stopped.set()

    def end(self) -> None:
        """All is there: the job is put now, and may be there from now on.

        Raises:
            Stopped: nobody wants it any more.
        """
        with self._lock:
            self.look()
            self._is_being_put = True

    @property
    def is_being_put(self) -> bool:
        """Whether the job may be there."""
        return self._is_being_put

    @property
    def is_stopped(self) -> bool:
        """Whether it was ended."""
        return self._stopped.is_set()

    def look(self) -> None:
        """See whether to go on.

        Raises:
            Stopped: no.
        """
        if self._stopped.is_set():
            raise Stopped

    def rest(self, seconds: float) -> None:
        """Wait.

        Raises:
            Stopped: it was ended meanwhile.
        """
        self._stopped.wait(seconds)
        self.look()

    @contextmanager
    def holding(self, lock: Lock) -> Iterator[None]:
        """Take a lock that another upload may have for long.

        Raises:
            Stopped: it was ended meanwhile.
        """
        while not lock.acquire(timeout=LOOK):
            self.look()
        try:
            self.look()
            yield
        finally:
            lock.release()

    def begin(self, size: int, where: str) -> None:
        """Say that so many bytes are on their way now."""
        with self._lock:
            self._total, self._reached, self._told = size, {}, time.monotonic()
        if size >= TOLD_FROM:
            self._tell(Log(message=f"uploading {_in_words(size)} to {where}"))

    def reached(self, file: str, count: int) -> None:
        """Take in how many bytes of a file are there."""
        with self._lock:
            self._reached[file] = count
            done, now = sum(self._reached.values()), time.monotonic()
            if self._total < TOLD_FROM or (done < self._total and now - self._told < TOLD_EVERY):
                return
            self._told = now
        self._tell(Progress(step=round(done / _MB), total=round(self._total / _MB), unit="MB uploaded"))

    def watch(self, request: PipelineRequest[HttpRequest]) -> None:
        """Have a request of the storage client end when the upload does: a hook that is called before each is sent.

        Raises:
            Stopped: it was ended already.
        """
        self.look()
        data = request.http_request.content
        if isinstance(data, bytes) and len(data) > PIECE:
            request.http_request.data = _Pieces(data, self)


class Checked:
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


class _Pieces:
    """A request's body as pieces, from the beginning for each try; between two of them it is seen whether to go on."""

    def __init__(self, data: bytes, upload: Upload) -> None:
        self._data = data
        self._upload = upload

    def __len__(self) -> int:
        return len(self._data)

    def __iter__(self) -> Iterator[memoryview]:
        view = memoryview(self._data)
        for start in range(0, len(view), PIECE):
            self._upload.look()
            yield view[start : start + PIECE]


def _in_words(size: int) -> str:
    return f"{size / _GB:.1f} GB" if size >= _GB else f"{size / _MB:.1f} MB"
