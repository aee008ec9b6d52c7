from __future__ import annotations

import math
from pathlib import Path

import pytest

from olive_engine.evaluation.comparison import (
    PREDICTIONS_FILE,
    Prediction,
    correct_count,
    disagreement,
    rank,
    read_predictions,
    wilson_interval,
)
from olive_engine.models import Predictions


@pytest.mark.parametrize(
    ("successes", "total", "low", "high"),
    [  # R: prop.test(x, n, correct=FALSE)$conf.int
        (8, 10, 0.4901625, 0.9433178),
        (0, 10, 0.0, 0.2775328),
        (10, 10, 0.7224672, 1.0),
        (81, 263, 0.2552673, 0.3661889),
        (1, 1, 0.2065493, 1.0),
    ],
)
def test_wilson_interval(successes: int, total: int, low: float, high: float) -> None:
    assert wilson_interval(successes, total) == pytest.approx((low, high), abs=5e-5)
    assert wilson_interval(total - successes, total) == pytest.approx((1 - high, 1 - low), abs=5e-5)


@pytest.mark.parametrize(("successes", "total"), [(0, 0), (3, 2), (-1, 2)])
def test_wilson_interval_refuses_what_is_no_share(successes: int, total: int) -> None:
    with pytest.raises(ValueError, match=f"found {successes} of {total}"):
        wilson_interval(successes, total)


def _answers(*predicted: str) -> list[Prediction]:
    return [Prediction(row, "Joy", answer, {}) for row, answer in enumerate(predicted)]


def test_disagreement_counts_rows_answered_differently() -> None:
    first, second = _answers("Joy", "Sad", "Fear", "Joy"), _answers("Joy", "Fear", "Fear", "Sad")
    assert disagreement(first, second) == 0.5
    assert disagreement(first, first) == 0.0
    assert correct_count(first) == 2


def test_disagreement_refuses_other_rows() -> None:
    with pytest.raises(ValueError, match="found 2 and 1 rows"):
        disagreement(_answers("Joy", "Sad"), _answers("Joy"))
    with pytest.raises(ValueError, match="that are not the same"):
        disagreement(_answers("Joy"), [Prediction(7, "Joy", "Joy", {})])
    with pytest.raises(ValueError, match="found 0 and 0 rows"):
        disagreement([], [])


def test_predictions_are_read_as_they_were_written(tmp_path: Path) -> None:
    # U+2028 is a line separator to str.splitlines, and is left as it is in JSON.
    written = [
        Prediction(0, "Joy", "Sad", {"Joy": -1.5, "Sad": -0.25}, "Sad\u2028 indeed"),
        Prediction(3, "é", "é", {}, None),
    ]
    (tmp_path / PREDICTIONS_FILE).write_text("".join(p.to_json() + "\n" for p in written), encoding="utf-8")
    assert read_predictions(Predictions(predictions_path=tmp_path)) == written
    assert '"generated"' not in written[1].to_json()


MODELS = {
    "base": {"accuracy": 0.5, "latency": 1.0},
    "slow": {"accuracy": 0.9, "latency": 9.0},
    "fast": {"accuracy": 0.9, "latency": 3.0},
    "unmeasured": {},
    "broken": {"accuracy": math.nan, "latency": 0.1},
    "untimed": {"accuracy": 0.9},
}


def test_rank_is_lexicographic_and_a_missing_value_is_never_best() -> None:
    assert rank(MODELS, [("accuracy", True), ("latency", False)]) == [
        "fast", "slow", "untimed", "base", "broken", "unmeasured",
    ]  # fmt: skip
    assert rank(MODELS, [("latency", False)])[-2:] == ["unmeasured", "untimed"]
    assert rank(MODELS, [("accuracy", False)])[0] == "base"


def test_rank_keeps_the_given_order_among_equals() -> None:
    assert rank({"b": {"x": 1.0}, "a": {"x": 1.0}}, [("x", True)]) == ["b", "a"]
    assert rank({"b": {}, "a": {}}, []) == ["b", "a"]
