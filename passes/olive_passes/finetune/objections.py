"""What speaks against the options of a fine-tuning, given its model, its rows and its device: nothing heavy here."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from olive_engine.contracts import Device, Known, Objection
from olive_engine.models import Checkpoint
from olive_passes.finetune.cores import mixed_precision
from olive_passes.finetune.modules import absent, advice, borne_by
from olive_passes.finetune.options import LoRAConfig, QLoRAConfig, rows_held_out

WITHOUT_FLOAT16 = {
    "training_args.fp16": "write bf16: true instead, or remove fp16",
    "torch_dtype": "write bfloat16, float32 or auto",
}
"""What to write where the device does not train in float16, by the option that asks for it."""

HEAD = "lm_head"
"""The head's name in nearly all families; where it shares the embedding's weights it is in no file."""

EMBEDDINGS = frozenset(
    {"embed_tokens", "wte", "wpe", "word_embeddings", "position_embeddings", "embed_positions", "embed_in"}
)
"""Names of modules whose weights are matrices though they are no linear layers."""

Layers = Mapping[str, tuple[int, ...]]


def objections(config: LoRAConfig, known: Known) -> Iterator[Objection]:
    """All that is wrong or worth a word, as far as it can be told from what is known."""
    if known.device is not None:
        yield from _about_the_device(config, known.device)
    rows = known.rows.get("train_data_config")
    yield from _about_the_rows(config, rows)
    yield from _about_evaluation(config, rows)
    if config.training_args.dataloader_num_workers:
        what = "it has no effect: rows are tokenized, and in memory, before the training starts"
        yield Objection("training_args.dataloader_num_workers", what, "it can be removed", "note")
    if known.checkpoint is not None:
        yield from _about_the_model(config, known.checkpoint)


def linear_layers(checkpoint: Checkpoint) -> dict[str, tuple[int, ...]]:
    """The linear layers in the files, by name, with the two sides of their weights."""
    weights = {
        name.removesuffix(".weight"): shape for name, shape in checkpoint.tensors.items() if _is_matrix(name, shape)
    }
    return {name: shape for name, shape in weights.items() if _last(name) not in EMBEDDINGS}


def targets(config: LoRAConfig, layers: Layers) -> dict[str, tuple[int, ...]]:
    """Those of `layers` that get an adapter."""
    if config.target_modules is None:
        return {name: shape for name, shape in layers.items() if _last(name) != HEAD}
    wanted = config.target_modules
    return {name: shape for name, shape in layers.items() if any(borne_by(name, target) for target in wanted)}


def _about_the_device(config: LoRAConfig, device: Device) -> Iterator[Objection]:
    args = config.training_args
    if mixed_precision(config) == "float16" and device.torch == "cpu":
        option = "training_args.fp16" if args.fp16 else "torch_dtype"
        yield Objection(
            option,
            f"training in float16 needs a GPU, and this step runs on a {device.kind.upper()}",
            WITHOUT_FLOAT16[option],
        )
    if args.bf16 and not device.bf16:
        what = f"this {device.kind.upper()} is not fast in bfloat16: the training takes longer than in float32"
        yield Objection("training_args.bf16", what, "remove bf16 unless memory is short", "note")


def _about_the_rows(config: LoRAConfig, rows: int | None) -> Iterator[Objection]:
    if rows is None:
        return
    left = rows
    if config.held_out is not None:
        count = rows_held_out(config.held_out, rows)
        left = rows - count
        if left < 1:
            what = f"{_rows(count)} held out to evaluate on would leave none of the {rows} to train on"
            yield Objection(_asks_for_evaluation(config), what, "lower eval_dataset_size, or name an eval_data_config")
            return
    args = config.training_args
    batch, passes = args.per_device_train_batch_size, args.gradient_accumulation_steps
    if batch * passes > left:
        option = "per_device_train_batch_size" if batch > left else "gradient_accumulation_steps"
        product = f"{batch * passes} ({batch} x {passes})" if passes > 1 else f"{batch}"
        what = f"an optimizer step takes {product} rows, and there are {left}: all of them make one step per epoch"
        hint = f"lower {option}, or raise num_train_epochs (now {args.num_train_epochs:g})"
        yield Objection(f"training_args.{option}", what, hint, "warning")


def _about_evaluation(config: LoRAConfig, rows: int | None) -> Iterator[Objection]:
    args = config.training_args
    if config.eval_data_config is None and config.eval_dataset_size is None and args.evaluates != "no":
        number = (
            f"a tenth of the training rows ({rows_held_out(config.held_out or 0, rows)} of {rows})"
            if rows
            else "a tenth of the training rows"
        )
        what = f"nothing says on which rows to evaluate: {number} is held out for it"
        yield Objection(
            _asks_for_evaluation(config), what, "to choose, write eval_data_config or eval_dataset_size", "note"
        )
    if args.load_best_model_at_end and args.evaluates == "no":
        what = "it has no effect: only the end of the training is evaluated"
        yield Objection("training_args.load_best_model_at_end", what, "write eval_strategy: steps", "note")
    if args.eval_steps is None:
        return
    if args.evaluates != "steps":
        what = f"it has no effect: eval_strategy is {args.evaluates!r}"
        yield Objection("training_args.eval_steps", what, "write eval_strategy: steps, or remove eval_steps", "note")
        return
    left = rows - rows_held_out(config.held_out, rows) if rows and config.held_out is not None else rows
    steps = args.max_steps or (args.total_steps(left) if left else None)
    if steps is not None and args.eval_steps >= steps:
        what = f"the training has {steps} steps: it is evaluated at its end only"
        yield Objection(
            "training_args.eval_steps", what, f"lower eval_steps (now {args.eval_steps}) to see more", "note"
        )


def _about_the_model(config: LoRAConfig, checkpoint: Checkpoint) -> Iterator[Objection]:
    if "quantization_config" in checkpoint.config:
        if isinstance(config, QLoRAConfig):
            what = "the weights of the model are quantized already, and QLoRA quantizes them itself"
            yield Objection("quant_type", what, "start from the model in full precision, or use LoRA")
        return  # the shapes in the files are not those of the layers
    layers = linear_layers(checkpoint)
    existing = {*layers, HEAD}
    for index, name in enumerate(config.target_modules or ()):
        if not _missing(name, existing):
            continue
        if _last(name) in EMBEDDINGS:
            what, hint = (
                f"{name} is an embedding, and adapters go on linear layers",
                "train it in full: modules_to_save",
            )
        else:
            what, hint = f"the model has no linear layer named {name}", advice(name, existing)
        yield Objection(f"target_modules.{index}", what, hint)
    modules = {HEAD, *_modules(checkpoint.tensors)}
    for index, name in enumerate(config.modules_to_save or ()):
        if _missing(name, modules):
            yield Objection(f"modules_to_save.{index}", f"the model has no module named {name}", advice(name, modules))
    yield from _about_the_rank(config, targets(config, layers))


def _about_the_rank(config: LoRAConfig, layers: Layers) -> Iterator[Objection]:
    smallest = min(layers.items(), key=lambda item: min(item[1]), default=None)
    if smallest is not None and config.r > min(smallest[1]):
        name, (height, width) = smallest
        what = f"the rank is larger than the smaller side of {_last(name)} ({height} x {width})"
        yield Objection("r", what, f"more than {min(height, width)} adds nothing there", "warning")


def _asks_for_evaluation(config: LoRAConfig) -> str:
    """The option that leads to rows being held out."""
    if config.eval_dataset_size is not None:
        return "eval_dataset_size"
    return "training_args.eval_steps" if config.training_args.eval_strategy is None else "training_args.eval_strategy"


def _missing(name: str, modules: Collection[str]) -> bool:
    """Files may leave out the first part of a module's name, so one that is longer than theirs is taken too."""
    return bool(absent([name], modules)) and not any(name.endswith(f".{module}") for module in modules)


def _modules(tensors: Collection[str]) -> set[str]:
    """All modules that hold parameters, in whatever depth."""
    return {name[:dot] for name in tensors for dot in range(len(name)) if name[dot] == "."}


def _is_matrix(name: str, shape: tuple[int, ...]) -> bool:
    return name.endswith(".weight") and len(shape) == 2


def _last(name: str) -> str:
    return name.rsplit(".", 1)[-1]


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"
