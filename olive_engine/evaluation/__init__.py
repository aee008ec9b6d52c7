"""Metrics on a model, goals, and the comparison with the baseline."""

from olive_engine.contracts import AnyMetric
from olive_engine.evaluation.accuracy import Accuracy
from olive_engine.evaluation.perplexity import Perplexity
from olive_engine.evaluation.size import SizeOnDisk
from olive_engine.evaluation.timing import Latency, Throughput

METRICS: tuple[type[AnyMetric], ...] = (Accuracy, Perplexity, Latency, Throughput, SizeOnDisk)
