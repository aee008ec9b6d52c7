"""Many queries to a model in batches: rows of similar length together, within a bound on memory."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from olive_engine.contracts import PassContext, Progress
from olive_engine.errors import Stopped
from olive_engine.evaluation.subjects import Query, Subject

OUTPUT_FLOATS = 1 << 26
"""The most output values of one batch: 256 MiB in float32. A single longer row is still taken."""


DEFAULT_BATCH_SIZE = 16
"""Rows at once where neither the metric nor its data config says."""


def score(subject: Subject, queries: Sequence[Query], batch_size: int, context: PassContext) -> list[list[float]]:
    """The log-probabilities that `queries` ask for, in their order; how they are batched changes rounding only.

    Raises:
        ValueError: the model gives not-a-number.
        Stopped: the job was asked to stop.
    """
    answers: list[list[float]] = [[] for _ in queries]
    done = 0
    for indices in batches(subject, queries, batch_size):
        if context.should_stop():
            raise Stopped
        found = subject.score([queries[index] for index in indices])
        for index, values in zip(indices, found, strict=True):
            if any(math.isnan(value) for value in values):
                raise ValueError(
                    "the model's output is not a number: its weights are damaged, or its precision is too low for them"
                )
            answers[index] = values
        done += len(indices)
        context.report(Progress(step=done, total=len(queries), unit="texts"))
    return answers


def batches(subject: Subject, queries: Sequence[Query], batch_size: int) -> Iterator[list[int]]:
    """Indices of queries that go together, longest first, so that what needs most memory fails at once if at all."""
    order = sorted(range(len(queries)), key=lambda index: -len(queries[index].tokens))
    most = OUTPUT_FLOATS // subject.vocabulary
    batch: list[int] = []
    widest = 0
    for index in order:
        width = max(widest, subject.outputs(queries[index]))
        if batch and (len(batch) == batch_size or width * (len(batch) + 1) > most):
            yield batch
            batch, width = [], subject.outputs(queries[index])
        batch.append(index)
        widest = width
    if batch:
        yield batch


def merged(queries: Sequence[Query]) -> tuple[list[Query], list[list[tuple[int, int]]]]:
    """Ask one text for the answers of all texts that it begins with: a model reads from left to right.

    Returns:
        The queries that are left, and for each given query where its answers are: (index of a query, index into its
        `asked`). Candidates of one token cost a single reading of their prompt.
    """
    kept: list[Query] = []
    places: list[list[tuple[int, int]]] = [[] for _ in queries]
    for index in sorted(range(len(queries)), key=lambda index: -len(queries[index].tokens)):
        query = queries[index]
        found = next((i for i, longer in enumerate(kept) if longer.tokens[: len(query.tokens)] == query.tokens), None)
        if found is None:
            found = len(kept)
            kept.append(Query(query.tokens, ()))
        asked = list(kept[found].asked)
        for question in query.asked:
            if question not in asked:
                asked.append(question)
            places[index].append((found, asked.index(question)))
        kept[found] = Query(kept[found].tokens, tuple(asked))
    return kept, places
