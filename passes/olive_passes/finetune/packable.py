"""Which trainings may be cut or packed, what they measure, and how long they take: nothing heavy here."""

from __future__ import annotations

from collections.abc import Mapping

from olive_engine.contracts import Known, Yardstick
from olive_passes.finetune.cores import core_of
from olive_passes.finetune.options import LoRAConfig

RAGGED_FAMILIES = frozenset({"llama", "mistral", "qwen2", "qwen3", "phi3", "gemma", "gpt2"})
"""Model types whose tokens meet in attention alone, and only through transformers' attention interface."""

OF_OTHER_HEADS = ("summary_", "classifier_")
"""How a model's config names what belongs to heads that a causal language model has not."""

PER_BATCH = 1.5
"""What a batch in a pack costs beside its rows, in rows: measured 5 ms beside 3 ms a row of 33 tokens."""

PER_RANK = 1 / 100
"""What an adapter's rank adds to a row's time, by the count of operations in layers 200 wide; less in wider ones."""

ROWS = 1000
"""Of a data set of which nothing is known, where a budget in steps is set against one in epochs."""


def whole_because(config: LoRAConfig) -> str:
    """Why a training cannot be cut into stretches; empty: it can."""
    chosen = core_of(config)
    return (
        ""
        if chosen.name == "lean"
        else f"only the lean training core runs in segments, and {'; '.join(chosen.reasons)}"
    )


def alone_because(config: LoRAConfig, known: Known) -> str:
    """Why a training cannot be one of a pack, as far as it is known; empty: it can."""
    chosen = core_of(config)
    if chosen.name != "lean":
        return f"only the lean training core trains packs, and {'; '.join(chosen.reasons)}"
    if config.modules_to_save is not None:
        return "modules_to_save trains whole modules, and a pack shares all but the adapters"
    if config.bias != "none":
        return f"bias is {config.bias!r}, and a pack shares the biases"
    model = known.checkpoint.config if known.checkpoint else {}
    kind = model.get("model_type")
    if kind is not None and kind not in RAGGED_FAMILIES and (name := drops(model)):
        return f"the model has dropout of its own ({name}), which in a {kind} cannot be drawn for each training"
    return ""


def drops(model: Mapping[str, object]) -> str:
    """The first setting of a model's config by which it drops activations in training; empty: it does not."""
    for name, value in model.items():
        if "drop" in name and not name.startswith(OF_OTHER_HEADS) and isinstance(value, int | float) and value > 0:
            return name
    return ""


def yardstick(config: LoRAConfig) -> Yardstick | None:
    """The loss on the rows to evaluate on, where there are such rows."""
    evaluated = config.eval_data_config is not None or config.held_out is not None
    return Yardstick("eval_loss") if evaluated else None


def pack_weight(config: LoRAConfig) -> float:
    """The time of a training against others on the same data: that of its rows, and more for small batches."""
    args = config.training_args
    size = args.per_device_train_batch_size
    epochs = args.num_train_epochs
    if args.max_steps is not None:
        epochs = args.max_steps * args.gradient_accumulation_steps * size / ROWS
    return epochs * (1 + PER_BATCH / size + PER_RANK * config.r)
