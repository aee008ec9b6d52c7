# ruff: noqa: TID253 - heavy module, imported lazily by olive_passes.model_builder.verify
"""Weights rounded as ONNX Runtime's block quantizer rounds them, in torch: what error a precision explains."""

from __future__ import annotations

import torch
from transformers import PreTrainedModel


@torch.no_grad()
def round_weights(model: PreTrainedModel, *, bits: int, block: int, embedding_too: bool) -> None:
    """Replace every matrix of `model` by what is left of it after quantization, in place.

    The embedding stays as it is unless it is the head as well, or `embedding_too`.
    """
    embedding = model.get_input_embeddings().weight
    # Listed under two names: the head's too.
    tied = sum(parameter is embedding for _, parameter in model.named_parameters(remove_duplicate=False)) > 1
    for parameter in model.parameters():
        if parameter.ndim >= 2 and (parameter is not embedding or tied or embedding_too):
            parameter.copy_(rounded(parameter, bits=bits, block=block))


def rounded(weight: torch.Tensor, *, bits: int, block: int) -> torch.Tensor:
    """Round to `bits` in blocks along the last dimension, symmetrically, as ``MatMulNBits`` stores it.

    The value of largest magnitude in a block is its scale times the lowest level, whatever its sign.

    Args:
        weight: (..., inputs).
        bits: of a level; there are ``2**bits`` around zero.
        block: weights with one scale.
    """
    inputs = weight.shape[-1]
    padded = torch.nn.functional.pad(weight, (0, -inputs % block))
    blocks = padded.reshape(*weight.shape[:-1], -1, block)
    lowest = -(2 ** (bits - 1))
    scale = blocks.gather(-1, blocks.abs().argmax(-1, keepdim=True)) / lowest
    levels = (blocks / scale.where(scale != 0, 1.0)).round().clamp(lowest, -lowest - 1)
    kept: torch.Tensor = (levels * scale).reshape(padded.shape)[..., :inputs]
    return kept
