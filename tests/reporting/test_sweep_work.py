"""How far a search is, and how long it should still take."""

from dataclasses import replace

import pytest

from olive_engine.reporting.events import (
    RungBegan,
    StepFinished,
    StepProgress,
    StepStarted,
    SweepBegan,
    TrialBegan,
    TrialEnded,
    TrialJudged,
)
from olive_engine.reporting.sweep import Sweep
from olive_engine.reporting.sweep_work import survival, to_come, waves_to_come
from olive_engine.reporting.trials import TrialRow
from tests.reporting.sweeps import BEGAN, RUNGS, sweep

HALVES = [0.5, 0.5, 0.5, 0.5]


def test_sixteen_trials_halved_take_five_budgets() -> None:
    assert to_come(16, 0.0, RUNGS, HALVES) == 16 / 8 + 8 / 8 + 4 / 4 + 2 / 2
    assert to_come(8, 0.125, RUNGS, HALVES) == 4 / 8 + 2 / 4 + 2 / 2  # from the rung on: four, then the two finalists
    assert to_come(16, 0.0, RUNGS, [1.0] * 4) == 16
    assert to_come(1, 0.0, RUNGS, HALVES) == 1
    assert to_come(0, 0.0, RUNGS, HALVES) == 0


def test_each_wave_has_finalists_of_its_own() -> None:
    assert waves_to_come(40, 16, RUNGS, HALVES) == 2 * 5 + to_come(8, 0.0, RUNGS, HALVES)
    assert waves_to_come(0, 0, RUNGS, HALVES) == 0


def test_survival_is_what_was_seen() -> None:
    rows = [TrialRow(trial, {}, "pruned", {}, (), 0.125) for trial in range(6)]
    rows += [TrialRow(6, {}, "complete", {}, (1.0,), 1.0), TrialRow(7, {}, "failed", {}, (), 0.5), TrialRow(8, {})]
    assert survival(rows, {8: 0.25}, RUNGS, pruned=True) == [2 / 8, 1.0, 1.0, 0.5]
    assert survival([], {}, RUNGS, pruned=True) == HALVES
    assert survival([], {}, RUNGS, pruned=False) == [1.0] * 4


def test_time_left_comes_true() -> None:
    """The made-up search takes eight seconds for a budget, whatever runs beside it."""
    now, told = 0.0, []
    followed: Sweep | None = None

    def tick(seconds: float) -> float:
        nonlocal now
        left = None if followed is None else followed.seconds_left(now)
        told.append((now, left))
        now += seconds
        return now

    for event in sweep(tick):
        if isinstance(event, SweepBegan):
            followed = Sweep(event, now)
        assert followed is not None
        followed.follow(event, now)
    known = [(at, left) for at, left in told if left is not None]
    assert known[0][0] < 0.15 * now
    training_ends = now - 2 * 3  # two merges and evaluations, of which the budgets say nothing
    assert [at + left for at, left in known] == pytest.approx([training_ends] * len(known), rel=0.12)
    assert told[-1][1] is None


def began(**changes: object) -> Sweep:
    return Sweep(replace(BEGAN, **changes), 100.0)  # type: ignore[arg-type]  # any of its fields


def start(sweep: Sweep, trials: int, until: float, now: float) -> None:
    for trial in range(trials):
        sweep.follow(TrialBegan(trial, {}), now)
    sweep.follow(RungBegan(until, {trial: f"tune#{trial}@{until:g}" for trial in range(trials)}), now)
    for trial in range(trials):
        sweep.follow(StepStarted(f"tune#{trial}@{until:g}", "local"), now)


def test_progress_is_of_the_whole_budget() -> None:
    searched = began(wanted=1, rungs=(0.5, 1.0))
    start(searched, 1, 0.5, 100.0)
    searched.follow(StepProgress("tune#0@0.5", 30, 120), 110.0)
    assert [row.spent for row in searched.current()] == [0.25]
    assert searched.seconds_left(110.0) == 30.0
    searched.follow(StepProgress("tune#0@0.5", 119, 120), 111.0)  # it cannot be past its rung
    assert [row.spent for row in searched.current()] == [0.5]


