"""What a run looks like in a terminal."""

import io
import re
from collections.abc import Callable

import pytest
from rich.console import Console

from olive_engine.reporting.console import console
from olive_engine.reporting.events import PlanMade, PlannedStep, StepFinished, StepProgress
from olive_engine.reporting.live import RunningView, shortened
from olive_engine.reporting.plain import PlainLines
from olive_engine.reporting.progress import RunningStep
from olive_engine.reporting.tables import is_terminal
from olive_engine.reporting.terminal import Terminal


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def terminal_of_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "24")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)


def kept(text: str) -> list[str]:
    """The lines that stay when all that is drawn live has been wiped."""
    text = re.sub(r"\x1b\[\??[0-9;]*[a-zA-Z]", "", text)
    lines = [line.rpartition("\r")[2].rstrip() for line in text.splitlines()]
    return [line for line in lines if not re.search(r"[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏]|of 5 steps", line)]


@pytest.fixture
def drawn(script, clock) -> Callable[..., str]:
    def at_level(level: int = 1) -> str:
        stream = Tty()
        with console(stream, level, clock) as reporter:
            assert isinstance(reporter, Terminal)
            for event in script(clock):
                reporter.on_event(event)
        return stream.getvalue()

    return at_level


def test_what_stays_of_a_run(drawn) -> None:
    lines = [line for line in kept(drawn()) if line]
    assert lines == [
        "Plan: 5 steps, 4 to run, 1 reused",
        "  step           what                 action  why",
        "  data:train     data                 reuse",
        "  lora           LoRA                 run     r: 8 -> 16 (and 1 more)",
        "  lora:accuracy  measure accuracy     run     lora changed",
        "  merge          MergeAdapterWeights  run     lora changed",
        "  int4           ModelBuilder         run     merge changed",
        "  ✓ data:train        reused  rows 640 · 90 kB",
        "  · lora           9 target modules",
        "  · lora           warning: 3 rows were cut",
        "  ✓ lora              41.3 s  eval_loss 0.41 · 812 kB",
        "  ✓ lora:accuracy     reused  accuracy_score 0.8125",
        "  ✗ merge          shapes do not fit: 8 and 16",
        "  - int4           skipped, because merge failed",
        "Failed after 44.0 s: 1 step failed, 1 skipped, 1 run, 2 reused",
    ]


def test_the_cursor_comes_back(drawn) -> None:
    text = drawn()
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")


def test_debug_shows_log_and_traceback(drawn) -> None:
    lines = kept(drawn(level=0))
    at = next(index for index, line in enumerate(lines) if line.startswith("  ✗ merge"))
    assert lines[at + 1 : at + 4] == ["    folding layer 3", "    Traceback: …", "    ValueError: 8"]


def test_nothing_moves_at_warning_level(drawn) -> None:
    assert "\x1b[?25l" not in drawn(level=2)


