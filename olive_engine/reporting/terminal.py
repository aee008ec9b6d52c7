"""A run in a terminal: what has ended stays as lines, what runs is drawn live below them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TextIO

from rich.console import RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.table import Table as Grid
from rich.text import Text

from olive_engine.reporting import phrases
from olive_engine.reporting.events import (
    PlanMade,
    RunEvent,
    RunFinished,
    StepFailed,
    StepFinished,
    StepLog,
    StepProgress,
    StepSkipped,
    StepStarted,
    StepWaiting,
    Warned,
)
from olive_engine.reporting.levels import DEBUG, INFO
from olive_engine.reporting.live import RunningView, shortened
from olive_engine.reporting.plan import MOST_LINES, plan_heading, plan_table
from olive_engine.reporting.progress import RunningStep
from olive_engine.reporting.reporter import Reporter
from olive_engine.reporting.summary import summary
from olive_engine.reporting.tables import draw, terminal
from olive_engine.reporting.visibility import shows

_MARK = {"done": ("✓", "green"), "reused": ("✓", "dim"), "failed": ("✗", "bold red"), "skipped": ("-", "dim")}
_LOG_STYLES = {"debug": "dim", "info": "", "warning": "yellow", "error": "red"}


class Terminal(Reporter):
    """Draws the run. In a plan of more than `MOST_LINES` steps only failures leave a line; the rest is counted."""

    def __init__(self, stream: TextIO, level: int, now: Callable[[], float]) -> None:
        self._console = terminal(stream)
        self._level = level
        self._now = now
        self._view = RunningView(now)
        self._live: Live | None = None
        self._skipped = self._failed = 0

    def on_event(self, event: RunEvent) -> None:
        """Draw what the event is worth at this level."""
        self._follow(event)
        if shows(self._level, event):
            for line in self._lines(event):
                self._console.print(line)

    def close(self) -> None:
        """Take the live part away and give the cursor back."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    @property
    def _many(self) -> bool:
        return self._view.total > MOST_LINES

    def _follow(self, event: RunEvent) -> None:
        """Keep account of what runs, and show it as long as anything may."""
        running = self._view.running
        match event:
            case PlanMade(steps):
                self.close()
                self._view.total, self._view.ended, self._skipped, self._failed = len(steps), 0, 0, 0
                widest = max((len(step.step) for step in steps), default=0)
                self._view.name_width = min(widest, max(12, self._console.width // 4))
            case StepStarted(step):
                running[step] = RunningStep(step, self._now())
                self._show_live()
            case StepWaiting(step):
                running[step] = RunningStep(step, self._now(), waiting=True)
                self._show_live()
            case StepProgress(step):
                running.setdefault(step, RunningStep(step, self._now())).take(event, self._now())
            case StepFinished(step) | StepFailed(step) | StepSkipped(step):
                running.pop(step, None)
                self._view.ended += 1
                self._skipped += isinstance(event, StepSkipped)
                self._failed += isinstance(event, StepFailed)
            case RunFinished():
                self.close()
            case Warned() | StepLog():
                pass

    def _show_live(self) -> None:
        if self._live is None and self._level <= INFO:
            self._live = Live(self._view, console=self._console, refresh_per_second=8, transient=True)
            self._live.start()

    def _lines(self, event: RunEvent) -> list[RenderableType]:
        match event:
            case PlanMade():
                return self._plan(event)
            case Warned(message):
                return [Text(f"warning: {message}", style="yellow"), ""]
            case StepLog(step, level, message):
                text = Text(message if level == "info" else f"{level}: {message}", style=_LOG_STYLES.get(level, ""))
                return [self._line(("·", "dim"), step, text)]
            case StepFinished():
                return [] if self._many else [self._finished(event)]
            case StepFailed():
                return self._failure(event)
            case StepSkipped(step, because):
                text = Text(f"skipped, because {because} failed", style="dim")
                return [] if self._many else [self._line(_MARK["skipped"], step, text, "dim")]
            case RunFinished():
                style = "bold red" if event.failed else "bold"
                return ["", Text(summary(event, self._skipped), style=style)]
            case StepStarted() | StepWaiting() | StepProgress():
                return []

    def _plan(self, event: PlanMade) -> list[RenderableType]:
        heading = Text(plan_heading(event.steps), style="bold")
        if all(step.action == "reuse" for step in event.steps):
            return [heading, ""]
        return [heading, draw(plan_table(event.steps), self._console.width), ""]

    def _finished(self, event: StepFinished) -> RenderableType:
        took = ("reused" if event.reused else phrases.duration(event.seconds)).rjust(9)
        facts = phrases.values(event.metrics) + ([phrases.size(event.size)] if event.size else [])
        room = self._console.width - self._view.name_width - len(took) - 8
        text = Text(f"{took}  {phrases.fitting(facts, room)}", style="dim" if event.reused else "")
        return self._line(_MARK["reused" if event.reused else "done"], event.step, text, "dim" if event.reused else "")

    def _failure(self, event: StepFailed) -> list[RenderableType]:
        if self._failed > MOST_LINES:
            return []
        told: list[RenderableType] = [self._line(_MARK["failed"], event.step, Text(event.cause, style="red"), "red")]
        if self._level == DEBUG:
            details = "\n".join([*event.log, event.traceback.rstrip()]).strip("\n")
            told += [Padding(Text(details, style="dim"), (0, 0, 0, 4))] if details else []
        return told

    def _line(self, mark: tuple[str, str], step: str, text: Text, style: str = "") -> RenderableType:
        """A mark, a name, and a text that wraps under itself."""
        grid = Grid.grid(padding=(0, 1, 0, 0))
        grid.add_column(width=1)
        grid.add_column(width=1)
        grid.add_column(width=self._view.name_width + 1, no_wrap=True)
        grid.add_column()
        grid.add_row("", Text(mark[0], style=mark[1]), Text(shortened(step, self._view.name_width), style=style), text)
        return grid
