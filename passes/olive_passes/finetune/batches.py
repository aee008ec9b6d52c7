# ruff: noqa: TID253 - heavy module, imported lazily by olive_passes.finetune
"""Which rows make up which step: one seeded order that both training cores follow."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch

from olive_passes.finetune.arguments import TrainingArgs

MEGA_BATCH = 50
"""With `group_by_length` rows are sorted by length within this many batches: the order stays random in the large."""


class Plan:
    """The steps of a training: an epoch is a seeded permutation, cut into batches, `accumulation` of them to a step.

    As in transformers' Trainer the last batch and the last step of an epoch may be smaller than the others.
    """

    def __init__(self, lengths: Sequence[int], args: TrainingArgs, seed: int) -> None:
        """`lengths` are those of the rows in tokens; `seed` counts where the options name none."""
        self.lengths = lengths
        self.batch_size = args.per_device_train_batch_size
        self.accumulation = args.gradient_accumulation_steps
        self.group_by_length = args.group_by_length
        self.seed = args.data_seed if args.data_seed is not None else seed
        self.batches_per_epoch = args.batches_per_epoch(len(lengths))
        self.steps_per_epoch = args.steps_per_epoch(len(lengths))
        self.total_steps = args.total_steps(len(lengths))
        self._epoch = -1
        self._batches: list[list[int]] = []

    def step(self, step: int) -> list[list[int]]:
        """The batches of row indices of optimizer step `step` (from 0)."""
        epoch, within = divmod(step, self.steps_per_epoch)
        return self.epoch(epoch)[within * self.accumulation : (within + 1) * self.accumulation]

    def epoch(self, epoch: int) -> list[list[int]]:
        """All batches of an epoch (from 0)."""
        if epoch != self._epoch:
            generator = torch.Generator().manual_seed(seed_of("order", self.seed, epoch))
            order = torch.randperm(len(self.lengths), generator=generator).tolist()
            if self.group_by_length:
                order = _grouped(order, self.lengths, self.batch_size * MEGA_BATCH)
            self._batches = [order[i : i + self.batch_size] for i in range(0, len(order), self.batch_size)]
            self._epoch = epoch
        return self._batches

    def tokens(self, step: int) -> int:
        """The tokens of step `step`, padding not counted."""
        return sum(self.lengths[row] for batch in self.step(step) for row in batch)

    def step_at(self, fraction: float) -> int:
        """The number of steps after which `fraction` of the budget's tokens has been trained on."""
        if fraction >= 1:
            return self.total_steps
        epochs, rest = divmod(self.total_steps, self.steps_per_epoch)
        budget = epochs * sum(self.lengths) + sum(self.tokens(epochs * self.steps_per_epoch + i) for i in range(rest))
        step = done = 0
        while done < fraction * budget:
            done += self.tokens(step)
            step += 1
        return step


def seed_of(*parts: str | int) -> int:
    """A seed that belongs to these parts alone; 32 bits, for torch's generator on a CPU heeds no more."""
    return int.from_bytes(hashlib.sha256("/".join(map(str, parts)).encode()).digest()[:4])


def _grouped(order: list[int], lengths: Sequence[int], size: int) -> list[int]:
    chunks = (order[i : i + size] for i in range(0, len(order), size))
    return [row for chunk in chunks for row in sorted(chunk, key=lambda row: -lengths[row])]
