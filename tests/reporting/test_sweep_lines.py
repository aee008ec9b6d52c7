"""What a search looks like in a log or a pipe."""

import io
from collections.abc import Callable
from dataclasses import replace

import pytest

from olive_engine.reporting.console import console
from olive_engine.reporting.events import (
    PlanMade,
    RunFinished,
    RungBegan,
    StepFailed,
    StepFinished,
    StepLog,
    StepSkipped,
    StepStarted,
    SweepBegan,
    SweepEnded,
    TrialBegan,
    TrialEnded,
    TrialJudged,
)
from olive_engine.reporting.plain import PlainLines
from tests.reporting.conftest import PLAN, Clock
from tests.reporting.sweeps import BEGAN, DIVERGED, sweep


@pytest.fixture
def output(clock: Clock) -> Callable[[int], list[str]]:
    def at_level(level: int) -> list[str]:
        started = clock.now

        def tick(seconds: float) -> float:
            clock.now += seconds
            return clock.now - started

        stream = io.StringIO()
        with console(stream, level, clock) as reporter:
            for event in sweep(tick, trials=6, doomed=5):
                reporter.on_event(event)
        return stream.getvalue().splitlines()

    return at_level


INFO = """\
Sweep over r, learning_rate, per_device_train_batch_size: 6 trials
  trials are judged by eval_loss at 12.5 %, 25 %, 50 % of their training
  those that come to their end are compared by accuracy_score
  study 5f1e09ac in cache/studies/5f1e09ac.journal
data:train: warning: 3 rows were cut
rung 12.5 %: 6 trials (0-5)
tune#0@0.125: warning: the rank is more than the data needs
trial 5: FAILED: the loss became nan at step 7 of 120; a smaller learning_rate may help, and so may a longer warmup
trial 0: pruned at 12.5 %, eval_loss 1.85 (r 2, learning_rate 5.0e-05, per_device_train_batch_size 4)
trial 1: pruned at 12.5 %, eval_loss 1.8 (r 4, learning_rate 6.5e-05, per_device_train_batch_size 8)
trial 2: pruned at 12.5 %, eval_loss 1.75 (r 8, learning_rate 8.5e-05, per_device_train_batch_size 12)
rung 25 %: 2 trials (3-4), lowest eval_loss at 12.5 %: trial 4
4 of 6 trials ended, rung 25 %, 0:10, about 0:14 left
rung 50 %: 2 trials (3-4), lowest eval_loss at 25 %: trial 4
rung 100 %: 2 trials (3-4), lowest eval_loss at 50 %: trial 4
4 of 6 trials ended, rung 100 %, 0:20, about 0:02 left
trial 3: complete, accuracy_score 0.803 (r 16, learning_rate 1.1e-04, per_device_train_batch_size 4)
trial 4: complete, accuracy_score 0.804 (r 2, learning_rate 1.4e-04, per_device_train_batch_size 8)
  trial   r  learning_rate  per_device_train_batch_size  trained  eval_loss  accuracy_score  state
     4*   2        1.4e-04                            8    100 %      0.950          0.8040  complete
     3   16        1.1e-04                            4    100 %      1.000          0.8030  complete
     2    8        8.5e-05                           12   12.5 %      1.750                  pruned at 12.5 %
     1    4        6.5e-05                            8   12.5 %      1.800                  pruned at 12.5 %
     0    2        5.0e-05                            4   12.5 %      1.850                  pruned at 12.5 %
     5    4        1.9e-04                           12                                      failed
6 trials: 2 complete, 3 pruned, 1 failed in 0:28; best: trial 4 (accuracy_score 0.804)""".splitlines()


def test_whole_search(output: Callable[[int], list[str]]) -> None:
    assert output(1) == INFO


def test_debug_adds_the_steps(output: Callable[[int], list[str]]) -> None:
    lines = output(0)
    assert [line for line in lines if line in INFO and "warning" not in line] == [
        line for line in INFO if "warning" not in line
    ]
    failed = lines.index(f"tune#5@0.125: FAILED: {DIVERGED}")
    assert lines[failed + 1 : failed + 3] == ["  | Traceback: …", "  | Diverged: nan"]
    assert "tune#3@0.25: done in 5.0 s, eval_loss 1.6" in lines
    assert sum("the rank is more" in line for line in lines) == 6 + 2 * 3


def test_warning_error_and_critical(output: Callable[[int], list[str]]) -> None:
    assert output(2) == [line for line in INFO if "warning" in line or "FAILED" in line] + INFO[-1:]
    assert output(3) == [line for line in INFO if "FAILED" in line]
    assert output(4) == []


@pytest.fixture
def told(clock: Clock) -> tuple[PlainLines, Callable[[], list[str]]]:
    stream = io.StringIO()

    def new_lines() -> list[str]:
        lines = stream.getvalue().splitlines()
        stream.seek(0)
        stream.truncate()
        return lines

    return PlainLines(stream, 1, clock), new_lines


