# ruff: noqa: TID253 - heavy module, imported lazily by those who run a search
"""Optuna's samplers, made for one proposal at a time, and wave sizes.

A sampler is made anew for each index, seeded by the study's seed and the index. What it learns it reads from the study.
"""

from __future__ import annotations

import inspect
import logging
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Literal

import optuna
from optuna.samplers import BaseSampler
from pydantic import JsonValue

from olive_engine.config.search.methods import SAMPLERS
from olive_engine.config.search.strategy import SearchStrategy
from olive_engine.digests import digest
from olive_engine.errors import InvalidWorkflow, Problem, SystemUnavailable

Direction = Literal["minimize", "maximize"]

WAVE = 16
MOST_IN_A_WAVE = 32
WAVE_OF_LEARNERS = 8
"""Smaller: what is proposed in a wave cannot learn from the rest of it."""

_FORGETFUL = ("sequential", "random", "qmc")
_NEEDS = {"qmc": ("scipy",), "gp": ("torch", "scipy"), "cmaes": ("cmaes",)}
_TYPES: dict[str, tuple[type, ...]] = {"bool": (bool,), "int": (int,), "float": (int, float), "str": (str,)}


def wave_size(strategy: SearchStrategy) -> int:
    """How many trials are proposed together; wave k holds the indices from k times that on.

    Where the sampler learns nothing, waves are large and even: a wave is judged by itself, and a small rest would be
    judged too mildly.
    """
    if strategy.wave_size is not None:
        return strategy.wave_size
    if strategy.sampler not in _FORGETFUL:
        return WAVE_OF_LEARNERS
    if strategy.max_samples is None:
        return WAVE
    return math.ceil(strategy.max_samples / math.ceil(strategy.max_samples / MOST_IN_A_WAVE))


def check_sampler(strategy: SearchStrategy, objectives: int) -> None:
    """See that the sampler can be made, before anything runs.

    Raises:
        SystemUnavailable: a library that it needs is not installed.
        InvalidWorkflow: an argument has a value that it cannot take, or it cannot judge by several objectives.
    """
    name = strategy.sampler
    if name == "sequential":
        return
    lacking = [library for library in _NEEDS.get(name, ()) if find_spec(library) is None]
    if lacking:
        missing = " and ".join(lacking)
        raise SystemUnavailable(
            f"the sampler {name} needs {missing}, which is not installed here; run `pip install {' '.join(lacking)}`, "
            "or take another sampler, e.g. tpe"
        )
    if name == "cmaes" and objectives > 1:
        what = f"cmaes judges by one objective, and there are {objectives}"
        raise _invalid("sampler", what, "take nsga2 or tpe, or `objectives: priority`")
    signature = inspect.signature(getattr(optuna.samplers, SAMPLERS[name].optuna).__init__)
    for key, value in strategy.sampler_config.items():
        wanted = str(signature.parameters[key].annotation) if key in signature.parameters else ""
        if not wanted:
            raise _invalid("sampler_config", f"Optuna {optuna.__version__} has no {key} for {name}", "remove it")
        if not _fits(value, wanted):
            raise _invalid("sampler_config", f"{key} must be {wanted.replace(' | ', ' or ')}, found {value!r}")
    try:
        make_sampler(strategy, 0, 0)
    except ValueError as error:
        raise _invalid("sampler_config", str(error).rstrip(".")) from error


def make_sampler(strategy: SearchStrategy, seed: int, index: int, attempt: int = 0) -> BaseSampler:
    """The sampler for one proposal.

    Args:
        strategy: names it and its arguments.
        seed: of the study.
        index: of the proposal.
        attempt: counts from 0 where it is asked again because what it proposed has been there.
    """
    own = int(digest([seed, index, attempt])[:8], 16)
    cls = getattr(optuna.samplers, SAMPLERS[strategy.sampler].optuna)
    more: dict[str, object] = {"seed": own}
    if strategy.sampler == "qmc":  # one sequence for all indices: each takes the next point of it
        more = {"seed": seed, "warn_independent_sampling": False}
    elif strategy.sampler in ("gp", "cmaes"):
        more["warn_independent_sampling"] = False
    with quiet():
        made: BaseSampler = cls(**strategy.sampler_config, **more)
    return made


@contextmanager
def quiet() -> Iterator[None]:
    """No chatter of Optuna's while our own studies are at work; who uses Optuna beside us hears it as before."""
    logger = logging.getLogger("optuna")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            # Arguments that Optuna calls experimental, or plans to drop, are the user's choice.
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            warnings.filterwarnings("ignore", message=".*(deprecated|was added in v|experimental).*")
            yield
    finally:
        logger.setLevel(before)


def _fits(value: JsonValue, annotation: str) -> bool:
    """Whether a value is what an annotation like ``float | None`` says; one of other kinds is left to Optuna."""
    parts = [part.strip() for part in annotation.split("|")]
    if not all(part in _TYPES or part == "None" for part in parts):
        return True
    if value is None:
        return "None" in parts
    return any(
        isinstance(value, _TYPES[part]) and isinstance(value, bool) == (part == "bool")
        for part in parts
        if part != "None"
    )


def _invalid(key: str, what: str, hint: str = "") -> InvalidWorkflow:
    return InvalidWorkflow((Problem(("search_strategy", key), what, hint),))
