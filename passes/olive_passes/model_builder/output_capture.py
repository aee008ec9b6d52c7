"""What libraries print, log or warn about, as Log events of the step."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout

from olive_engine.contracts import Event, Log


@contextmanager
def captured_output(report: Callable[[Event], None]) -> Iterator[None]:
    """Report each printed line as a Log event at debug level; logging is as before when it ends.

    Python's stdout, stderr and root logger only: what native code writes to the file descriptors goes on as it does.
    """
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    lines = _Lines(report)
    # A handler must be there before the builder is imported: onnxruntime's quantizer calls logging.basicConfig.
    root.handlers[:] = [logging.StreamHandler(lines)]
    root.setLevel(logging.WARNING)
    try:
        with redirect_stdout(lines), redirect_stderr(lines):
            yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        lines.finish()


class _Lines(io.TextIOBase):
    """A text stream that reports whole lines; what a carriage return overwrites (progress bars) is left out."""

    def __init__(self, report: Callable[[Event], None]) -> None:
        self._report = report
        self._rest = ""
        self._streams = (sys.stdout, sys.stderr)

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._emit(line)
        return len(text)

    def finish(self) -> None:
        """Report what has no line end yet."""
        self._emit(self._rest)
        self._rest = ""

    def _emit(self, line: str) -> None:
        message = line.rpartition("\r")[2].rstrip()
        if message:
            # Whoever receives the event may print it: not into this stream.
            with redirect_stdout(self._streams[0]), redirect_stderr(self._streams[1]):
                self._report(Log(message=message, level="debug"))
