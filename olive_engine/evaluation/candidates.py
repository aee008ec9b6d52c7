"""The rows of a prepared data set as questions with candidate answers, tokenized as the data preparation does it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from olive_engine.config.data import PreProcessConfig
from olive_engine.evaluation.subjects import Query

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from olive_engine.data.tokens import Row

PROBES = 20
"""Where there are no labels, so many answers tell which of a prompt's tokens stay the same whatever follows."""
MOST_LABELS = 200
"""More distinct answers than this are no classes but free text, each row's its own."""


@dataclass(frozen=True, slots=True)
class Example:
    """One row."""

    row: int
    """Its index among the rows of the source."""
    label: str
    """The right answer."""
    completion: str
    """What follows the prompt if the row is answered right."""
    prompt: tuple[int, ...]
    """The tokens that a model continues with its own answer. They say nothing about the right one."""
    candidates: Mapping[str, Query]
    """For each label, the question how likely its text is after the prompt."""
    longest: int
    """Tokens of the longest answer: of the candidates, or the right one where there are none."""


def examples(
    path: Path,
    labels: Sequence[str] | None,
    max_samples: int | None,
    tokenizer: PreTrainedTokenizerFast,
    *,
    choose: bool = True,
) -> list[Example]:
    """Read a prepared data set.

    Args:
        path: its folder.
        labels: the answers to choose among; none: the distinct labels of all its rows, sorted.
        max_samples: only the first so many rows are returned.
        tokenizer: the model's; the data must have been prepared with the same.
        choose: whether candidates are wanted.

    Raises:
        ValueError: rows have no answer, the right answer is not among `labels`, or the tokenizer is another.
    """
    from olive_engine.data.tokens import load_rows, load_tokens

    rows, stored = load_rows(path), load_tokens(path)
    answers = [_label(row) for row in rows]
    chosen: list[str] = []
    if choose:
        chosen = list(labels) if labels is not None else sorted(set(answers))
        _check_labels(answers, chosen, given=labels is not None)
    texts = {label: _only_completion(rows, answers, label) for label in chosen}
    probes = [] if choose else sorted({row.completion for row in rows})[:PROBES]
    found = []
    for index, (row, right) in enumerate(zip(rows[:max_samples], answers, strict=False)):
        completions = [_completion(row, right, label, texts[label]) for label in chosen] or probes
        answered = _tokens(tokenizer, row.prompt, [*completions, row.completion])
        head = _head(stored[index][0].tolist(), answered[-1][0], row.index)
        # Which tokens the prompt has must not depend on the right answer.
        prompt = _shared([head + tokens[:start] for tokens, start in answered[: len(completions)]])
        queries = [_query(head, *tokenized, row.index) for tokenized in answered]
        if not prompt:
            raise ValueError(f"row {row.index} has an empty prompt, so there is nothing to answer")
        longest = max(len(query.asked) for query in queries[: len(chosen)] or queries[-1:])
        candidates = dict(zip(chosen, queries, strict=False))
        found.append(Example(row.index, right, row.completion, prompt, candidates, longest))
    return found


def _label(row: Row) -> str:
    if row.label is None or not row.completion:
        raise ValueError(
            f"row {row.index} has no answer to compare with: prepare the data with a text_template whose last column "
            "is the answer, or with label_col, and with strategy line-by-line"
        )
    return row.label


def _check_labels(answers: Sequence[str], labels: Sequence[str], *, given: bool) -> None:
    if unknown := sorted(set(answers) - set(labels)):
        raise ValueError(f"labels must hold every answer of the data; {', '.join(map(repr, unknown[:5]))} is not there")
    if not given and len(labels) < 2:
        raise ValueError(f"all rows have the answer {labels[0]!r}, so there is nothing to choose; set labels")
    if not given and len(labels) > MOST_LABELS:
        raise ValueError(
            f"the rows have {len(labels)} different answers, too many to choose among; set labels, or score to false"
        )


def _only_completion(rows: Sequence[Row], answers: Sequence[str], label: str) -> str | None:
    """The text that stands for `label` in all of its rows; None where rows differ, or there are none."""
    texts = {row.completion for row, answer in zip(rows, answers, strict=True) if answer == label}
    return texts.pop() if len(texts) == 1 else None


def _completion(row: Row, right: str, label: str, elsewhere: str | None) -> str:
    """What would follow the row's prompt if `label` were its answer."""
    if label == right:
        return row.completion
    if right in row.completion:
        return row.completion.replace(right, label, 1)
    if elsewhere is None:  # labels are codes, and the text of this one is not known
        raise ValueError(
            f"row {row.index}: the answer {right!r} does not occur in its text {row.completion[:40]!r}, and no one "
            f"text stands for {label!r} in the data; choose label_col so that the label is what the text says"
        )
    return elsewhere


def _tokens(
    tokenizer: PreTrainedTokenizerFast, prompt: str, completions: Sequence[str]
) -> list[tuple[tuple[int, ...], int]]:
    """For each completion the whole text's tokens, and the first of them that holds a character of the completion."""
    from olive_engine.data.text import Text
    from olive_engine.data.tokenize import tokenize

    config = PreProcessConfig(text_template="{prompt}{completion}", completion_only_loss=True, add_special_tokens=False)
    begin = len(prompt)
    texts = [Text(prompt + completion, ((begin, begin + len(completion)),), None) for completion in completions]
    return [(tuple(row.ids), row.mask.find(1)) for row in tokenize(tokenizer, texts, config)]


def _head(stored: Sequence[int], tokens: Sequence[int], index: int) -> tuple[int, ...]:
    """The special tokens that the data preparation put before the text."""
    for length in range(3):
        rest = stored[length : length + len(tokens)]
        # A row may have lost its end at max_seq_len.
        if rest and list(tokens[: len(rest)]) == list(rest):
            return tuple(stored[:length])
    raise ValueError(
        f"row {index} has other tokens in the prepared data than the model's tokenizer gives its text: the data was "
        "prepared for another model"
    )


def _query(head: tuple[int, ...], tokens: tuple[int, ...], start: int, index: int) -> Query:
    whole, begin = head + tokens, len(head) + start
    if start < 0 or begin == 0:
        raise ValueError(f"row {index}: no token comes before its answer, so its likelihood is not defined")
    return Query(whole[:-1], tuple((at, whole[at]) for at in range(begin, len(whole))))


def _shared(prompts: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """The tokens with which all begin.

    A blank at the end of a prompt is not among them where it is part of an answer's first token: the model writes it.
    """
    same = itertools.takewhile(lambda column: len(set(column)) == 1, zip(*prompts, strict=False))
    return tuple(column[0] for column in same)
