"""The sweep of a larger model on a GPU, random weights, small batches: the engine against (a).

    python -m benchmarks.sweep_gpu --out FOLDER             1.2 billion parameters
    python -m benchmarks.sweep_gpu --out FOLDER --size tiny what a CPU can do, to see that it works

Random weights train at the speed of others; their losses say nothing.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from benchmarks.commands import SAMPLE
from benchmarks.sweep import carry_out
from benchmarks.sweep_results import Results, comparison
from benchmarks.sweep_rows import read_rows
from benchmarks.sweep_tasks import Space, Task, write_rows
from benchmarks.sweep_variants import OLIVE, PLAIN, PRUNED, RESIDENT

SIZES: Mapping[str, tuple[int, int, int, int]] = {
    "tiny": (64, 128, 2, 4),
    "0.5B": (1280, 3456, 24, 20),
    "1.2B": (2048, 5504, 24, 16),
}
"""Of a Llama: width, that of its middle layers, layers, heads."""
MAX_LENGTH = 256
PHRASES = 8
"""Of the sample, in one row: 150 to 200 tokens."""


def main() -> None:
    """Make the model, run the variants that are not done yet, show the table."""
    import torch

    parser = argparse.ArgumentParser(prog="python -m benchmarks.sweep_gpu", description=main.__doc__)
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="results, and what runs leave")
    parser.add_argument("--size", choices=SIZES, default="1.2B", help="of the model (default: %(default)s)")
    parser.add_argument("--rows", type=int, default=128, help="to train on, once each (default: %(default)s)")
    parser.add_argument("--trials", type=int, default=16, help="default: %(default)s")
    options = parser.parse_args()
    if options.size != "tiny" and not torch.cuda.is_available():
        parser.error("torch finds no GPU here; --size tiny runs on a CPU")
    out = options.out.absolute()
    task = make(out / options.size, options.size, options.rows, options.trials)
    results = Results(out / "results.jsonl")
    variants = (OLIVE, PLAIN, PRUNED, RESIDENT)
    for variant in variants:
        carry_out(results, task, 0, variant, out, threads=[1])
    report = comparison(results, task.name, [0], variants)
    report.show()
    report.save(Path(__file__).parent / "results" / f"sweep_gpu_{options.size}.json")


def make(folder: Path, size: str, rows: int, trials: int) -> Task:
    """The model, made in `folder` unless it is there, and rows of several phrases, asked for the tone of the first."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    dtype = "float32" if size == "tiny" else "bfloat16"
    base = folder / "base_model"
    if not (base / "tokenizer.json").exists():
        tokenizer = AutoTokenizer.from_pretrained(SAMPLE / "base_model")
        torch.manual_seed(0)
        width, middle, layers, heads = SIZES[size]
        config = LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=width,
            intermediate_size=middle,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
        LlamaForCausalLM(config).to(getattr(torch, dtype)).save_pretrained(base)
        tokenizer.save_pretrained(base)
    found = read_rows(SAMPLE / "data" / "train.jsonl")
    several = [
        {"phrase": " ".join(found[(index + other * 83) % len(found)]["phrase"] for other in range(PHRASES))}
        | {"tone": found[index]["tone"]}
        for index in range(rows + 32)
    ]
    return Task(
        f"random weights, {size}",
        write_rows(folder / "train.jsonl", several[:rows]),
        write_rows(folder / "validation.jsonl", several[rows:]),
        base,
        epochs=1,
        max_length=MAX_LENGTH,
        dtype=dtype,
        trials=trials,
        space=Space(batch_sizes=(1, 2, 4)),
    )


if __name__ == "__main__":
    main()
