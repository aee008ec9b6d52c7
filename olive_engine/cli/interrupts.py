"""Ctrl-C during a run: what becomes of the jobs that can go on without it; and a terminal that is closed."""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

import click

from olive_engine.cli.session import session
from olive_engine.reporting.reporter import Reporter

if TYPE_CHECKING:
    from olive_engine.errors import LeftRunning
    from olive_engine.reporting.events import RunEvent

WAYS = ("ask", "cancel", "detach")
"""What may be wished, the default first."""
PATIENCE = 1.0
"""Seconds that stopping may take before it is told that it is under way."""


class Interrupts:
    """What the user wishes for jobs elsewhere when a run is interrupted."""

    def __init__(self, way: str, reporter: Reporter) -> None:
        """Nothing is asked yet.

        Args:
            way: one of `WAYS`.
            reporter: it draws where the question is to stand.
        """
        self._way = way
        self._reporter = reporter
        self._terminals = [stream for stream in (1, 2) if os.isatty(stream)]  # one that has gone is none any more
        self._stopping: threading.Timer | None = None
        self._is_closed = False

    @property
    def reporter(self) -> Reporter:
        """The reporter for the run: a terminal that is found closed before the signal comes is no error either."""
        return _Closable(self._reporter, self._hang_up)

    def detach(self, jobs: Sequence[LeftRunning]) -> bool:
        """Whether the jobs go on; asks if it was said to, and somebody can answer. Else they are cancelled."""
        self._say_no_more()
        if self._way == "ask":
            goes_on = not session().json and sys.stdin.isatty() and sys.stderr.isatty() and self._asked(jobs)
        else:
            goes_on = self._way == "detach"
        if not goes_on:  # elsewhere it takes seconds
            self._say_stopping()
        return goes_on

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Meanwhile Ctrl-C is told to be heard, and a terminal that is closed, or a lost connection, detaches."""
        handlers: dict[int, tuple[object, Callable[[int, FrameType | None], None]]] = {
            signal.SIGINT: (signal.default_int_handler, self._interrupt)
        }
        if hangup := getattr(signal, "SIGHUP", None):
            handlers[hangup] = (signal.SIG_DFL, self._hang_up)
        main = threading.current_thread() is threading.main_thread()
        # Whoever has set another handler, or ignores a signal as `nohup` does, wants that.
        before = {number: now for number, (usual, _) in handlers.items() if (now := signal.getsignal(number)) == usual}
        for number in before if main else ():
            signal.signal(number, handlers[number][1])
        try:
            yield
        finally:
            for number, usual in before.items() if main else ():
                if number != hangup or not self._is_closed:  # some send it twice, and the run is to be remembered
                    signal.signal(number, usual)
            self._say_no_more()

    def _asked(self, jobs: Sequence[LeftRunning]) -> bool:
        self._reporter.pause()
        return _asked(jobs)

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        if self._stopping is None:
            self._stopping = threading.Timer(PATIENCE, self._say_stopping)
            self._stopping.daemon = True
            self._stopping.start()
        raise KeyboardInterrupt

    def _say_stopping(self) -> None:
        self._reporter.pause()
        click.echo("stopping …", err=True)

    def _say_no_more(self) -> None:
        if self._stopping is not None:
            self._stopping.cancel()
            self._stopping.join()  # it may be saying it

    def _hang_up(self, *_: object) -> None:
        self._is_closed = True
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        self._way = "detach"
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in self._terminals:  # nobody reads there any more, and writing would fail
            os.dup2(nowhere, stream)
        raise KeyboardInterrupt


class _Closable(Reporter):
    """Takes the failure to write to a terminal for the news that it is closed: the signal may come later."""

    def __init__(self, reporter: Reporter, closed: Callable[[], None]) -> None:
        self._reporter = reporter
        self._closed = closed

    def on_event(self, event: RunEvent) -> None:
        try:
            self._reporter.on_event(event)
        except OSError as error:
            if error.errno != errno.EIO or not hasattr(signal, "SIGHUP"):
                raise
            self._closed()


def _asked(jobs: Sequence[LeftRunning]) -> bool:
    several = len(jobs) > 1
    click.echo(err=True)
    click.echo(f"{'these jobs' if several else 'this job'} can go on without olive:", err=True)
    for job in jobs:
        click.echo(f"  {job}", err=True)
    what = "them" if several else "it"
    while True:
        try:
            answer = click.prompt(
                f"[c]ancel {what}, or [d]etach and come back with `olive attach`?",
                default="c",
                show_default=True,
                err=True,
            )
        except click.Abort:  # Ctrl-C again, or no more input
            return False
        word = str(answer).strip().lower()
        for wish in ("cancel", "detach"):
            if word and wish.startswith(word):
                return wish == "detach"
        click.echo(f"  expected c (cancel) or d (detach), found {answer}", err=True)
