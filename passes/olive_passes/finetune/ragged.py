# ruff: noqa: TID253 - heavy module, imported lazily by olive_passes.finetune
"""Attention over rows that lie one after another without padding.

A batch is one sequence ``(1, tokens)`` holding all rows; every layer but attention sees only real tokens. Attention
itself runs over buckets of rows of nearly one length, each row seeing itself alone. It comes in through transformers'
attention interface, so the model's own code is used as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional
from transformers import AttentionInterface, PreTrainedModel

from olive_passes.finetune.packable import RAGGED_FAMILIES
from olive_passes.finetune.stream import Stream

NAME = "olive_ragged"
FAMILIES = RAGGED_FAMILIES
"""Model types that can be given flat batches; each is held to what that needs by a test."""

GROWTH = 1.15
SLACK = 4
"""A bucket takes rows up to ``GROWTH * shortest + SLACK`` tokens: less padding against more calls."""


@dataclass(frozen=True)
class Layout:
    """Where the rows of a flat batch are: per bucket the token index of each place, and the way back."""

    buckets: tuple[torch.Tensor, ...]
    """Each ``(rows, length)``; places past a row's end repeat its first token, and what comes out there is dropped."""
    inverse: torch.Tensor
    """``(tokens,)``: for each token its place in the concatenated buckets."""


@dataclass(frozen=True)
class Apart:
    """Where attention itself drops, what is drawn depends on the layout: each training's tokens have their own."""

    parts: tuple[tuple[int, int, Layout, Stream], ...]
    """From which token to which, how they lie, and what the random numbers are drawn from."""


def supports(model: PreTrainedModel) -> bool:
    """Whether `model` can be given flat batches."""
    return model.config.model_type in FAMILIES


def use_ragged_attention(model: PreTrainedModel) -> None:
    """Make `model` expect flat batches; changes its config."""
    AttentionInterface.register(NAME, _attention)
    model.config._attn_implementation = NAME  # noqa: SLF001 - the public setter forbids names it has not listed


def layout(lengths: Sequence[int], device: torch.device) -> Layout:
    """Sort rows of `lengths` tokens into buckets."""
    starts = [0]
    for length in lengths:
        starts.append(starts[-1] + length)
    order = sorted(range(len(lengths)), key=lambda row: lengths[row])
    groups: list[list[int]] = []
    for row in order:
        if not groups or lengths[row] > GROWTH * lengths[groups[-1][0]] + SLACK:
            groups.append([])
        groups[-1].append(row)
    buckets, inverse, base = [], torch.empty(starts[-1], dtype=torch.long), 0
    for group in groups:
        width = lengths[group[-1]]
        places = torch.arange(width)
        begin = torch.tensor([starts[row] for row in group])[:, None]
        size = torch.tensor([lengths[row] for row in group])[:, None]
        real = places < size
        tokens = torch.where(real, begin + places, begin)
        inverse[tokens[real]] = base + torch.arange(tokens.numel()).view_as(tokens)[real]
        buckets.append(tokens.to(device))
        base += tokens.numel()
    return Layout(tuple(buckets), inverse.to(device))


def _attention(
    _module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    ragged: Layout | Apart,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **_: object,
) -> tuple[torch.Tensor, None]:
    """Causal attention: query, key and value ``(1, heads, tokens, size)`` to ``(1, tokens, heads, size)``."""
    if attention_mask is not None:
        raise ValueError("ragged attention makes its own masks, and was given one")
    if isinstance(ragged, Layout):
        return _attend(query, key, value, ragged, dropout, scaling, sliding_window)[None], None
    outputs = []
    for begin, end, own, stream in ragged.parts:
        q, k, v = (x[:, :, begin:end] for x in (query, key, value))
        with stream.as_default():
            outputs.append(_attend(q, k, v, own, dropout, scaling, sliding_window))
    return torch.cat(outputs)[None], None


def _attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    layout: Layout,
    dropout: float,
    scaling: float | None,
    sliding_window: int | None,
) -> torch.Tensor:
    """The tokens' outputs, ``(tokens, heads, size)``."""
    groups = query.shape[1] // key.shape[1]
    outputs = []
    for tokens in layout.buckets:
        rows, width = tokens.shape
        flat = tokens.reshape(-1)
        q, k, v = (x[0].index_select(1, flat).view(-1, rows, width, x.shape[-1]) for x in (query, key, value))
        if groups > 1:
            k, v = k.repeat_interleave(groups, 0), v.repeat_interleave(groups, 0)
        windowed = sliding_window is not None and width > sliding_window
        out = functional.scaled_dot_product_attention(
            q.transpose(0, 1),
            k.transpose(0, 1),
            v.transpose(0, 1),
            attn_mask=_band(width, sliding_window, query.device) if windowed and sliding_window else None,
            dropout_p=dropout,
            is_causal=not windowed,
            scale=scaling,
        )
        outputs.append(out.transpose(1, 2).reshape(rows * width, out.shape[1], out.shape[3]))
    return torch.cat(outputs).index_select(0, layout.inverse)


def _band(width: int, window: int, device: torch.device) -> torch.Tensor:
    place = torch.arange(width, device=device)
    distance = place[:, None] - place[None, :]
    return (distance >= 0) & (distance < window)
