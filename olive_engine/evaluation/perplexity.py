"""How surprised a model is by a text."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from olive_engine.contracts import Measurement, Metric, PassContext
from olive_engine.evaluation.scoring import DEFAULT_BATCH_SIZE, score
from olive_engine.evaluation.subjects import REQUIRES, Query, open_subject, require_room
from olive_engine.models import Model
from olive_engine.options import Options

LARGEST_EXPONENT = 700.0
"""exp() of more is no finite float."""


class PerplexityConfig(Options):
    """Options of `Perplexity`."""

    all_tokens: bool = Field(
        default=False, description="Count every token but a row's first; else those that the data set marks as trained."
    )
    batch_size: int | None = Field(
        default=None,
        gt=0,
        description="Rows in one batch at most: memory and speed, not the result; default: the data config's.",
    )
    max_samples: int | None = Field(default=None, gt=0, description="At most so many rows, the first ones; none: all.")


class Perplexity(Metric[PerplexityConfig]):
    """e to the mean negative log-likelihood of the counted tokens, each given all tokens of its row before it.

    The mean is over tokens, not over rows. A row's first token has nothing before it and is never counted.
    """

    type = "perplexity"
    config_type = PerplexityConfig
    sub_types: ClassVar[Mapping[str, bool]] = {"perplexity": False}
    needs_data = True
    draws = False
    requires = REQUIRES

    def measure(self, model: Model, config: PerplexityConfig, context: PassContext) -> Measurement:
        """Read every row once."""
        path = context.data["data_config"]
        subject = open_subject(model, context)
        queries = []
        for index, query in _queries(path, config):
            require_room(subject, len(query.tokens), f"row {index}, to be shortened by the data config's max_seq_len")
            queries.append(query)
        if not queries:
            raise ValueError(
                "the data set has no token to count: each row needs two tokens or more, one of them trained"
            )
        answers = score(subject, queries, config.batch_size or DEFAULT_BATCH_SIZE, context)
        loss = -math.fsum(value for answer in answers for value in answer) / sum(len(query.asked) for query in queries)
        return Measurement({"perplexity": math.exp(loss) if loss < LARGEST_EXPONENT else math.inf})


def _queries(path: Path, config: PerplexityConfig) -> Iterator[tuple[int, Query]]:
    from olive_engine.data.tokens import load_tokens

    for index, (ids, mask) in enumerate(load_tokens(path)):
        if config.max_samples is not None and index >= config.max_samples:
            return
        tokens = tuple(ids.tolist())
        asked = [at for at in range(1, len(tokens)) if config.all_tokens or mask[at]]
        if asked:
            yield index, Query(tokens[: asked[-1]], tuple((at, tokens[at]) for at in asked))
