"""How many rows a model answers right, by the likelihood of the labels and by what it writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from pydantic import Field, model_validator

from olive_engine.contracts import Measurement, Metric, PassContext, Progress
from olive_engine.errors import Stopped
from olive_engine.evaluation.candidates import Example, examples
from olive_engine.evaluation.comparison import PREDICTIONS_FILE, Prediction
from olive_engine.evaluation.scoring import DEFAULT_BATCH_SIZE, merged, score
from olive_engine.evaluation.subjects import REQUIRES, Query, Subject, open_subject, require_room
from olive_engine.models import Model, Predictions
from olive_engine.options import Options

FEW_TOKENS = 4
"""How many tokens more than the longest label may be written, so that an answer which goes on is seen to."""
DECIMALS = 4
"""Of a log-likelihood in predictions: more would be rounding, which depends on the batch."""
LEAST = -1e9
"""The lowest log-likelihood written: JSON has no infinity."""


class AccuracyConfig(Options):
    """Options of `Accuracy`."""

    labels: tuple[str, ...] | None = Field(
        default=None,
        min_length=2,
        description="The answers to choose among; default: the distinct labels of the data set, sorted.",
    )
    score: bool = Field(
        default=True,
        description="Choose the label whose text is likeliest after the prompt: gives accuracy_score and f1_score.",
    )
    generate: bool = Field(
        default=True,
        description="Let the model write its answer, always taking the likeliest token: gives exact_match.",
    )
    length_normalized: bool = Field(
        default=False,
        description="Compare the mean log-likelihood of a label's tokens, not the sum, which favours short labels.",
    )
    max_new_tokens: int | None = Field(
        default=None, gt=0, description=f"Tokens to write at most; default: the longest label's and {FEW_TOKENS} more."
    )
    batch_size: int | None = Field(
        default=None,
        gt=0,
        description="Texts in one batch at most: memory and speed, not the result; default: the data config's.",
    )
    max_samples: int | None = Field(default=None, gt=0, description="At most so many rows, the first ones; none: all.")

    @model_validator(mode="after")
    def _does_something(self) -> AccuracyConfig:
        if not (self.score or self.generate):
            raise ValueError("score and generate must not both be false: nothing would be measured")
        return self


class Accuracy(Metric[AccuracyConfig]):
    """The share of rows answered right.

    accuracy_score: the label is right that is likeliest as the continuation of the row's prompt. f1_score: the mean of
    the labels' F1 (macro) of the same answers. exact_match: greedy generation gives the label, and nothing else but
    white space. Also gives the answers, row by row.
    """

    type = "accuracy"
    config_type = AccuracyConfig
    sub_types: ClassVar[Mapping[str, bool]] = {"accuracy_score": True, "exact_match": True, "f1_score": True}
    needs_data = True
    draws = False
    requires = REQUIRES

    def measure(self, model: Model, config: AccuracyConfig, context: PassContext) -> Measurement:
        """Answer every row; the answers are written to ``context.out``."""
        path = context.data["data_config"]
        subject = open_subject(model, context)
        rows = examples(path, config.labels, config.max_samples, subject.tokenizer, choose=config.score)
        batch_size = config.batch_size or DEFAULT_BATCH_SIZE
        scores = _scores(subject, rows, batch_size, config, context) if config.score else None
        texts = _written(subject, rows, batch_size, config, context) if config.generate else None
        predictions = [
            _prediction(row, scores[index] if scores else {}, texts[index] if texts else None)
            for index, row in enumerate(rows)
        ]
        values: dict[str, float] = {}
        if scores:
            right = [prediction.label for prediction in predictions]
            chosen = [prediction.predicted for prediction in predictions]
            values["accuracy_score"] = sum(map(str.__eq__, right, chosen)) / len(rows)
            values["f1_score"] = macro_f1(right, chosen)
        if texts:
            values["exact_match"] = sum(map(_matches, rows, texts)) / len(rows)
        return Measurement(values, _write(predictions, context.out))


def macro_f1(right: Sequence[str], chosen: Sequence[str]) -> float:
    """The mean over labels of 2 TP / (2 TP + FP + FN); labels that occur on neither side are left out.

    Args:
        right: the label of each row.
        chosen: the answer to each row.
    """
    labels = {*right, *chosen}
    hits = [label for label, answer in zip(right, chosen, strict=True) if label == answer]
    return sum(2 * hits.count(label) / (right.count(label) + chosen.count(label)) for label in labels) / len(labels)


def _scores(
    subject: Subject, rows: Sequence[Example], batch_size: int, config: AccuracyConfig, context: PassContext
) -> list[dict[str, float]]:
    """The log-likelihood of each label, for each row."""
    readings: list[Query] = []
    places: list[list[list[tuple[int, int]]]] = []
    for row in rows:
        kept, found = merged(list(row.candidates.values()))
        for query in kept:
            require_room(subject, len(query.tokens), f"row {row.row} with its answer")
        places.append([[(len(readings) + reading, at) for reading, at in answer] for answer in found])
        readings += kept
    answers = score(subject, readings, batch_size, context)
    scores = []
    for row, labels in zip(rows, places, strict=True):
        likelihoods = {}
        for label, answer in zip(row.candidates, labels, strict=True):
            total = sum(answers[reading][at] for reading, at in answer)
            likelihoods[label] = round(max(total / (len(answer) if config.length_normalized else 1), LEAST), DECIMALS)
        scores.append(likelihoods)
    return scores


def _written(
    subject: Subject, rows: Sequence[Example], batch_size: int, config: AccuracyConfig, context: PassContext
) -> list[str]:
    """What the model itself answers, for each row."""
    new_tokens = config.max_new_tokens or max(row.longest for row in rows) + FEW_TOKENS
    texts = [""] * len(rows)
    done = 0
    order = sorted(range(len(rows)), key=lambda index: -len(rows[index].prompt))
    for indices in (order[at : at + batch_size] for at in range(0, len(order), batch_size)):
        if context.should_stop():
            raise Stopped
        prompts = [rows[index].prompt for index in indices]
        require_room(subject, len(prompts[0]) + new_tokens, f"row {rows[indices[0]].row} with {new_tokens} new tokens")
        written = subject.generate(prompts, new_tokens).tokens
        for index, tokens in zip(indices, written, strict=True):
            texts[index] = str(subject.tokenizer.decode(list(tokens), skip_special_tokens=True))
        done += len(indices)
        context.report(Progress(step=done, total=len(rows), unit="answers"))
    return texts


def _matches(row: Example, text: str) -> bool:
    return text.strip() in (row.label.strip(), row.completion.strip())


def _prediction(row: Example, scores: Mapping[str, float], text: str | None) -> Prediction:
    # Of equally likely labels the first one; without scores, what the model wrote.
    predicted = max(scores, key=scores.__getitem__) if scores else (text or "").strip()
    return Prediction(row.row, row.label, predicted, scores, text)


def _write(predictions: Sequence[Prediction], out: Path) -> Predictions:
    folder = out / "predictions"
    folder.mkdir(parents=True)
    lines = "".join(f"{prediction.to_json()}\n" for prediction in predictions)
    (folder / PREDICTIONS_FILE).write_text(lines, encoding="utf-8", newline="\n")
    return Predictions(predictions_path=folder)
