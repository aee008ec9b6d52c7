# ruff: noqa: TID253 - heavy module (numpy), imported lazily by the worker
"""The data step: rows are read, laid out as text, tokenized, masked, and written."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from olive_engine.config.data import DataConfig, PreProcessConfig, template_fields
from olive_engine.contracts import Log, PassContext, Progress
from olive_engine.data.readers import Row as SourceRow
from olive_engine.data.rows import source_rows
from olive_engine.data.text import Text, text_of
from olive_engine.data.tokenize import Tokens, chat_of, load_tokenizer, tokenize
from olive_engine.data.tokens import Row, Summary, TokenizedRows, save
from olive_engine.errors import Stopped
from olive_engine.models import PreparedData

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

BATCH = 1000
"""Rows that are tokenized at once; between batches progress is reported and a stop is seen."""


def prepare(config: DataConfig, files: Path | None, tokenizer_path: Path, context: PassContext) -> PreparedData:
    """Write the prepared form (see `olive_engine.data.tokens`) of a data set to ``context.out``.

    Args:
        config: the data set.
        files: the folder with its local files, named as `olive_engine.data.files.local_files` does; none for the hub.
        tokenizer_path: a folder with at least the tokenizer's files and config.json.
        context: of the step.

    Raises:
        ValueError: rows, columns, values or tokenizer are not what `config` needs, or nothing is left to train on.
        ConnectionError: the hub cannot be reached.
        Stopped: the step was asked to stop.
    """
    options = config.pre_process_data_config
    tokenizer = load_tokenizer(tokenizer_path)
    source = source_rows(config.load_dataset_config, template_fields(config), files, context.scratch)
    if not source:
        raise ValueError(f"the split {config.load_dataset_config.split} has no rows")
    examples = _Examples(options.max_seq_len)
    joined = _Joiner(examples, tokenizer, options) if options.strategy == "join" else None
    for start in range(0, len(source), BATCH):
        if context.should_stop():
            raise Stopped
        batch = _texts(source[start : start + BATCH], start, options, tokenizer)
        examples.empty += min(BATCH, len(source) - start) - len(batch)
        for (index, text), tokens in zip(batch, tokenize(tokenizer, [text for _, text in batch], options), strict=True):
            if joined is not None:
                joined.add(tokens)
            else:
                examples.add(index, text, tokens, drop_too_long=options.drop_too_long)
        context.report(Progress(step=min(start + BATCH, len(source)), total=len(source), unit="rows"))
    if joined is not None:
        joined.flush()
    if not examples.rows:
        raise ValueError(_nothing_left(len(source), examples, options))
    summary = examples.summary()
    save(context.out, examples.tokens(), examples.rows, summary)
    context.report(_told(summary, options.max_seq_len))
    return PreparedData(data_path=context.out)


def _texts(
    rows: Sequence[SourceRow], first: int, options: PreProcessConfig, tokenizer: PreTrainedTokenizerFast
) -> list[tuple[int, Text]]:
    """The texts that have something to learn in them, each with its row's index."""
    chat = None if options.chat_template is False else chat_of(tokenizer, options.chat_template)
    texts = []
    for index, row in enumerate(rows, start=first):
        try:
            text = text_of(row, options, chat)
        except ValueError as error:
            raise ValueError(f"row {index + 1}: {error}") from error
        if text is None or not text.text.strip():
            continue
        if options.completion_only_loss and not any(text.text[start:stop].strip() for start, stop in text.completions):
            continue
        texts.append((index, text))
    return texts


