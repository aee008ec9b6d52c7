from __future__ import annotations

import math

import pytest

from olive_engine.config.workflow import Goal, GoalType
from olive_engine.evaluation.goals import judge

NAN = math.nan


@pytest.mark.parametrize(
    ("kind", "wanted", "higher", "baseline", "value", "required", "met"),
    [
        # An absolute threshold needs no baseline, and is honoured where there is none.
        ("threshold", 0.8, True, None, 0.8, 0.8, True),
        ("threshold", 0.8, True, None, 0.79, 0.8, False),
        ("threshold", 10, False, None, 9.5, 10, True),
        ("threshold", 10, False, 100.0, 10.5, 10, False),
        ("min-improvement", 0.1, True, 0.5, 0.6, 0.6, True),
        ("min-improvement", 0.1, True, 0.5, 0.59, 0.6, False),
        ("min-improvement", 3, False, 20.0, 17.0, 17, True),
        ("min-improvement", 3, False, 20.0, 18.0, 17, False),
        ("max-degradation", 0.05, True, 0.9, 0.86, 0.85, True),
        ("max-degradation", 0.05, True, 0.9, 0.84, 0.85, False),
        ("max-degradation", 2, False, 20.0, 21.9, 22, True),
        ("max-degradation", 2, False, 20.0, 22.1, 22, False),
        ("percent-min-improvement", 10, True, 0.5, 0.55, 0.55, True),
        ("percent-min-improvement", 10, True, 0.5, 0.54, 0.55, False),
        ("percent-min-improvement", 25, False, 40.0, 30.0, 30, True),
        ("percent-min-improvement", 25, False, 40.0, 31.0, 30, False),
        ("percent-max-degradation", 10, True, 0.5, 0.46, 0.45, True),
        ("percent-max-degradation", 10, True, 0.5, 0.44, 0.45, False),
        ("percent-max-degradation", 15, False, 20.0, 23.0, 23, True),
        ("percent-max-degradation", 15, False, 20.0, 23.1, 23, False),
        # Negative baselines: better stays better.
        ("percent-min-improvement", 10, True, -2.0, -1.8, -1.8, True),
        ("percent-min-improvement", 10, True, -2.0, -2.1, -1.8, False),
        ("percent-max-degradation", 10, True, -2.0, -2.2, -2.2, True),
        ("percent-max-degradation", 10, True, -2.0, -2.3, -2.2, False),
        ("percent-min-improvement", 10, False, -2.0, -2.2, -2.2, True),
        ("percent-min-improvement", 10, False, -2.0, -1.9, -2.2, False),
        ("percent-max-degradation", 10, False, -2.0, -1.8, -1.8, True),
        ("percent-max-degradation", 10, False, -2.0, -1.7, -1.8, False),
        # Rounding alone is no miss: 0.1 + 0.2 > 0.3 in floats.
        ("min-improvement", 0.2, True, 0.1, 0.3, 0.3, True),
        # What was not measured never meets a goal.
        ("threshold", 0.8, True, 0.5, None, 0.8, False),
        ("threshold", 10, False, 0.5, None, 10, False),
        ("max-degradation", 100, False, 5.0, None, 105, False),
        ("threshold", 0.8, True, None, NAN, 0.8, False),
        ("threshold", 0.8, False, None, NAN, 0.8, False),
        ("threshold", 100, False, None, math.inf, 100, False),
        # Nothing to compare with.
        ("min-improvement", 0.1, True, None, 0.9, None, False),
        ("percent-max-degradation", 10, False, NAN, 0.1, None, False),
        ("percent-min-improvement", 10, False, math.inf, 3.0, None, False),
        ("percent-min-improvement", 10, True, 0.0, 0.5, None, False),
        ("percent-max-degradation", 10, True, 0.0, 0.0, 0, True),
    ],
)
def test_judge(
    kind: GoalType,
    wanted: float,
    higher: bool,
    baseline: float | None,
    value: float | None,
    required: float | None,
    met: bool,
) -> None:
    values = {} if value is None else {"m": value}
    before = {} if baseline is None else {"m": baseline}
    (result,) = judge(values, before, {"m": Goal(type=kind, value=wanted)}, {"m": higher})
    assert result.met is met
    if required is None:
        assert result.required is None
    else:
        assert result.required == pytest.approx(required)


def test_every_goal_is_judged_though_the_first_value_has_none() -> None:
    goals = {"b": Goal(type="threshold", value=1), "c": Goal(type="threshold", value=1)}
    results = judge({"a": 0, "b": 2, "c": 0}, {}, goals, {"a": True, "b": True, "c": True})
    assert [(result.name, result.met) for result in results] == [("b", True), ("c", False)]


def test_the_sentences_say_what_was_found_and_what_was_wanted() -> None:
    goals = {
        "accuracy": Goal(type="min-improvement", value=0.1),
        "perplexity": Goal(type="threshold", value=5),
        "speed": Goal(type="threshold", value=5),
        "size": Goal(type="max-degradation", value=5),
    }
    directions = {"accuracy": True, "perplexity": False, "speed": True, "size": False}
    values = {"accuracy": 0.55, "perplexity": 4.5, "size": 3.0}
    results = judge(values, {"accuracy": 0.5}, goals, directions)
    assert [result.why for result in results] == [
        "accuracy 0.55 misses its goal of at least 0.6",
        "perplexity 4.5 reaches its goal of at most 5",
        "speed was not measured",
        "size: max-degradation compares with the input model, which has no value; evaluate it too",
    ]
