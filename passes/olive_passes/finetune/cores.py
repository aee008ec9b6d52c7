"""Which training core and which precision a config leads to: pure functions, part of the step key."""

from __future__ import annotations

from typing import Literal, NamedTuple

from olive_engine.contracts import Device
from olive_passes.finetune.options import LoRAConfig

Dtype = Literal["float32", "bfloat16", "float16"]


class Core(NamedTuple):
    """A training core, and why this one."""

    name: Literal["lean", "trainer"]
    reasons: tuple[str, ...]


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
    if config.torch_dtype == "float16":
        reasons.append("torch_dtype is float16, which needs loss scaling")
    return Core("trainer", tuple(reasons)) if reasons else Core("lean", ("every option is one it supports",))


def resolve_dtype(option: Literal["auto", "float32", "bfloat16", "float16"], device: Device) -> Dtype:
    """The precision of the base on `device`."""
    if option != "auto":
        return option
    return "bfloat16" if device.bf16 else "float32"
