"""Older spellings of a search: `search_algorithm` of Olive 0.4 to 0.7, `type` and `num_trials` of the tutorials."""

from __future__ import annotations

from olive_engine.config.legacy.rules import Moved, Rule, Valued

SEARCH: tuple[Rule, ...] = (
    Moved(
        "search_strategy.search_algorithm_config",
        "search_strategy.sampler_config",
        "`search_algorithm_config` is called `sampler_config`",
    ),
    Moved("search_strategy.search_algorithm", "search_strategy.sampler", "`search_algorithm` is called `sampler`"),
    Moved("search_strategy.type", "search_strategy.sampler", "`type` of a search is called `sampler`"),
    Valued("search_strategy.sampler", {"exhaustive": "sequential", "grid": "sequential"}, "`{old}` is called `{new}`"),
)
