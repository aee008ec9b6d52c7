# ruff: noqa: TID253 - heavy module, imported lazily by olive_passes.finetune
"""One training on the lean core and all that belongs to it alone, whether it runs by itself or in a pack."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Sequence

import torch
from peft import PeftModel
from safetensors import SafetensorError

from olive_engine.contracts import Log, Metrics, PassContext, Progress
from olive_engine.errors import Stopped
from olive_engine.models import TrialState
from olive_passes.finetune import best, core
from olive_passes.finetune.arguments import TrainingArgs
from olive_passes.finetune.batches import Plan
from olive_passes.finetune.rows import Row

STATE = "trial.safetensors"


class Training:
    """A trial with its rows, its folders and its reports: from the last state to the wanted step.

    Whoever trains it asks for `batches`, makes one optimizer step of them, and says so by `stepped`; until `done`.
    """

    def __init__(
        self,
        model: PeftModel,
        rows: Sequence[Row],
        eval_rows: Sequence[Row],
        args: TrainingArgs,
        autocast: torch.dtype | None,
        seed: int,
        context: PassContext,
    ) -> None:
        """Take up the training where this job's own checkpoint, or the state that the segment starts from, left it.

        Args:
            model: the base with fresh adapters.
            rows: to train on.
            eval_rows: to evaluate on; there may be none.
            args: the options.
            autocast: what is computed in, where it is another precision than the adapters'.
            seed: of dropout, and of the rows' order where the options name none.
            context: of the job; its segment says where to end.
        """
        self.rows, self.eval_rows, self.args, self.context = rows, eval_rows, args, context
        self.plan = Plan([len(row) for row in rows], args, seed)
        self.last = self.plan.step_at(context.segment.until if context.segment else 1.0)
        self.trial = core.init(model, args, self.plan.total_steps, seed, autocast)
        self._restore()
        self._started, self._tokens_before = time.monotonic(), self.trial.tokens
        self._recent: list[torch.Tensor] = []
        self.measure: Callable[[], float] = self._measure
        """Gives the loss on the rows to evaluate on; a pack has its own way."""

    @property
    def done(self) -> bool:
        """Whether the wanted step is reached."""
        return self.trial.step >= self.last

    def batches(self) -> list[list[Row]]:
        """The rows of the next optimizer step, in the batches of its forward passes."""
        return [[self.rows[i] for i in batch] for batch in self.plan.step(self.trial.step)]

    def heed_stop(self) -> None:
        """End here if the job was asked to stop.

        Raises:
            Stopped: it was; a checkpoint is in ``context.state``.
        """
        if self.context.should_stop():
            core.save(self.trial, self.context.state / STATE)
            step, total = self.trial.step, self.plan.total_steps
            raise Stopped(f"stopped after step {step} of {total}; a checkpoint was kept")

    def stepped(self, loss: torch.Tensor) -> None:
        """Report, evaluate and save what is due after a step with this loss.

        Raises:
            FloatingPointError: the loss is no number any more.
        """
        trial, args, total = self.trial, self.args, self.plan.total_steps
        self._recent.append(loss)
        logs, saves = trial.step % args.logging_steps == 0, trial.step % args.save_steps == 0
        if logs or saves or self.done:
            mean = self._checked(torch.stack(self._recent).mean().item())
            self._recent = self._recent if saves and not logs else []
            speed = (trial.tokens - self._tokens_before) / (time.monotonic() - self._started)
            values = {"loss": mean, "learning_rate": trial.rate(trial.step - 1), "tokens_per_second": speed}
            if logs or self.done:
                self.context.report(Progress(step=trial.step, total=total, values=values))
        if self.eval_rows and not self.done and self._evaluates():
            values = {"eval_loss": self._evaluate()}
            self.context.report(Progress(step=trial.step, total=total, values=values))
        if saves:
            core.save(trial, self.context.state / STATE)

    def finish(self) -> None:
        """Report what the whole came to; at the end of the budget the best adapters are put back if asked for."""
        trial, tokens = self.trial, self.trial.tokens - self._tokens_before
        values = {
            "train_loss": trial.loss_sum.item() / trial.step,
            "steps": trial.step,
            "tokens": trial.tokens,
            "tokens_per_second": tokens / (time.monotonic() - self._started) if tokens else 0.0,
        }
        if self.eval_rows:
            at_end = self.last == self.plan.total_steps
            kept = at_end or self._evaluates()  # the end of a stretch need not be looked at otherwise
            values["eval_loss"] = self._evaluate(may_be_best=kept)
            if at_end and self.args.load_best_model_at_end:
                values |= best.restore(self.context.state / best.FILE, trial.parameters)
        self.context.report(Metrics(values=values))

    def save_state(self) -> TrialState:
        """Write where the training stands at the end of a stretch, for the next one."""
        folder = self.context.out / "state"
        core.save(self.trial, folder / STATE)
        if (self.context.state / best.FILE).is_file():
            shutil.copyfile(self.context.state / best.FILE, folder / best.FILE)
        return TrialState(state_path=folder)

    def _restore(self) -> None:
        """Set the trial to this job's own last checkpoint, else to the state that the segment starts from."""
        context, checkpoint = self.context, self.context.state / STATE
        if checkpoint.is_file():
            try:
                core.load(self.trial, checkpoint)
            except SafetensorError as error:
                context.report(Log(message=f"the checkpoint cannot be read ({error}): started over", level="warning"))
            else:
                context.report(Log(message=f"went on from the checkpoint after step {self.trial.step}"))
                return
        if context.initial_state is not None:
            core.load(self.trial, context.initial_state.state_path / STATE)
            if (kept := context.initial_state.state_path / best.FILE).is_file():
                shutil.copyfile(kept, context.state / best.FILE)

    def _evaluates(self) -> bool:
        if self.args.evaluates == "epoch":
            return self.trial.step % self.plan.steps_per_epoch == 0
        return self.args.evaluates == "steps" and self.trial.step % self.args.eval_every == 0

    def _evaluate(self, *, may_be_best: bool = True) -> float:
        loss = self.measure()
        if may_be_best and self.args.load_best_model_at_end:
            best.consider(self.context.state / best.FILE, self.trial.parameters, loss, self.trial.step)
        return loss

    def _measure(self) -> float:
        trial, size = self.trial, self.args.per_device_eval_batch_size
        return core.evaluate(trial.causal_model, self.eval_rows, size, trial.device, trial.autocast)

    def _checked(self, loss: float) -> float:
        if not math.isfinite(loss):
            raise FloatingPointError(not_a_number(loss, self.trial.step, self.args))
        return loss


def not_a_number(loss: float, step: int, args: TrainingArgs) -> str:
    """The message for a loss that is no number."""
    return (
        f"the training loss became {loss} by step {step}; lower training_args.learning_rate "
        f"(now {args.learning_rate:g}) or lengthen the warm-up"
    )
