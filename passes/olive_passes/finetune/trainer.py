# ruff: noqa: TID253 - heavy module, imported lazily by olive_passes.finetune
# ruff: noqa: ARG002 - TrainerCallback's methods are called with these names
"""The same training through transformers' Trainer, for the options that the lean core does not know."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from peft import PeftModel
from torch.utils.data import DataLoader, Dataset, Sampler
from transformers import PreTrainedModel, Trainer, TrainerCallback, TrainerControl, TrainerState
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from olive_engine.contracts import Metrics, PassContext, Progress
from olive_engine.errors import Stopped
from olive_passes.finetune import best, core
from olive_passes.finetune.arguments import TrainingArgs
from olive_passes.finetune.batches import Plan
from olive_passes.finetune.cores import mixed_precision
from olive_passes.finetune.options import LoRAConfig
from olive_passes.finetune.rows import Row
from olive_passes.finetune.trainer_arguments import trainer_arguments
from olive_passes.finetune.training import not_a_number

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
        args=trainer_arguments(config, plan, seed, folder, context, evaluates=bool(eval_rows)),
        train_dataset=_Rows(rows),
        eval_dataset=_Rows(eval_rows),  # it wants one; `evaluate` has the rows
        data_collator=_collate,
        callbacks=[watch],
    )
    trainer.plan, trainer.eval_rows, trainer.options, trainer.context = plan, eval_rows, args, context
    mixed = mixed_precision(config)
    trainer.autocast = getattr(torch, mixed) if mixed else None
    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(ProgressCallback)
    checkpoint = _last_checkpoint(folder)
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if watch.stopped:
        raise Stopped(f"stopped after step {trainer.state.global_step} of {plan.total_steps}; a checkpoint was kept")
    values = watch.totals(trainer.state)
    if eval_rows:
        values |= trainer.evaluate()
        if args.load_best_model_at_end:
            values |= best.restore(context.state / best.FILE, trainer.parameters())
    context.report(Metrics(values=values))


class _PlannedTrainer(Trainer):
    """A Trainer that takes its batches in the plan's order and measures the loss as the lean core does."""

    plan: Plan
    eval_rows: Sequence[Row]
    options: TrainingArgs
    autocast: torch.dtype | None
    context: PassContext
    latest: tuple[int, dict[str, float]] = (-1, {})
    """The last evaluation: after which step, and what it gave."""

    def get_train_dataloader(self) -> DataLoader[dict[str, torch.Tensor]]:
        return _EpochLoader(
            cast(Dataset[Any], self.train_dataset), batch_sampler=_Order(self.plan), collate_fn=self.data_collator
        )

    def parameters(self) -> dict[str, torch.Tensor]:
        """The trained ones, by name."""
        return {name: p for name, p in cast(PeftModel, self.model).named_parameters() if p.requires_grad}

    def evaluate(self, *_: object, **__: object) -> dict[str, float]:
        """The loss now; measured once a step, however often it is asked for."""
        step = self.state.global_step
        if self.latest[0] != step:
            self.latest = (step, self._measure())
            if step < self.plan.total_steps:
                self.context.report(Progress(step=step, total=self.plan.total_steps, values=self.latest[1]))
        # This takes back the wish for an evaluation, which would be asked for again at the end of the epoch.
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, self.latest[1])
        return self.latest[1]

    def _measure(self) -> dict[str, float]:
        model = cast(PreTrainedModel, cast(PeftModel, self.model).base_model.model)
        size = self.options.per_device_eval_batch_size
        loss = core.evaluate(model, self.eval_rows, size, self.args.device, self.autocast)
        if self.options.load_best_model_at_end:
            best.consider(self.context.state / best.FILE, self.parameters(), loss, self.state.global_step)
        return {"eval_loss": loss}


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


def _last_checkpoint(folder: Path) -> Path | None:
    """The newest complete checkpoint; those that were cut short are removed."""
    found = []
    for checkpoint in folder.glob("checkpoint-*"):
        if (checkpoint / COMPLETE).exists():
            found.append(checkpoint)
        else:
            shutil.rmtree(checkpoint)
    return max(found, key=lambda path: int(path.name.removeprefix("checkpoint-")), default=None)
