"""The running steps of a run, as they are drawn at the bottom of a terminal."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from olive_engine.reporting import phrases
from olive_engine.reporting.progress import RunningStep

_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_FRAMES_PER_SECOND = 8
_WIDE = 100
_NARROW_BAR, _WIDE_BAR = 14, 28


class RunningView:
    """Draws the running steps, one line each, and a line for the whole run."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.running: dict[str, RunningStep] = {}
        self.total = 0
        self.ended = 0
        self.name_width = 0
        self._now = now
        self._started = now()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        now = self._now()
        running = list(self.running.values())  # a copy: events arrive in another thread than the one that draws
        room = max(1, console.height - 4)
        shown = running[:room]
        widest = max((len(_count(step)) for step in shown), default=0)
        for step in shown:
            yield self._line(step, now, options.max_width, widest)
        if len(running) > room:
            yield Text(f"  … and {len(running) - room:,} more running", style="dim")
        whole = f"  {self.ended:,} of {phrases.count(self.total, 'step')} · {phrases.clock(now - self._started)}"
        yield Text(whole, style="dim")

    def _line(self, step: RunningStep, now: float, width: int, widest: int) -> Text:
        name = shortened(step.step, self.name_width).ljust(self.name_width)
        line = Text.assemble((f"  {frame(now)} ", "cyan"), name, "  ", no_wrap=True, overflow="ellipsis")
        if step.total > 0:
            line.append_text(bar(step.done / step.total, _WIDE_BAR if width >= _WIDE else _NARROW_BAR))
            line.append(f"  {_count(step).rjust(widest)}  ")
        else:
            line.append(f"{phrases.clock(now - step.started)}  ", style="dim")
        line.append(phrases.fitting(step.phrases(now), width - len(line.plain)), style="dim")
        return line


def shortened(name: str, width: int) -> str:
    """The name in at most `width` characters, cut in the middle: both ends tell steps apart."""
    if len(name) <= width:
        return name
    head = (width - 1) // 2
    return f"{name[:head]}…{name[len(name) - (width - 1 - head) :]}"


def frame(now: float) -> str:
    """What turns beside something that is at work."""
    return _SPINNER[int(now * _FRAMES_PER_SECOND) % len(_SPINNER)]


def bar(fraction: float, width: int) -> Text:
    """A bar of that width, filled up to the fraction."""
    filled = round(min(1.0, max(0.0, fraction)) * width)
    return Text.assemble(("━" * filled, "cyan"), ("─" * (width - filled), "dim"))


def _count(step: RunningStep) -> str:
    """The position, without a unit that goes without saying."""
    return step.position.removesuffix(" steps") if step.total > 0 else ""
