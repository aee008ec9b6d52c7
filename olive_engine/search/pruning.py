"""Ways to say who goes on at a rung. Each gets what was measured there, best first, and names those it keeps."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from pydantic import JsonValue

from olive_engine.config.search.methods import PRUNERS, Pruner
from olive_engine.config.search.pruners import MIN_FINALISTS, REDUCTION_FACTOR, whole
from olive_engine.search.trials import Trial


@dataclass(frozen=True, slots=True)
class Heat:
    """What was measured at one rung: a training counts once, however many trials have it in common."""

    fractions: tuple[float, ...]
    """All rungs, the last being 1."""
    rung: int
    """The index of this one."""
    curves: Mapping[int, Mapping[float, float]]
    """Number of the first trial of each training -> its curve, the best at this rung first. All values are finite."""
    before: Sequence[Trial]
    """The trials of earlier waves, by number."""
    higher_is_better: bool


class Pruning(Protocol):
    """A way to say who goes on."""

    def kept(self, heat: Heat) -> Collection[int]:
        """Which of the numbers in ``heat.curves`` go on."""
        ...


@dataclass(frozen=True, slots=True)
class Everyone:
    """Nobody is pruned."""

    def kept(self, heat: Heat) -> Collection[int]:
        """All of them."""
        return heat.curves.keys()


@dataclass(frozen=True, slots=True)
class SuccessiveHalving:
    """Of those that were measured at a rung the best part goes on, synchronously within a wave.

    After the first wave they must also belong to the best part of all that was ever measured there. Trials that failed
    before the rung don't count: they neither make room nor take any. Optuna's pruner of this name judges each trial as
    it comes and may leave one finalist, which proved too few (https://arxiv.org/abs/1502.07943).
    """

    reduction_factor: int = REDUCTION_FACTOR
    """One of so many goes on."""
    min_finalists: int = MIN_FINALISTS
    """As many come to the end at the least, where there are so many; those of earlier waves count."""

    def kept(self, heat: Heat) -> Collection[int]:
        """The best of them, rounded up."""
        sign, rung = -1 if heat.higher_is_better else 1, heat.fractions[heat.rung]
        own = {number: sign * curve[rung] for number, curve in heat.curves.items()}
        earlier = [sign * trial.curve[rung] for trial in heat.before if math.isfinite(trial.curve.get(rung, math.nan))]
        everyone = sorted([*own.values(), *earlier])
        # The worst value that still belongs to the best part of all.
        bar = everyone[math.ceil(len(everyone) / self.reduction_factor) - 1]
        share = math.ceil(len(own) / self.reduction_factor)
        ended = sum(trial.state == "complete" for trial in heat.before)
        least = max(0, self.min_finalists - ended)
        return [
            number
            for place, (number, value) in enumerate(own.items())
            if place < least or (place < share and value <= bar)
        ]


@dataclass(frozen=True, slots=True)
class TopK:
    """The best few of a wave go on."""

    keep: int

    def kept(self, heat: Heat) -> Collection[int]:
        """The best of them."""
        return list(heat.curves)[: self.keep]


@dataclass(frozen=True, slots=True)
class ByOptuna:
    """A pruner of Optuna's, asked about a study that is made up from the curves (see `optuna_pruning`)."""

    pruner: Pruner
    arguments: tuple[tuple[str, JsonValue], ...] = ()

    def kept(self, heat: Heat) -> Collection[int]:
        """Those that Optuna does not prune."""
        from olive_engine.search.optuna_pruning import not_pruned

        return not_pruned(self.pruner, dict(self.arguments), heat)


def pruning_of(pruner: Pruner, arguments: Mapping[str, JsonValue]) -> Pruning:
    """The way that a strategy names; its arguments are sound."""
    match pruner:
        case "none":
            return Everyone()
        case "successive_halving":
            eta = whole(arguments, "reduction_factor", REDUCTION_FACTOR)
            return SuccessiveHalving(eta, whole(arguments, "min_finalists", MIN_FINALISTS))
        case "top_k":
            return TopK(whole(arguments, "keep", 1))
        case "hyperband" | "median" | "percentile" | "patient" | "threshold" | "wilcoxon":
            return ByOptuna(
                pruner, tuple((name, arguments[name]) for name in PRUNERS[pruner].arguments if name in arguments)
            )
