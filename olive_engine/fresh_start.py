"""What makes an item begin in a warm worker as it would in a fresh one, so that both give the same bytes."""

from __future__ import annotations

import random
import sys
from importlib.util import find_spec

from olive_engine.contracts import Item, Job
from olive_engine.registry import find_metric, find_pass


def start_fresh(job: Job, item: Item) -> None:
    """Set random numbers, threads, default dtype and gradients as a fresh process would have them for this item."""
    random.seed(item.seed)
    requires = _requires(job, item)
    if {"torch", "transformers"} & requires or "torch" in sys.modules:
        import torch

        torch.set_num_threads(job.resources.threads)
        torch.manual_seed(item.seed)
        torch.set_default_dtype(torch.float32)
        torch.set_grad_enabled(True)
    # All that passes require draws from numpy's global generator; imported later, it would seed itself from the clock.
    if (requires and find_spec("numpy")) or "numpy" in sys.modules:
        import numpy as np

        np.random.seed(item.seed % 2**32)


def _requires(job: Job, item: Item) -> set[str]:
    """The distributions that an item's work declares."""
    if job.kind == "data":
        return {"numpy"}
    found = find_pass(item.type) if job.kind == "pass" else find_metric(item.type)
    return {name for names in (found.requires if found else ()) for name in names.split("|")}
