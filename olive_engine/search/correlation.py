"""How well early values tell the order of late ones: what pruning by them rests on. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

ENOUGH = 4
"""Trials from which on a rank correlation says something."""
LOW = 0.5
"""Rank correlations below this are warned of."""
ENOUGH_OF_THE_BEST = 8
"""As `ENOUGH`, where only the better trials went on."""
LOW_OF_THE_BEST = 1 / 3
"""As `LOW`, where only the better trials went on: they differ less, and what is 0.5 over a whole field is about 1/3 in
its better half. (Of simulated sweeps of 16 trials, halved thrice, one in ten is warned of at a true correlation of 0.9,
two thirds are where the first rung is noise.)"""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How well the order of trials at a rung agrees with their order later.

    Only trials that were measured at both places can be compared. Where a rung has pruned, these are the better ones,
    which differ less: their correlation is, if anything, lower than that of all trials would have been.
    """

    rung: float
    """The fraction of the budget."""
    against: float
    """The later fraction with which it is compared."""
    correlation: float | None
    """Spearman's, from -1 to 1; none: fewer than two trials, or all are equal at one of the places."""
    trials: int
    """Those that were measured at both."""
    judged: int
    """Those that were measured at the rung."""


def rank_correlations(curves: Iterable[Mapping[float, float]]) -> tuple[Agreement, ...]:
    """Compare each rung with the last place that enough trials reached, else with the place that most reached.

    Args:
        curves: fraction -> value, one for each training; values that are no numbers don't count.

    Returns:
        An entry for each place but the last, ascending.
    """
    measured = [{at: value for at, value in curve.items() if not math.isnan(value)} for curve in curves]
    places = sorted({at for curve in measured for at in curve})
    found = []
    for index, rung in enumerate(places[:-1]):
        there = [curve for curve in measured if rung in curve]
        reached = {later: sum(later in curve for curve in there) for later in places[index + 1 :]}
        most = max(reached.values())
        enough = [later for later, count in reached.items() if _is_enough(count, len(there))]
        against = max(enough or [later for later, count in reached.items() if count == most])
        both = [curve for curve in there if against in curve]
        correlation = _spearman([curve[rung] for curve in both], [curve[against] for curve in both])
        found.append(Agreement(rung, against, correlation, len(both), len(there)))
    return tuple(found)


def doubts(agreements: Iterable[Agreement]) -> str:
    """A sentence about the rung that tells least of what comes later; empty: none is in doubt."""
    known = [(each.correlation, each) for each in agreements if each.correlation is not None]
    low = [(correlation, each) for correlation, each in known if _is_low(correlation, each.trials, each.judged)]
    if not low:
        return ""
    correlation, worst = min(low, key=lambda pair: (pair[0], pair[1].rung))
    return (
        f"the order of trials at {worst.rung:.3g} of their budget says little about that at {worst.against:.3g} (rank "
        f"correlation {correlation:.2f} over {worst.trials} trials), so pruning there may stop good ones; set "
        "search_strategy.rungs to later ones, or pruner to none"
    )


def _is_low(correlation: float, trials: int, judged: int) -> bool:
    return _is_enough(trials, judged) and correlation < (LOW if trials == judged else LOW_OF_THE_BEST)


def _is_enough(trials: int, judged: int) -> bool:
    return trials >= (ENOUGH if trials == judged else ENOUGH_OF_THE_BEST)


def _spearman(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Pearson's correlation of the ranks."""
    a, b = _centred_ranks(first), _centred_ranks(second)
    spread = math.sqrt(math.fsum(x * x for x in a) * math.fsum(y * y for y in b))
    return math.fsum(x * y for x, y in zip(a, b, strict=True)) / spread if spread else None


def _centred_ranks(values: Sequence[float]) -> list[float]:
    """The ranks, those of equals being their mean, less the mean of all ranks."""
    order = sorted(values)
    first = {value: index for index, value in reversed(list(enumerate(order)))}
    last = {value: index for index, value in enumerate(order)}
    return [(first[value] + last[value] - (len(values) - 1)) / 2 for value in values]
