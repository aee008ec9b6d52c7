"""How well early values tell the order of late ones."""

from __future__ import annotations

import math
import warnings
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from olive_engine.search.correlation import Agreement, _spearman, doubts, rank_correlations

NAN = math.nan


def curves(*columns: tuple[float, list[float]]) -> list[dict[float, float]]:
    """A curve for each place in the columns; one that is shorter has fewer."""
    longest = max(len(values) for _, values in columns)
    return [{at: values[n] for at, values in columns if n < len(values)} for n in range(longest)]


def test_by_hand() -> None:
    # Ranks 0 1 2 3 against 1 0 2 3: 1 - 6 * (1 + 1) / (4 * 15) = 0.8
    (found,) = rank_correlations(curves((0.125, [1, 2, 3, 4]), (1.0, [20, 10, 30, 40])))
    assert (found.rung, found.against, found.trials, found.judged) == (0.125, 1.0, 4, 4)
    assert found.correlation == pytest.approx(0.8)


def test_ties_have_their_mean_rank() -> None:
    # Ranks 0.5 0.5 2 against 0 1 2, centred -0.5 -0.5 1 and -1 0 1: 1.5 / sqrt(1.5 * 2)
    assert _spearman([1, 1, 2], [1, 2, 3]) == pytest.approx(1.5 / math.sqrt(3))


def test_no_order_no_correlation() -> None:
    assert _spearman([1, 1, 1], [1, 2, 3]) is None
    assert _spearman([1], [1]) is None
    assert _spearman([], []) is None


@settings(deadline=None)  # scipy is imported
@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=2, max_size=12))
def test_as_scipy_has_it(pairs: list[tuple[int, int]]) -> None:
    from scipy.stats import spearmanr  # type: ignore[import-untyped]  # scipy leaves it untyped

    first, second = [float(a) for a, _ in pairs], [float(b) for _, b in pairs]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns where all are equal
        theirs = float(spearmanr(first, second).statistic)
    ours = _spearman(first, second)
    assert (ours is None) == math.isnan(theirs)
    assert ours is None or ours == pytest.approx(theirs, abs=1e-9)


def test_each_rung_against_the_end_where_nobody_was_pruned() -> None:
    found = rank_correlations(curves((0.25, [4, 3, 2, 1]), (0.5, [1, 2, 3, 4]), (1.0, [1, 2, 3, 4])))
    assert found == (Agreement(0.25, 1.0, -1.0, 4, 4), Agreement(0.5, 1.0, 1.0, 4, 4))


def test_pruned_trials_are_compared_as_far_as_enough_have_come() -> None:
    """Of 32, 16, 8 and 4 trials 8 are enough for the place at 1/2; of the last rung there are but 4."""
    down = [float(n) for n in range(32)]
    found = rank_correlations(curves((0.125, down), (0.25, down[:16]), (0.5, down[:8]), (1.0, down[:4])))
    assert [(each.rung, each.against, each.trials, each.judged) for each in found] == [
        (0.125, 0.5, 8, 32),
        (0.25, 0.5, 8, 16),
        (0.5, 1.0, 4, 8),
    ]


def test_where_no_place_has_enough_the_one_with_most_counts() -> None:
    down = [float(n) for n in range(8)]
    found = rank_correlations(curves((0.125, down), (0.25, down[:4]), (0.5, down[:4]), (1.0, down[:2])))
    assert [(each.rung, each.against, each.trials) for each in found] == [
        (0.125, 0.5, 4),
        (0.25, 0.5, 4),
        (0.5, 1.0, 2),
    ]


def test_a_lone_survivor_says_nothing() -> None:
    assert rank_correlations(curves((0.5, [1, 2]), (1.0, [1]))) == (Agreement(0.5, 1.0, None, 1, 2),)
    assert rank_correlations([{0.5: 1.0}, {0.5: 2.0}]) == ()
    assert rank_correlations([]) == ()


def test_what_is_no_number_does_not_count_and_infinity_is_far_away() -> None:
    found = rank_correlations(curves((0.5, [1, NAN, 3, 4, 2]), (1.0, [1, 2, 3, math.inf, NAN])))
    assert found == (Agreement(0.5, 1.0, 1.0, 3, 4),)


def test_a_low_correlation_is_warned_of() -> None:
    found = rank_correlations(curves((0.125, [4, 3, 2, 1]), (0.5, [1, 2, 4, 3]), (1.0, [1, 2, 3, 4])))
    assert doubts(found) == (
        "the order of trials at 0.125 of their budget says little about that at 1 (rank correlation -1.00 over 4 "
        "trials), so pruning there may stop good ones; set search_strategy.rungs to later ones, or pruner to none"
    )


@pytest.mark.parametrize(
    ("agreement", "warned"),
    [
        (Agreement(0.5, 1.0, 0.49, 4, 4), True),
        (Agreement(0.5, 1.0, 0.5, 4, 4), False),
        (Agreement(0.5, 1.0, -1.0, 3, 3), False),  # three trials are no evidence
        (Agreement(0.5, 1.0, None, 9, 9), False),
        (Agreement(0.5, 1.0, 0.1, 7, 14), False),  # the better half, and few
        (Agreement(0.5, 1.0, 0.34, 8, 16), False),
        (Agreement(0.5, 1.0, 0.33, 8, 16), True),
    ],
)
def test_when_it_is_warned_of(agreement: Agreement, warned: bool) -> None:
    assert bool(doubts([agreement])) == warned


def halved(seed: int, noises: tuple[float, float, float]) -> list[dict[float, float]]:
    """The curves of 16 trials, halved at each rung, where a rung tells a trial's worth with some noise."""
    random = Random(seed)
    worth = [random.gauss(0, 1) for _ in range(16)]
    left, found = list(range(16)), [dict[float, float]() for _ in worth]
    for at, noise in zip((0.125, 0.25, 0.5), noises, strict=True):
        for n in left:
            found[n][at] = worth[n] + random.gauss(0, noise)
        left = sorted(left, key=lambda n: found[n][at])[: len(left) // 2]
    for n in left:
        found[n][1.0] = worth[n]
    return found


def test_a_good_rung_is_seldom_doubted_for_what_it_pruned() -> None:
    """True correlations of about 0.9, 0.95 and 0.98: that the field grows narrow is no reason to warn."""
    assert sum(bool(doubts(rank_correlations(halved(seed, (0.45, 0.3, 0.2))))) for seed in range(200)) <= 30


def test_a_poor_rung_is_mostly_doubted() -> None:
    """At the first rung the values are nearly noise: a true correlation of about 0.15."""
    assert sum(bool(doubts(rank_correlations(halved(seed, (6.0, 0.3, 0.2))))) for seed in range(200)) >= 120
