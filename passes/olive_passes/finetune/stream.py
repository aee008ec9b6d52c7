# ruff: noqa: TID253 - heavy module, imported lazily by olive_passes.finetune
"""The random numbers of one training among several: those that it would draw if it ran alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch.nn import functional

from olive_passes.finetune import dropout


class Stream:
    """A generator that gives what the device's own gives after `torch.manual_seed`."""

    def __init__(self, device: torch.device) -> None:
        """For tensors on `device`."""
        self._device = device
        self._own = torch.Generator(device)

    def seed(self, seed: int) -> None:
        """Begin anew."""
        self._own.manual_seed(seed)

    def adapter_mask(self, shape: Sequence[int], p: float) -> torch.Tensor:
        """What an adapter's dropout with probability `p` multiplies a float32 tensor of this shape by."""
        if self._device.type == "cpu":
            return dropout.mask(shape, p, self._own)
        return self.mask(shape, p)

    def mask(self, shape: Sequence[int], p: float) -> torch.Tensor:
        """What the model's own dropout with probability `p` multiplies a float32 tensor of this shape by."""
        if self._device.type == "cpu":
            return torch.empty(*shape).bernoulli_(1 - p, generator=self._own).div_(1 - p)
        with self.as_default():  # a GPU's dropout draws in an order of its own, and only from the default generator
            return functional.dropout(torch.ones(*shape, device=self._device), p)

    @contextmanager
    def as_default(self) -> Iterator[None]:
        """Let all that draws on the device draw from here."""
        default = _default(self._device)
        before = default.get_state()
        default.set_state(self._own.get_state())
        try:
            yield
        finally:
            self._own.set_state(default.get_state())
            default.set_state(before)


def _default(device: torch.device) -> torch.Generator:
    if device.type == "cpu":
        return torch.default_generator
    generator: torch.Generator = torch.cuda.default_generators[device.index]
    return generator
