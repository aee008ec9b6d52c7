"""The sweep as a workflow of the engine, and what it leaves behind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from benchmarks.sweep_tasks import ALPHA, DROPOUT, TEMPLATE, Assignment, Space, Task

EVAL_BATCH = 32
STUDY = "study.log"


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of one."""

    assignment: Assignment
    state: str
    """complete or pruned"""
    loss: float | None
    """As the sweep itself measured it; none: pruned."""


def workflow(task: Task, seed: int, folder: Path, changes: Mapping[str, JsonValue]) -> dict[str, Any]:
    """The workflow of a sweep, as a tree.

    Args:
        task: rows, base, budget.
        seed: of the sampler and of the trainings.
        folder: for the study, the cache and the output; ``{folder}`` in `changes` stands for it.
        changes: dotted paths -> values, made at the end.
    """
    text = {"text_template": TEMPLATE, "completion_only_loss": True, "max_seq_len": task.max_length}
    tree: dict[str, Any] = {
        "input_model": {"type": "HfModel", "model_path": str(task.model)},
        "data_configs": [
            {"name": name, "load_dataset_config": {"data_files": str(path)}, "pre_process_data_config": text}
            for name, path in (("train", task.train), ("validation", task.validation))
        ],
        "passes": {
            "lora": {
                "type": "LoRA",
                "alpha": ALPHA,
                "lora_dropout": DROPOUT,
                "torch_dtype": task.dtype,
                "train_data_config": "train",
                "eval_data_config": "validation",
                "training_args": {
                    "num_train_epochs": task.epochs,
                    "per_device_eval_batch_size": EVAL_BATCH,
                    "lr_scheduler_type": "linear",
                },
            }
        },
        "search_strategy": {"sampler": "random", "max_samples": task.trials, "storage": str(folder / STUDY)},
        "search_space": _space(task.space),
        "seed": seed,
        "cache_dir": str(folder / "cache"),
        "output_dir": str(folder / "output"),
    }
    for path, value in changes.items():
        *groups, last = path.split(".")
        inner = tree
        for group in groups:
            inner = inner[group]
        inner[last] = _filled(value, folder)
    return tree


def trials(folder: Path) -> tuple[list[Trial], int]:
    """The trials of the study that a run left in `folder`, and which is the best.

    Raises:
        RuntimeError: a trial failed.
    """
    import optuna
    from optuna.storages.journal import JournalFileBackend

    storage = optuna.storages.JournalStorage(JournalFileBackend(str(folder / STUDY)))
    (name,) = optuna.get_all_study_names(storage)
    study = optuna.load_study(study_name=name, storage=storage)
    found = []
    for trial in study.trials:
        state = trial.state.name.lower()
        if state not in ("complete", "pruned"):
            raise RuntimeError(f"trial {trial.number} is {state}: {trial.user_attrs}")
        found.append(Trial(dict(_assignment(trial.params)), state, trial.value if state == "complete" else None))
    return found, study.best_trial.number


def adapter(folder: Path) -> Path:
    """The folder of the best trial's adapter."""
    (config,) = (folder / "output").rglob("adapter_config.json")
    return config.parent


def _space(space: Space) -> dict[str, object]:
    """The names that the tutorials use."""
    low, high = space.learning_rates
    return {
        "learning_rate": {"type": "float", "low": low, "high": high, "log": True},
        "lora_r": {"type": "int", "low": space.ranks[0], "high": space.ranks[1]},
        "batch_size": {"type": "choice", "values": list(space.batch_sizes)},
    }


def _assignment(params: Mapping[str, Any]) -> Iterator[tuple[str, int | float]]:
    for short in ("r", "learning_rate", "batch_size"):
        (value,) = (value for name, value in params.items() if f".{name}".endswith((f".{short}", f"_{short}")))
        yield short, value


def _filled(value: JsonValue, folder: Path) -> JsonValue:
    if isinstance(value, dict):
        return {key: _filled(each, folder) for key, each in value.items()}
    return value.replace("{folder}", str(folder)) if isinstance(value, str) else value
