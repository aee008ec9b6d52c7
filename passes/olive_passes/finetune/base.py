# ruff: noqa: TID253 - heavy module, imported lazily by olive_passes.finetune
"""The frozen base model: loaded once for all jobs of a worker, and copied in structure for each."""

from __future__ import annotations

import copy
import json

from transformers import AutoModelForCausalLM, PreTrainedModel

from olive_engine.contracts import PassContext
from olive_engine.models import HfModel
from olive_passes.finetune.cores import Dtype


def resident_base(model: HfModel, dtype: Dtype, context: PassContext) -> PreTrainedModel:
    """The base in `dtype` on the job's device, frozen and shared with this worker's other jobs: never change it."""
    key = (
        "frozen causal language model",
        model.model_path,
        json.dumps(model.load_kwargs, sort_keys=True),
        dtype,
        context.device.torch,
    )
    base: PreTrainedModel = context.resident(key, lambda: _load(model, dtype, context.device.torch))
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
    return copy.deepcopy(base, shared)


def _load(model: HfModel, dtype: Dtype, device: str) -> PreTrainedModel:
    # A pickle is read only where the workflow says so; the precision is the pass's own option.
    options = {"use_safetensors": True} | model.load_kwargs
    options.pop("torch_dtype", None)
    options["dtype"] = dtype
    base: PreTrainedModel = AutoModelForCausalLM.from_pretrained(model.model_path, local_files_only=True, **options)
    base.requires_grad_(requires_grad=False)
    base.config.use_cache = False
    base.eval()  # type: ignore[no-untyped-call]  # transformers leaves it untyped
    if device == "cpu":
        return base
    return base.to(device)  # type: ignore[arg-type,no-any-return]  # transformers hides torch's overloads behind a wrapper