def test_a_training_that_cannot_be_cut_goes_to_the_end_at_the_first_rung() -> None:
    searched = began(wanted=2, rungs=(0.5, 1.0), yardstick=None)
    for trial in (0, 1):
        searched.follow(TrialBegan(trial, {}), 100.0)
    searched.follow(RungBegan(0.5, {0: "tune#0", 1: "tune#1@0.5"}), 100.0)
    searched.follow(StepStarted("tune#0", "local"), 100.0)
    searched.follow(StepProgress("tune#0", 90, 120), 115.0)
    assert [row.spent for row in searched.current()] == [0.75, 0.0]
    assert searched.seconds_left(115.0) == pytest.approx(15 / 0.75 * (0.25 + 1))
    searched.follow(StepFinished("tune#0", reused=False), 120.0)
    searched.follow(StepFinished("tune#1@0.5", reused=False), 130.0)
    searched.follow(RungBegan(1.0, {0: "tune#0", 1: "tune#1"}), 130.0)
    assert [row.spent for row in searched.current()] == [1.0, 0.5]
    assert searched.seconds_left(130.0) == pytest.approx(10.0)


def test_what_is_reused_takes_no_time_and_is_done() -> None:
    searched = began(wanted=2, rungs=(0.5, 1.0), yardstick=None)
    start(searched, 2, 0.5, 100.0)
    searched.follow(StepFinished("tune#0@0.5", reused=True), 100.0)
    assert searched.seconds_left(100.0) is None
    searched.follow(StepFinished("tune#1@0.5", reused=False), 110.0)
    assert searched.seconds_left(110.0) == 20.0  # two second halves, of which one takes ten seconds
    assert [row.spent for row in searched.current()] == [0.5, 0.5]


def test_a_training_that_two_trials_share_counts_once() -> None:
    searched = began(wanted=2, rungs=(1.0,), yardstick=None)
    for trial in (0, 1):
        searched.follow(TrialBegan(trial, {}), 100.0)
    searched.follow(RungBegan(1.0, {0: "tune#0", 1: "tune#0"}), 100.0)
    searched.follow(StepStarted("tune#0", "local"), 100.0)
    searched.follow(StepProgress("tune#0", 50, 100), 110.0)
    assert searched.seconds_left(110.0) == 10.0
    assert searched.trials_of("tune#0") == (0, 1)
    assert [row.spent for row in searched.current()] == [0.5, 0.5]


def test_where_nothing_is_trained_trials_count() -> None:
    searched = began(wanted=4, rungs=(1.0,), yardstick=None)
    for trial in range(4):
        searched.follow(TrialBegan(trial, {}), 100.0)
    searched.follow(StepStarted("int4#0", "local"), 100.0)
    searched.follow(StepFinished("int4#0", reused=False), 110.0)
    searched.follow(TrialEnded(0, "complete", (0.5,)), 110.0)
    assert searched.seconds_left(110.0) == 30.0


def test_a_search_without_end_has_no_time_left() -> None:
    searched = began(wanted=None)
    start(searched, 2, 0.125, 100.0)
    searched.follow(StepFinished("tune#0@0.125", reused=False), 110.0)
    assert searched.seconds_left(110.0) is None


def test_trials_of_earlier_runs_are_ended_and_take_nothing() -> None:
    searched = began(wanted=2, rungs=(1.0,), known=1)
    searched.follow(TrialBegan(0, {}), 100.0)
    searched.follow(TrialJudged(0, 1.0, 0.5), 100.0)
    searched.follow(TrialEnded(0, "complete", (0.8,), earlier=True), 100.0)
    searched.follow(TrialBegan(1, {}), 100.0)
    searched.follow(RungBegan(1.0, {1: "tune#1"}), 100.0)
    searched.follow(StepStarted("tune#1", "local"), 105.0)
    searched.follow(StepProgress("tune#1", 1, 4), 115.0)
    assert searched.ended == 1
    assert searched.seconds_left(115.0) == 30.0


def test_steps_of_trials_and_shared_ones() -> None:
    searched = began()
    searched.follow(TrialBegan(3, {}), 100.0)
    names = ("merge#3", "merge#3:accuracy", "tune#3@0.25", "merge#4", "data:train", "data#3x")
    assert [searched.trials_of(name) for name in names] == [(3,), (3,), (3,), (), (), ()]
