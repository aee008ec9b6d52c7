"""The lean loop over one training."""

from __future__ import annotations

from olive_passes.finetune import core, ragged
from olive_passes.finetune.training import STATE, Training

__all__ = ["STATE", "run"]


def run(training: Training) -> None:
    """Train up to the end of the context's segment, or of the whole budget.

    Raises:
        FloatingPointError: the loss is no number any more.
        Stopped: the job was asked to stop; a checkpoint is in ``context.state``.
    """
    trial = training.trial
    if ragged.supports(trial.causal_model):
        ragged.use_ragged_attention(trial.causal_model)
    trial.model.train()
    while not training.done:
        training.heed_stop()
        training.stepped(core.step(trial, training.batches(), training.args.max_grad_norm))
    training.finish()
