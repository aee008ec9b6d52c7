"""Metrics on a model, goals, and the comparison with the baseline."""

from olive_engine.contracts import AnyMetric

METRICS: tuple[type[AnyMetric], ...] = ()
