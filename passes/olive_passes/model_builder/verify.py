# ruff: noqa: TID253 - heavy module, imported lazily by olive_passes.model_builder
"""Whether a built model computes what its source computes: logits against torch's at every position of a prompt."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from olive_engine.contracts import Device
from olive_engine.models import HfModel
from olive_passes.model_builder.config import ModelBuilderConfig, Precision

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Rows = npt.NDArray[np.float64]

DECODED = 4
"""How many of the prompt's last tokens are given one at a time, so that the model's cache is tested too."""

TOLERANCE: dict[Precision, float] = {"fp32": 0.001, "fp16": 0.02, "int8": 0.1, "int4": 0.5}
"""Largest RMS error of the logits, as a fraction of their own spread. Unrelated logits of equal spread come to 1.41.

Measured on Llama, Qwen2, Phi-3 and Gemma shapes with random weights, which quantize worse than trained ones: fp32 6e-7,
fp16 0.0012, int8 0.026, int4 0.15 to 0.34.
"""

ARITHMETIC = 0.05
ROUNDING = 1.5
"""A quantized model must also be no further off than its rounding explains: ``ARITHMETIC + ROUNDING * explained``.

`explained` is the error of the source model with its own weights rounded. Measured, the two errors differ by a factor
of at most 1.22 for int4 and by 0.009 for int8. A Phi-3 one of whose layers the builder takes for the head is off by
3.6 times the explained int4 error or more, though its 0.45 would pass for a badly quantized model.
"""

WORST_POSITION = 2.0
"""At a single position the error may be this many times what is allowed over all."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A prompt, and what the source model computes for it.

    Attributes:
        ids: the prompt's tokens.
        embeddings: (position, hidden) what goes into the first layer.
        expected: (position, vocabulary) logits; (position, hidden) final hidden states where the head is left out.
        explained: RMS error of the same model with rounded weights; 0 where the precision rounds none.
    """

    ids: list[int]
    embeddings: npt.NDArray[np.float32]
    expected: Rows
    explained: float


@dataclass(frozen=True, slots=True)
class Agreement:
    """How close two models' outputs are.

    Attributes:
        rms: RMS of the difference over all positions, as a fraction of the spread of the reference. The mean of each
            position is taken out first: adding a constant to all logits changes no probability.
        worst: the same at the worst single position.
        top1: fraction of positions where both have their largest value in the same place.
        positions: how many were compared.
    """

    rms: float
    worst: float
    top1: float
    positions: int

    def metrics(self) -> dict[str, float]:
        """By the names under which they are reported."""
        return {
            "logit_rms_error": self.rms,
            "logit_worst_error": self.worst,
            "top1_agreement": self.top1,
            "verified_positions": float(self.positions),
        }


def read_sample(model: HfModel, config: ModelBuilderConfig, device: Device) -> Sample:
    """Run the source model in float32 over the prompt.

    Raises:
        ValueError: the prompt has fewer than two tokens.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    trusted = bool(model.load_kwargs.get("trust_remote_code"))
    reading = {"local_files_only": True, "trust_remote_code": trusted}
    tokenizer = AutoTokenizer.from_pretrained(model.model_path, **reading)
    source: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
        model.model_path, dtype=torch.float32, use_safetensors=True, **reading
    )
    limit = getattr(source.config, "max_position_embeddings", None)
    ids = [int(token) for token in tokenizer(config.verify_prompt).input_ids][:limit]
    if len(ids) < 2:
        raise ValueError(f"verify_prompt has {len(ids)} tokens in this model's vocabulary; give it at least two")
    source = source.to(device.torch).eval()  # type: ignore[arg-type]  # transformers types `to` for its own subclasses
    embeddings, expected = _source_rows(source, ids, config)
    explained = 0.0
    if config.precision in ("int4", "int8"):
        from olive_passes.model_builder.rounding import round_weights

        block = config.int4_block_size or 32
        embedding_too = "Gather" in (config.int4_op_types_to_quantize or ())
        round_weights(source, bits=int(config.precision[3:]), block=block, embedding_too=embedding_too)
        explained = compare(expected, _source_rows(source, ids, config)[1]).rms
    return Sample(ids=ids, embeddings=embeddings, expected=expected, explained=explained)


