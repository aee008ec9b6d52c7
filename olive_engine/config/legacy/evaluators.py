"""Older spellings of evaluators."""

from __future__ import annotations

from olive_engine.config.legacy.rules import Lifted, Rule

EVALUATORS: tuple[Rule, ...] = (
    Lifted("evaluators.*.config", "what `config` holds stands beside it"),
    Lifted("evaluators.*.metrics.*.config", "what `config` holds stands beside it"),
)
