"""A LoRA training through the engine, against a bare script that does the same with peft and transformers' Trainer."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from benchmarks.commands import OLIVE, SAMPLE, Cost, cost
from benchmarks.report import Machine, Report

FACTOR, EXTRA = 1.05, 2.0
"""The engine may take so many times the CPU time of the bare script, and so many seconds more."""
SCRIPT = Path(__file__).parent / "bare_lora.py"


def measure(*, quick: bool = False, data: Path | None = None) -> Report:
    """Both train the sample's base on the same rows for the same steps; CPU time of all processes, imports included.

    Raises:
        FileNotFoundError: there is not exactly one ``*train.jsonl`` in `data`.
    """
    machine = Machine()
    rows_file = _rows_file(data) if data else SAMPLE / "data" / "train.jsonl"
    settings = {
        "model": str(SAMPLE / "base_model"),
        "rows": str(rows_file.absolute()),
        "template": "### Text: {phrase}\n### The tone is:\n{tone}",
        "epochs": 1 if quick else 3,
        "batch_size": 16,
        "learning_rate": 0.002,
        "r": 16,
        "alpha": 32,
    }
    engine: list[Cost] = []
    bare: list[Cost] = []
    losses: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "settings.json").write_text(json.dumps(settings))
        (root / "workflow.json").write_text(json.dumps(_workflow(settings)))
        for index in range(1 if quick else 3):
            bare.append(cost([sys.executable, str(SCRIPT), "settings.json", f"bare{index}"], root))
            run = [OLIVE, "run", "workflow.json", "--cache-dir", f"cache{index}", "--output-dir", f"output{index}"]
            engine.append(cost(run, root))
        told = json.loads((root / "bare0" / "told.json").read_bytes())
        losses["bare script"] = told["train_loss"]
        report = json.loads((root / "output0" / "run.json").read_bytes())
        metrics = next(step["metrics"] for step in report["steps"] if step["kind"] == "pass")
        losses["olive run"] = metrics["train_loss"]
    best = {"bare script": _best(bare), "olive run": _best(engine)}
    used, allowed = best["olive run"].cpu, best["bare script"].cpu * FACTOR + EXTRA
    verdict = f"< {allowed:.1f} s  {'ok' if used <= allowed else 'OVER'}"
    rows = [
        (
            name,
            f"{each.wall:.1f} s",
            f"{each.cpu:.1f} s",
            f"{each.cpu / best['bare script'].cpu:.2f} x",
            f"{losses[name]:.3f}",
            verdict if name == "olive run" else "",
        )
        for name, each in best.items()
    ]
    columns = ("command", "wall", "cpu", "ratio (cpu)", "train loss", "wanted (cpu)")
    notes = (f"{told['rows']:,} rows, {told['steps']:,} steps of {settings['batch_size']}, one thread each",)
    return Report(f"LoRA on {rows_file.name}", columns, rows, notes, machine)


def _rows_file(folder: Path) -> Path:
    found = sorted(folder.glob("*train.jsonl"))
    if len(found) != 1:
        raise FileNotFoundError(f"{folder} must hold one *train.jsonl; it holds {len(found)}")
    return found[0]


def _best(costs: list[Cost]) -> Cost:
    return Cost(min(each.wall for each in costs), min(each.cpu for each in costs))


def _workflow(settings: dict[str, str | int | float]) -> dict[str, object]:
    return {
        "input_model": {"type": "HfModel", "model_path": settings["model"]},
        "data_configs": [
            {
                "name": "train",
                "load_dataset_config": {"data_files": settings["rows"]},
                "pre_process_data_config": {
                    "text_template": settings["template"],
                    "completion_only_loss": True,
                    "max_seq_len": 128,
                },
            }
        ],
        "systems": {"here": {"type": "LocalSystem", "workers": 1, "threads": 1}},
        "host": "here",
        "passes": {
            "lora": {
                "type": "LoRA",
                "r": settings["r"],
                "alpha": settings["alpha"],
                "lora_dropout": 0.05,
                "torch_dtype": "float32",
                "train_data_config": "train",
                "training_args": {
                    "per_device_train_batch_size": settings["batch_size"],
                    "num_train_epochs": settings["epochs"],
                    "learning_rate": settings["learning_rate"],
                    "lr_scheduler_type": "cosine",
                    "seed": 0,
                },
            }
        },
    }
