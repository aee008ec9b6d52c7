"""A run in a terminal: what has ended stays as lines, what runs is drawn live below them."""

from __future__ import annotations

from collections.abc import Callable, Collection
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
    RungBegan,
    StepFailed,
    StepFinished,
    StepLog,
    StepProgress,
    StepSkipped,
    StepStage,
    StepStarted,
    StepWaiting,
    SweepBegan,
    SweepEnded,
    SweepEvent,
    SystemSaid,
    TrialBegan,
    TrialEnded,
    TrialJudged,
    Warned,
)
from olive_engine.reporting.levels import DEBUG, INFO
from olive_engine.reporting.live import RunningView, shortened
from olive_engine.reporting.plan import MOST_LINES, plan_heading, plan_table
from olive_engine.reporting.progress import RunningStep
from olive_engine.reporting.reporter import Reporter
from olive_engine.reporting.summary import summary
from olive_engine.reporting.sweep import Sweep
from olive_engine.reporting.sweep_table import sweep_table
from olive_engine.reporting.sweep_view import SweepView
from olive_engine.reporting.sweep_words import failure, stopped_line, sweep_details, sweep_heading, sweep_summary
from olive_engine.reporting.tables import draw, terminal
from olive_engine.reporting.visibility import shows, shows_in_sweep

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
        self._sweep: Sweep | None = None

    def on_event(self, event: RunEvent) -> None:
        """Draw what the event is worth at this level."""
        if isinstance(event, SweepBegan):
            self._begin_sweep(event)
        if self._sweep is None:
            self._follow(event)
            shown = shows(self._level, event)
        else:
            self._sweep.follow(event, self._now())
            shown = shows_in_sweep(self._level, event, self._sweep)
        if isinstance(event, SweepEnded):
            self._stop_live()
        if shown:
            for line in self._lines(event):
                self._console.print(line)
        if isinstance(event, SweepEnded):
            self._sweep = None
        elif isinstance(event, SweepBegan):
            self._show_live()

    def pause(self) -> None:
        """Take the live part away."""
        self._stop_live()

    def close(self) -> None:
        """Take the live part away and give the cursor back; of a search that was cut short the trials stay."""
        self._stop_live()
        sweep, self._sweep = self._sweep, None
        if sweep is not None and sweep.rows and self._level <= INFO:
            for line in ("", self._trials(sweep, None), "", Text(stopped_line(sweep, self._now()), style="bold")):
                self._console.print(line)

    def _stop_live(self) -> None:
        live, self._live = self._live, None  # at once: another thread may ask for it too
        if live is not None:
            live.stop()

    @property
    def _many(self) -> bool:
        return self._view.total > MOST_LINES

    def _follow(self, event: RunEvent) -> None:
        """Keep account of what runs, and show it as long as anything may."""
        running = self._view.running
        match event:
            case PlanMade(steps):
                self._stop_live()
                self._view.total, self._view.ended, self._skipped, self._failed = len(steps), 0, 0, 0
                widest = max((len(step.step) for step in steps), default=0)
                self._view.name_width = min(widest, max(12, self._console.width // 4))
            case StepStarted(step):
                running[step] = RunningStep(step, self._now())
                self._show_live()
            case StepWaiting(step):
                running[step] = RunningStep(step, self._now(), waiting=True)
                self._show_live()
            case StepStage(step, stage):
                running.setdefault(step, RunningStep(step, self._now())).stage = stage
                self._show_live()
            case StepProgress(step):
                running.setdefault(step, RunningStep(step, self._now())).take(event, self._now())
            case StepFinished(step) | StepFailed(step) | StepSkipped(step):
                running.pop(step, None)
                self._view.ended += 1
                self._skipped += isinstance(event, StepSkipped)
                self._failed += isinstance(event, StepFailed)
            case RunFinished():
                self._stop_live()
            case Warned() | SystemSaid() | StepLog():
                pass
            case SweepBegan() | TrialBegan() | RungBegan() | TrialJudged() | TrialEnded() | SweepEnded():
                pass  # told of a sweep, which follows them itself

    def _begin_sweep(self, event: SweepBegan) -> None:
        self._stop_live()
        self._sweep = Sweep(event, self._now())
        self._view.name_width = max(12, self._console.width // 4)

    def _show_live(self) -> None:
        if self._live is None and self._level <= INFO:
            view = self._view if self._sweep is None else SweepView(self._sweep, self._now)
            self._live = Live(view, console=self._console, refresh_per_second=8, transient=True)
            self._live.start()

    def _lines(self, event: RunEvent) -> list[RenderableType]:
        match event:
            case PlanMade():
                return self._plan(event)
            case Warned(message):
                return [Text(f"warning: {message}", style="yellow"), ""]
            case SystemSaid(system, message):
                return [Text(f"{system}: {message}", style="dim")]
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
            case StepStarted() | StepWaiting() | StepStage() | StepProgress():
                return []
            case SweepBegan() | TrialBegan() | RungBegan() | TrialJudged() | TrialEnded() | SweepEnded():
                return [] if self._sweep is None else self._of_sweep(event, self._sweep)

    def _of_sweep(self, event: SweepEvent, sweep: Sweep) -> list[RenderableType]:
        match event:
            case SweepBegan():
                details = [Padding(Text(line, style="dim"), (0, 0, 0, 2)) for line in sweep_details(event)]
                return [Text(sweep_heading(event), style="bold"), *details, ""]
            case TrialEnded(trial, state):
                text = Text(failure(sweep.rows[trial], sweep.told_before(event)), style="red")
                return [self._line(_MARK["failed"], f"trial {trial}", text, "red")] if state == "failed" else []
            case SweepEnded(best):
                summed = Text(sweep_summary(sweep.began, sweep.rows, event), style="bold")
                return ["", self._trials(sweep, best), "", summed, ""] if self._level <= INFO else [summed]
            case TrialBegan() | RungBegan() | TrialJudged():
                return []

    def _trials(self, sweep: Sweep, best: Collection[int] | None) -> RenderableType:
        width = self._console.width
        table = sweep_table(sweep.halted(), sweep.scheme, best=best, width=width)
        return draw(table, width)

    def _plan(self, event: PlanMade) -> list[RenderableType]:
        heading = Text(plan_heading(event.steps), style="bold")
        if all(step.action == "reuse" for step in event.steps):
            return [heading, ""]
        return [heading, draw(plan_table(event.steps), self._console.width), ""]

    def _finished(self, event: StepFinished) -> RenderableType:
        took = ("reused" if event.reused else phrases.duration(event.seconds)).rjust(9)
        source = [f"from {event.source}"] if event.source else []
        facts = phrases.values(event.metrics) + ([phrases.size(event.size)] if event.size else []) + source
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
        grid.add_column(overflow="fold")  # an address that was cut could not be followed
        grid.add_row("", Text(mark[0], style=mark[1]), Text(shortened(step, self._view.name_width), style=style), text)
        return grid
