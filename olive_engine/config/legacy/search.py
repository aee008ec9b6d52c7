"""Older spellings of a search: `search_algorithm` of Olive 0.4 to 0.7, `type` and `num_trials` of the tutorials."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from olive_engine.config.legacy.edits import Revision
from olive_engine.config.legacy.rules import Dropped, Moved, Rewritten, Rule, Valued
from olive_engine.config.search.methods import PRUNERS, SAMPLERS, Method
from olive_engine.config.search.older import categorical_types, older_values
from olive_engine.errors import ConfigPath

_STRATEGY = "search_strategy"
_SEQUENTIAL = ("exhaustive", "grid", "gridsampler", "bruteforce", "brute_force", "bruteforcesampler")


def _short_names(methods: Mapping[Any, Method]) -> dict[str, str]:
    """Optuna's class names, in lower case, and the short names in any case -> the short name."""
    classes = {method.optuna.lower(): name for name, method in methods.items() if method.optuna}
    return {**classes, **{name.lower(): name for name in methods}}


def _values(revision: Revision) -> None:
    """Texts and mappings that stood for a searched option; where a pass's search is off they stood for its default."""
    for path, new in list(older_values(revision.value(("passes",)))):
        if new.refusal:
            revision.refuse(path, new.refusal)
        elif new.absent or _is_off(revision, path):
            revision.note(path, "an option that is left out has its default")
        else:
            revision.note(path, new.notice)
            revision.put(path, new.value)
            continue
        revision.remove(path)


def _is_off(revision: Revision, path: ConfigPath) -> bool:
    return any(revision.value((*path[:length], "disable_search")) is True for length in (2, 3))


def _categorical(revision: Revision) -> None:
    """`categorical` is Olive's word for a choice."""
    for section in ("passes", "search_space"):
        for path in categorical_types(revision.value((section,)), (section,)):
            revision.note(path, "`categorical` is called `choice`")
            revision.put(path, "choice")


VALUES: tuple[Rule, ...] = (Rewritten(_values), Rewritten(_categorical))
"""Applied before a pass's `disable_search` is dropped."""

SEARCH: tuple[Rule, ...] = (
    Moved(
        f"{_STRATEGY}.search_algorithm_config",
        f"{_STRATEGY}.sampler_config",
        "`search_algorithm_config` is called `sampler_config`",
    ),
    Moved(f"{_STRATEGY}.search_algorithm", f"{_STRATEGY}.sampler", "`search_algorithm` is called `sampler`"),
    Moved(f"{_STRATEGY}.type", f"{_STRATEGY}.sampler", "`type` of a search is called `sampler`"),
    *(
        Moved(f"{_STRATEGY}.{old}", f"{_STRATEGY}.max_samples", f"`{old}` is called `max_samples`")
        for old in ("num_trials", "num_samples", "sampler_config.max_samples", "sampler_config.num_samples")
    ),
    Moved(f"{_STRATEGY}.sampler_config.seed", f"{_STRATEGY}.seed", "`seed` stands in `search_strategy`"),
    Dropped(f"{_STRATEGY}.max_samples", "0 meant all; leave it out for that", (0,)),
    Dropped(f"{_STRATEGY}.sampler_config", "nothing is left in it", ({}, None)),
    Valued(
        f"{_STRATEGY}.sampler",
        {**_short_names(SAMPLERS), **dict.fromkeys(_SEQUENTIAL, "sequential")},
        "`{old}` is called `{new}`",
    ),
    Valued(f"{_STRATEGY}.pruner", _short_names(PRUNERS), "`{old}` is called `{new}`"),
)
