# ruff: noqa: TID253 - heavy module, imported lazily by olive_passes.finetune
"""Training rows as tensors, and the batches that a model takes."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import torch
from transformers import PreTrainedModel

from olive_engine.data.tokens import load_tokens
from olive_passes.finetune import ragged
from olive_passes.finetune.batches import seed_of
from olive_passes.finetune.options import rows_held_out

R = TypeVar("R")


@dataclass(frozen=True)
class Row:
    """One tokenized row: ``ids`` int64 and ``trained`` bool, both ``(length,)``; `trained` marks the targets."""

    ids: torch.Tensor
    trained: torch.Tensor

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def targets(self) -> int:
        """How many tokens are trained."""
        return int(self.trained.sum())


@dataclass(frozen=True)
class Batch:
    """What one forward pass takes, and the tokens it should predict."""

    inputs: dict[str, object]
    """Keyword arguments of the model, among them the positions whose logits are wanted."""
    picks: tuple[torch.Tensor, torch.Tensor] | None
    """Where in the logits ``(rows, positions, vocabulary)`` the targets' predictions are; none: everywhere."""
    targets: torch.Tensor
    """int64 ``(targets,)``"""


def training_rows(folder: Path) -> list[Row]:
    """The rows of a prepared data set.

    Raises:
        ValueError: a row holds no token to train on, or there is no row.
    """
    tokens = load_tokens(folder)
    ids, trained = torch.from_numpy(tokens.input_ids).long(), torch.from_numpy(tokens.loss_mask).bool()
    offsets = tokens.offsets.tolist()
    rows = [Row(ids[start:end], trained[start:end]) for start, end in itertools.pairwise(offsets)]
    for index, row in enumerate(rows):
        # The first token of a row has nothing before it to be predicted from.
        if not row.trained[1:].any() or row.trained[0]:
            raise ValueError(f"row {index} has no token to train on, or trains its first: prepare the data anew")
    if not rows:
        raise ValueError("there is no row")
    return rows


def hold_out(rows: Sequence[R], size: float, seed: int) -> tuple[list[R], list[R]]:
    """Split off rows to evaluate on; the same rows, size and seed give the same ones.

    Args:
        rows: all rows.
        size: how many (1 or more), or what share of them (below 1; at least one row).
        seed: of the draw.

    Returns:
        The rows to train on and those to evaluate on, both in their order.

    Raises:
        ValueError: none would be left to train on.
    """
    count = rows_held_out(size, len(rows))
    if count >= len(rows):
        raise ValueError(f"{count} rows to evaluate on leave none of the {len(rows)} to train on")
    generator = torch.Generator().manual_seed(seed_of("held out", seed))
    chosen = set(torch.randperm(len(rows), generator=generator)[:count].tolist())
    kept = [row for index, row in enumerate(rows) if index not in chosen]
    return kept, [row for index, row in enumerate(rows) if index in chosen]


def collate(model: PreTrainedModel, rows: Sequence[Row], device: torch.device) -> Batch:
    """Make the batch that suits `model`: flat where it has ragged attention, else padded on the right."""
    if model.config._attn_implementation == ragged.NAME:  # noqa: SLF001 - transformers keeps it under this name only
        return _flat(rows, device)
    return _padded(rows, device, cut="logits_to_keep" in inspect.signature(model.forward).parameters)


def _flat(rows: Sequence[Row], device: torch.device) -> Batch:
    ids = torch.cat([row.ids for row in rows])
    positions = torch.cat([torch.arange(len(row)) for row in rows])
    # The logits at a position predict the token after it; a row's first token is no target, so no row meets the next.
    targets = torch.cat([row.trained for row in rows]).nonzero()[:, 0]
    inputs = {
        "input_ids": ids[None].to(device),
        "position_ids": positions[None].to(device),
        "logits_to_keep": (targets - 1).to(device),
        "ragged": ragged.layout([len(row) for row in rows], device),
        "use_cache": False,
    }
    return Batch(inputs, None, ids[targets].to(device))


def _padded(rows: Sequence[Row], device: torch.device, *, cut: bool) -> Batch:
    width = max(len(row) for row in rows)
    ids = torch.zeros(len(rows), width, dtype=torch.long)
    attention = torch.zeros(len(rows), width, dtype=torch.long)
    trained = torch.zeros(len(rows), width, dtype=torch.bool)
    for i, row in enumerate(rows):
        ids[i, : len(row)], attention[i, : len(row)], trained[i, : len(row)] = row.ids, 1, row.trained
    which, where = trained.nonzero(as_tuple=True)
    inputs: dict[str, object] = {
        "input_ids": ids.to(device),
        "attention_mask": attention.to(device),
        "use_cache": False,
    }
    columns = where - 1
    if cut:
        # One list of positions for all rows is what every version of transformers takes.
        kept, columns = torch.unique(columns, return_inverse=True)
        inputs["logits_to_keep"] = kept.to(device)
    return Batch(inputs, (which.to(device), columns.to(device)), ids[which, where].to(device))
