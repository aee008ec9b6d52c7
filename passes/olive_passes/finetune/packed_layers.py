# ruff: noqa: TID253 - heavy module, imported lazily by olive_passes.finetune
"""Layers that several trainings share: each applies its own adapter, or its own dropout, to its own tokens.

The tokens of a training lie together. The frozen layer is computed for all at once, what differs span by span.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from peft.tuners.lora import LoraLayer
from torch import nn
from torch.nn import functional
from transformers.pytorch_utils import Conv1D

from olive_passes.finetune.stream import Stream


class Unpackable(Exception):
    """The model does something with its tokens that a pack cannot follow."""


@dataclass(frozen=True, slots=True)
class Adapter:
    """One training's adapter on one layer; the tensors are those that it trains, with their gradients in place."""

    a: nn.Parameter
    """``(rank, in)``"""
    b: nn.Parameter
    """``(out, rank)``"""
    scale: float
    dropout: float


def adapter_of(layer: LoraLayer) -> Adapter:
    """The adapter that peft has put on a layer."""
    a, b = (cast(nn.Linear, half["default"]) for half in (layer.lora_A, layer.lora_B))
    drop = layer.lora_dropout["default"]
    return Adapter(
        cast(nn.Parameter, a.weight),
        cast(nn.Parameter, b.weight),
        layer.scaling["default"],
        drop.p if isinstance(drop, nn.Dropout) else 0.0,
    )


@dataclass(frozen=True, slots=True)
class Span:
    """The tokens of one training, in the flattened input of a layer."""

    slot: int
    stream: Stream
    begin: int
    end: int
    block: tuple[int, int, int] | None
    """For padded rows: their number, their length here, and their length if the training were alone."""

    def adapter_mask(self, width: int, p: float) -> torch.Tensor:
        """The dropout that these tokens get before an adapter, ``(tokens, width)``."""
        return self._mask(self.stream.adapter_mask, width, p)

    def mask(self, width: int, p: float) -> torch.Tensor:
        """The dropout that these tokens get in the model itself, ``(tokens, width)``."""
        return self._mask(self.stream.mask, width, p)

    def _mask(self, draw: Callable[[Sequence[int], float], torch.Tensor], width: int, p: float) -> torch.Tensor:
        if self.block is None:
            return draw((self.end - self.begin, width), p)
        rows, here, alone = self.block
        drawn = draw((rows, alone, width), p)
        return functional.pad(drawn, (0, 0, 0, here - alone), value=1.0).view(-1, width)


@dataclass
class Turn:
    """Which tokens of the forward pass in progress are whose; all layers of a model share one."""

    slots: Sequence[int] = ()
    streams: Sequence[Stream] = ()
    flat: Sequence[Sequence[int]] = ()
    """For flat batches: each slot's tokens, and each slot's positions of wanted logits, by number."""
    rows: Sequence[int] = ()
    """For padded batches: each slot's rows."""
    widths: Sequence[int] = ()
    """For padded batches: the longest row of each slot."""
    _known: dict[tuple[int, ...], list[Span]] = field(default_factory=dict)

    def begin(
        self,
        slots: Sequence[int],
        streams: Sequence[Stream],
        flat: Sequence[Sequence[int]],
        rows: Sequence[int],
        widths: Sequence[int],
    ) -> None:
        """Set what the next forward pass is given."""
        self.slots, self.streams, self.flat, self.rows, self.widths = slots, streams, flat, rows, widths
        self._known = {}

    def spans(self, shape: torch.Size) -> list[Span]:
        """Whose the tokens of a tensor ``(…, size)`` are.

        Raises:
            Unpackable: they are no longer those of the batch, in its order.
        """
        key = tuple(shape[:-1])
        if key not in self._known:
            self._known[key] = self._find(key)
        return self._known[key]

    def _find(self, shape: tuple[int, ...]) -> list[Span]:
        if self.rows:
            if len(shape) != 2 or shape[0] != sum(self.rows):
                raise Unpackable(f"a layer is given tokens in the shape {shape}, and the batch has other rows")
            if shape[1] != max(self.widths):
                raise Unpackable(f"a layer is given rows of {shape[1]} tokens, and the batch has {max(self.widths)}")
            sizes: Sequence[int] = [rows * shape[1] for rows in self.rows]
            blocks: list[tuple[int, int, int] | None] = [
                (rows, shape[1], width) for rows, width in zip(self.rows, self.widths, strict=True)
            ]
        else:
            found = [sizes for sizes in self.flat if shape == (1, sum(sizes))]
            if not found:
                raise Unpackable(f"a layer is given tokens in the shape {shape}, and the batch has another number")
            sizes, blocks = found[0], [None] * len(found[0])
        spans, begin = [], 0
        for slot, stream, size, block in zip(self.slots, self.streams, sizes, blocks, strict=True):
            spans.append(Span(slot, stream, begin, begin + size, block))
            begin += size
        return spans


