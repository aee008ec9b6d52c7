"""The rows of one training: those to train on and those to evaluate on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from olive_engine.contracts import Log, PassContext
from olive_passes.finetune.options import LoRAConfig
from olive_passes.finetune.rows import Row, hold_out, training_rows


class TrainingData(NamedTuple):
    """What is trained on, and with which seed."""

    seed: int
    rows: list[Row]
    eval_rows: list[Row]
    """There may be none."""


def training_data(
    config: LoRAConfig, context: PassContext, load: Callable[[Path], list[Row]] = training_rows
) -> TrainingData:
    """The rows that the options and the workflow's seed lead to; `load` reads those of a prepared data set.

    Raises:
        ValueError: there is nothing to train on.
    """
    args = config.training_args
    seed = args.seed if args.seed is not None else context.seed
    rows = _rows("train_data_config", config.train_data_config, context, load)
    if not rows:
        raise ValueError("train_data_config: name the data config with the training rows")
    size = config.held_out
    if size is None:
        return TrainingData(seed, rows, _rows("eval_data_config", config.eval_data_config, context, load))
    try:
        kept, held_out = hold_out(rows, size, seed if args.data_seed is None else args.data_seed)
    except ValueError as error:
        raise ValueError(f"eval_dataset_size: {error}") from error
    context.report(Log(message=f"{len(held_out)} of {len(rows)} training rows are held out to evaluate on"))
    return TrainingData(seed, kept, held_out)


def _rows(option: str, name: str | None, context: PassContext, load: Callable[[Path], list[Row]]) -> list[Row]:
    if name is None:
        return []
    try:
        return load(context.data[option])
    except ValueError as error:
        raise ValueError(f"{option}: {name}: {error}") from error