@dataclass
class _Examples:
    """The examples so far, end to end."""

    max_seq_len: int
    ids: array[int] = field(default_factory=lambda: array("i"))
    mask: bytearray = field(default_factory=bytearray)
    offsets: array[int] = field(default_factory=lambda: array("q", [0]))
    rows: list[Row] = field(default_factory=list)
    truncated: int = 0
    empty: int = 0
    too_long: int = 0

    def add(self, index: int, text: Text, tokens: Tokens, *, drop_too_long: bool) -> None:
        """Take a row, cut if need be, unless nothing trained is left of it."""
        cut = len(tokens.ids) > self.max_seq_len
        kept = tokens.mask[: self.max_seq_len]
        kept[:1] = bytes(len(kept[:1]))  # nothing comes before it that could predict it
        if cut and (drop_too_long or not any(kept)):
            self.too_long += 1
        elif not any(kept):
            self.empty += 1
        else:
            self.truncated += cut
            self.append(tokens.ids[: self.max_seq_len], kept, Row(index, text.prompt, text.completion, text.label))

    def append(self, ids: array[int], mask: bytearray, row: Row) -> None:
        """Take an example as it is."""
        self.ids += ids
        self.mask += mask
        self.offsets.append(len(self.ids))
        self.rows.append(row)

    def tokens(self) -> TokenizedRows:
        """The examples as arrays."""
        return TokenizedRows(
            np.frombuffer(self.ids, dtype=np.int32),
            np.frombuffer(self.mask, dtype=np.uint8),
            np.frombuffer(self.offsets, dtype=np.int64),
        )

    def summary(self) -> Summary:
        """The counts."""
        return Summary(
            rows=len(self.rows),
            tokens=len(self.ids),
            trained_tokens=sum(self.mask),
            truncated=self.truncated,
            dropped_empty=self.empty,
            dropped_too_long=self.too_long,
        )


class _Joiner:
    """Lays rows end to end, the joiner's tokens between them, and cuts the stream into blocks."""

    def __init__(self, examples: _Examples, tokenizer: PreTrainedTokenizerFast, options: PreProcessConfig) -> None:
        joiner = "\n\n" if options.joiner is None else options.joiner
        self._between = array("i", tokenizer(joiner, add_special_tokens=False)["input_ids"])
        self._between_mask = bytearray([not options.completion_only_loss]) * len(self._between)
        self._examples = examples
        self._tokenizer = tokenizer
        self._ids, self._mask = array("i"), bytearray()
        self._blocks = 0
        self._started = False

    def add(self, tokens: Tokens) -> None:
        """Take a row's tokens, and give the blocks that are full."""
        if self._started:
            self._ids += self._between
            self._mask += self._between_mask
        self._started = True
        self._ids += tokens.ids
        self._mask += tokens.mask
        while len(self._ids) >= self._examples.max_seq_len:
            self._cut()

    def flush(self) -> None:
        """Give the last block, however short."""
        if self._ids:
            self._cut()

    def _cut(self) -> None:
        size = self._examples.max_seq_len
        ids, mask = self._ids[:size], self._mask[:size]
        self._ids, self._mask = self._ids[size:], self._mask[size:]
        mask[0] = 0  # nothing in its block comes before it, though in the stream there did
        if any(mask):
            text = self._tokenizer.decode(ids.tolist(), skip_special_tokens=True)
            self._examples.append(ids, mask, Row(self._blocks, "", str(text), None))
        else:
            self._examples.empty += 1
        self._blocks += 1


def _nothing_left(count: int, examples: _Examples, options: PreProcessConfig) -> str:
    wanted = "a completion to train on" if options.completion_only_loss else "a token to train on"
    causes = []
    if examples.empty:
        causes.append(f"{examples.empty} have no value, no text or no completion")
    if examples.too_long:
        causes.append(f"{examples.too_long} are too long for max_seq_len {options.max_seq_len}, so raise it")
    return f"none of the {count} rows has {wanted}: {'; '.join(causes)}"


def _told(summary: Summary, max_seq_len: int) -> Log:
    message = f"{summary.rows:,} rows, {summary.tokens:,} tokens, of which {summary.trained_tokens:,} are trained"
    if summary.truncated:
        message += f"; {summary.truncated:,} rows were cut at {max_seq_len} tokens"
    if summary.dropped:
        message += (
            f"; {summary.dropped:,} left out ({summary.dropped_empty:,} empty, {summary.dropped_too_long:,} too long)"
        )
    return Log(message=message, level="warning" if summary.truncated or summary.dropped else "info")
