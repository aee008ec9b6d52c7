# ruff: noqa: TID253 - heavy module, imported lazily by olive_passes.finetune
# ruff: noqa: ARG002 - TrainerCallback's methods are called with these names
"""The same training through transformers' Trainer, for the options that the lean core does not know."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, cast

import torch
from peft import PeftModel
from torch.utils.data import DataLoader, Dataset, Sampler
from transformers import PreTrainedModel, Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from olive_engine.contracts import Metrics, PassContext, Progress
from olive_engine.errors import Stopped
from olive_passes.finetune import core
from olive_passes.finetune.batches import Plan
from olive_passes.finetune.lean import not_a_number
from olive_passes.finetune.options import LoRAConfig, TrainingArgs
from olive_passes.finetune.rows import Row

COMPLETE = "complete"
"""Written into a checkpoint after all else: a folder without it was cut short."""


def run(
    model: PeftModel,
    rows: Sequence[Row],
    eval_rows: Sequence[Row],
    config: LoRAConfig,
    seed: int,
    context: PassContext,
) -> None:
    """Train `model` to the end of its budget.

    Raises:
        FloatingPointError: the loss is no number any more.
        Stopped: the job was asked to stop; a checkpoint is in ``context.state``.
    """
    args = config.training_args
    plan = Plan([len(row) for row in rows], args, seed)
    folder = context.state / "trainer"
    watch = _Watch(plan, args, context, rows)
    trainer = _PlannedTrainer(
        model=model,
        args=_arguments(config, plan, seed, folder, context),
        train_dataset=_Rows(rows),
        data_collator=_collate,
        callbacks=[watch],
    )
    trainer.plan, trainer.eval_rows, trainer.options, trainer.context = plan, eval_rows, args, context
    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(ProgressCallback)
    checkpoint = _last_checkpoint(folder)
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if watch.stopped:
        raise Stopped(f"stopped after step {trainer.state.global_step} of {plan.total_steps}; a checkpoint was kept")
    values = watch.totals(trainer.state)
    if eval_rows:
        values["eval_loss"] = trainer.evaluate()["eval_loss"]
    context.report(Metrics(values=values))


class _PlannedTrainer(Trainer):
    """A Trainer that takes its batches in the plan's order and measures the loss as the lean core does."""

    plan: Plan
    eval_rows: Sequence[Row]
    options: TrainingArgs
    context: PassContext

    def get_train_dataloader(self) -> DataLoader[dict[str, torch.Tensor]]:
        return _EpochLoader(
            cast(Dataset[Any], self.train_dataset), batch_sampler=_Order(self.plan), collate_fn=self.data_collator
        )

    def evaluate(self, *_: object, **__: object) -> dict[str, float]:
        model = cast(PeftModel, self.model).base_model.model
        loss = core.evaluate(
            cast(PreTrainedModel, model), self.eval_rows, self.options.per_device_eval_batch_size, self.args.device
        )
        values = {"eval_loss": loss}
        if self.state.global_step < self.plan.total_steps:
            self.context.report(Progress(step=self.state.global_step, total=self.plan.total_steps, values=values))
        return values


class _Watch(TrainerCallback):
    """Reports, stops, and marks checkpoints as complete."""

    def __init__(self, plan: Plan, args: TrainingArgs, context: PassContext, rows: Sequence[Row]) -> None:
        self.plan, self.args, self.context = plan, args, context
        self.epoch_tokens = sum(len(row) for row in rows)
        self.stopped = False
        self.started = time.monotonic()
        self.first_step = 0

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.started, self.first_step = time.monotonic(), state.global_step

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        last = state.global_step == self.plan.total_steps
        if self.context.should_stop() and not last:
            self.stopped = control.should_save = control.should_training_stop = True
        # No checkpoint without a look at the loss before it, and every step's loss in one entry of the log.
        if control.should_save or last:
            control.should_log = True

    def on_save(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        (Path(args.output_dir) / f"checkpoint-{state.global_step}" / COMPLETE).touch()

    def on_log(
        self, args: Any, state: TrainerState, control: TrainerControl, logs: dict[str, float] | None = None, **_: Any
    ) -> None:
        if logs is None or "loss" not in logs:
            return
        if not math.isfinite(logs["loss"]):
            raise FloatingPointError(not_a_number(logs["loss"], state.global_step, self.args))
        values = {
            "loss": logs["loss"],
            "learning_rate": logs["learning_rate"],
            "tokens_per_second": self._speed(state.global_step),
        }
        self.context.report(Progress(step=state.global_step, total=self.plan.total_steps, values=values))

    def totals(self, state: TrainerState) -> dict[str, float]:
        """The metrics of the whole training."""
        losses = [(entry["step"], entry["loss"]) for entry in state.log_history if "loss" in entry]
        begins = [0, *(step for step, _ in losses)]
        # Each entry is the mean over the steps since the one before it.
        total = sum(loss * (step - begin) for begin, (step, loss) in zip(begins, losses, strict=False))
        return {
            "train_loss": total / losses[-1][0],
            "steps": state.global_step,
            "tokens": self._tokens(state.global_step),
            "tokens_per_second": self._speed(state.global_step),
        }

    def _tokens(self, step: int) -> int:
        epochs, rest = divmod(step, self.plan.steps_per_epoch)
        first = epochs * self.plan.steps_per_epoch
        return epochs * self.epoch_tokens + sum(self.plan.tokens(first + i) for i in range(rest))

    def _speed(self, step: int) -> float:
        return (self._tokens(step) - self._tokens(self.first_step)) / (time.monotonic() - self.started)


class _Rows(Dataset[Row]):
    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Row:
        return self.rows[index]


class _Order(Sampler[list[int]]):
    """The batches of one epoch of the plan."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.current = plan, 0

    def __len__(self) -> int:
        return self.plan.batches_per_epoch

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.plan.epoch(self.current))

    def set_epoch(self, epoch: int) -> None:
        self.current = epoch


class _EpochLoader(DataLoader[Any]):
    def set_epoch(self, epoch: int) -> None:
        """Called by Trainer; on a resumed epoch it reaches the sampler by itself."""
        self.batch_sampler.set_epoch(epoch)  # type: ignore[union-attr]  # it is always an _Order


def _collate(rows: Sequence[Row]) -> dict[str, torch.Tensor]:
    """Right-padded ``(rows, length)`` tensors; labels are -100 where nothing is trained."""
    pad = torch.nn.utils.rnn.pad_sequence
    return {
        "input_ids": pad([row.ids for row in rows], batch_first=True),
        "attention_mask": pad([torch.ones_like(row.ids) for row in rows], batch_first=True),
        "labels": pad([row.ids.masked_fill(~row.trained, -100) for row in rows], batch_first=True, padding_value=-100),
    }


def _arguments(config: LoRAConfig, plan: Plan, seed: int, folder: Path, context: PassContext) -> TrainingArguments:
    args = config.training_args
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
        eval_strategy=args.eval_strategy if config.eval_data_config else "no",
        eval_steps=args.eval_steps or args.logging_steps,
        save_strategy="steps",
        save_steps=args.save_steps,
        save_total_limit=2,
        seed=seed,
        fp16=config.torch_dtype == "float16",
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


def _last_checkpoint(folder: Path) -> Path | None:
    """The newest complete checkpoint; those that were cut short are removed."""
    found = []
    for checkpoint in folder.glob("checkpoint-*"):
        if (checkpoint / COMPLETE).exists():
            found.append(checkpoint)
        else:
            shutil.rmtree(checkpoint)
    return max(found, key=lambda path: int(path.name.removeprefix("checkpoint-")), default=None)
