"""The model under evaluation, whatever runs it: probabilities of given tokens, and greedy generation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from olive_engine.contracts import PassContext
from olive_engine.digests import canonical_json
from olive_engine.models import HfAdapterModel, HfModel, Model, OnnxModel

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


REQUIRES = (
    "numpy",
    "onnxruntime-genai|onnxruntime-genai-cuda|onnxruntime-genai-directml",
    "peft",
    "safetensors",
    "torch",
    "transformers",
)
"""Distributions that running a language model takes, of whatever kind it turns out to be."""


@dataclass(frozen=True, slots=True)
class Query:
    """A question to a model: how likely is a token at a position, given all tokens before it?"""

    tokens: tuple[int, ...]
    """What the model reads; not empty."""
    asked: tuple[tuple[int, int], ...]
    """(position, token): the position is from 1 to ``len(tokens)``, and the token need not be the one that is there."""

    @property
    def kept(self) -> int:
        """How many positions, from the end, the answer needs the model's output at."""
        return len(self.tokens) + 1 - min(position for position, _ in self.asked)


@dataclass(frozen=True, slots=True)
class Generation:
    """What a model wrote, and how long it took."""

    tokens: tuple[tuple[int, ...], ...]
    """For each prompt the new tokens, up to and without the first one that ends the text."""
    prompt_seconds: float
    """Until the first new token of every prompt was known."""
    decode_seconds: float
    """For all new tokens after the first."""


class Subject(Protocol):
    """A loaded model. Jobs share it: nothing may change it."""

    tokenizer: PreTrainedTokenizerFast
    vocabulary: int
    """Width of the model's output."""
    context_length: int | None
    """The longest sequence that it takes, in tokens; none: it names no limit."""

    def outputs(self, query: Query) -> int:
        """At how many positions the model computes its output to answer `query`: what decides the memory it takes."""

    def score(self, queries: Sequence[Query]) -> list[list[float]]:
        """Answer the queries in one batch: for each its log-probabilities, in nats, in the order of `asked`."""

    def generate(self, prompts: Sequence[Sequence[int]], new_tokens: int, *, stop_at_end: bool = True) -> Generation:
        """Continue each prompt with the likeliest token, `new_tokens` times.

        Args:
            prompts: not empty each; they need not be equally long.
            new_tokens: at most so many for each prompt, at least 1.
            stop_at_end: a prompt is done at its first end-of-text token; else all get exactly `new_tokens`.
        """


def open_subject(model: Model, context: PassContext) -> Subject:
    """Load `model` for evaluation on the job's device; the metrics of one worker share it.

    Raises:
        ValueError: nothing here can run a model of that kind, or the ONNX model has no ``genai_config.json``.
    """
    device, threads = context.device, context.threads
    subject: Subject
    if isinstance(model, HfModel | HfAdapterModel):
        hf_model, folders = model, [getattr(model, name) for name in model.part_names()]
        key = ("subject", *folders, canonical_json(model.load_kwargs), device.kind)

        def load_hf() -> Subject:
            from olive_engine.evaluation.hf import load

            return load(hf_model, device)

        subject = context.resident(key, load_hf)
        return subject
    if isinstance(model, OnnxModel):
        folder = model.model_path
        if not (folder / "genai_config.json").is_file():
            raise ValueError(
                f"{model.onnx_file_name} has no genai_config.json beside it, so onnxruntime-genai cannot run it as a "
                "language model; build it with ModelBuilder, or measure size_on_disk only"
            )

        def load_genai() -> Subject:
            from olive_engine.evaluation.genai import load

            return load(folder, threads, device.execution_providers)

        subject = context.resident(("subject", folder, threads, device.execution_providers), load_genai)
        return subject
    raise ValueError(f"expected a language model (HfModel, HfAdapterModel, OnnxModel), found {type(model).__name__}")


def require_room(subject: Subject, length: int, what: str) -> None:
    """Refuse sequences longer than the model's context.

    Raises:
        ValueError: `length` tokens do not fit; `what` says which sequence and which option to change.
    """
    if subject.context_length is not None and length > subject.context_length:
        raise ValueError(f"{what}: {length} tokens are more than the {subject.context_length} that the model takes")
