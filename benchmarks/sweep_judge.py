# ruff: noqa: TID253 - a script of its own, run by benchmarks.sweep in a fresh process
"""One judge for all adapters: the mean loss of the answers' tokens. Argument: settings.json.

Settings: `model`, `validation`, `template`, `max_length`, `dtype`, `adapters` (name -> folder), `out` (a file).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from peft import PeftModel
from torch.nn import functional
from transformers import AutoModelForCausalLM, AutoTokenizer

from benchmarks.sweep_rows import IGNORED, encoder, read_rows

BATCH = 32


def main() -> None:
    """Judge each adapter on the base."""
    settings = json.loads(Path(sys.argv[1]).read_text())
    device = "cuda" if torch.cuda.is_available() else "cpu"
    base = AutoModelForCausalLM.from_pretrained(
        settings["model"], dtype=getattr(torch, settings["dtype"]), device_map=device
    )
    tokenizer = AutoTokenizer.from_pretrained(settings["model"])
    encode = encoder(tokenizer, settings["template"], settings["max_length"])
    rows = sorted((encode(row) for row in read_rows(settings["validation"])), key=lambda row: len(row["input_ids"]))
    losses = {}
    for name, folder in settings["adapters"].items():
        tuned = PeftModel.from_pretrained(base, folder).eval()
        losses[name] = mean_loss(tuned, rows, device)
        base = tuned.unload()
    Path(settings["out"]).write_text(json.dumps(losses))


@torch.no_grad()
def mean_loss(model: PeftModel, rows: Sequence[dict[str, list[int]]], device: str) -> float:
    """The cross entropy of all trained tokens of `rows`, in nats per token."""
    total, count = 0.0, 0
    for start in range(0, len(rows), BATCH):
        batch = {name: value.to(device) for name, value in padded(rows[start : start + BATCH]).items()}
        labels = batch.pop("labels")[:, 1:]
        logits = model(**batch).logits[:, :-1]
        wanted = labels != IGNORED
        total += float(functional.cross_entropy(logits[wanted].float(), labels[wanted], reduction="sum"))
        count += int(wanted.sum())
    return total / count


def padded(rows: Sequence[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
    """Rows as tensors ``(rows, longest)``, padded on the right."""
    width = max(len(row["input_ids"]) for row in rows)
    fill = {"input_ids": 0, "attention_mask": 0, "labels": IGNORED}
    return {
        name: torch.tensor([row[name] + [value] * (width - len(row[name])) for row in rows])
        for name, value in fill.items()
    }


if __name__ == "__main__":
    main()
