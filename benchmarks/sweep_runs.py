"""One run of one variant in fresh processes: measured, then judged."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.commands import OLIVE
from benchmarks.sweep_olive import EVAL_BATCH, adapter, trials, workflow
from benchmarks.sweep_processes import watched
from benchmarks.sweep_results import Record
from benchmarks.sweep_tasks import ALPHA, DROPOUT, TEMPLATE, Assignment, Task
from benchmarks.sweep_variants import Engine, Script


def run_engine(task: Task, seed: int, variant: Engine, folder: Path) -> Record:
    """``olive run``, with nothing in its cache."""
    (folder / "workflow.json").write_text(json.dumps(workflow(task, seed, folder, variant.changes), indent=1))
    (folder / "there").mkdir()
    taken = watched([OLIVE, "run", str(folder / "workflow.json")], folder, variant.variables)
    found, best = trials(folder)
    judged = _judge(task, {str(best): adapter(folder)}, folder)
    return Record(
        *(task.name, seed, variant.name, 0),
        *(taken.wall, taken.cpu, taken.peaks, taken.load),
        assignments=tuple(each.assignment for each in found),
        states=tuple(each.state for each in found),
        losses=tuple(each.loss for each in found),
        best=best,
        judged=judged,
    )


def run_script(
    task: Task,
    seed: int,
    variant: Script,
    threads: int,
    assignments: Sequence[Assignment],
    folder: Path,
    seeds: Sequence[int] = (),
) -> Record:
    """A script of one's own; `seeds`: of each training, where they are not all `seed`."""
    settings = {
        **_about(task),
        "train": str(task.train),
        "lora": {"lora_alpha": ALPHA, "lora_dropout": DROPOUT},
        "arguments": {
            "num_train_epochs": task.epochs,
            "per_device_eval_batch_size": EVAL_BATCH,
            "lr_scheduler_type": "linear",
        },
        "seeds": list(seeds) or [seed] * len(assignments),
        "assignments": assignments,
        "space": {
            "r": task.space.ranks,
            "learning_rate": task.space.learning_rates,
            "batch_size": task.space.batch_sizes,
        },
        "pruner": variant.pruner,
        "resident": variant.resident,
        "out": str(folder),
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "benchmarks.sweep_optuna", str(folder / "settings.json")]
    taken = watched(command, folder, {"OMP_NUM_THREADS": str(threads)})
    told = json.loads((folder / "told.json").read_bytes())
    judged = _judge(task, {path.name: path for path in sorted((folder / "adapters").iterdir())}, folder)
    return Record(
        *(task.name, seed, variant.name, threads),
        *(taken.wall, taken.cpu, taken.peaks, taken.load),
        assignments=tuple(each["assignment"] for each in told["trials"]),
        states=tuple(each["state"] for each in told["trials"]),
        losses=tuple(each["loss"] for each in told["trials"]),
        best=told["best"],
        judged=judged,
    )


def _judge(task: Task, adapters: dict[str, Path], folder: Path) -> dict[str, float]:
    """The loss of each adapter, by one judge whoever trained it."""
    out = folder / "judged.json"
    settings = {**_about(task), "adapters": {name: str(path) for name, path in adapters.items()}, "out": str(out)}
    (folder / "judge.json").write_text(json.dumps(settings))
    watched([sys.executable, "-m", "benchmarks.sweep_judge", str(folder / "judge.json")], folder / "judge")
    losses: dict[str, float] = json.loads(out.read_bytes())
    return losses


def _about(task: Task) -> dict[str, object]:
    return {
        "model": str(task.model),
        "validation": str(task.validation),
        "template": TEMPLATE,
        "max_length": task.max_length,
        "dtype": task.dtype,
    }
