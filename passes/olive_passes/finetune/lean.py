# ruff: noqa: TID253 - heavy module, imported lazily by olive_passes.finetune
"""The lean loop: from the last state to the wanted step, with checkpoints and reports on the way."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Sequence

import torch
from peft import PeftModel
from safetensors import SafetensorError

from olive_engine.contracts import Log, Metrics, PassContext, Progress
from olive_engine.errors import Stopped
from olive_engine.models import TrialState
from olive_passes.finetune import best, core, ragged
from olive_passes.finetune.arguments import TrainingArgs
from olive_passes.finetune.batches import Plan
from olive_passes.finetune.rows import Row

STATE = "trial.safetensors"


def run(
    model: PeftModel,
    rows: Sequence[Row],
    eval_rows: Sequence[Row],
    args: TrainingArgs,
    autocast: torch.dtype | None,
    seed: int,
    context: PassContext,
) -> core.Trial:
    """Train `model` up to the end of the context's segment, or of the whole budget.

    `autocast` is what is computed in, where it is another precision than the adapters'.

    Raises:
        FloatingPointError: the loss is no number any more.
        Stopped: the job was asked to stop; a checkpoint is in ``context.state``.
    """
    plan = Plan([len(row) for row in rows], args, seed)
    last = plan.step_at(context.segment.until if context.segment else 1.0)
    trial = core.init(model, args, plan.total_steps, seed, autocast)
    if ragged.supports(trial.causal_model):
        ragged.use_ragged_attention(trial.causal_model)
    _restore(trial, context)
    checkpoint = context.state / STATE
    started, tokens_before = time.monotonic(), trial.tokens
    recent: list[torch.Tensor] = []
    model.train()
    while trial.step < last:
        if context.should_stop():
            core.save(trial, checkpoint)
            raise Stopped(f"stopped after step {trial.step} of {plan.total_steps}; a checkpoint was kept")
        batches = [[rows[i] for i in batch] for batch in plan.step(trial.step)]
        recent.append(core.step(trial, batches, args.max_grad_norm))
        logs, saves = trial.step % args.logging_steps == 0, trial.step % args.save_steps == 0
        if logs or saves or trial.step == last:
            loss = _checked(torch.stack(recent).mean().item(), trial, args)
            recent = recent if saves and not logs else []
            speed = (trial.tokens - tokens_before) / (time.monotonic() - started)
            values = {"loss": loss, "learning_rate": trial.rate(trial.step - 1), "tokens_per_second": speed}
            if logs or trial.step == last:
                context.report(Progress(step=trial.step, total=plan.total_steps, values=values))
        if eval_rows and trial.step < last and _evaluates(trial.step, args, plan):
            values = {"eval_loss": _evaluate(trial, eval_rows, args, context)}
            context.report(Progress(step=trial.step, total=plan.total_steps, values=values))
        if saves:
            core.save(trial, checkpoint)
    seconds = time.monotonic() - started
    values = {
        "train_loss": trial.loss_sum.item() / trial.step,
        "steps": trial.step,
        "tokens": trial.tokens,
        "tokens_per_second": (trial.tokens - tokens_before) / seconds if trial.tokens > tokens_before else 0.0,
    }
    if eval_rows:
        at_end = last == plan.total_steps
        kept = at_end or _evaluates(trial.step, args, plan)  # the end of a stretch need not be looked at otherwise
        values["eval_loss"] = _evaluate(trial, eval_rows, args, context, may_be_best=kept)
        if at_end and args.load_best_model_at_end:
            values |= best.restore(context.state / best.FILE, trial.parameters)
    context.report(Metrics(values=values))
    return trial


def save_state(trial: core.Trial, context: PassContext) -> TrialState:
    """Write where the training stands at the end of a stretch, for the next one."""
    folder = context.out / "state"
    core.save(trial, folder / STATE)
    if (context.state / best.FILE).is_file():
        shutil.copyfile(context.state / best.FILE, folder / best.FILE)
    return TrialState(state_path=folder)


def _restore(trial: core.Trial, context: PassContext) -> None:
    """Set the trial to this job's own last checkpoint, else to the state that the segment starts from."""
    checkpoint = context.state / STATE
    if checkpoint.is_file():
        try:
            core.load(trial, checkpoint)
        except SafetensorError as error:
            context.report(Log(message=f"the checkpoint cannot be read ({error}): started over", level="warning"))
        else:
            context.report(Log(message=f"went on from the checkpoint after step {trial.step}"))
            return
    if context.initial_state is not None:
        core.load(trial, context.initial_state.state_path / STATE)
        if (kept := context.initial_state.state_path / best.FILE).is_file():
            shutil.copyfile(kept, context.state / best.FILE)


def _evaluates(step: int, args: TrainingArgs, plan: Plan) -> bool:
    if args.evaluates == "epoch":
        return step % plan.steps_per_epoch == 0
    return args.evaluates == "steps" and step % args.eval_every == 0


def _evaluate(
    trial: core.Trial, rows: Sequence[Row], args: TrainingArgs, context: PassContext, *, may_be_best: bool = True
) -> float:
    loss = core.evaluate(trial.causal_model, rows, args.per_device_eval_batch_size, trial.device, trial.autocast)
    if may_be_best and args.load_best_model_at_end:
        best.consider(context.state / best.FILE, trial.parameters, loss, trial.step)
    return loss


def _checked(loss: float, trial: core.Trial, args: TrainingArgs) -> float:
    if not math.isfinite(loss):
        raise FloatingPointError(not_a_number(loss, trial.step, args))
    return loss


def not_a_number(loss: float, step: int, args: TrainingArgs) -> str:
    """The message for a loss that is no number."""
    return (
        f"the training loss became {loss} by step {step}; lower training_args.learning_rate "
        f"(now {args.learning_rate:g}) or lengthen the warm-up"
    )
