"""Python environments that the engine has made: where they are kept, which are whole, and which are in use.

<home>/environments/<id>/       an environment; `environment.json` is written last, and without it nothing counts
<home>/environments/<id>.lock   held while it is made or removed
<home>/environments/<id>.users/ a lock file of each process that uses it
<home>/notes/<kind>/<name>      what is remembered: the packages that requirements came to, and the like
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from olive_engine.errors import SystemUnavailable
from olive_engine.store.files import remove_tree, write_atomic
from olive_engine.store.locks import Lock

HOME = "OLIVE_ENGINE_HOME"
"""The variable that names the folder, where the default will not do."""
MARKER = "environment.json"
ID_LENGTH = 20
"""Hex digits: paths stay short enough for the first line of a script, and for Windows."""
POLL_INTERVAL = 0.2
RESOLVED = "resolved"
"""The kind of note that says which packages a request came to."""


class Made(BaseModel):
    """An environment that is whole: the contents of its `environment.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    """The digest of all that it was made from: packages, Python, platform, the engine's own code."""
    request: str
    """The name of the note that says what its requirements came to."""
    python: str
    """Version."""
    requirements: tuple[str, ...]
    """What was asked for."""
    packages: tuple[str, ...]
    """What that came to: ``name==version``, all of them but the engine."""
    installer: str
    made: float
    """Seconds since the epoch."""

    @property
    def id(self) -> str:
        """The name of its folder."""
        return self.key[:ID_LENGTH]


def home() -> Path:
    """The folder of what the engine keeps for all workflows of a user."""
    if named := os.environ.get(HOME):
        return Path(named).absolute()
    caches = os.environ.get("LOCALAPPDATA") if os.name == "nt" else os.environ.get("XDG_CACHE_HOME")
    return (Path(caches) if caches else Path.home() / ".cache") / "olive-engine"


def interpreter_of(folder: Path) -> Path:
    """The interpreter of a virtual environment."""
    return folder / "Scripts" / "python.exe" if os.name == "nt" else folder / "bin" / "python"


class Hold:
    """Keeps an environment from being removed, until it is released or its process ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = Lock(path)
        self._lock.try_acquire()

    def release(self) -> None:
        """Let it go."""
        self._lock.release()
        self._path.unlink(missing_ok=True)


class Environments:
    """The environments in one folder."""

    def __init__(self, root: Path | None = None) -> None:
        """Look at them; nothing is read or written yet.

        Args:
            root: the folder; default: `home`.
        """
        self.root = root or home()
        self._folder = self.root / "environments"

    def folder(self, key: str) -> Path:
        """Where the environment of that key is, or would be."""
        return self._folder / key[:ID_LENGTH]

    def find(self, key: str) -> Made | None:
        """The environment of that key, if it is whole."""
        found = _read(self.folder(key))
        return found if found and found.key == key else None

    def all(self) -> tuple[Made, ...]:
        """Those that are whole, the last used first."""
        found = [made for folder in self._folders() if (made := _read(folder))]
        return tuple(sorted(found, key=self.used, reverse=True))

    def unfinished(self) -> tuple[Path, ...]:
        """Folders that nobody works on, and that are no whole environment: left by a crash, or their Python is gone."""
        return tuple(each for each in self._folders() if _is_left(each) and not _held(_lock_file(each)))

    def used(self, made: Made) -> float:
        """When a process last used it, in seconds since the epoch."""
        return (self.folder(made.key) / MARKER).stat().st_mtime

    def size(self, made: Made) -> int:
        """Bytes of its files. Installers may share them with their own caches."""
        return sum(each.lstat().st_size for each in self.folder(made.key).rglob("*") if not each.is_dir())

    @contextmanager
    def working_on(self, folder: Path, waiting: Callable[[], None]) -> Iterator[None]:
        """The right to make, hold or remove what is in a folder.

        Args:
            folder: of an environment.
            waiting: called once if another process has the right now.

        Raises:
            SystemUnavailable: the folder cannot be written to.
        """
        with _writable(self.root):
            lock = Lock(_lock_file(folder))
            told = False
            while not lock.try_acquire():
                if not told:
                    waiting()
                    told = True
                time.sleep(POLL_INTERVAL)
        try:
            yield
        finally:
            lock.release()

    def clear(self, folder: Path) -> None:
        """Have nothing where an environment is to be made; for whoever has the right to work on it."""
        with _writable(self.root):
            _remove(folder)
            folder.parent.mkdir(parents=True, exist_ok=True)

    def finish(self, made: Made) -> None:
        """Say that an environment is whole."""
        write_atomic(self.folder(made.key) / MARKER, made.model_dump_json(indent=2))

    def hold(self, key: str) -> Hold:
        """Use a whole environment; for whoever has the right to work on it."""
        os.utime(self.folder(key) / MARKER)
        return Hold(_users(self.folder(key)) / f"{uuid.uuid4().hex}.lock")

    def remove(self, made: Made, *, forget: bool = False) -> None:
        """Remove an environment; the next is made of the same packages.

        Args:
            made: the environment.
            forget: what its requirements came to, too: the next is made of the newest packages that fit.

        Raises:
            SystemUnavailable: a run uses it.
        """
        folder = self.folder(made.key)
        with self.working_on(folder, lambda: None):
            if _is_used(folder):
                raise SystemUnavailable(f"{made.id} is used by a run; wait for its end, or stop it with Ctrl-C")
            _remove(folder)
            if forget:
                self._forget(lambda packages: packages == made.packages)

    def remove_unfinished(self) -> None:
        """Remove what is no whole environment and nobody works on.

        Raises:
            SystemUnavailable: the folder cannot be written to.
        """
        for folder in self.unfinished():
            with _writable(self.root):
                lock = Lock(_lock_file(folder))
                if not lock.try_acquire():
                    continue  # somebody makes it now
                try:
                    if _is_left(folder):  # nobody has made it since it was looked at
                        _remove(folder)
                finally:
                    lock.release()

    # --- what is remembered -------------------------------------------------------------------------------------------

    def noted(self, kind: str, name: str) -> str | None:
        """What was noted under a name; none: nothing."""
        try:
            return self._note(kind, name).read_text(encoding="utf-8")
        except OSError:
            return None

    def note(self, kind: str, name: str, text: str) -> None:
        """Remember a text.

        Raises:
            SystemUnavailable: the folder cannot be written to.
        """
        with _writable(self.root):
            write_atomic(self._note(kind, name), text)

    def forget_unmade(self) -> None:
        """Forget what requirements came to of which there is no environment.

        Raises:
            SystemUnavailable: the folder cannot be written to.
        """
        needed = {made.packages for made in self.all()}
        self._forget(lambda packages: packages not in needed)

    def _forget(self, is_meant: Callable[[tuple[str, ...]], bool]) -> None:
        """Forget what requirements came to where it is meant; several requests may have come to the same."""
        with _writable(self.root):
            for path in self._note(RESOLVED, "").glob("*"):
                if is_meant(tuple(json.loads(path.read_text(encoding="utf-8")))):
                    path.unlink(missing_ok=True)

    def _note(self, kind: str, name: str) -> Path:
        return self.root / "notes" / kind / name

    def _folders(self) -> list[Path]:
        if not self._folder.is_dir():
            return []
        return sorted(each for each in self._folder.iterdir() if each.is_dir() and not each.suffix)


@contextmanager
def _writable(root: Path) -> Iterator[None]:
    """Tell what to do where the folder cannot be written to."""
    try:
        yield
    except OSError as error:
        raise SystemUnavailable(
            f"{root}, where environments are kept, cannot be written to ({error.strerror or error}); name another "
            f"folder with the environment variable {HOME}"
        ) from None


def _read(folder: Path) -> Made | None:
    """The environment in a folder; none where it is not whole, or the Python that it was made from has gone."""
    try:
        made = Made.model_validate_json((folder / MARKER).read_bytes())
    except (OSError, ValidationError):
        return None
    return made if interpreter_of(folder).exists() else None


def _is_left(folder: Path) -> bool:
    """Whether a folder is no whole environment, and no process uses what it was."""
    return _read(folder) is None and not _is_used(folder)


def _is_used(folder: Path) -> bool:
    return any(_held(path) for path in _users(folder).glob("*.lock"))


def _remove(folder: Path) -> None:
    (folder / MARKER).unlink(missing_ok=True)  # first: half an environment must not look like a whole one
    remove_tree(folder)
    remove_tree(_users(folder))


def _held(path: Path) -> bool:
    """Whether a process holds the lock of a file."""
    if not path.exists():
        return False
    lock = Lock(path)
    if lock.try_acquire():
        lock.release()
        return False
    return True


def _lock_file(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")


def _users(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.users")
