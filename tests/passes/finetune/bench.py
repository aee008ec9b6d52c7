"""What a LoRA test needs: a base, prepared rows, and contexts as a worker makes them."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import AutoTokenizer

from olive_engine.contracts import Device, Event, Metrics, PassContext, Progress, Segment
from olive_engine.models import HfModel, TrialState
from olive_passes.finetune import LoRAConfig, QLoRAConfig

PHRASES = (
    ("what a lovely morning, the whole garden is in bloom", "Joy"),
    ("the corridor was dark and something moved behind me", "Fear"),
    ("nobody came to the funeral in the end", "Sad"),
    ("I opened the box and there was a kitten inside!", "Surprise"),
    ("we danced until the band went home", "Joy"),
    ("he never wrote again", "Sad"),
    ("the lift stopped between two floors and the light went out, and then we heard the cable", "Fear"),
    ("wait, you are my neighbour's sister?", "Surprise"),
    ("my team won after eleven years of losing every single final that they played", "Joy"),
    ("the old dog did not get up this morning", "Sad"),
    ("footsteps again, and nobody else is home", "Fear"),
)


def write_tokens(folder: Path, rows: list[tuple[list[int], list[int]]]) -> Path:
    """Write rows of (ids, loss mask) as the data step does."""
    folder.mkdir(parents=True, exist_ok=True)
    offsets = [0]
    for ids, _ in rows:
        offsets.append(offsets[-1] + len(ids))
    save_file(
        {
            "input_ids": torch.tensor([i for ids, _ in rows for i in ids], dtype=torch.int32),
            "loss_mask": torch.tensor([m for _, mask in rows for m in mask], dtype=torch.uint8),
            "offsets": torch.tensor(offsets, dtype=torch.int64),
        },
        folder / "tokens.safetensors",
    )
    return folder


def phrase_rows(model: HfModel, phrases: tuple[tuple[str, str], ...] = PHRASES) -> list[tuple[list[int], list[int]]]:
    """Phrases as prompts, their tones as answers; only the answers are trained."""
    tokenizer = AutoTokenizer.from_pretrained(model.model_path)
    rows = []
    for phrase, tone in phrases:
        prompt = [1, *tokenizer(f"{phrase}\n").input_ids]
        answer = [*tokenizer(tone).input_ids, 2]
        rows.append((prompt + answer, [0] * len(prompt) + [1] * len(answer)))
    return rows


@dataclass
class Bench:
    """A place where LoRA jobs run one after another, as in a warm worker."""

    root: Path
    data: dict[str, Path]
    residents: dict[Hashable, Any] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    count: int = 0

    def context(
        self,
        *,
        state: str = "",
        seed: int = 0,
        stop: Callable[[], bool] = lambda: False,
        until: float | None = None,
        initial: TrialState | None = None,
    ) -> PassContext:
        """A context for one job; jobs with the same `state` share that folder."""
        self.count += 1
        job = self.root / f"job{self.count}"
        folders = {"out": job / "out", "scratch": job / "scratch", "state": self.root / "state" / (state or job.name)}
        for folder in folders.values():
            folder.mkdir(parents=True, exist_ok=True)
        return PassContext(
            **folders,
            seed=seed,
            device=Device(),
            threads=1,
            data=self.data,
            resident=self._resident,
            report=self.events.append,
            should_stop=stop,
            segment=None if until is None else Segment(until=until),
            initial_state=initial,
        )

    def _resident(self, key: Hashable, load: Callable[[], Any]) -> Any:
        if key not in self.residents:
            self.residents[key] = load()
        return self.residents[key]

    def losses(self) -> list[float]:
        """The losses reported as progress."""
        return [e.values["loss"] for e in self.events if isinstance(e, Progress) and "loss" in e.values]

    def metrics(self) -> dict[str, float]:
        """The last values of all metrics."""
        values: dict[str, float] = {}
        for event in self.events:
            if isinstance(event, Metrics):
                values |= event.values
        return values


def lora(
    *, core: str = "lean", eval_data: bool = False, training: dict[str, Any] | None = None, **options: Any
) -> LoRAConfig:
    """A small config; for the Trainer core an option is set that only it knows and that changes no number."""
    return LoRAConfig.model_validate(_options(core, eval_data, training) | options)


def qlora(
    *, core: str = "lean", eval_data: bool = False, training: dict[str, Any] | None = None, **options: Any
) -> QLoRAConfig:
    """The same on a base in 4 bits."""
    return QLoRAConfig.model_validate(_options(core, eval_data, training) | options)


def _options(core: str, eval_data: bool, training: dict[str, Any] | None) -> dict[str, Any]:
    args: dict[str, Any] = {
        "per_device_train_batch_size": 4,
        "learning_rate": 5e-3,
        "logging_steps": 1,
        "max_steps": 6,
        "seed": 7,
    }
    args |= {"gradient_checkpointing": True} if core == "trainer" else {}
    return {
        "r": 4,
        "lora_dropout": 0.0,
        "train_data_config": "train",
        "eval_data_config": "eval" if eval_data else None,
        "training_args": args | (training or {}),
    }
