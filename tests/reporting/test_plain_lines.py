"""What a run looks like in a log or a pipe."""

import dataclasses
import io
import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from olive_engine.reporting.console import console
from olive_engine.reporting.events import (
    PlanMade,
    PlannedStep,
    RunFinished,
    StepFailed,
    StepFinished,
    StepProgress,
    StepSkipped,
    StepStarted,
)
from olive_engine.reporting.plain import PlainLines


@pytest.fixture
def output(script, clock) -> Callable[[int], list[str]]:
    def at_level(level: int) -> list[str]:
        stream = io.StringIO()
        with console(stream, level, clock) as reporter:
            for event in script(clock):
                reporter.on_event(event)
        return stream.getvalue().splitlines()

    return at_level


INFO = """\
Plan: 5 steps, 4 to run, 1 reused
  step           what                 action  why
  data:train     data                 reuse
  lora           LoRA                 run     r: 8 -> 16 (and 1 more)
  lora:accuracy  measure accuracy     run     lora changed
  merge          MergeAdapterWeights  run     lora changed
  int4           ModelBuilder         run     merge changed
data:train: reused, rows 640, 90 kB
lora: started
lora: 9 target modules
lora: warning: 3 rows were cut
lora: 10/40 steps, loss 2, 3,400 tok/s
lora: 20/40 steps, loss 1, 0:20 left, 3,400 tok/s
lora: 30/40 steps, loss 0.6667, 0:10 left, 3,400 tok/s
lora: 40/40 steps, loss 0.5, 0:00 left, 3,400 tok/s
lora: done in 41.3 s, eval_loss 0.41, 812 kB
lora:accuracy: waiting for another run that is computing it
merge: started
lora:accuracy: reused, accuracy_score 0.8125
merge: FAILED: shapes do not fit: 8 and 16
int4: skipped, because merge failed
Failed after 44.0 s: 1 step failed, 1 skipped, 1 run, 2 reused""".splitlines()


def test_whole_run(output) -> None:
    assert output(1) == INFO


def test_debug_adds_messages_log_and_traceback(output) -> None:
    at = INFO.index("lora: 9 target modules")
    failed = INFO.index("merge: FAILED: shapes do not fit: 8 and 16") + 1
    details = ["  | folding layer 3", "  | Traceback: …", "  | ValueError: 8"]
    assert output(0) == [*INFO[:at], "lora: debug: seed 0", *INFO[at:failed], *details, *INFO[failed:]]


def test_warning_keeps_what_went_wrong_and_the_summary(output) -> None:
    assert output(2) == [
        "lora: warning: 3 rows were cut",
        "merge: FAILED: shapes do not fit: 8 and 16",
        "int4: skipped, because merge failed",
        "Failed after 44.0 s: 1 step failed, 1 skipped, 1 run, 2 reused",
    ]


def test_error_keeps_failures_only_and_critical_nothing(output) -> None:
    assert output(3) == ["merge: FAILED: shapes do not fit: 8 and 16"]
    assert output(4) == []


def test_progress_lines_come_at_growing_intervals(clock) -> None:
    stream = io.StringIO()
    reporter = PlainLines(stream, 1, clock)
    reporter.on_event(StepStarted("lora", "local"))
    times = []
    for second in range(1, 4 * 3600):
        clock.now += 1
        before = len(stream.getvalue())
        reporter.on_event(StepProgress("lora", second, 4 * 3600))
        if len(stream.getvalue()) > before:
            times.append(second)
    assert times[:10] == [10, 20, 30, 40, 50, 60, 70, 80, 90, 100]
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert gaps == sorted(gaps)
    assert max(gaps) > 1000
    assert len(times) < 70


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_cached_run_says_so_in_a_line_and_lists_the_results(in_folder: Path, plan_made) -> None:
    stream = io.StringIO()
    reused = tuple(dataclasses.replace(step, action="reuse", reasons=()) for step in plan_made.steps[:2])
    with console(stream) as reporter:
        reporter.on_event(PlanMade(reused))
        reporter.on_event(StepFinished("data:train", reused=True))
        reporter.on_event(StepFinished("lora", reused=True, metrics={"eval_loss": 0.41}))
        reporter.on_event(RunFinished(0, 2, 0, 0.31, in_folder / "output"))
    assert stream.getvalue().splitlines() == [
        "Plan: 2 steps, all reused",
        "data:train: reused",
        "lora: reused, eval_loss 0.41",
        "Nothing to do: all 2 steps were reused, 0.3 s; output in output/",
    ]


def test_the_end_names_a_folder_elsewhere_in_full(in_folder: Path) -> None:
    stream = io.StringIO()
    console(stream).on_event(RunFinished(4, 1, 0, 125.2, in_folder.parent / "elsewhere"))
    assert stream.getvalue() == f"Done in 2 min 05 s: 4 steps run, 1 reused; output in {in_folder.parent}/elsewhere/\n"


def test_ten_thousand_steps_do_not_flood(clock) -> None:
    stream = io.StringIO()
    steps = tuple(PlannedStep(f"s{index}", "pass", "Toy", "run", ("no result yet",)) for index in range(10_000))
    with console(stream, 1, clock) as reporter:
        reporter.on_event(PlanMade(steps))
        for index, step in enumerate(steps):
            clock.now += 10 / 1001  # ten seconds are a gap
            reporter.on_event(StepStarted(step.step, "local"))
            if index == 5_000:
                reporter.on_event(StepFailed(step.step, "broken"))
            elif index == 5_001:
                reporter.on_event(StepSkipped(step.step, "s5000"))
            else:
                reporter.on_event(StepFinished(step.step, reused=False))
        reporter.on_event(RunFinished(9_998, 0, 1, 100.0))
    lines = stream.getvalue().splitlines()
    assert lines[:2] == ["Plan: 10,000 steps, all to run", "  step  what  action  why"]
    assert lines[51:53] == ["  s49   Toy   run     no result yet", "  … and 9,950 more"]
    assert [line for line in lines[53:] if "of 10,000" in line][:2] == [
        "1,001 of 10,000 steps",
        "2,002 of 10,000 steps",
    ]
    assert "s5000: FAILED: broken" in lines
    assert lines[-1] == "Failed after 1 min 40 s: 1 step failed, 1 skipped, 9,998 run"
    assert len(lines) < 80


def test_a_second_plan_starts_the_count_anew(plan_made) -> None:
    stream = io.StringIO()
    with console(stream) as reporter:
        for _ in range(2):
            reporter.on_event(plan_made)
            reporter.on_event(StepSkipped("int4", "merge"))
        reporter.on_event(RunFinished(1, 2, 1, 44.0))
    assert stream.getvalue().splitlines()[-1] == "Failed after 44.0 s: 1 step failed, 1 skipped, 1 run, 2 reused"
