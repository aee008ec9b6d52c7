# ruff: noqa: TID253 - heavy module, imported lazily by those who run or show a search
"""Where studies are recorded: a journal file, or a database that Optuna knows.

A process may be killed at any moment. In a journal that leaves at most half a line, the last one, which nobody has read
as a record; who writes next cuts it off. The lock on the journal is the operating system's, free as soon as its owner
is dead.

A database gets no heartbeat: it would declare the trials of a dead process failed, and here they go on, under their own
numbers, as soon as a process comes back to the search.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

from filelock import FileLock
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage, get_storage
from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._file import BaseJournalFileLock

from olive_engine.errors import SystemUnavailable
from olive_engine.search.names import masked, password_in
from olive_engine.search.samplers import quiet

JOURNAL = "studies.log"
"""All studies of a cache, for one `optuna-dashboard` to show."""
WAIT = 60
"""Seconds that a SQLite database may be held by another process."""

_BLOCK = 1 << 16
_RECORD = b'{"op_code":'
_SQLITE = b"SQLite format 3\x00"
_DRIVERS_OWN = re.compile(r"^\([\w.]+\) ")
"""SQLAlchemy says first which of a driver's errors it was."""


def open_storage(spec: str | None, folder: Path) -> BaseStorage:
    """Open what studies are recorded in; it is made if it is not there.

    Args:
        spec: the path of a journal file, or a database URL as SQLAlchemy takes it; None: a journal in `folder`.
        folder: the cache's, for studies.

    Raises:
        SystemUnavailable: it cannot be opened.
    """
    shown = shown_storage(spec, folder)
    with reaching(shown, spec), quiet():
        if spec is not None and "://" in spec:
            return _database(spec, shown)
        path = _journal(spec, folder)
        path.parent.mkdir(parents=True, exist_ok=True)
        _check_journal(path)
        try:
            return JournalStorage(JournalFileBackend(str(path), lock_obj=JournalLock(path)))
        except (ValueError, KeyError, TypeError) as error:  # a line is no JSON, or no record
            raise SystemUnavailable(
                f"{path} is damaged: a line of it is no record of Optuna's; move it away"
            ) from error


def lock_folder(spec: str | None, folder: Path) -> Path:
    """Where the locks of studies are: beside their journal; those of a database in `folder`.

    So engines that share a database, but no folder, do not see each other's locks. What they record stays right; they
    may both take the trouble to propose a wave.
    """
    return folder if spec is not None and "://" in spec else _journal(spec, folder).parent


def shown_storage(spec: str | None, folder: Path) -> str:
    """A storage as it may be shown, and given to `optuna-dashboard`: a path, or a URL without its password."""
    return masked(spec) if spec is not None and "://" in spec else str(_journal(spec, folder))


@contextmanager
def reaching(shown: str, spec: str | None = None) -> Iterator[None]:
    """Tell in a sentence that a storage cannot be used.

    Args:
        shown: the storage without a password.
        spec: the storage itself, for the password that a driver may repeat.

    Raises:
        SystemUnavailable: what is done inside failed for the storage's sake.
    """
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

    try:
        yield
    except ImportError as error:
        cause = f"its driver is not installed ({_said(error.__cause__ or error, spec)}); install it with pip"
        raise SystemUnavailable(f"the study cannot be recorded in {shown}: {cause}") from error
    except NoSuchModuleError as error:
        cause = f"SQLAlchemy knows no such database ({_said(error, spec)})"
        raise SystemUnavailable(
            f"the study cannot be recorded in {shown}: {cause}; write e.g. sqlite:////path/to/study.db"
        ) from error
    except ArgumentError as error:
        raise SystemUnavailable(
            f"the study cannot be recorded in {shown}: it is no database URL; write e.g. sqlite:////path/to/study.db"
        ) from error
    except (StorageInternalError, SQLAlchemyError) as error:
        told = error.__cause__ if isinstance(error, StorageInternalError) and error.__cause__ else error
        raise SystemUnavailable(f"the study cannot be recorded in {shown}: {_said(told, spec)}") from error
    except OSError as error:
        raise SystemUnavailable(f"the study cannot be recorded in {shown}: {_said(error, spec)}") from error


class JournalLock(BaseJournalFileLock):
    """The right to write to a journal; who takes it finds whole lines only."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        # Not the journal's name and `.lock`: that is the name of Optuna's own lock, which a dashboard may take, and
        # which it removes when it is old.
        self._lock = FileLock(journal.with_name(f".{journal.name}.olive.lock"))

    def acquire(self) -> bool:
        """Wait for the lock, take it, and mend the journal."""
        self._lock.acquire(poll_interval=0.005)
        try:
            mend(self._journal)
        except BaseException:
            self._lock.release()
            raise
        return True

    def release(self) -> None:
        """Give the lock back."""
        self._lock.release()


def mend(journal: Path) -> None:
    """Cut off half a line at the end; its writer was killed, and nobody has taken it for a record.

    Call it where nobody else writes.
    """
    try:
        stream = journal.open("r+b")
    except FileNotFoundError:
        return
    with stream:
        size = end = stream.seek(0, os.SEEK_END)
        while end > 0:
            start = max(0, end - _BLOCK)
            stream.seek(start)
            at = stream.read(end - start).rfind(b"\n")
            if at >= 0:
                end = start + at + 1
                break
            end = start
        if end < size:
            stream.truncate(end)
            stream.flush()
            os.fsync(stream.fileno())


def _database(url: str, shown: str) -> BaseStorage:
    more = {"connect_args": {"timeout": WAIT}} if url.startswith("sqlite") else {}
    try:
        return get_storage(RDBStorage(url, engine_kwargs=more))
    except (RuntimeError, ValueError) as error:  # its tables were made by another version; its port is no number
        raise SystemUnavailable(f"the study cannot be recorded in {shown}: {_said(error, url)}") from error


def _check_journal(path: Path) -> None:
    """See that a file that is there is a journal, before anything is cut off at its end."""
    if not path.exists():
        return
    with path.open("rb") as stream:
        start = stream.read(max(len(_RECORD), len(_SQLITE)))
    if not (start.startswith(_RECORD) or _RECORD.startswith(start)):
        hint = f"; for a SQLite database write sqlite:///{path}" if start.startswith(_SQLITE) else ""
        raise SystemUnavailable(f"{path} is no journal of Optuna's, so no study can be recorded in it{hint}")


def _journal(spec: str | None, folder: Path) -> Path:
    return folder / JOURNAL if spec is None else Path(spec).expanduser()


def _said(error: BaseException, spec: str | None) -> str:
    """The first line of a message, without a password."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = _DRIVERS_OWN.sub("", (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip("."))
    if spec is not None:
        text = text.replace(spec, masked(spec))
        secret = password_in(spec)
        for each in {secret, unquote(secret)} - {""}:
            text = text.replace(each, "***")
    return text
