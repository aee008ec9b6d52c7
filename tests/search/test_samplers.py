"""Samplers as they are named and made."""

import inspect
import logging
import sys
import warnings

import optuna
import pytest

from olive_engine.config.search.methods import PRUNERS, SAMPLERS
from olive_engine.config.search.strategy import SearchStrategy
from olive_engine.errors import InvalidWorkflow, SystemUnavailable
from olive_engine.search.samplers import check_sampler, make_sampler, quiet, wave_size

NOT_OURS = {"self", "seed", "kwargs", "args"}
NO_TEXT = {
    "gamma",
    "weights",
    "constraints_func",
    "independent_sampler",
    "x0",
    "source_trials",
    "mutation",
    "crossover",
}
NO_TEXT |= {"elite_population_selection_strategy", "child_generation_strategy", "after_trial_strategy"}
NO_TEXT |= {"reference_points"}
OURS_TO_SAY = {"warn_independent_sampling", "warn_asynchronous_seeding"}
NOT_HEEDED = {"consider_prior", "restart_strategy", "inc_popsize"}


@pytest.mark.parametrize("name", [name for name, method in SAMPLERS.items() if method.optuna])
def test_each_sampler_has_the_arguments_that_are_named(name):
    has = set(inspect.signature(getattr(optuna.samplers, SAMPLERS[name].optuna).__init__).parameters)
    assert set(SAMPLERS[name].arguments) == has - NOT_OURS - NO_TEXT - OURS_TO_SAY - NOT_HEEDED


@pytest.mark.parametrize("name", [name for name, method in PRUNERS.items() if method.optuna])
def test_each_pruner_has_the_arguments_that_are_named(name):
    has = set(inspect.signature(getattr(optuna.pruners, PRUNERS[name].optuna).__init__).parameters)
    assert set(PRUNERS[name].arguments) == has - NOT_OURS


@pytest.mark.parametrize(
    ("sampler", "arguments"),
    [
        ("tpe", {"multivariate": True, "group": True, "constant_liar": False, "n_ei_candidates": 12}),
        ("tpe", {"prior_weight": 2, "consider_magic_clip": False, "consider_endpoints": True, "n_startup_trials": 3}),
        ("cmaes", {"sigma0": 0.5, "popsize": 6, "with_margin": True, "consider_pruned_trials": True}),
        ("qmc", {"qmc_type": "halton", "scramble": True}),
        ("gp", {"deterministic_objective": True}),
        ("nsga2", {"population_size": 6, "mutation_prob": None, "crossover_prob": 0.5, "swapping_prob": 0.1}),
        ("nsga3", {"dividing_parameter": 2}),
    ],
)
def test_arguments_are_taken_without_a_word_about_their_future(sampler, arguments):
    strategy = SearchStrategy(sampler=sampler, sampler_config=arguments)
    check_sampler(strategy, 1)
    assert type(make_sampler(strategy, 3, 0)).__name__ == SAMPLERS[sampler].optuna


@pytest.mark.parametrize(
    ("sampler", "arguments", "message"),
    [
        ("tpe", {"n_startup_trials": "ten"}, "n_startup_trials must be int, found 'ten'"),
        ("tpe", {"multivariate": 1}, "multivariate must be bool or None, found 1"),
        ("tpe", {"group": True, "multivariate": False}, "`multivariate` is enabled".replace("`", "``")),
        ("nsga2", {"population_size": 1}, "greater than or equal to 2"),
        ("nsga2", {"population_size": True}, "population_size must be int, found True"),
        ("qmc", {"qmc_type": "lattice"}, "Choose either `halton` or `sobol`"),
    ],
)
def test_a_wrong_argument_is_an_error_of_the_workflow(sampler, arguments, message):
    with pytest.raises(InvalidWorkflow) as caught:
        check_sampler(SearchStrategy(sampler=sampler, sampler_config=arguments), 1)
    assert message in str(caught.value)
    assert str(caught.value).startswith("search_strategy.sampler_config: ")


def test_cmaes_cannot_judge_by_several_objectives():
    check_sampler(SearchStrategy(sampler="cmaes"), 1)
    with pytest.raises(InvalidWorkflow, match="cmaes judges by one objective, and there are 2; take nsga2"):
        check_sampler(SearchStrategy(sampler="cmaes"), 2)


@pytest.mark.parametrize(("sampler", "library"), [("gp", "torch"), ("cmaes", "cmaes"), ("qmc", "scipy")])
def test_a_missing_library_is_named(sampler, library, monkeypatch):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(SystemUnavailable, match=f"the sampler {sampler} needs {library}, .* `pip install {library}`"):
        check_sampler(SearchStrategy(sampler=sampler), 1)


def test_wave_sizes():
    sizes = {name: wave_size(SearchStrategy(sampler=name)) for name in SAMPLERS}
    assert sizes == {
        **dict.fromkeys(("sequential", "random", "qmc"), 16),
        **dict.fromkeys(("tpe", "gp", "cmaes", "nsga2", "nsga3"), 8),
    }
    assert wave_size(SearchStrategy(wave_size=3)) == 3
    # Of a sampler that learns nothing: even parts of what is wanted.
    even = {number: wave_size(SearchStrategy(sampler="random", max_samples=number)) for number in (1, 20, 32, 33, 100)}
    assert even == {1: 1, 20: 20, 32: 32, 33: 17, 100: 25}


def test_others_hear_optuna_as_before():
    logger = logging.getLogger("optuna")
    before = logger.level
    with quiet():
        assert not logger.isEnabledFor(logging.WARNING)
    assert logger.level == before
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        optuna.samplers.TPESampler(group=True)
    assert [each.category for each in heard] == [optuna.exceptions.ExperimentalWarning]
