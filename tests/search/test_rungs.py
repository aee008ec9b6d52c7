"""Who goes on at a rung: the rules that hold for every way to prune."""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from olive_engine.config.search.strategy import SearchStrategy
from olive_engine.contracts import Yardstick
from olive_engine.search.rungs import Rungs, Standing, rungs_of
from olive_engine.search.trials import State, Trial

LOSS = Yardstick("eval_loss")
SCORE = Yardstick("reward", higher_is_better=True)

PRUNERS: list[dict[str, Any]] = [
    {},
    {"pruner_config": {"reduction_factor": 3, "min_finalists": 1}},
    {"pruner": "none", "rungs": [0.25, 0.5]},
    {"pruner": "top_k", "pruner_config": {"keep": 2}},
    {"pruner": "median", "pruner_config": {"n_startup_trials": 0}},
    {"pruner": "percentile", "pruner_config": {"percentile": 25, "n_startup_trials": 0}},
    {"pruner": "patient", "pruner_config": {"patience": 0}},
    {"pruner": "threshold", "pruner_config": {"upper": 1.0, "lower": -1.0}},
    {"pruner": "wilcoxon", "pruner_config": {"p_threshold": 0.5}},
    {"pruner": "hyperband", "pruner_config": {"reduction_factor": 2}},
]


def rungs(yardstick: Yardstick = LOSS, **fields: Any) -> Rungs:
    return rungs_of(SearchStrategy(**fields), yardstick)


def wave(values: Sequence[float], at: float = 0.125) -> list[Standing]:
    """A trial for each value, with a training of its own."""
    return [Standing(number, number, {at: value}) for number, value in enumerate(values)]


def ended(number: int, curve: dict[float, float], state: State = "complete") -> Trial:
    return Trial(number, number, {}, state=state, curve=curve)


# --- rungs --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "fractions"),
    [
        ({}, (0.125, 0.25, 0.5, 1.0)),
        ({"pruner_config": {"reduction_factor": 4}}, (1 / 64, 1 / 16, 1 / 4, 1.0)),
        ({"rungs": [0.1]}, (0.1, 1.0)),
        ({"pruner": "top_k", "pruner_config": {"keep": 2}}, (0.125, 1.0)),
        ({"pruner": "hyperband"}, (0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0)),
        ({"pruner": "none"}, (1.0,)),
        ({"pruner": "none", "rungs": [0.5]}, (0.5, 1.0)),
    ],
)
def test_fractions(fields: dict[str, Any], fractions: tuple[float, ...]) -> None:
    assert rungs(**fields).fractions == fractions


def test_without_a_yardstick_there_is_one_rung_and_nobody_is_pruned() -> None:
    alone = rungs_of(SearchStrategy(), None)
    assert alone.fractions == (1.0,)
    assert alone.survivors(0, wave([3.0, 1.0, math.nan], at=1.0), []) == {0, 1}


# --- survivors ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "left"),
    [
        ([4, 3, 2, 1], {2, 3}),
        ([5, 4, 3, 2, 1], {2, 3, 4}),  # half of 5, rounded up
        ([3, 2, 1], {1, 2}),
        ([2, 1], {0, 1}),  # never fewer than two finalists
        ([1], {0}),
        ([2, 1, 1, 1], {1, 2}),  # of equals the lower numbers
        ([math.nan, 1, 2, 3, 4], {1, 2}),  # the one that failed takes nobody's place
        ([math.inf, 1, 2, 3, 4], {1, 2}),
        ([-math.inf, 1, 2, 3, 4], {1, 2}),  # broken, not the best
        ([math.nan, math.nan, 7], {2}),
        ([math.nan], set()),
        ([], set()),
    ],
)
def test_successive_halving(values: list[float], left: set[int]) -> None:
    assert rungs().survivors(0, wave(values), []) == left


def test_higher_may_be_better() -> None:
    assert rungs(SCORE).survivors(0, wave([4, 3, 2, 1]), []) == {0, 1}


