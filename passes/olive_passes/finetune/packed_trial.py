# ruff: noqa: TID253 - heavy module, imported lazily by olive_passes.finetune
"""One training in a pack: the passes of its next step, and its update."""

from __future__ import annotations

from typing import cast

import torch
from torch import nn

from olive_passes.finetune import core
from olive_passes.finetune.rows import Row
from olive_passes.finetune.stream import Stream
from olive_passes.finetune.training import Training


class PackedTrial:
    """A training in a slot. All its parameters are views of one tensor, and so are their gradients and moments.

    A step then takes a handful of kernels instead of a handful for each parameter. What the trial's own optimizer
    knows are the same tensors, so it is saved as ever.
    """

    def __init__(self, training: Training, stream: Stream) -> None:
        """`stream` is what its dropout is drawn from."""
        self.training, self.trial, self._stream = training, training.trial, stream
        self._gradient, self._optimizer = _lay_together(self.trial)
        self._begin()

    @property
    def rows(self) -> list[Row]:
        """The rows of the next forward pass, for which the random numbers are set."""
        self._stream.seed(core.dropout_seed(self.trial, self._micro))
        return self._batches[self._micro]

    def mean(self, losses: torch.Tensor) -> torch.Tensor:
        """The share of the step's loss that the passed rows' ``(targets,)`` losses make; what is to be derived."""
        return losses.sum() / self._targets

    def passed(self, part: torch.Tensor) -> None:
        """Go on after a backward pass: to the step's next batch, or over the step.

        Raises:
            FloatingPointError: the loss is no number any more.
        """
        self._loss += part
        self._micro += 1
        if self._micro < len(self._batches):
            return
        self._update()
        core.count(self.trial, self._batches, self._loss)
        self.training.stepped(self._loss)
        if not self.training.done:
            self._begin()

    def _begin(self) -> None:
        self._batches, self._micro = self.training.batches(), 0
        self._targets = core.targets_of(self._batches)
        self._loss = torch.zeros((), device=self.trial.device)

    @torch.no_grad()
    def _update(self) -> None:
        largest = self.training.args.max_grad_norm
        if largest:
            # As torch.nn.utils.clip_grad_norm_ does it.
            self._gradient.mul_((largest / (torch.linalg.vector_norm(self._gradient) + 1e-6)).clamp(max=1.0))
        for group in self._optimizer.param_groups:
            group["lr"] = self.trial.rate(self.trial.step)
        self._optimizer.step()
        self._gradient.zero_()


@torch.no_grad()
def _lay_together(trial: core.Trial) -> tuple[torch.Tensor, torch.optim.AdamW]:
    """Make the trial's parameters, gradients and moments views; gives all gradients, and an optimizer of the whole."""
    parameters = list(trial.parameters.values())
    whole = nn.Parameter(torch.cat([parameter.reshape(-1) for parameter in parameters]))
    whole.grad = torch.zeros_like(whole)
    moments = {name: torch.zeros_like(whole.data) for name in ("exp_avg", "exp_avg_sq")}
    count = torch.tensor(float(trial.step), device=trial.device)
    begin = 0
    for parameter in parameters:
        end = begin + parameter.numel()
        own = {name: moment[begin:end].view(parameter.shape) for name, moment in moments.items()}
        for name, moment in trial.optimizer.state.get(parameter, {}).items():
            if name in own:
                own[name].copy_(moment)
        trial.optimizer.state[parameter] = {"step": count, **own}
        parameter.data = whole.data[begin:end].view(parameter.shape)
        parameter.grad = whole.grad[begin:end].view(parameter.shape)
        begin = end
    # A pack's parameters are matrices: all are in the group with the weight decay.
    options = cast("dict[str, object]", {k: v for k, v in trial.optimizer.param_groups[0].items() if k != "params"})
    optimizer = type(trial.optimizer)([{"params": [whole], **options}])
    optimizer.state[whole] = {"step": count, **moments}
    return whole.grad, optimizer
