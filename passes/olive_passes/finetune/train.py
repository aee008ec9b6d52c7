# ruff: noqa: TID253 - heavy module, imported lazily by olive_passes.finetune
"""The LoRA pass at work: base, adapters, rows, training core, result."""

from __future__ import annotations

import torch

from olive_engine.contracts import PassContext
from olive_engine.models import HfAdapterModel, HfModel, TrialState
from olive_engine.quiet import quiet
from olive_passes.finetune import core, lean, trainer
from olive_passes.finetune.adapter import attach, save_adapter
from olive_passes.finetune.base import resident_base, structural_copy
from olive_passes.finetune.cores import core_of, resolve_dtype
from olive_passes.finetune.options import LoRAConfig
from olive_passes.finetune.rows import Row, training_rows


def train(model: HfModel, config: LoRAConfig, context: PassContext) -> HfAdapterModel:
    """Train adapters for `model` to the end of their budget.

    Raises:
        ValueError: there is nothing to train on, or an option names a module that the model lacks.
        FloatingPointError: the loss is no number any more.
        Stopped: the job was asked to stop; a checkpoint is in ``context.state``.
    """
    result = _train(model, config, context)
    if isinstance(result, TrialState):
        raise TypeError("a whole training ended in a state: call train_segment for stretches")
    return result


def train_segment(model: HfModel, config: LoRAConfig, context: PassContext) -> HfAdapterModel | TrialState:
    """Train one stretch of the budget; the last one gives the adapters. Raises as `train` does."""
    chosen = core_of(config)
    if chosen.name != "lean":
        raise ValueError(f"only the lean training core runs in segments, and {'; '.join(chosen.reasons)}")
    return _train(model, config, context)


def _train(model: HfModel, config: LoRAConfig, context: PassContext) -> HfAdapterModel | TrialState:
    rows = _rows("train_data_config", config.train_data_config, context)
    if not rows:
        raise ValueError("train_data_config: name the data config with the training rows")
    eval_rows = _rows("eval_data_config", config.eval_data_config, context)
    args = config.training_args
    seed = args.seed if args.seed is not None else context.seed
    dtype = resolve_dtype(config.torch_dtype, context.device)
    if dtype == "float16" and context.device.kind == "cpu":
        raise ValueError("torch_dtype: float16 training needs a GPU; use float32, bfloat16 or auto")
    devices = range(torch.cuda.device_count()) if context.device.kind == "gpu" else []
    with torch.random.fork_rng(devices), quiet():
        base = structural_copy(resident_base(model, dtype, context), own_biases=config.bias != "none")
        adapted = attach(base, config, seed)
        if core_of(config).name == "lean":
            trial = lean.run(adapted, rows, eval_rows, args, seed, context)
            if context.segment is not None and context.segment.until < 1:
                core.save(trial, lean.state_path(context.out / "state"))
                return TrialState(state_path=context.out / "state")
        else:
            trainer.run(adapted, rows, eval_rows, config, seed, context)
        save_adapter(adapted, context.out / "adapter")
    return HfAdapterModel(
        model_path=model.model_path,
        adapter_path=context.out / "adapter",
        task=model.task,
        load_kwargs=model.load_kwargs,
    )


def _rows(option: str, name: str | None, context: PassContext) -> list[Row]:
    if name is None:
        return []
    try:
        return training_rows(context.data[option])
    except ValueError as error:
        raise ValueError(f"{option}: {name}: {error}") from error