class PackedLayer(nn.Module):
    """A frozen linear layer with an adapter for each slot."""

    def __init__(self, base: nn.Module, turn: Turn) -> None:
        """Wrap `base`; `turn` says whose the tokens are."""
        super().__init__()
        self.base = base
        self.adapters: dict[int, Adapter] = {}
        self.turn = turn
        # In bfloat16 the function below is no faster, and rounds otherwise than a training alone.
        self.plain = type(base) in (nn.Linear, Conv1D) and base.weight.dtype == torch.float32
        self.transposed = isinstance(base, Conv1D)
        self.quantized = not isinstance(base, nn.Linear | Conv1D) or hasattr(base, "quant_state")
        # Where nothing before needs a gradient, this makes what comes out need one.
        self.anchor = torch.zeros((), requires_grad=True)

    @property
    def weight(self) -> torch.Tensor:
        """For models that look at a layer's precision."""
        return cast(torch.Tensor, self.base.weight)

    @property
    def bias(self) -> torch.Tensor | None:
        """For models that ask whether a layer has one."""
        return cast("torch.Tensor | None", self.base.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``(…, in)`` to ``(…, out)``."""
        spans = self.turn.spans(x.shape)
        if not self.plain or x.dtype != torch.float32 or torch.is_autocast_enabled(x.device.type):
            return self._by_autograd(x, spans)
        if torch.is_grad_enabled():
            return cast(torch.Tensor, _Packed.apply(x, self.anchor, self, spans))  # type: ignore[no-untyped-call]  # torch leaves it untyped
        flat = x.reshape(-1, x.shape[-1])
        parts = [self._folded(flat[span.begin : span.end], self.adapters[span.slot]) for span in spans]
        return (parts[0] if len(parts) == 1 else torch.cat(parts)).view(*x.shape[:-1], -1)

    def _folded(self, x: torch.Tensor, adapter: Adapter) -> torch.Tensor:
        """Without dropout and gradients an adapter may be added to the weights: cheaper than to their outputs."""
        if self.transposed:
            weight = torch.addmm(self.weight, adapter.a.t(), adapter.b.t(), alpha=adapter.scale).t()
        else:
            weight = torch.addmm(self.weight, adapter.b, adapter.a, alpha=adapter.scale)
        return functional.linear(x, weight, self.bias)

    def _by_autograd(self, x: torch.Tensor, spans: list[Span]) -> torch.Tensor:
        """As peft does it, for what the function below does not know: 4 bits, and mixed precision."""
        result = cast(torch.Tensor, self.base(x))
        flat, parts = x.reshape(-1, x.shape[-1]), []
        for span in spans:
            adapter = self.adapters[span.slot]
            own = flat[span.begin : span.end].to(adapter.a.dtype)
            if self.training and adapter.dropout:
                own = own * span.adapter_mask(own.shape[-1], adapter.dropout)
            parts.append(functional.linear(functional.linear(own, adapter.a), adapter.b) * adapter.scale)
        added = torch.cat(parts).view(result.shape)
        if self.quantized and not torch.is_autocast_enabled(x.device.type):
            added = added.to(result.dtype)
        return (result + added).to(result.dtype)


class PackedDropout(nn.Dropout):
    """A dropout of the frozen model, drawn for each training from its own random numbers."""

    def __init__(self, base: nn.Dropout, turn: Turn) -> None:
        """Replace `base`; `turn` says whose the tokens are."""
        super().__init__(base.p)
        self.turn = turn

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``(…, size)`` to the same."""
        if not self.training:
            return x
        masks = [span.mask(x.shape[-1], self.p) for span in self.turn.spans(x.shape)]
        return (x.float() * torch.cat(masks).view(x.shape)).to(x.dtype)


class _Packed(torch.autograd.Function):
    """``x W + scale (dropout(x) A') B'`` with one A and B per span; their gradients are added up where they lie."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, anchor: torch.Tensor, layer: PackedLayer, spans: list[Span]) -> torch.Tensor:  # noqa: ARG004 - torch's interface
        flat = x.reshape(-1, x.shape[-1])
        out = cast(torch.Tensor, layer.base(flat))
        kept = []
        for span in spans:
            adapter = layer.adapters[span.slot]
            own, mask = flat[span.begin : span.end], None
            if layer.training and adapter.dropout:
                mask = span.adapter_mask(flat.shape[-1], adapter.dropout)
                own = own * mask
            inner = own @ adapter.a.t()
            out[span.begin : span.end].addmm_(inner, adapter.b.t(), alpha=adapter.scale)
            kept.append((span.begin, span.end, adapter, own, mask, inner))
        ctx.kept, ctx.layer, ctx.shape = kept, layer, x.shape
        return out.view(*x.shape[:-1], out.shape[-1])

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        layer: PackedLayer = ctx.layer
        out = gradients[0].reshape(-1, gradients[0].shape[-1])
        dx = None
        if ctx.needs_input_grad[0]:
            dx = out @ (layer.weight.t() if layer.transposed else layer.weight)
        for begin, end, adapter, own, mask, inner in ctx.kept:
            part = out[begin:end]
            _add(adapter.b, part.t(), inner, adapter.scale)
            back = part @ adapter.b
            _add(adapter.a, back.t(), own, adapter.scale)
            if dx is not None and mask is None:
                dx[begin:end].addmm_(back, adapter.a, alpha=adapter.scale)
            elif dx is not None:
                dx[begin:end].addcmul_(back @ adapter.a, mask, value=adapter.scale)
        ctx.kept = None
        return (None if dx is None else dx.view(ctx.shape)), None, None, None


def _add(parameter: nn.Parameter, left: torch.Tensor, right: torch.Tensor, scale: float) -> None:
    """Add a product to a parameter's gradient, which is there."""
    cast(torch.Tensor, parameter.grad).addmm_(left, right, alpha=scale)
