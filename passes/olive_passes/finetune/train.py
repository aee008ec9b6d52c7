# ruff: noqa: TID253 - heavy module, imported lazily by olive_passes.finetune
"""A fine-tuning pass at work: base, adapters, rows, training core, result."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

import torch

from olive_engine.contracts import Log, PassContext
from olive_engine.models import HfAdapterModel, HfModel, TrialState
from olive_engine.quiet import quiet
from olive_passes.finetune import lean, trainer
from olive_passes.finetune.adapter import attach, save_adapter
from olive_passes.finetune.base import resident_base, structural_copy
from olive_passes.finetune.cores import base_dtype, core_of, mixed_precision, quantization_of
from olive_passes.finetune.objections import WITHOUT_FLOAT16
from olive_passes.finetune.options import LoRAConfig
from olive_passes.finetune.rows import Row, hold_out, training_rows


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
    chosen = core_of(config)
    if chosen.name != "lean":
        raise ValueError(f"only the lean training core runs in segments, and {'; '.join(chosen.reasons)}")
    return _train(model, config, context)


def _train(model: HfModel, config: LoRAConfig, context: PassContext) -> HfAdapterModel | TrialState:
    args = config.training_args
    seed = args.seed if args.seed is not None else context.seed
    rows, eval_rows = _split(config, seed, context)
    mixed, device = mixed_precision(config), context.device
    if mixed == "float16" and device.kind == "cpu":
        option = "training_args.fp16" if args.fp16 else "torch_dtype"
        raise ValueError(f"{option}: training in float16 needs a GPU; {WITHOUT_FLOAT16[option]}")
    if args.needs_bitsandbytes and find_spec("bitsandbytes") is None:
        raise ModuleNotFoundError(
            f"training_args.optim: {args.optim} needs bitsandbytes, which is not installed: pip install bitsandbytes"
        )
    devices = range(torch.cuda.device_count()) if device.kind == "gpu" else []
    with torch.random.fork_rng(devices), quiet(), _tf32(allowed=config.allow_tf32 and device.kind == "gpu"):
        resident = resident_base(model, base_dtype(config, device), quantization_of(config, device), context)
        base = structural_copy(resident, own_biases=config.bias != "none")
        adapted = attach(base, config, seed)
        if core_of(config).name == "lean":
            autocast = getattr(torch, mixed) if mixed else None
            trial = lean.run(adapted, rows, eval_rows, args, autocast, seed, context)
            if context.segment is not None and context.segment.until < 1:
                return lean.save_state(trial, context)
        else:
            trainer.run(adapted, rows, eval_rows, config, seed, context)
        save_adapter(adapted, context.out / "adapter")
    return HfAdapterModel(
        model_path=model.model_path,
        adapter_path=context.out / "adapter",
        task=model.task,
        load_kwargs=model.load_kwargs,
    )


def _split(config: LoRAConfig, seed: int, context: PassContext) -> tuple[list[Row], list[Row]]:
    """The rows to train on, and those to evaluate on."""
    rows = _rows("train_data_config", config.train_data_config, context)
    if not rows:
        raise ValueError("train_data_config: name the data config with the training rows")
    size = config.held_out
    if size is None:
        return rows, _rows("eval_data_config", config.eval_data_config, context)
    data_seed = config.training_args.data_seed
    try:
        kept, held_out = hold_out(rows, size, seed if data_seed is None else data_seed)
    except ValueError as error:
        raise ValueError(f"eval_dataset_size: {error}") from error
    context.report(Log(message=f"{len(held_out)} of {len(rows)} training rows are held out to evaluate on"))
    return kept, held_out


@contextmanager
def _tf32(*, allowed: bool) -> Iterator[None]:
    """Let float32 matrix products on a GPU round their factors to TF32, or not; as before when it ends."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def _rows(option: str, name: str | None, context: PassContext) -> list[Row]:
    if name is None:
        return []
    try:
        return training_rows(context.data[option])
    except ValueError as error:
        raise ValueError(f"{option}: {name}: {error}") from error
