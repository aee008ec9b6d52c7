# ruff: noqa: TID253 - heavy module, imported lazily by olive_passes.finetune
"""What transformers' Trainer is told."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from transformers import TrainingArguments

from olive_engine.contracts import PassContext
from olive_passes.finetune.batches import Plan
from olive_passes.finetune.cores import mixed_precision
from olive_passes.finetune.options import LoRAConfig


def trainer_arguments(
    config: LoRAConfig, plan: Plan, seed: int, folder: Path, context: PassContext, *, evaluates: bool
) -> TrainingArguments:
    """The options as transformers' Trainer takes them.

    Args:
        config: the options.
        plan: which rows make up which step.
        seed: of what is random but the order of the rows.
        folder: for checkpoints.
        context: of the job.
        evaluates: whether there are rows to evaluate on.
    """
    args, mixed = config.training_args, mixed_precision(config)
    names = {field.name for field in fields(TrainingArguments)}
    # transformers has renamed this option.
    checkpointing = "activation_checkpointing" if "activation_checkpointing" in names else "gradient_checkpointing"
    extra: dict[str, Any] = {checkpointing: True} if args.gradient_checkpointing else {}
    arguments = TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=args.per_device_train_batch_size,
        per_device_eval_batch_size=args.per_device_eval_batch_size,
        gradient_accumulation_steps=args.gradient_accumulation_steps,
        max_steps=plan.total_steps,
        learning_rate=args.learning_rate,
        lr_scheduler_type=args.lr_scheduler_type,
        lr_scheduler_kwargs=dict(args.lr_scheduler_kwargs),
        warmup_steps=args.warmup(plan.total_steps),
        weight_decay=args.weight_decay,
        max_grad_norm=args.max_grad_norm,
        optim=args.optim,
        adam_beta1=args.adam_beta1,
        adam_beta2=args.adam_beta2,
        adam_epsilon=args.adam_epsilon,
        label_smoothing_factor=args.label_smoothing_factor,
        neftune_noise_alpha=args.neftune_noise_alpha,
        logging_steps=args.logging_steps,
        logging_nan_inf_filter=False,
        eval_strategy=args.evaluates if evaluates else "no",
        eval_steps=args.eval_every,
        save_strategy="steps",
        save_steps=args.save_steps,
        save_total_limit=2,
        seed=seed,
        fp16=mixed == "float16",
        bf16=mixed == "bfloat16",
        use_cpu=context.device.kind == "cpu",
        dataloader_pin_memory=False,
        remove_unused_columns=False,
        disable_tqdm=True,
        report_to=[],
        **extra,
    )
    if arguments.n_gpu > 1:
        # A job has one device: over several, Trainer would split the plan's batches among them.
        arguments._n_gpu = 1  # noqa: SLF001 - transformers offers no other way
    return arguments