def test_a_search_goes_on(told: tuple[PlainLines, Callable[[], list[str]]]) -> None:
    reporter, new_lines = told
    reporter.on_event(replace(BEGAN, wanted=9, known=2, searched=("tune.r",), objectives=(("eval_loss", False),)))
    assert new_lines()[0] == "Sweep over r: 9 trials, 2 of them from earlier runs"
    for trial, ended in enumerate(
        [TrialEnded(0, "complete", (0.7,), earlier=True), TrialEnded(1, "failed", spent=0.0, cause="x", earlier=True)]
    ):
        reporter.on_event(TrialBegan(trial, {"tune.r": 8}))
        reporter.on_event(ended)
    reporter.on_event(TrialBegan(2, {"tune.r": 8}, again=1))
    assert new_lines() == []
    reporter.on_event(RungBegan(1.0, {2: "tune#2"}))
    reporter.on_event(TrialJudged(2, 1.0, 0.65))
    reporter.on_event(TrialEnded(2, "complete", (0.65,)))
    reporter.on_event(SweepEnded((2,), complete=2, pruned=0, failed=1, seconds=83.4, why="the goals are met"))
    assert new_lines() == [
        "rung 100 %: 1 trial (2), lowest eval_loss so far: trial 0",
        "trial 2: complete, eval_loss 0.65 (r 8), trial 1 again",
        "  trial  r  trained  eval_loss  state",
        "     2*  8    100 %     0.6500  complete, trial 1 again",
        "     0   8    100 %     0.7000  complete",
        "     1   8                      failed",
        "3 trials: 2 complete, 1 failed in 1:23 (the goals are met); best: trial 2 (eval_loss 0.65)",
    ]


def test_trials_that_fail_for_one_reason(told: tuple[PlainLines, Callable[[], list[str]]]) -> None:
    reporter, new_lines = told
    reporter.on_event(replace(BEGAN, wanted=3))
    for trial in range(3):
        reporter.on_event(TrialBegan(trial, {}))
    reporter.on_event(RungBegan(0.125, {trial: f"tune#{trial}@0.125" for trial in range(3)}))
    new_lines()
    reporter.on_event(StepStarted("data:train", "local"))
    reporter.on_event(StepFailed("data:train", "train.jsonl: no such file"))
    for trial in range(3):
        reporter.on_event(StepSkipped(f"tune#{trial}@0.125", "data:train"))
    for trial in range(3):
        cause = "data:train failed" if trial < 2 else "out of\nmemory"
        reporter.on_event(TrialEnded(trial, "failed", spent=0.0, cause=cause))
    reporter.on_event(SweepEnded((), complete=0, pruned=0, failed=3, seconds=1.0, why="3 trials"))
    lines = new_lines()
    assert lines[:4] == [
        "data:train: FAILED: train.jsonl: no such file",
        "trial 0: FAILED: data:train failed",
        "trial 1: FAILED: as trial 0 did",
        "trial 2: FAILED: out of memory",
    ]
    assert lines[-1] == "3 trials: 3 failed in 0:01; no trial is complete"


def test_pass_by_pass_and_the_run_after_it(told: tuple[PlainLines, Callable[[], list[str]]], clock: Clock) -> None:
    reporter, new_lines = told
    began = SweepBegan("a", "b", None, 0, ("merge.dtype",), (("eval_loss", False),), (1.0,))
    for _ in range(2):
        reporter.on_event(began)
        reporter.on_event(TrialBegan(0, {"merge.dtype": "float16"}))
        reporter.on_event(StepStarted("merge#0", "local"))
        reporter.on_event(StepLog("merge#0", "warning", "rounded"))
        reporter.on_event(StepFinished("merge#0", reused=False, seconds=3.0))
        clock.now += 9
        reporter.on_event(TrialEnded(0, "complete", (0.5,)))
        reporter.on_event(SweepEnded((0,), 1, 0, 0, 12.0, "max_time"))
        assert new_lines() == [
            "Sweep over dtype",
            "  study a in b",
            "merge#0: warning: rounded",
            "trial 0: complete, eval_loss 0.5 (dtype float16)",
            "  trial  dtype    trained  eval_loss  state",
            "     0*  float16    100 %     0.5000  complete",
            "1 trial: 1 complete in 0:12 (max_time); best: trial 0 (eval_loss 0.5)",
        ]
    reporter.on_event(PlanMade(PLAN.steps[3:4]))
    reporter.on_event(StepStarted("merge", "local"))
    reporter.on_event(RunFinished(1, 0, 0, 30.0))
    assert new_lines()[-2:] == ["merge: started", "Done in 30.0 s: 1 step run"]


def test_a_search_that_is_cut_short_keeps_its_trials(
    told: tuple[PlainLines, Callable[[], list[str]]], clock: Clock
) -> None:
    reporter, new_lines = told
    reporter.on_event(replace(BEGAN, searched=("tune.r",)))
    for trial in range(2):
        reporter.on_event(TrialBegan(trial, {"tune.r": 8}))
    reporter.on_event(RungBegan(0.125, {0: "tune#0@0.125", 1: "tune#1@0.125"}))
    reporter.on_event(StepStarted("tune#0@0.125", "local"))
    reporter.on_event(StepFinished("tune#0@0.125", reused=False))
    reporter.on_event(StepStarted("tune#1@0.125", "local"))
    new_lines()
    clock.now += 42
    reporter.close()
    reporter.close()
    assert new_lines() == [
        "  trial  r  trained  state",
        "     0   8   12.5 %  waiting",
        "     1   8           waiting",
        "Stopped after 0:42: 0 of 16 trials ended",
    ]
