# ruff: noqa: TID253 - heavy module, imported lazily by olive_passes.finetune
"""The lean training core: plain functions over the state of one training.

A trial is the adapters on a shared frozen base, the optimizer's moments and the number of the next step. All else
follows from these: the rows of a step from the plan, the learning rate from the schedule, dropout from a seed made of
the run's seed and the step. So a state file is small, a trial goes on bit for bit wherever it is loaded, and several
trials can take turns in one process.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from peft import PeftModel
from safetensors import safe_open
from safetensors.torch import save_file
from torch.nn import functional
from transformers import PreTrainedModel, get_scheduler

from olive_passes.finetune.arguments import TrainingArgs
from olive_passes.finetune.batches import seed_of
from olive_passes.finetune.rows import Batch, Row, collate


@dataclass
class Trial:
    """One training in memory."""

    model: PeftModel
    parameters: dict[str, torch.nn.Parameter]
    """The trained ones, by name."""
    optimizer: torch.optim.AdamW
    rate: Callable[[int], float]
    """The learning rate of a step (from 0)."""
    seed: int
    autocast: torch.dtype | None
    """What is computed in, where it is less than the adapters' own precision."""
    step: int
    """Steps done."""
    tokens: int
    """Tokens trained on, padding not counted."""
    loss_sum: torch.Tensor
    """float64 scalar: the sum of the steps' losses."""

    @property
    def causal_model(self) -> PreTrainedModel:
        """The model with its adapters, without peft's wrapper."""
        return cast(PreTrainedModel, self.model.base_model.model)

    @property
    def device(self) -> torch.device:
        """Where it is trained."""
        return self.loss_sum.device


def init(
    model: PeftModel, args: TrainingArgs, total_steps: int, seed: int, autocast: torch.dtype | None = None
) -> Trial:
    """A trial before its first step."""
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    device = next(iter(parameters.values())).device
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in parameters.values() if p.ndim > 1], "weight_decay": args.weight_decay},
            {"params": [p for p in parameters.values() if p.ndim <= 1], "weight_decay": 0.0},
        ],
        lr=args.learning_rate,
        betas=(args.adam_beta1, args.adam_beta2),
        eps=args.adam_epsilon,
        fused=args.optim == "adamw_torch_fused",
    )
    zero = torch.zeros((), dtype=torch.float64, device=device)
    return Trial(model, parameters, optimizer, learning_rate(args, total_steps), seed, autocast, 0, 0, zero)


def step(trial: Trial, batches: Sequence[Sequence[Row]], max_grad_norm: float) -> torch.Tensor:
    """One optimizer step over `batches`; gives the mean loss over all their trained tokens (a scalar, not yet read)."""
    targets = targets_of(batches)
    loss = torch.zeros((), device=trial.device)
    for micro, rows in enumerate(batches):
        torch.manual_seed(dropout_seed(trial, micro))
        batch = collate(trial.causal_model, rows, trial.device)
        part = summed_loss(trial.causal_model, batch, trial.autocast) / targets
        part.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        loss += part.detach()
    if max_grad_norm:
        torch.nn.utils.clip_grad_norm_(trial.parameters.values(), max_grad_norm)
    for group in trial.optimizer.param_groups:
        group["lr"] = trial.rate(trial.step)
    trial.optimizer.step()
    trial.optimizer.zero_grad()
    count(trial, batches, loss)
    return loss


def targets_of(batches: Sequence[Sequence[Row]]) -> int:
    """The number of trained tokens in all batches of a step, over which its loss is the mean."""
    return sum(row.targets for rows in batches for row in rows)


def dropout_seed(trial: Trial, micro: int) -> int:
    """What the random numbers of a forward pass begin with: batch `micro` of the trial's next step."""
    return seed_of("dropout", trial.seed, trial.step, micro)


