# ruff: noqa: TID253 - a script of its own, run by benchmarks.lora in a fresh process
"""What one writes without an engine: LoRA with peft and transformers' Trainer. Arguments: settings.json, a folder."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from datasets import load_dataset
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, DataCollatorForSeq2Seq, Trainer, TrainingArguments

MAX_LENGTH = 128


def main() -> None:
    """Train and save the adapter."""
    settings = json.loads(Path(sys.argv[1]).read_text())
    out = Path(sys.argv[2])
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(settings["model"])
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    prompt_template = settings["template"].removesuffix("{tone}")

    def encode(row: dict[str, str]) -> dict[str, list[int]]:
        prompt = tokenizer(prompt_template.format(phrase=row["phrase"]))["input_ids"]
        if prompt[-1] == tokenizer.eos_token_id:
            prompt = prompt[:-1]
        answer = [*tokenizer(row["tone"], add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
        ids = (prompt + answer)[:MAX_LENGTH]
        labels = ([-100] * len(prompt) + answer)[:MAX_LENGTH]
        return {"input_ids": ids, "attention_mask": [1] * len(ids), "labels": labels}

    rows: Any = load_dataset("json", data_files=settings["rows"], split="train", cache_dir=str(out / "cache"))
    rows = rows.map(encode, remove_columns=rows.column_names)
    model = AutoModelForCausalLM.from_pretrained(settings["model"], dtype=torch.float32)
    lora = LoraConfig(
        task_type="CAUSAL_LM",
        r=settings["r"],
        lora_alpha=settings["alpha"],
        lora_dropout=0.05,
        target_modules="all-linear",
    )
    tuned = get_peft_model(model, lora)
    trainer = Trainer(
        model=tuned,
        args=TrainingArguments(
            output_dir=str(out / "trainer"),
            per_device_train_batch_size=settings["batch_size"],
            num_train_epochs=settings["epochs"],
            learning_rate=settings["learning_rate"],
            lr_scheduler_type="cosine",
            logging_steps=10,
            save_strategy="no",
            report_to=[],
            use_cpu=True,
            disable_tqdm=True,
            seed=0,
        ),
        train_dataset=rows,
        data_collator=DataCollatorForSeq2Seq(tokenizer, padding=True, label_pad_token_id=-100),
    )
    result = trainer.train()
    tuned.save_pretrained(str(out / "adapter"))
    told = {"rows": len(rows), "steps": result.global_step, "train_loss": result.training_loss}
    (out / "told.json").write_text(json.dumps(told))


main()
