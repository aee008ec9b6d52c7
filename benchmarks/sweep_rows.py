"""Rows as tokens, the way a training script of one's own makes them: the answer is trained on, the question is not."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

IGNORED = -100
"""The label of a token that is not trained on."""


class Tokenizer(Protocol):
    """What is needed of a tokenizer of transformers."""

    eos_token_id: int

    def __call__(self, text: str, *, add_special_tokens: bool = True) -> Mapping[str, list[int]]:
        """The tokens of a text under ``input_ids``."""
        ...


def read_rows(path: Path | str) -> list[dict[str, str]]:
    """The rows of a JSON Lines file."""
    with Path(path).open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def encoder(
    tokenizer: Tokenizer, template: str, max_length: int
) -> Callable[[Mapping[str, str]], dict[str, list[int]]]:
    """A function row -> ids, mask and labels; `template` has columns in braces, and the answer is its last column."""
    question, _, answer_column = template.rpartition("{")
    answer_column = answer_column.removesuffix("}")

    def encode(row: Mapping[str, str]) -> dict[str, list[int]]:
        prompt = tokenizer(question.format(**row))["input_ids"]
        if prompt[-1] == tokenizer.eos_token_id:
            prompt = prompt[:-1]
        answer = [*tokenizer(row[answer_column], add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
        ids = (prompt + answer)[:max_length]
        labels = ([IGNORED] * len(prompt) + answer)[:max_length]
        return {"input_ids": ids, "attention_mask": [1] * len(ids), "labels": labels}

    return encode
