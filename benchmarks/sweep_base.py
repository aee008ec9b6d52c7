# ruff: noqa: TID253 - a script of its own, run by benchmarks.sweep_tasks in a fresh process
"""Make a base that knows the words of a task: train all weights of another. Arguments: base, rows, folder to write."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

import torch
from torch.nn import functional
from transformers import AutoModelForCausalLM, AutoTokenizer

from benchmarks.sweep_judge import padded
from benchmarks.sweep_rows import encoder, read_rows

TEMPLATE = "{phrase}\nFeeling: {tone}"
"""Other words than the sweep's, so that what an adapter learns is not there yet."""
EPOCHS, BATCH, LEARNING_RATE, BLANKED = 3, 16, 1e-3, 0.1


def main() -> None:
    """Train and save."""
    base, rows_file, out = sys.argv[1:]
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(base)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    encode = encoder(tokenizer, TEMPLATE, 128)
    rows = [encode(row) for row in read_rows(rows_file)]
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.1)
    steps = EPOCHS * -(-len(rows) // BATCH)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, steps)
    order = random.Random(0)
    model.train()
    loss = torch.zeros(())
    for _ in range(EPOCHS):
        order.shuffle(rows)
        for start in range(0, len(rows), BATCH):
            batch = padded(rows[start : start + BATCH])
            blank = (torch.rand(batch["input_ids"].shape) < BLANKED) & (batch["labels"] < 0)
            ids = batch["input_ids"].masked_fill(blank, tokenizer.unk_token_id)
            logits = model(input_ids=ids, attention_mask=batch["attention_mask"]).logits[:, :-1]
            loss = functional.cross_entropy(logits.flatten(0, 1), batch["labels"][:, 1:].flatten())
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    (Path(out) / "told.json").write_text(json.dumps({"rows": len(rows), "steps": steps, "last_loss": loss.item()}))


if __name__ == "__main__":
    main()