def test_a_wave_of_sixteen_ends_with_two() -> None:
    values = Random(0).sample(range(100), 16)
    halving, left, sizes = rungs(), set(range(16)), []
    for rung, fraction in enumerate(halving.fractions):
        curves = {number: dict.fromkeys(halving.fractions[: rung + 1], float(values[number])) for number in left}
        left = set(halving.survivors(rung, [Standing(n, n, curve) for n, curve in curves.items()], []))
        sizes.append((fraction, len(left)))
    assert sizes == [(0.125, 8), (0.25, 4), (0.5, 2), (1.0, 2)]
    assert left == set(sorted(range(16), key=values.__getitem__)[:2])


def test_a_later_wave_must_also_stand_against_those_before() -> None:
    before = [ended(number, {0.125: value}) for number, value in ((10, 1.0), (11, 2.0))]
    # Of 6 values the best three count: 0.5, 1.0 and 1.5.
    assert rungs().survivors(0, wave([0.5, 1.5, 4.0, 5.0]), before) == {0, 1}
    # Of these, 1, 2 and 3; the second of the wave is its better half, and not that of all.
    assert rungs().survivors(0, wave([3.0, 4.0, 5.0, 6.0]), before) == {0}
    more = [*before, ended(12, {0.125: 3.0}), ended(13, {0.125: 4.0})]
    assert rungs().survivors(0, wave([6.0, 7.0, 8.0, 9.0]), more) == set()


def test_finalists_of_earlier_waves_count() -> None:
    pruned = [ended(number, {0.125: value}, "pruned") for number, value in ((10, 1.0), (11, 2.0))]
    poor = wave([6.0, 7.0, 8.0, 9.0])
    assert rungs().survivors(0, poor, pruned) == {0, 1}
    assert rungs().survivors(0, poor, [ended(12, {0.125: 0.5}), *pruned]) == {0}


def test_a_factor_of_three() -> None:
    config = {"reduction_factor": 3, "min_finalists": 1}
    assert rungs(pruner_config=config).survivors(0, wave([7, 6, 5, 4, 3, 2, 1], at=1 / 27), []) == {4, 5, 6}


def test_top_k_judges_once() -> None:
    top = rungs(pruner="top_k", pruner_config={"keep": 2, "rung": 0.3})
    assert top.survivors(0, wave([3, 1, 2, 1], at=0.3), []) == {1, 3}
    assert top.survivors(1, wave([3, 1, 2, 1], at=1.0), []) == {0, 1, 2, 3}


def test_no_entry_at_this_rung_is_a_failure() -> None:
    standings = [Standing(0, 0, {0.125: 1.0}), Standing(1, 1, {0.125: 2.0, 0.25: 2.0}), Standing(2, 2, {})]
    assert rungs().survivors(1, standings, []) == {1}


def test_trials_with_one_training_are_judged_once() -> None:
    values, groups = [1, 1, 1, 2, 3, 4], ["a", "a", "a", "b", "c", "d"]
    together = [Standing(n, groups[n], {0.125: float(values[n])}) for n in range(6)]
    # Four trainings, of which the best two go on: a, with its three trials, and b.
    assert rungs().survivors(0, together, []) == {0, 1, 2, 3}
    assert rungs(pruner="top_k", pruner_config={"keep": 1}).survivors(0, together, []) == {0, 1, 2}


def test_of_a_shared_training_only_trials_with_a_number_go_on() -> None:
    standings = [Standing(0, "a", {}), Standing(1, "a", {0.125: 1.0}), Standing(2, "b", {0.125: 2.0})]
    assert rungs().survivors(0, standings, []) == {1, 2}


def test_a_trial_of_the_wave_among_those_before_is_not_judged_twice() -> None:
    median = rungs(pruner="median", pruner_config={"n_startup_trials": 0})
    before = [ended(0, {0.125: 5.0, 1.0: 1.0}), ended(1, {0.125: 0.0}, "running")]
    assert median.survivors(0, [Standing(1, 1, {0.125: 4.0}), Standing(2, 2, {0.125: 6.0})], before) == {1}


# --- never prune everything ---------------------------------------------------------------------------------------


def test_the_best_goes_on_where_all_would_be_pruned() -> None:
    strict = rungs(pruner="threshold", pruner_config={"upper": 1.0})
    assert strict.survivors(0, wave([4, 2, 3, 2]), []) == {1}
    assert strict.survivors(0, wave([4, 2, 3, math.nan]), [ended(9, {0.125: 2.0}, "pruned")]) == {1}


