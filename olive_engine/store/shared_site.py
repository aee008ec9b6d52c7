"""Where a shared cache is: a folder, or any URL that fsspec opens. Opened when it is first asked for something."""

from __future__ import annotations

import threading
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from olive_engine.config.shared_cache import SharedCacheConfig, opened_options
from olive_engine.errors import SystemUnavailable
from olive_engine.store.places import FolderPlace, Place
from olive_engine.store.shared_folder import SharedFolder
from olive_engine.store.shared_libraries import library_fault, missing_library
from olive_engine.store.shared_trouble import secret_pieces, told

LAYOUT = "olive-cache-1"
"""The folder under the URL; its number is raised when the layout changes."""

_FOLDERS = ("", "file", "local")


class SharedSite:
    """The folder or the URL that a shared cache is at."""

    def __init__(self, config: SharedCacheConfig, base_dir: Path) -> None:
        """Nothing is opened or asked yet.

        Args:
            config: where it is.
            base_dir: a folder's relative path starts there.
        """
        self._config = config
        scheme = urlsplit(config.url).scheme if "://" in config.url else ""
        path = unquote(urlsplit(config.url).path) if scheme else config.url
        folder = (base_dir / Path(path).expanduser()).absolute() if scheme in _FOLDERS else None
        self._folder = SharedFolder(folder, LAYOUT, writes=config.write) if folder is not None else None
        self.url = folder.as_uri() if folder is not None else without_password(config.url).rstrip("/")
        """Where it is, without anything that is secret."""
        self._secrets: frozenset[str] = frozenset()
        self._opened: Place | None = None
        self._opening = threading.Lock()

    @property
    def is_local(self) -> bool:
        """Whether it is a folder, which may be looked at without a network."""
        return self._folder is not None

    @property
    def is_new(self) -> bool:
        """Whether it is a folder that is not there, and would be made."""
        return self._folder is not None and self._folder.is_new

    def doubt(self) -> str:
        """Why it cannot be used, as far as that can be told without a network; empty: nothing speaks against it."""
        try:
            if self._folder is not None:
                return self._folder.fault()
            opened_options(self._config)
            return library_fault(self._config.url)
        except (OSError, SystemUnavailable) as error:
            return self.told(error)

    def check_there(self) -> None:
        """Refuse a folder that cannot be used; a URL is not asked.

        Raises:
            SystemUnavailable: it is not there, or a file.
        """
        if self._folder is not None and (fault := self._folder.fault()):
            raise SystemUnavailable(fault)

    def emptied(self) -> str:
        """Why nothing that was taken from its folder is there now; empty: it may be."""
        try:
            return self._folder.emptied() if self._folder is not None else ""
        except OSError as error:
            return self.told(error)

    def make_folder(self) -> None:
        """Make the folder of a new cache.

        Raises:
            SystemUnavailable: it has gone during the run, or the folder that it should be in is not there either.
        """
        if self._folder is not None:
            self._folder.make()

    def place(self) -> Place:
        """Where the files are, opened.

        Raises:
            SystemUnavailable: a variable that its options name is not set, or a library is missing.
            ValueError: its options are not right.
        """
        with self._opening:
            if self._opened is None:
                self._opened = self._open()
            return self._opened

    def told(self, error: BaseException) -> str:
        """What went wrong in one sentence, without the value of any secret."""
        return told(error, self._secrets)

    def close(self) -> None:
        """Release connections."""
        if self._opened is not None:
            self._opened.close()

    def _open(self) -> Place:
        if self._folder is not None:
            return FolderPlace(self._folder.path / LAYOUT)
        options, values = opened_options(self._config)
        self._secrets = secret_pieces(values)
        url = self._config.url.rstrip("/")
        try:
            from olive_engine.store.object_store import ObjectStore

            return ObjectStore(f"{url}/{LAYOUT}", options)
        except ImportError as error:
            raise SystemUnavailable(missing_library(url.partition("://")[0], str(error))) from error


def without_password(url: str) -> str:
    """A URL without query, and without the password of a user."""
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    return urlunsplit((parts.scheme, f"{user.partition(':')[0]}{at}{host}", parts.path, "", ""))
