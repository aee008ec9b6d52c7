"""Which trials are best: tables by hand, and what holds for all."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from olive_engine.search.objectives import Objective, Objectives
from olive_engine.search.ranking import best_of, pareto_front, ranked
from olive_engine.search.trials import Trial

NAN, INF = math.nan, math.inf

LOSS = Objective("eval_loss", "tune", "eval_loss", higher_is_better=False)
ACCURACY = Objective("accuracy", "tune:accuracy", "accuracy_score", higher_is_better=True)

BY_LOSS = Objectives((LOSS,))
BY_BOTH = Objectives((ACCURACY, LOSS))
FRONT = Objectives((ACCURACY, LOSS), mode="pareto")


def complete(number: int, *values: float, **fields: Any) -> Trial:
    return Trial(
        number, fields.pop("index", number), fields.pop("assignment", {"t.r": number}), **_done(values), **fields
    )


def _done(values: tuple[float, ...]) -> dict[str, Any]:
    return {"state": "complete", "values": values}


def numbers(trials: list[Trial]) -> list[int]:
    return [trial.number for trial in trials]


# --- ranked -------------------------------------------------------------------------------------------------------


def test_lower_or_higher_first() -> None:
    trials = [complete(0, 3.0), complete(1, 1.0), complete(2, 2.0)]
    assert numbers(ranked(trials, BY_LOSS)) == [1, 2, 0]
    assert numbers(ranked(trials, Objectives((ACCURACY,)))) == [0, 2, 1]


def test_only_complete_trials_rank() -> None:
    trials = [
        Trial(0, 0, {"t.r": 0}, state="failed", cause="no memory"),
        Trial(1, 1, {"t.r": 1}, state="pruned", curve={0.125: 0.1}),
        Trial(2, 2, {"t.r": 2}, state="running"),
        Trial(3, 3, {"t.r": 3}, state="failed", values=(0.0,)),
        complete(4, 5.0),
        complete(5, NAN),
        complete(6),
        complete(7, INF),
        complete(8, 0.1, 0.2),
    ]
    assert numbers(ranked(trials, BY_LOSS)) == [4, 7]
    assert numbers(best_of(trials[:4], BY_LOSS)) == []
    assert pareto_front(trials[:4], BY_LOSS) == []


def test_a_later_objective_decides_where_those_before_are_equal() -> None:
    trials = [complete(0, 0.8, 0.1), complete(1, 0.9, 0.7), complete(2, 0.9, 0.5), complete(3, 0.9, 0.5)]
    assert numbers(ranked(trials, BY_BOTH)) == [2, 3, 1, 0]
    assert numbers(ranked(reversed(trials), BY_BOTH)) == [2, 3, 1, 0]


def test_those_that_reach_the_goals_come_first() -> None:
    trials = [complete(0, 1.0), complete(1, 2.0), complete(2, 3.0), complete(3, 0.5)]
    assert numbers(ranked(trials, BY_LOSS, {0: False, 1: True, 2: True})) == [1, 2, 3, 0]


def test_of_one_proposal_the_best_counts() -> None:
    trials = [
        Trial(0, 0, {"t.r": 8}, state="failed"),
        complete(1, 2.0, index=1),
        complete(2, 1.5, index=0),
        complete(3, 1.0, index=0),
    ]
    assert numbers(ranked(trials, BY_LOSS)) == [3, 1]


def test_of_equal_choices_one_counts() -> None:
    trials = [
        complete(0, 2.0, assignment={"t.r": 8, "t.on": True}),
        complete(1, 1.0, assignment={"t.on": True, "t.r": 8.0}),
        complete(2, 3.0, assignment={"t.r": 8, "t.on": 1}),
        complete(3, 4.0, assignment={"t.r": 8}),
        complete(4, 5.0, assignment={"t.r": 8, "t.on": True, "t.m": ("q", "v")}),
    ]
    assert numbers(ranked(trials, BY_LOSS)) == [1, 2, 3, 4]


# --- the front ----------------------------------------------------------------------------------------------------


def test_the_front_by_hand() -> None:
    trials = [
        complete(0, 0.90, 0.50),  # on it
        complete(1, 0.80, 0.40),  # on it
        complete(2, 0.80, 0.45),  # beaten by 1
        complete(3, 0.70, 0.60),  # beaten by all
        complete(4, 0.95, 0.90),  # on it
        complete(5, 0.90, 0.50),  # equal to 0: on it too
        complete(6, NAN, 0.0),
        complete(7, 0.95, INF),  # beaten by 4
    ]
    assert numbers(pareto_front(trials, FRONT)) == [4, 0, 5, 1]
    assert numbers(best_of(trials, FRONT)) == [4, 0, 5, 1]
    assert numbers(best_of(trials, FRONT, 2)) == [4, 0]
    assert numbers(best_of(trials, FRONT, 9)) == [4, 0, 5, 1]


def test_the_front_of_one_objective_is_its_best() -> None:
    trials = [complete(0, 2.0), complete(1, 1.0), complete(2, 1.0)]
    assert numbers(pareto_front(trials, BY_LOSS)) == [1, 2]


def test_goals_filter_the_front() -> None:
    trials = [complete(0, 0.9, 0.5), complete(1, 0.8, 0.6), complete(2, 0.7, 0.4)]
    assert numbers(pareto_front(trials, FRONT, {1: True, 2: True})) == [1, 2]
    assert numbers(pareto_front(trials, FRONT, {})) == [0, 2]  # none reaches them: all count


# --- the best -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "meets", "best"),
    [
        (None, None, [1]),
        (2, None, [1, 2]),
        (9, None, [1, 2, 0]),
        (None, {0: True}, [0]),
        (2, {0: True}, [0]),  # only one reaches the goals
        (2, {}, [1, 2]),  # none does: the best all the same
    ],
)
def test_best_of(wanted: int | None, meets: dict[int, bool] | None, best: list[int]) -> None:
    trials = [complete(0, 3.0), complete(1, 1.0), complete(2, 2.0)]
    assert numbers(best_of(trials, BY_LOSS, wanted, meets)) == best


VALUE = st.sampled_from([0.0, 1.0, 2.0, 3.0, INF, -INF])
POINTS = st.lists(st.tuples(VALUE, VALUE), max_size=10)


@given(POINTS, st.randoms(use_true_random=False))
def test_the_front_holds_who_is_not_beaten(points: list[tuple[float, float]], random: Any) -> None:
    trials = [complete(number, *point) for number, point in enumerate(points)]
    front = {trial.number for trial in pareto_front(trials, FRONT)}

    def beats(one: tuple[float, float], other: tuple[float, float]) -> bool:
        return one[0] >= other[0] and one[1] <= other[1] and one != other

    expected = {n for n, point in enumerate(points) if not any(beats(other, point) for other in points)}
    assert front == expected
    assert bool(front) == bool(points)
    # The best by priority is on it, and the order of the trials does not count.
    assert {trial.number for trial in ranked(trials, BY_BOTH)[:1]} <= front
    random.shuffle(trials)
    assert {trial.number for trial in pareto_front(trials, FRONT)} == front
