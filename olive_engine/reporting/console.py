"""What a run shows to the person who started it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TextIO

from olive_engine.reporting.levels import INFO
from olive_engine.reporting.reporter import Reporter
from olive_engine.reporting.tables import is_terminal


def console(stream: TextIO, level: int = INFO, now: Callable[[], float] = time.monotonic) -> Reporter:
    """A reporter that draws live progress if the stream is a terminal, and writes plain lines if it is not.

    `level` is the workflow's ``log_severity_level``; `olive_engine.reporting.levels` says what each shows. `now` is the
    clock by which time left and intervals are reckoned, in seconds.
    """
    if is_terminal(stream):
        from olive_engine.reporting.terminal import Terminal  # it needs rich, which a pipe does not

        return Terminal(stream, level, now)
    from olive_engine.reporting.plain import PlainLines

    return PlainLines(stream, level, now)
