"""Which training core and which precisions a config leads to: pure functions, part of the step key."""

from __future__ import annotations

from typing import Literal, NamedTuple

from olive_engine.contracts import Device
from olive_passes.finetune.options import LoRAConfig, QLoRAConfig

Dtype = Literal["float32", "bfloat16", "float16"]


class Core(NamedTuple):
    """A training core, and why this one."""

    name: Literal["lean", "trainer"]
    reasons: tuple[str, ...]


class Quantization(NamedTuple):
    """How the weights of a base are kept in 4 bits."""

    quant_type: Literal["nf4", "fp4"]
    double_quant: bool
    compute_dtype: Dtype


def core_of(config: LoRAConfig) -> Core:
    """The lean core where it supports every option set, else transformers' Trainer, with what asks for it."""
    args = config.training_args
    reasons = []
    if args.optim not in ("adamw_torch", "adamw_torch_fused"):
        reasons.append(f"training_args.optim is {args.optim}")
    if args.gradient_checkpointing:
        reasons.append("training_args.gradient_checkpointing is set")
    if args.neftune_noise_alpha is not None:
        reasons.append("training_args.neftune_noise_alpha is set")
    if args.label_smoothing_factor:
        reasons.append("training_args.label_smoothing_factor is set")
    if args.fp16:
        reasons.append("training_args.fp16 is set, which needs loss scaling")
    elif config.torch_dtype == "float16":
        reasons.append("torch_dtype is float16, which needs loss scaling")
    return Core("trainer", tuple(reasons)) if reasons else Core("lean", ("every option is one it supports",))


def mixed_precision(config: LoRAConfig) -> Literal["bfloat16", "float16"] | None:
    """The precision of the computations where it is another than that of the adapters."""
    if config.training_args.fp16 or config.torch_dtype == "float16":
        return "float16"
    return "bfloat16" if config.training_args.bf16 else None


def base_dtype(config: LoRAConfig, device: Device) -> Dtype:
    """The precision in which the base is kept on `device`, but for layers of 4 bits."""
    if config.torch_dtype != "auto":
        return config.torch_dtype
    if config.training_args.fp16:
        return "float32"  # the sum of all layers' outputs, kept in the base's precision, may overflow in float16
    return "bfloat16" if config.training_args.bf16 or device.bf16 else "float32"


def quantization_of(config: LoRAConfig, device: Device) -> Quantization | None:
    """How the base is quantized; none where it is not."""
    if not isinstance(config, QLoRAConfig):
        return None
    compute = config.compute_dtype or mixed_precision(config) or base_dtype(config, device)
    return Quantization(config.quant_type, config.double_quant, compute)
