"""The memory and disk that a fine-tuning takes at the least, from the sizes of the base's weights."""

from __future__ import annotations

from math import prod

from olive_engine.contracts import Device, Known, Needs
from olive_passes.finetune.cores import base_dtype, quantization_of
from olive_passes.finetune.objections import HEAD, linear_layers, targets
from olive_passes.finetune.options import LoRAConfig

ADAPTER_WEIGHT = 4
"""Bytes of a weight of an adapter: float32. Training takes as much again for its gradient."""


def needs(config: LoRAConfig, known: Known) -> Needs:
    """The base and the adapters; activations and the optimizer's moments, which depend on much else, come on top."""
    checkpoint = known.checkpoint
    if checkpoint is None or "quantization_config" in checkpoint.config:
        return Needs()
    device = known.device or Device(bf16=True)  # where less is needed
    layers = linear_layers(checkpoint)
    width = 4 if base_dtype(config, device) == "float32" else 2
    in_four_bits = set(layers) - {HEAD} if quantization_of(config, device) is not None else set()
    base = 0.0
    for name, shape in checkpoint.tensors.items():
        if len(shape) > 3:
            continue  # a mask, which older files of GPT-2 hold: made anew by the model
        base += prod(shape) * (0.5 if name.removesuffix(".weight") in in_four_bits else width)
    adapters = sum(config.r * sum(shape) for shape in targets(config, layers).values()) * ADAPTER_WEIGHT
    return Needs(memory=int(base) + 2 * adapters, disk=adapters)