def test_all_may_be_pruned_once_a_trial_is_complete() -> None:
    strict = rungs(pruner="threshold", pruner_config={"upper": 1.0})
    assert strict.survivors(0, wave([4, 2, 3]), [ended(9, {0.125: 0.5, 1.0: 0.2})]) == set()


def test_with_the_best_go_all_that_share_its_training() -> None:
    strict = rungs(pruner="threshold", pruner_config={"upper": 1.0})
    assert strict.survivors(0, [Standing(n, n // 2, {0.125: 5.0 - n // 2}) for n in range(4)], []) == {2, 3}


# --- properties ---------------------------------------------------------------------------------------------------

VALUES = st.one_of(
    st.sampled_from([0.0, 0.5, 1.0, 2.0, math.nan, math.inf, -math.inf]), st.floats(-1e6, 1e6, allow_subnormal=False)
)


@st.composite
def meetings(draw: st.DrawFn) -> tuple[dict[str, Any], Yardstick, int, list[Standing], list[Trial]]:
    """A wave at some rung, and trials before it."""
    fields, yardstick = draw(st.sampled_from(PRUNERS)), draw(st.sampled_from([LOSS, SCORE]))
    fractions = rungs(yardstick, **fields).fractions
    rung = draw(st.integers(0, len(fractions) - 1))
    states: list[State] = ["complete", "pruned", "failed"]
    before = []
    for number in range(draw(st.integers(0, 4))):
        state = draw(st.sampled_from(states))
        length = len(fractions) if state == "complete" else draw(st.integers(0, len(fractions) - 1))
        before.append(ended(number, {at: draw(VALUES) for at in fractions[:length]}, state))
    standings = []
    for number in range(10, 10 + draw(st.integers(0, 6))):
        length = draw(st.sampled_from([rung, rung + 1, rung + 1]))
        standings.append(Standing(number, number, {at: draw(VALUES) for at in fractions[:length]}))
    return fields, yardstick, rung, standings, before


@settings(max_examples=150, deadline=None)
@given(meetings(), st.randoms(use_true_random=False))
def test_what_holds_for_every_pruner(
    meeting: tuple[dict[str, Any], Yardstick, int, list[Standing], list[Trial]], random: Random
) -> None:
    fields, yardstick, rung, standings, before = meeting
    judge = rungs(yardstick, **fields)
    fraction = judge.fractions[rung]
    left = judge.survivors(rung, standings, before)
    with_number = {each.number for each in standings if math.isfinite(each.curve.get(fraction, math.nan))}
    assert left <= with_number
    if with_number and not any(trial.state == "complete" for trial in before):
        assert left, "nobody is left"
    if fraction == 1.0:
        assert left == with_number
    for each in (standings, before):
        random.shuffle(each)
    assert judge.survivors(rung, standings, before) == left, "the order of the arguments counts"


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(PRUNERS[:4]), st.lists(st.floats(-100, 100), min_size=1, max_size=12), st.data(), st.floats(0, 50)
)
def test_who_goes_on_does_so_with_a_better_value_too(
    fields: dict[str, Any], values: list[float], data: st.DataObject, better: float
) -> None:
    judge = rungs(**fields)
    at = judge.fractions[0]
    left = judge.survivors(0, wave(values, at), [])
    chosen = data.draw(st.sampled_from(sorted(left)))
    values[chosen] -= better
    assert chosen in judge.survivors(0, wave(values, at), [])


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(PRUNERS), st.lists(st.floats(-2, 2), min_size=1, max_size=8))
def test_maximizing_mirrors_minimizing(fields: dict[str, Any], values: list[float]) -> None:
    if fields.get("pruner") == "threshold":
        return  # its bounds are values, and the same for both
    low, high = rungs(LOSS, **fields), rungs(SCORE, **fields)
    at = low.fractions[0]
    before = [ended(90 + n, dict.fromkeys(low.fractions, n - 1.0)) for n in range(3)]
    mirrored = [ended(90 + n, dict.fromkeys(low.fractions, 1.0 - n)) for n in range(3)]
    negative = wave([-value for value in values], at)
    assert low.survivors(0, wave(values, at), before) == high.survivors(0, negative, mirrored)
