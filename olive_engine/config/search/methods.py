"""The samplers and pruners that a search may name, with the arguments that each takes. No Optuna is imported for that.

Arguments are those of Optuna's classes, but for what a workflow says elsewhere (seed, directions), what it cannot say
(functions, other objects), and what Optuna takes but heeds no more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Method:
    """A sampler or a pruner."""

    optuna: str
    """Optuna's class; empty: one of our own."""
    arguments: tuple[str, ...] = ()
    required: tuple[str, ...] = ()


Sampler = Literal["sequential", "random", "tpe", "qmc", "gp", "cmaes", "nsga2", "nsga3"]
Pruner = Literal[
    "none",
    "successive_halving",
    "hyperband",
    "median",
    "percentile",
    "patient",
    "threshold",
    "wilcoxon",
    "top_k",
]

_GENETIC = ("population_size", "mutation_prob", "crossover_prob", "swapping_prob")
_STATISTICAL = ("n_startup_trials", "n_warmup_steps", "interval_steps", "n_min_trials")

SAMPLERS: Mapping[Sampler, Method] = {
    "sequential": Method(""),
    "random": Method("RandomSampler"),
    "tpe": Method(
        "TPESampler",
        (
            *("n_startup_trials", "n_ei_candidates", "multivariate", "group", "constant_liar"),
            *("prior_weight", "consider_magic_clip", "consider_endpoints"),
        ),
    ),
    "qmc": Method("QMCSampler", ("qmc_type", "scramble")),
    "gp": Method("GPSampler", ("n_startup_trials", "deterministic_objective")),
    "cmaes": Method(
        "CmaEsSampler",
        (
            *("sigma0", "n_startup_trials", "popsize", "use_separable_cma"),
            *("with_margin", "lr_adapt", "consider_pruned_trials"),
        ),
    ),
    "nsga2": Method("NSGAIISampler", _GENETIC),
    "nsga3": Method("NSGAIIISampler", (*_GENETIC, "dividing_parameter")),
}
"""The samplers by the name that is written."""

PRUNERS: Mapping[Pruner, Method] = {
    "none": Method("NopPruner"),
    "successive_halving": Method("", ("reduction_factor", "min_finalists")),
    "hyperband": Method("HyperbandPruner", ("min_resource", "max_resource", "reduction_factor", "bootstrap_count")),
    "median": Method("MedianPruner", _STATISTICAL),
    "percentile": Method("PercentilePruner", ("percentile", *_STATISTICAL), ("percentile",)),
    "patient": Method("PatientPruner", ("wrapped_pruner", "patience", "min_delta"), ("patience",)),
    "threshold": Method("ThresholdPruner", ("lower", "upper", "n_warmup_steps", "interval_steps")),
    "wilcoxon": Method("WilcoxonPruner", ("p_threshold", "n_startup_steps")),
    "top_k": Method("", ("keep", "rung"), ("keep",)),
}
"""The pruners by the name that is written. `successive_halving` is ours: it keeps `min_finalists` trials to the end. So
is `top_k`: the `keep` best at one rung go on. `pruners` tells what the arguments may be."""
