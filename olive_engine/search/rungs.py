"""Who goes on at a rung. Pure: what was measured in, the trials that go on out."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

from olive_engine.config.search.strategy import SearchStrategy
from olive_engine.contracts import Yardstick
from olive_engine.search.pruning import Everyone, Heat, Pruning, pruning_of
from olive_engine.search.trials import Trial


@dataclass(frozen=True, slots=True)
class Standing:
    """A trial of a wave as it comes to a rung."""

    number: int
    group: Hashable
    """Equal for trials that have one training in common: they are judged once, and go on or stop together."""
    curve: Mapping[float, float]
    """Fraction of the budget -> value, as far as it was measured; nothing at this rung: the trial has failed."""


@dataclass(frozen=True, slots=True)
class Rungs:
    """Where in their own budgets trials are judged, and by what."""

    fractions: tuple[float, ...]
    """Rising; the last is 1, where nobody is pruned any more."""
    higher_is_better: bool = False
    pruning: Pruning = field(default_factory=Everyone)

    def survivors(self, rung: int, wave: Sequence[Standing], before: Sequence[Trial]) -> frozenset[int]:
        """The numbers of the trials that go on from a rung.

        A trial without a finite number at the rung never does. Of equals the one with the lower number counts as
        better. If nobody would be left, and no earlier trial is complete, the best goes on all the same: a search ends
        with a model if any of its trials can.

        Args:
            rung: an index into `fractions`.
            wave: the trials that came to the rung together, in any order.
            before: the trials of earlier waves with their curves, in any order. Only Optuna's pruners look at them.
        """
        groups = self._groups(rung, wave)
        if not groups or rung == len(self.fractions) - 1:
            return frozenset(number for members in groups for number in _numbers(members))
        curves = {members[0].number: _finite(members[0].curve) for members in groups}
        present = {standing.number for standing in wave}
        told = sorted((trial for trial in before if trial.number not in present), key=lambda trial: trial.number)
        kept = set(self.pruning.kept(Heat(self.fractions, rung, curves, told, self.higher_is_better)))
        if not kept and not any(trial.state == "complete" for trial in told):
            kept = {groups[0][0].number}
        return frozenset(number for members in groups if members[0].number in kept for number in _numbers(members))

    def _groups(self, rung: int, wave: Sequence[Standing]) -> list[list[Standing]]:
        """The trials with a number at the rung by their trainings, the best first; in each the lowest number first."""
        fraction = self.fractions[rung]
        groups: dict[Hashable, list[Standing]] = {}
        for standing in sorted(wave, key=lambda each: each.number):
            if math.isfinite(standing.curve.get(fraction, math.nan)):
                groups.setdefault(standing.group, []).append(standing)
        sign = -1 if self.higher_is_better else 1
        # Sorting keeps the order of equals, which is that of their numbers.
        return sorted(groups.values(), key=lambda members: sign * members[0].curve[fraction])


def rungs_of(strategy: SearchStrategy, yardstick: Yardstick | None) -> Rungs:
    """The rungs of a search.

    Args:
        strategy: names the pruner and, if wanted, the rungs.
        yardstick: by what trials are judged on the way; none: they cannot be.
    """
    if yardstick is None:
        return Rungs((1.0,))
    pruning = pruning_of(strategy.pruner, strategy.pruner_config)
    return Rungs((*strategy.judged_at, 1.0), yardstick.higher_is_better, pruning)


def _numbers(members: Sequence[Standing]) -> list[int]:
    return [member.number for member in members]


def _finite(curve: Mapping[float, float]) -> dict[float, float]:
    return {fraction: value for fraction, value in curve.items() if math.isfinite(value)}
