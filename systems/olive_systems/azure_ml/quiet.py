"""What the SDK prints of its own accord, kept from the terminal: what one thread writes, and no other."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock, get_ident
from typing import TextIO

_ONE_AT_A_TIME = Lock()
"""Two that took turns in another order than they came would leave the wrong stream behind."""


@contextmanager
def quiet() -> Iterator[None]:
    """Let nothing that this thread writes to standard error meanwhile be seen."""
    with _ONE_AT_A_TIME:
        before = sys.stderr
        sys.stderr = _Others(before)
        try:
            yield
        finally:
            sys.stderr = before


class _Others:
    """A stream that takes nothing from the thread that made it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._unheard = get_ident()

    def write(self, text: str) -> int:
        return len(text) if get_ident() == self._unheard else self._stream.write(text)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)
