"""What is swept: two tasks with their rows and base models, the space, and the budget of a trial."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.commands import SAMPLE
from benchmarks.sweep_processes import watched
from benchmarks.sweep_rows import read_rows

TEMPLATE = "### Text: {phrase}\n### The tone is:\n{tone}"
TRIALS = 16
ALPHA, DROPOUT = 32, 0.05

Assignment = Mapping[str, int | float]
"""`r`, `learning_rate` and `batch_size` of a trial."""


@dataclass(frozen=True, slots=True)
class Space:
    """What is searched, as pairs (lowest, highest) and a choice."""

    ranks: tuple[int, int] = (4, 32)
    learning_rates: tuple[float, float] = (1e-4, 1e-2)
    """Drawn by magnitude."""
    batch_sizes: tuple[int, ...] = (4, 8, 16)


@dataclass(frozen=True, slots=True)
class Task:
    """Rows, a base model, and how long a trial trains."""

    name: str
    train: Path
    validation: Path
    model: Path
    epochs: int
    max_length: int = 128
    """Tokens of the longest row."""
    dtype: str = "float32"
    """Of the base."""
    trials: int = TRIALS
    space: Space = Space()


def phrase_tone(folder: Path, rows: int = 320, epochs: int = 3, trials: int = TRIALS) -> Task:
    """The sample's phrases, and its base."""
    data = SAMPLE / "data"
    train = write_rows(folder / "train.jsonl", read_rows(data / "train.jsonl")[:rows])
    return Task("phrase tone", train, data / "heldout.jsonl", SAMPLE / "base_model", epochs, trials=trials)


def emotion(folder: Path, data: Path, rows: int = 256, epochs: int = 3, trials: int = TRIALS) -> Task:
    """``emotion_train.jsonl`` and ``emotion_val.jsonl`` of `data`; the base is made in `folder` unless it is there.

    The sample's base knows four moods and the words of its own corpus. The base of this task is that one, trained in
    full on the rows that the sweep leaves, asked in other words.

    Raises:
        FileNotFoundError: `data` lacks one of the files.
    """
    found = [data / f"emotion_{part}.jsonl" for part in ("train", "val")]
    if missing := [path.name for path in found if not path.is_file()]:
        raise FileNotFoundError(f"{data} must hold {missing[0]} (a JSON object with `phrase` and `tone` in each line)")
    everything = read_rows(found[0])
    train = write_rows(folder / "train.jsonl", everything[:rows])
    validation = write_rows(folder / "validation.jsonl", read_rows(found[1]))
    base = folder / "base_model"
    if not (base / "done").exists():
        others = write_rows(folder / "base_rows.jsonl", everything[rows:])
        command = [sys.executable, "-m", "benchmarks.sweep_base", str(SAMPLE / "base_model"), str(others), str(base)]
        watched(command, folder, {"OMP_NUM_THREADS": "2"})
        (base / "done").touch()
    return Task("emotion", train, validation, base, epochs, trials=trials)


def drawn(task: Task, seed: int) -> tuple[Assignment, ...]:
    """Assignments drawn at random, for a round in which the engine draws none."""
    import optuna

    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    space = task.space
    made = []
    for _ in range(task.trials):
        trial = study.ask()
        made.append(
            {
                "r": trial.suggest_int("r", *space.ranks),
                "learning_rate": trial.suggest_float("learning_rate", *space.learning_rates, log=True),
                "batch_size": trial.suggest_categorical("batch_size", space.batch_sizes),
            }
        )
    return tuple(made)


def write_rows(path: Path, rows: Sequence[Mapping[str, str]]) -> Path:
    """Write a JSON Lines file; gives its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path
