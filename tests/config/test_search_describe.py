"""A search in words, and how many trials it is."""

from __future__ import annotations

from itertools import product

import pytest

from olive_engine.config.search.describe import combinations, describe_pruning, describe_search
from olive_engine.config.search.strategy import SearchStrategy
from olive_engine.config.search.values import Case, Choice, Conditional, FloatRange, IntRange, SearchValue

RANK: SearchValue = Choice(values=(8, 16, 32))
RATE: SearchValue = FloatRange(low=1e-6, high=1e-3, log=True)
ALPHA: SearchValue = Conditional(
    cases=(
        Case(when={"tune.r": (8,)}, search=Choice(values=(8.0, 16.0))),
        Case(when={"tune.r": (8, 16)}, search=IntRange(low=1, high=5)),
    )
)


def test_lines_for_a_plan() -> None:
    strategy = SearchStrategy(sampler="random", max_samples=20, pruner="median", max_time=60)
    assert describe_search(
        strategy, {"tune.r": RANK, "tune.lr": RATE, "tune.alpha": ALPHA}, {"round": ["A", "B"]}, judged_by="tune_loss"
    ) == [
        "search: 20 trials by random, joint, at most 60 s in one run",
        "  pruned by tune_loss: median at every eighth of a trial's tokens, once trials of an earlier wave have ended",
        "  round       A or B",
        "  tune.r      8, 16, 32",
        "  tune.lr     1e-06 to 0.001, by magnitude",
        "  tune.alpha  8, 16 where tune.r is 8",
        "              1 to 5 where tune.r is 8 or 16",
        "              its own value otherwise",
    ]


@pytest.mark.parametrize(
    ("fields", "space", "said"),
    [
        ({"sampler": "sequential"}, {"t.r": RANK, "t.b": Choice(values=(True, False))}, "all 6 combinations"),
        ({"max_samples": 4}, {"t.r": RANK, "t.b": Choice(values=(1, 2))}, "4 trials of 6 combinations"),
        ({"max_samples": 9}, {"t.r": RANK}, "all 3 combinations"),
        ({"max_samples": 1}, {"t.lr": RATE}, "1 trial"),
        ({}, {"t.r": Choice(values=(1,))}, "1 trial"),
        ({"max_time": 3}, {"t.lr": RATE}, "trials without end"),
        ({"execution_order": "pass-by-pass", "max_samples": 5}, {"t.r": RANK}, "5 trials for each pass"),
        ({"execution_order": "pass-by-pass"}, {"t.r": RANK}, "all combinations of each pass"),
    ],
)
def test_how_many_trials(fields: dict[str, object], space: dict[str, SearchValue], said: str) -> None:
    heading = describe_search(SearchStrategy.model_validate(fields), space)[0]
    assert heading.startswith(f"search: {said} by ")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (
            {},
            "pruned by loss: successive_halving at 1/8, 1/4 and 1/2 of a trial's tokens; the best half of a wave "
            "goes on, 2 finalists at least",
        ),
        (
            {"pruner_config": {"reduction_factor": 3, "min_finalists": 1}},
            "pruned by loss: successive_halving at 1/27, 1/9 and 1/3 of a trial's tokens; the best 1/3 of a wave "
            "goes on, 1 finalist at least",
        ),
        (
            {"pruner": "top_k", "pruner_config": {"keep": 4}},
            "pruned by loss: top_k at 1/8 of a trial's tokens; the best 4 of a wave go on",
        ),
        (
            {"pruner": "top_k", "pruner_config": {"keep": 4, "rung": 0.3}},
            "pruned by loss: top_k at 3/10 of a trial's tokens; the best 4 of a wave go on",
        ),
        (
            {"pruner": "patient", "pruner_config": {"patience": 1, "wrapped_pruner": "median"}},
            "pruned by loss: patient at every eighth of a trial's tokens, which holds median back",
        ),
        (
            {"pruner": "hyperband", "rungs": [0.123456789, 0.5]},
            "pruned by loss: hyperband at 0.123457 and 1/2 of a trial's tokens",
        ),
        ({"pruner": "none", "rungs": [0.25]}, "loss is measured at 1/4 of a trial's tokens, and nobody is pruned"),
        ({"pruner": "none"}, ""),
    ],
)
def test_who_is_pruned_where(fields: dict[str, object], said: str) -> None:
    strategy = SearchStrategy.model_validate(fields)
    assert describe_pruning(strategy, "loss") == said
    lines = describe_search(strategy, {"t.r": RANK}, judged_by="loss")
    assert lines[1:] == ([f"  {said}"] if said else []) + ["  t.r  8, 16, 32"]


def test_where_nothing_can_be_judged_the_plan_says_so() -> None:
    assert describe_search(SearchStrategy(), {"t.r": RANK})[1] == "  not pruned: no searched pass is judged on the way"


def test_conditions_are_counted_where_they_hold() -> None:
    # r 8: 2 alphas (the first case), r 16: 5, r 32: its own.
    assert combinations({"tune.r": RANK, "tune.alpha": ALPHA}) == 2 + 5 + 1
    assert combinations({"tune.r": RANK, "tune.alpha": ALPHA, "tune.seed": Choice(values=(1, 2))}) == 16


def test_an_alternative_brings_its_own_options_only() -> None:
    space: dict[str, SearchValue] = {
        "a[0].x": Choice(values=(1, 2)),
        "a[1].y": IntRange(low=1, high=3),
        "b.z": Choice(values=(1, 2, 3, 4)),
    }
    alternatives = {"a": ["P", "Q", "R"], "c": ["S", "T"]}
    counted = sum(1 for a, _ in product((2, 3, 1), "ST") for _ in range(a * 4))
    assert combinations(space, alternatives) == counted == 48


def test_what_cannot_be_counted() -> None:
    assert combinations({"t.lr": RATE}) is None
    wide = IntRange(low=1, high=10**9)
    assert combinations({"t.n": wide}) == 10**9
    case = Conditional(cases=(Case(when={"t.n": (1,)}, search=RANK),))
    assert combinations({"t.n": wide, "t.m": case}) is None
    assert combinations({}, {str(slot): ["A", "B"] for slot in range(20)}) is None
