# ruff: noqa: TID253 - heavy module, imported lazily by olive_passes.finetune
"""A fine-tuning pass at work: base, adapters, rows, training core, result."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

import torch
from peft import PeftModel
from transformers import PreTrainedModel

from olive_engine.contracts import PassContext
from olive_engine.models import HfAdapterModel, HfModel, TrialState
from olive_engine.quiet import quiet
from olive_passes.finetune import lean, trainer
from olive_passes.finetune.adapter import attach, save_adapter
from olive_passes.finetune.base import resident_base, structural_copy
from olive_passes.finetune.cores import base_dtype, core_of, mixed_precision, quantization_of
from olive_passes.finetune.dropout import use_adapter_dropout
from olive_passes.finetune.objections import WITHOUT_FLOAT16
from olive_passes.finetune.options import LoRAConfig
from olive_passes.finetune.packable import whole_because
from olive_passes.finetune.training import Training
from olive_passes.finetune.training_data import TrainingData, training_data


def train(model: HfModel, config: LoRAConfig, context: PassContext) -> HfAdapterModel:
    """Train adapters for `model` to the end of their budget.

    Raises:
        ValueError: there is nothing to train on, or an option names a module that the model lacks.
        ModuleNotFoundError: the optimizer is one of bitsandbytes, which is not installed.
        FloatingPointError: the loss is no number any more.
        Stopped: the job was asked to stop; a checkpoint is in ``context.state``.
    """
    result = _train(model, config, context)
    if isinstance(result, TrialState):
        raise TypeError("a whole training ended in a state: call train_segment for stretches")
    return result


def train_segment(model: HfModel, config: LoRAConfig, context: PassContext) -> HfAdapterModel | TrialState:
    """Train one stretch of the budget; the last one gives the adapters. Raises as `train` does."""
    if reason := whole_because(config):
        raise ValueError(reason)
    return _train(model, config, context)


@contextmanager
def workplace(model: HfModel, config: LoRAConfig, context: PassContext) -> Iterator[PreTrainedModel]:
    """The frozen base, and what holds while it is trained on: random numbers of its own, no chatter, TF32 as asked for.

    Raises:
        ValueError: the device does not train in this precision.
    """
    device = context.device
    if mixed_precision(config) == "float16" and device.kind == "cpu":
        option = "training_args.fp16" if config.training_args.fp16 else "torch_dtype"
        raise ValueError(f"{option}: training in float16 needs a GPU; {WITHOUT_FLOAT16[option]}")
    devices = range(torch.cuda.device_count()) if device.kind == "gpu" else []
    with torch.random.fork_rng(devices), quiet(), _tf32(allowed=config.allow_tf32 and device.kind == "gpu"):
        yield resident_base(model, base_dtype(config, device), quantization_of(config, device), context)


def begin(base: PreTrainedModel, config: LoRAConfig, data: TrainingData, context: PassContext) -> Training:
    """A training on the lean core, with fresh adapters on a structural copy of `base`, set to its last state."""
    mixed = mixed_precision(config)
    autocast = getattr(torch, mixed) if mixed else None
    adapted = attach(structural_copy(base, own_biases=config.bias != "none"), config, data.seed)
    if context.device.kind == "cpu":
        use_adapter_dropout(adapted)
    return Training(adapted, data.rows, data.eval_rows, config.training_args, autocast, data.seed, context)


def end(training: Training, model: HfModel) -> HfAdapterModel | TrialState:
    """Write what a training that is through with its stretch came to."""
    segment = training.context.segment
    if segment is not None and segment.until < 1:
        return training.save_state()
    return _saved(training.trial.model, model, training.context)


def _train(model: HfModel, config: LoRAConfig, context: PassContext) -> HfAdapterModel | TrialState:
    data = training_data(config, context)
    optim = config.training_args.optim
    if config.training_args.needs_bitsandbytes and find_spec("bitsandbytes") is None:
        raise ModuleNotFoundError(
            f"training_args.optim: {optim} needs bitsandbytes, which is not installed: pip install bitsandbytes"
        )
    with workplace(model, config, context) as base:
        if core_of(config).name == "lean":
            training = begin(base, config, data, context)
            lean.run(training)
            return end(training, model)
        adapted = attach(structural_copy(base, own_biases=config.bias != "none"), config, data.seed)
        trainer.run(adapted, data.rows, data.eval_rows, config, data.seed, context)
        return _saved(adapted, model, context)


def _saved(adapted: PeftModel, model: HfModel, context: PassContext) -> HfAdapterModel:
    save_adapter(adapted, context.out / "adapter")
    return HfAdapterModel(
        model_path=model.model_path,
        adapter_path=context.out / "adapter",
        task=model.task,
        load_kwargs=model.load_kwargs,
    )


@contextmanager
def _tf32(*, allowed: bool) -> Iterator[None]:
    """Let float32 matrix products on a GPU round their factors to TF32, or not; as before when it ends."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