def onnx_rows(folder: Path, sample: Sample, config: ModelBuilderConfig, threads: int) -> tuple[list[int], Rows]:
    """What the built model computes for the prompt: the positions it gives a row for, and the rows.

    Raises:
        ValueError: it does not load or does not run.
    """
    from olive_passes.model_builder.session import session_rows

    try:
        if config.exclude_embeds or config.exclude_lm_head:  # a part of a model, which onnxruntime-genai cannot run
            rows = session_rows(folder, sample.ids, sample.embeddings, threads)
            return list(range(len(rows))), rows
        return _genai_rows(folder, sample.ids, threads)
    except Exception as error:  # onnxruntime's own exception types are private
        reason = str(error).replace(str(folder), folder.name)
        raise ValueError(f"the built {config.precision} model does not run: {reason}") from error


def compare(expected: Rows, rows: Rows) -> Agreement:
    """Compare rows (position, width) with the expected ones."""
    difference = _centred(rows - expected)
    spread = _centred(expected)
    tiny = np.finfo(np.float64).tiny
    whole = max(float((spread**2).mean()), tiny)
    # By the spread of all positions: where a model is undecided its own spread is small, and any error large beside it.
    by_position = np.sqrt((difference**2).mean(axis=1) / whole)
    return Agreement(
        rms=float(np.sqrt((difference**2).mean() / whole)),
        worst=float(by_position.max()),
        top1=float((rows.argmax(axis=1) == expected.argmax(axis=1)).mean()),
        positions=len(rows),
    )


def require_agreement(agreement: Agreement, precision: Precision, explained: float = 0.0) -> None:
    """Refuse a model that is further off than its precision tolerates or its rounding explains.

    Raises:
        ValueError: with the measured and the tolerated numbers.
    """
    allowed = TOLERANCE[precision]
    if precision in ("int4", "int8"):
        allowed = min(allowed, ARITHMETIC + ROUNDING * explained)
    # Written so that not-a-number is refused.
    if agreement.rms <= allowed and agreement.worst <= WORST_POSITION * allowed:
        return
    raise ValueError(
        f"the built {precision} model does not compute what its source computes: over {agreement.positions} positions "
        f"of verify_prompt its outputs are off by {agreement.rms:.3g} of their own spread (RMS), at worst by "
        f"{agreement.worst:.3g}, where {allowed:.3g} and {WORST_POSITION * allowed:.3g} are tolerated, and the "
        f"likeliest token is the same at {agreement.top1:.0%}"
    )


def _source_rows(
    source: PreTrainedModel, ids: list[int], config: ModelBuilderConfig
) -> tuple[npt.NDArray[np.float32], Rows]:
    """What goes into the source model's first layer, and what comes out of the last that is built."""
    import torch

    with torch.no_grad():
        output = source(torch.tensor([ids], device=source.device), output_hidden_states=True, use_cache=False)
    last = output.hidden_states[-1] if config.exclude_lm_head else output.logits
    return output.hidden_states[0][0].cpu().numpy(), last[0].double().cpu().numpy()


def _genai_rows(folder: Path, ids: list[int], threads: int) -> tuple[list[int], Rows]:
    """Logits through onnxruntime-genai: all but the last tokens at once, those one by one."""
    import onnxruntime_genai as og

    config = og.Config(str(folder))
    config.overlay(json.dumps({"model": {"decoder": {"session_options": {"intra_op_num_threads": threads}}}}))
    model = og.Model(config)
    parameters = og.GeneratorParams(model)
    parameters.set_search_options(max_length=len(ids), batch_size=1, num_beams=1, num_return_sequences=1)
    generator = og.Generator(model, parameters)
    at_once = max(1, len(ids) - DECODED)
    positions: list[int] = []
    rows: list[Rows] = []
    done = 0
    for chunk in (ids[:at_once], *([token] for token in ids[at_once:])):
        generator.append_tokens(chunk)
        done += len(chunk)
        logits = np.asarray(generator.get_output("logits"), dtype=np.float64)[0]
        # A pruned head gives the last position of a chunk only.
        positions += range(done - len(logits), done)
        rows.append(logits)
    return positions, np.concatenate(rows)


def _centred(rows: Rows) -> Rows:
    centred: Rows = rows - rows.mean(axis=1, keepdims=True)
    return centred