def test_failures_are_red_and_no_color_is_honoured(drawn, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b[1;31m✗" in drawn()
    monkeypatch.setenv("NO_COLOR", "1")
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", drawn())


def test_a_dumb_terminal_and_a_pipe_get_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not is_terminal(io.StringIO())
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(console(Tty()), PlainLines)


def test_many_steps_leave_no_lines() -> None:
    stream = Tty()
    steps = tuple(PlannedStep(f"s{index}", "pass", "Toy", "run", ("no result yet",)) for index in range(1_000))
    with console(stream) as reporter:
        reporter.on_event(PlanMade(steps))
        for step in steps:
            reporter.on_event(StepFinished(step.step, reused=False))
    lines = [line for line in kept(stream.getvalue()) if line]
    assert lines[-1] == "  … and 950 more"
    assert len(lines) == 53


# --- the live part ------------------------------------------------------------------------------------------------


@pytest.fixture
def view(clock) -> RunningView:
    shown = RunningView(clock)
    shown.total, shown.ended, shown.name_width = 12, 3, 14
    lora = RunningStep("lora", clock.now)
    lora.take(StepProgress("lora", 10, 120, "steps", {"loss": 2.5}), clock.now)
    clock.now += 10
    values = {"loss": 1.234567, "tokens_per_second": 3412.7, "learning_rate": 2e-4}
    lora.take(StepProgress("lora", 60, 120, "steps", values), clock.now)
    lora.take(StepProgress("lora", 60, 120, "steps", {"eval_loss": 1.1}), clock.now)
    merge = RunningStep("merge", clock.now - 3)
    other = RunningStep("int4:perplexity", clock.now, waiting=True)
    shown.running = {step.step: step for step in (lora, merge, other)}
    return shown


def render(shown: RunningView, width: int, height: int = 24) -> list[str]:
    stream = io.StringIO()
    Console(file=stream, width=width, height=height, force_terminal=False).print(shown)
    return [line.rstrip() for line in stream.getvalue().splitlines()]


def test_live_lines_at_80_columns(view) -> None:
    lines = render(view, 80)
    assert [line[4:] for line in lines[:3]] == [
        "lora            ━━━━━━━───────  60/120  loss 1.235 · 0:12 left",
        "merge           0:03",
        "int4:p…plexity  0:00  another run is computing it",
    ]
    assert lines[3:] == ["  3 of 12 steps · 0:10"]


def test_live_lines_at_120_columns(view) -> None:
    line = render(view, 120)[0]
    bar = "━" * 14 + "─" * 14
    assert line[4:] == f"lora            {bar}  60/120  loss 1.235 · 0:12 left · eval_loss 1.1 · 3,413 tok/s"
    assert len(line) <= 120


def test_no_line_is_wider_than_the_terminal(view) -> None:
    for width in (40, 60, 80, 100, 200):
        assert max(map(len, render(view, width))) <= width


def test_more_running_steps_than_lines(view, clock) -> None:
    view.running = {f"s{index}": RunningStep(f"s{index}", clock.now) for index in range(30)}
    lines = render(view, 80, height=10)
    assert len(lines) == 8
    assert lines[6:] == ["  … and 24 more running", "  3 of 12 steps · 0:10"]


def test_time_left_is_reckoned_from_the_first_progress() -> None:
    step = RunningStep("lora", started=0.0)
    assert step.seconds_left(5.0) is None
    step.take(StepProgress("lora", 50, 100), 60.0)  # resumed at half after a minute of loading
    assert step.seconds_left(60.0) is None
    step.take(StepProgress("lora", 60, 100), 70.0)
    assert step.seconds_left(70.0) == 40.0
    step.take(StepProgress("lora", 1, 10, "batches"), 80.0)  # another phase: it starts anew
    assert step.seconds_left(80.0) is None


def test_what_a_job_said_before_it_was_taken_over_is_no_measure_of_its_speed() -> None:
    step = RunningStep("lora", started=0.0)
    for done in range(1, 51):  # an hour of another run, heard in a tenth of a second
        step.take(StepProgress("lora", done, 100), 10.0 + done / 500)
    assert step.seconds_left(10.1) is None
    step.take(StepProgress("lora", 51, 100), 20.1)
    step.take(StepProgress("lora", 52, 100), 30.1)
    assert step.seconds_left(30.1) == pytest.approx(480)


def test_names_are_cut_in_the_middle() -> None:
    assert shortened("lora", 4) == "lora"
    assert shortened("adapter_a:accuracy", 11) == "adapt…uracy"
    assert len(shortened("adapter_a:accuracy", 10)) == 10


def test_where_a_result_comes_from_stands_last_and_pushes_nothing_off() -> None:
    near, far = "file:///mnt/team", f"abfs://olive-cache/{'deep/' * 20}"
    texts = {}
    for reporter_stream in (Tty(), io.StringIO()):
        with console(reporter_stream, 1) as reporter:
            for step, source in (("near", near), ("far", far)):
                metrics = {"eval_loss": 0.41}
                reporter.on_event(StepFinished(step, reused=True, metrics=metrics, size=812_345, source=source))
        texts[type(reporter_stream)] = [line.strip() for line in kept(reporter_stream.getvalue()) if line]
    terminal, plain = texts[Tty], texts[io.StringIO]
    assert [line.partition("eval_loss ")[2] for line in terminal] == [f"0.41 · 812 kB · from {near}", "0.41 · 812 kB"]
    assert plain == [
        f"{step}: reused, eval_loss 0.41, 812 kB, from {url}" for step, url in (("near", near), ("far", far))
    ]
