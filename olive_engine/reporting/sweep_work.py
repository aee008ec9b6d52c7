"""How much training of a search is still to come, in budgets of one trial."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from olive_engine.reporting.trials import TrialRow

_HALF = 0.5
"""The share of trials that is taken to go on from a rung of which nothing is known yet: successive halving's."""
_FINALISTS = 2
"""As many are taken to go on from any rung, if there are so many."""


def survival(
    rows: Iterable[TrialRow], aims: Mapping[int, float], rungs: Sequence[float], *, pruned: bool
) -> list[float]:
    """For each rung the share of trials that went on from it, as far as that is known.

    Args:
        rows: all trials.
        aims: trial -> the rung to which it is being trained.
        rungs: the fractions of its own budget at which a trial is judged, ascending.
        pruned: whether trials are pruned at all.
    """
    known = list(rows)
    shares = []
    for rung in rungs:
        passed = sum(max(row.spent, aims.get(row.trial, 0.0)) > rung for row in known if row.state != "failed")
        stopped = sum(row.state == "pruned" and math.isclose(row.spent, rung) for row in known)
        decided = passed + stopped
        shares.append(passed / decided if decided else _HALF if pruned else 1.0)
    return shares


def to_come(trials: float, past: float, rungs: Sequence[float], shares: Sequence[float]) -> float:
    """What trials that have come to the rung `past` (0: they have not begun) should still take, in budgets of one."""
    work, before, left = 0.0, past, trials
    for rung, share in zip(rungs, shares, strict=True):
        if rung > past:
            work += left * (rung - before)
            before = rung
        if rung >= past:
            left = max(min(left, _FINALISTS), left * share)
    return work


def waves_to_come(trials: int, wave: int, rungs: Sequence[float], shares: Sequence[float]) -> float:
    """What trials that come in waves of that size should take; each wave keeps finalists of its own."""
    full, rest = divmod(trials, max(1, wave))
    return full * to_come(wave, 0.0, rungs, shares) + to_come(rest, 0.0, rungs, shares)
