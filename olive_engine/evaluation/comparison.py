"""How models compare: an interval for a share, answers that differ, an order of merit."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from olive_engine.models import Predictions

PREDICTIONS_FILE = "predictions.jsonl"
Z_95 = 1.959963984540054
"""The 97.5th percentile of the standard normal distribution: 2.5 % are left out on either side."""


def wilson_interval(successes: int, total: int, z: float = Z_95) -> tuple[float, float]:
    """The Wilson score interval of a share, 95 % by default (Wilson 1927, doi:10.1080/01621459.1927.10502953).

    Raises:
        ValueError: `total` is not positive, or `successes` is not between 0 and `total`.
    """
    if total <= 0 or not 0 <= successes <= total:
        raise ValueError(f"expected 0 <= successes <= total and total > 0, found {successes} of {total}")
    share, square = successes / total, z * z
    middle = share + square / (2 * total)
    spread = z * math.sqrt(share * (1 - share) / total + square / (4 * total * total))
    scale = 1 + square / total
    # At the ends the formula gives 0 and 1 but for rounding.
    low = 0.0 if successes == 0 else (middle - spread) / scale
    high = 1.0 if successes == total else (middle + spread) / scale
    return low, high


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a model answered on one row."""

    row: int
    label: str
    predicted: str
    scores: Mapping[str, float]
    """Label -> log-likelihood in nats."""
    generated: str | None = None
    """What greedy generation gave; None: it was not asked."""

    @property
    def correct(self) -> bool:
        """Whether the most likely label is the right one."""
        return self.predicted == self.label

    def to_json(self) -> str:
        """One line, the same for the same answers."""
        fields: dict[str, Any] = {
            "row": self.row,
            "label": self.label,
            "predicted": self.predicted,
            "scores": dict(self.scores),
        }
        if self.generated is not None:
            fields["generated"] = self.generated
        return json.dumps(fields, ensure_ascii=False, allow_nan=False)


def read_predictions(predictions: Predictions) -> list[Prediction]:
    """Read what an accuracy measurement kept."""
    text = (predictions.predictions_path / PREDICTIONS_FILE).read_text(encoding="utf-8")
    # Not splitlines: a generated text may hold a line separator that JSON leaves as it is.
    return [Prediction(**json.loads(line)) for line in text.split("\n") if line]


def correct_count(predictions: Sequence[Prediction]) -> int:
    """How many rows were answered right."""
    return sum(prediction.correct for prediction in predictions)


def disagreement(first: Sequence[Prediction], second: Sequence[Prediction]) -> float:
    """The share of rows that two models answered differently, between 0 and 1.

    Raises:
        ValueError: they answered different rows, or none.
    """
    rows, others = [[(p.row, p.label) for p in side] for side in (first, second)]
    if not rows or rows != others:
        raise ValueError(
            f"two sets of predictions can be compared on the same rows only, found {len(rows)} and {len(others)} rows"
            + ("" if len(rows) != len(others) else " that are not the same")
        )
    return sum(a.predicted != b.predicted for a, b in zip(first, second, strict=True)) / len(rows)


def rank(models: Mapping[str, Mapping[str, float]], objectives: Sequence[tuple[str, bool]]) -> list[str]:
    """The names of the models, best first.

    Args:
        models: name -> its values.
        objectives: (value, whether higher is better), the most important first; the next one decides among equals.
            A model without a value, or with NaN, comes after all that have one. Full ties keep the given order.
    """

    def place(name: str) -> tuple[tuple[bool, float], ...]:
        return tuple(_place(models[name].get(value), higher=higher) for value, higher in objectives)

    return sorted(models, key=place)


def _place(value: float | None, *, higher: bool) -> tuple[bool, float]:
    if value is None or math.isnan(value):
        return True, 0.0
    return False, -value if higher else value
