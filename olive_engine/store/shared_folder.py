"""The folder that a shared cache is in: whether it is there, and its making, which never happens unasked."""

from __future__ import annotations

import stat
from pathlib import Path

from olive_engine.errors import SystemUnavailable


class SharedFolder:
    """A folder of this machine, or one that it mounts. One that was there once in a run is not made anew in it."""

    def __init__(self, path: Path, layout: str, *, writes: bool) -> None:
        """Nothing is looked at yet.

        Args:
            path: the folder.
            layout: the folder in it that results are under.
            writes: whether results may be put there, and so a new folder made for them.
        """
        self.path = path
        self._layout = path / layout
        self._writes = writes
        self._seen = False

    def fault(self, *, writing: bool = False) -> str:
        """Why it cannot be used, in a sentence; empty: it can, or it is new and may be made."""
        writing = writing or self._writes
        try:
            mode = self.path.stat().st_mode  # asked once: another engine may make it between two questions
        except (FileNotFoundError, NotADirectoryError):
            return self._missing(writing=writing)
        if not stat.S_ISDIR(mode):
            return f"{self.path} is a file, and no folder"
        self._seen = True
        return ""

    def _missing(self, *, writing: bool) -> str:
        if self._seen:
            return f"the folder {self.path} is not there any more"
        if writing and self.path.parent.is_dir():
            return ""
        return f"there is no folder {self.path}" + ("; create it first" if writing else "")

    @property
    def is_new(self) -> bool:
        """Whether it is not there yet, and would be made."""
        return not self._seen and not self.path.exists() and self.path.parent.is_dir()

    def emptied(self) -> str:
        """Why nothing that was taken from it is there now; empty: it may be. An unmounted folder is often empty."""
        if self._layout.is_dir():
            self._seen = True
            return ""
        there = self.path.is_dir()
        return f"the folder {self.path} is {'empty' if there else 'not there'} now, and results were taken from it"

    def make(self) -> None:
        """Make it where it is not there.

        Raises:
            SystemUnavailable: it has gone during the run, or the folder that it should be in is not there either.
        """
        if fault := self.fault(writing=True):
            raise SystemUnavailable(fault)
        self.path.mkdir(exist_ok=True)  # another engine may make it at this moment
        self._seen = True
