"""Ctrl-C during a run: what becomes of the jobs that can go on without it; and a terminal that is closed."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

import click

from olive_engine.cli.session import session

if TYPE_CHECKING:
    from olive_engine.errors import LeftRunning
    from olive_engine.reporting.reporter import Reporter

WAYS = ("ask", "cancel", "detach")
"""What may be wished, the default first."""


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

    def detach(self, jobs: Sequence[LeftRunning]) -> bool:
        """Whether the jobs go on; asks if it was said to, and somebody can answer. Else they are cancelled."""
        if self._way != "ask":
            return self._way == "detach"
        if session().json or not (sys.stdin.isatty() and sys.stderr.isatty()):
            return False
        self._reporter.pause()
        return _asked(jobs)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Meanwhile a terminal that is closed, or a lost connection, detaches."""
        hangup = getattr(signal, "SIGHUP", None)
        main = threading.current_thread() is threading.main_thread()
        if hangup is None or not main or signal.getsignal(hangup) != signal.SIG_DFL:  # ignored: `nohup` wants that
            yield
            return
        signal.signal(hangup, self._hang_up)
        try:
            yield
        finally:
            signal.signal(hangup, signal.SIG_DFL)

    def _hang_up(self, _number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # some send it twice
        self._way = "detach"
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in self._terminals:  # nobody reads there any more, and writing would fail
            os.dup2(nowhere, stream)
        raise KeyboardInterrupt


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
