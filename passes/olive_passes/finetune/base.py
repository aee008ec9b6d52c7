# ruff: noqa: TID253 - heavy module, imported lazily by olive_passes.finetune
"""The frozen base model: loaded once for all jobs of a worker, and copied in structure for each."""

from __future__ import annotations

import copy
import json
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, PreTrainedModel

from olive_engine.contracts import PassContext
from olive_engine.models import HfModel
from olive_passes.finetune.cores import Dtype, Quantization

BLOCK = 64
"""Weights that share a scale when they are kept in 4 bits."""


def resident_base(
    model: HfModel, dtype: Dtype, quantization: Quantization | None, context: PassContext
) -> PreTrainedModel:
    """The base on the job's device, frozen and shared with this worker's other jobs: never change it.

    Args:
        model: the files.
        dtype: the precision of all that is not quantized.
        quantization: how the linear layers but the head are kept in 4 bits; none: they are not.
        context: of the job.
    """
    key = (
        "frozen causal language model",
        model.model_path,
        json.dumps(model.load_kwargs, sort_keys=True),
        dtype,
        quantization,
        context.device.torch,
    )
    base: PreTrainedModel = context.resident(key, lambda: _load(model, dtype, quantization, context.device.torch))
    return base


def structural_copy(base: PreTrainedModel, *, own_biases: bool = False) -> PreTrainedModel:
    """A model of new modules over the same tensors: its modules may be replaced, its tensors may not be changed.

    Args:
        base: the model to copy.
        own_biases: give the copy biases of its own, which may be trained.
    """
    shared: dict[int, object] = {id(buffer): buffer for buffer in base.buffers()}
    for name, parameter in base.named_parameters():
        if not (own_biases and name.endswith("bias")):
            shared[id(parameter)] = parameter
    for module in base.modules():
        if (state := getattr(module, "quant_state", None)) is not None:
            shared[id(state)] = state  # the scales of a layer of 4 bits
    return copy.deepcopy(base, shared)


def _load(model: HfModel, dtype: Dtype, quantization: Quantization | None, device: str) -> PreTrainedModel:
    # A pickle is read only where the workflow says so; the precision is the pass's own option.
    options: dict[str, Any] = {"use_safetensors": True} | model.load_kwargs
    options.pop("torch_dtype", None)
    options["dtype"] = dtype
    if quantization is not None:
        options |= {"quantization_config": _bitsandbytes(quantization), "device_map": {"": device}}
    base: PreTrainedModel = AutoModelForCausalLM.from_pretrained(model.model_path, local_files_only=True, **options)
    base.requires_grad_(requires_grad=False)
    base.config.use_cache = False
    base.eval()  # type: ignore[no-untyped-call]  # transformers leaves it untyped
    if quantization is not None:
        _settle(base, getattr(torch, quantization.compute_dtype), device)
    elif device != "cpu":
        base.to(device)  # type: ignore[arg-type]  # transformers hides torch's overloads behind a wrapper
    return base


def _bitsandbytes(quantization: Quantization) -> BitsAndBytesConfig:
    return BitsAndBytesConfig(  # type: ignore[no-untyped-call]  # transformers leaves it untyped
        load_in_4bit=True,
        bnb_4bit_quant_type=quantization.quant_type,
        bnb_4bit_use_double_quant=quantization.double_quant,
        bnb_4bit_compute_dtype=getattr(torch, quantization.compute_dtype),
    )


def _settle(base: PreTrainedModel, compute: torch.dtype, device: str) -> None:
    """Make the layers of 4 bits such that they compute rightly and leave their tensors, which are shared, alone."""
    from bitsandbytes.nn.modules import Linear4bit

    quantized = {name: module for name, module in base.named_modules() if isinstance(module, Linear4bit)}
    for name, module in quantized.items():
        if device == "cpu" and module.in_features % BLOCK:
            base.set_submodule(name, _unpacked(module, base.dtype))
            continue
        # On CPUs with bfloat16 instructions the first pass in evaluation mode would repack the weights in place: with
        # scales rounded to bfloat16, and without a gradient from then on.
        module.support_avx512bf16_for_cpu = False
        if module.bias is not None:
            module.bias.data = module.bias.data.to(compute)  # as the first pass would do


def _unpacked(module: Any, dtype: torch.dtype) -> nn.Linear:
    """The same layer with its rounded weights as floats.

    bitsandbytes' CPU code takes the blocks of a row to begin with the row, though they were made of all weights in one
    line: where rows are no whole number of blocks it multiplies by wrong scales. As one row it unpacks them rightly.
    """
    from bitsandbytes.functional import dequantize_4bit

    state = copy.copy(module.weight.quant_state)
    state.shape = torch.Size([1, module.in_features * module.out_features])
    weight = dequantize_4bit(module.weight.data, state).reshape(module.out_features, module.in_features)
    plain = nn.Linear(module.in_features, module.out_features, bias=module.bias is not None, device="meta")
    plain.weight = nn.Parameter(weight.to(dtype), requires_grad=False)
    plain.bias = module.bias
    plain.source_cls = module.source_cls  # what it is on disk
    return plain
