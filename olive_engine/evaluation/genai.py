# ruff: noqa: TID253 - heavy module, imported lazily by subjects.py
"""Evaluation of ONNX models through onnxruntime-genai.

Batches are padded on the right: genai masks the pad tokens at the end of a row by itself, and no others (seen with
0.18). A row that really ends in the pad token runs alone, where nothing is masked.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime_genai as og

from olive_engine.data.tokenize import load_tokenizer
from olive_engine.evaluation.subjects import Generation, Query
from olive_engine.providers import CPU, full_name

Ids = npt.NDArray[np.int32]


def load(folder: Path, threads: int, execution_providers: Sequence[str] = ()) -> GenaiSubject:
    """Load the model of a folder with ``genai_config.json``.

    Args:
        folder: of the model.
        threads: of the CPU.
        execution_providers: what it is to run with, by their full names; of several genai takes one, the first. None:
            what the file names.

    Raises:
        ValueError: onnxruntime-genai cannot load it, or not run it with that provider.
    """
    described = json.loads((folder / "genai_config.json").read_text(encoding="utf-8"))["model"]
    config = og.Config(str(folder))
    wanted = list(execution_providers[:1])
    if wanted and wanted != (_providers(described) or [CPU]):  # else the file's options for it stand
        config.clear_providers()
        if wanted != [CPU]:  # which is what is left
            config.append_provider(wanted[0])
    config.overlay(json.dumps({"model": {"decoder": {"session_options": {"intra_op_num_threads": threads}}}}))
    try:
        model = og.Model(config)
    except RuntimeError as error:
        on = f" on {wanted[0]}" if wanted else ""
        raise ValueError(f"onnxruntime-genai cannot load the model{on}: {error}") from error
    return GenaiSubject(model, folder, described)


class GenaiSubject:
    """A loaded ONNX model; see `olive_engine.evaluation.subjects.Subject`."""

    def __init__(self, model: og.Model, folder: Path, described: dict[str, object]) -> None:
        self.tokenizer = load_tokenizer(folder)
        self._model = model
        self.vocabulary = _integer(described["vocab_size"])
        self.context_length: int | None = _integer(described["context_length"])
        ends = described["eos_token_id"]
        self._ends = frozenset(ends if isinstance(ends, list) else [ends])
        self._pad = _integer(described["pad_token_id"])

    def outputs(self, query: Query) -> int:
        """Every position: the ONNX model leaves none out."""
        return len(query.tokens)

    def score(self, queries: Sequence[Query]) -> list[list[float]]:
        """One run for all rows that can be padded, one for each that cannot."""
        answers: list[list[float]] = [[] for _ in queries]
        for indices in self._runs([query.tokens for query in queries]):
            rows = [queries[index].tokens for index in indices]
            generator = self._generator(len(rows), max(len(row) for row in rows))
            generator.append_tokens(self._padded(rows))
            logits = generator.get_output("logits")
            for row, index in enumerate(indices):
                answers[index] = _answers(logits[row], queries[index])
        return answers

    def generate(self, prompts: Sequence[Sequence[int]], new_tokens: int, *, stop_at_end: bool = True) -> Generation:
        """Greedy decoding, with the search settings of ``genai_config.json`` put aside."""
        written: list[tuple[int, ...]] = [()] * len(prompts)
        prompt_seconds = decode_seconds = 0.0
        for indices in self._runs(prompts):
            rows = [prompts[index] for index in indices]
            started = time.perf_counter()
            padded = self._padded(rows)
            length = padded.shape[1] + new_tokens
            generator = self._generator(len(rows), length, shortest=0 if stop_at_end else length)
            for tokens in self._portions(padded):
                generator.append_tokens(tokens)
            generator.generate_next_token()
            first = time.perf_counter()
            for _ in range(new_tokens - 1):
                if generator.is_done():
                    break
                generator.generate_next_token()
            ended = time.perf_counter()
            prompt_seconds, decode_seconds = prompt_seconds + first - started, decode_seconds + ended - first
            for row, index in enumerate(indices):
                new = [int(token) for token in generator.get_sequence(row)[padded.shape[1] :]]
                written[index] = tuple(self._until_end(new) if stop_at_end else new)
        return Generation(tuple(written), prompt_seconds, decode_seconds)

    def _runs(self, rows: Sequence[Sequence[int]]) -> Iterator[list[int]]:
        """Indices of rows that go together."""
        alone = [index for index, row in enumerate(rows) if row[-1] == self._pad]
        together = [index for index, row in enumerate(rows) if row[-1] != self._pad]
        if together:
            yield together
        yield from ([index] for index in alone)

    def _padded(self, rows: Sequence[Sequence[int]]) -> Ids:
        padded = np.full((len(rows), max(len(row) for row in rows)), self._pad, dtype=np.int32)
        for index, row in enumerate(rows):
            padded[index, : len(row)] = row
        return padded

    def _portions(self, padded: Ids) -> Iterator[Ids]:
        """Prompts as they may be appended.

        Genai takes the last token that is no pad token for a prompt's end, unless the token comes alone.
        """
        end = padded.shape[1]
        if len(padded) == 1:
            while end > 1 and padded[0, end - 1] == self._pad:
                end -= 1
        yield padded[:, :end]
        yield from (padded[:, at : at + 1] for at in range(end, padded.shape[1]))

    def _generator(self, batch: int, length: int, *, shortest: int = 0) -> og.Generator:
        parameters = og.GeneratorParams(self._model)
        parameters.set_search_options(
            batch_size=batch,
            max_length=length,
            min_length=shortest,
            do_sample=False,
            num_beams=1,
            num_return_sequences=1,
            repetition_penalty=1.0,
            no_repeat_ngram_size=0,
        )
        return og.Generator(self._model, parameters)

    def _until_end(self, tokens: list[int]) -> Iterator[int]:
        for token in tokens:
            if token in self._ends:
                return
            yield token


def _answers(logits: npt.NDArray[np.float32], query: Query) -> list[float]:
    """The log-probabilities asked for, from logits ``(position, vocabulary)``.

    Raises:
        ValueError: the model gives its output at the last position only.
    """
    if len(logits) < len(query.tokens):
        raise ValueError(
            "the ONNX model gives logits for the last position only (it was built with a pruned head), so texts cannot "
            "be scored with it; build it without prune_lm_head"
        )
    positions = [position - 1 for position, _ in query.asked]
    wanted = logits[positions].astype(np.float64)
    highest = wanted.max(axis=1)
    total = highest + np.log(np.exp(wanted - highest[:, None]).sum(axis=1))
    tokens = [token for _, token in query.asked]
    return [float(value) for value in wanted[np.arange(len(tokens)), tokens] - total]


def _providers(described: Mapping[str, Any]) -> list[str]:
    """The first provider that a model's file names, if any, by its full name."""
    options = described["decoder"].get("session_options", {}).get("provider_options", ())
    return [full_name(name) for each in options for name in each][:1]


def _integer(value: object) -> int:
    if not isinstance(value, int):
        raise ValueError(f"genai_config.json: expected a number, found {value!r}")
    return value
