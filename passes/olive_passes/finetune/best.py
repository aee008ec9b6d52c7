# ruff: noqa: TID253 - heavy module, imported lazily by olive_passes.finetune
"""The trained parameters as they were at the evaluation with the lowest loss so far, in a file.

A training that is taken up again from a checkpoint evaluates the same and finds the same, so what the file holds from
the attempt before does no harm.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

FILE = "best.safetensors"


def consider(path: Path, parameters: Mapping[str, torch.Tensor], loss: float, step: int) -> None:
    """Keep `parameters`, evaluated to `loss` after step `step`, if nothing better is in the file."""
    if not loss < (lowest(path)[0] if path.is_file() else math.inf):
        return
    partial = path.with_suffix(".partial")
    save_file(
        {name: tensor.detach().cpu().contiguous() for name, tensor in parameters.items()},
        partial,
        metadata={"best": json.dumps({"loss": loss, "step": step})},
    )
    with partial.open("rb") as stream:
        os.fsync(stream.fileno())
    partial.replace(path)


def lowest(path: Path) -> tuple[float, int]:
    """The loss of what is kept, and after which step it was."""
    with safe_open(path, framework="pt") as file:
        found = json.loads(file.metadata()["best"])
    return float(found["loss"]), int(found["step"])


@torch.no_grad()
def restore(path: Path, parameters: Mapping[str, torch.Tensor]) -> dict[str, float]:
    """Set `parameters` to what is kept, and give its metrics."""
    with safe_open(path, framework="pt") as file:
        for name, parameter in parameters.items():
            parameter.copy_(file.get_tensor(name))
    loss, step = lowest(path)
    return {"eval_loss": loss, "best_step": step}