def count(trial: Trial, batches: Sequence[Sequence[Row]], loss: torch.Tensor) -> None:
    """Note that a step over `batches` is done, with this mean loss."""
    trial.step += 1
    trial.tokens += sum(len(row) for rows in batches for row in rows)
    trial.loss_sum += loss


@torch.no_grad()
def evaluate(
    model: PreTrainedModel,
    rows: Sequence[Row],
    batch_size: int,
    device: torch.device,
    autocast: torch.dtype | None = None,
) -> float:
    """The mean loss over all trained tokens of `rows`, whatever the batch size."""
    training = model.training
    model.eval()  # type: ignore[no-untyped-call]  # transformers leaves it untyped
    total, targets = torch.zeros((), dtype=torch.float64, device=device), 0
    ordered = sorted(rows, key=len)
    for i in range(0, len(ordered), batch_size):
        batch = collate(model, ordered[i : i + batch_size], device)
        total += summed_loss(model, batch, autocast)
        targets += len(batch.targets)
    model.train(training)
    return float(total) / targets


def summed_loss(model: PreTrainedModel, batch: Batch, autocast: torch.dtype | None = None) -> torch.Tensor:
    """The sum of the cross entropies of the batch's targets, in float32; the model computes in `autocast`, if given."""
    with torch.autocast(batch.targets.device.type, autocast, enabled=autocast is not None):
        logits = model(**batch.inputs).logits
    picked = logits[0] if batch.picks is None else logits[batch.picks]
    return functional.cross_entropy(picked.float(), batch.targets, reduction="sum")


def save(trial: Trial, path: Path) -> None:
    """Write the trial's state to one file, atomically."""
    tensors = {"loss_sum": trial.loss_sum}
    for name, parameter in trial.parameters.items():
        tensors[f"parameter/{name}"] = parameter.detach()
        moments = trial.optimizer.state.get(parameter, {})
        tensors |= {f"{moment}/{name}": moments[moment] for moment in ("exp_avg", "exp_avg_sq") if moment in moments}
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    save_file(
        {name: tensors[name].cpu().contiguous() for name in sorted(tensors)},
        partial,
        metadata={"trial": json.dumps({"step": trial.step, "tokens": trial.tokens})},
    )
    with partial.open("rb") as stream:
        os.fsync(stream.fileno())
    partial.replace(path)


@torch.no_grad()
def load(trial: Trial, path: Path) -> None:
    """Set a fresh trial to a saved state.

    Raises:
        ValueError: the state is of a training with other parameters.
    """
    with safe_open(path, framework="pt", device=str(trial.device)) as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
        counts = json.loads(file.metadata()["trial"])
    names = {name.removeprefix("parameter/") for name in tensors if name.startswith("parameter/")}
    if names != set(trial.parameters):
        raise ValueError(f"the training state {path.name} holds other parameters than this training has")
    trial.step, trial.tokens, trial.loss_sum = counts["step"], counts["tokens"], tensors["loss_sum"]
    for name, parameter in trial.parameters.items():
        parameter.copy_(tensors[f"parameter/{name}"])
        if f"exp_avg/{name}" in tensors:
            count = torch.tensor(float(trial.step), device=trial.device)
            moments = {moment: tensors[f"{moment}/{name}"] for moment in ("exp_avg", "exp_avg_sq")}
            trial.optimizer.state[parameter] = {"step": count, **moments}


def learning_rate(args: TrainingArgs, total_steps: int) -> Callable[[int], float]:
    """The schedule of transformers as a function of the step (from 0)."""
    scheduler = get_scheduler(
        args.lr_scheduler_type,
        torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=args.learning_rate),
        num_warmup_steps=args.warmup(total_steps),
        num_training_steps=total_steps,
        scheduler_specific_kwargs=dict(args.lr_scheduler_kwargs),
    )
    factor: Callable[[int], float] = scheduler.lr_lambdas[0]
    return lambda step: args.learning_rate * factor(step)
