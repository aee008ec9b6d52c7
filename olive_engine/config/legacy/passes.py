"""Older spellings of passes and their options; flows of passes."""

from __future__ import annotations

from pydantic import JsonValue

from olive_engine.config.legacy.builder import BUILDER, BUILDER_LAST
from olive_engine.config.legacy.edits import Revision
from olive_engine.config.legacy.rules import Dropped, Lifted, Moved, Refused, Rewritten, Rule, Valued, type_of
from olive_engine.config.legacy.search import VALUES
from olive_engine.config.spelling import nearest
from olive_engine.config.variables import as_meant
from olive_engine.errors import ConfigPath

_EACH = "passes.*.@"
_ARGS = f"{_EACH}.training_args"
_TRAINED = ("lora", "qlora", "loftq", "dora", "loha", "lokr")
"""The types of passes that train adapters, in lower case."""
_QLORA_ONLY = ("double_quant", "quant_type")
"""Options that only a pass with a quantized base has."""
_ORT_TRAINER = "training is done in torch; ONNX Runtime's trainer is no more"
_ONE_DEVICE = "a training runs on one device"
_LOADER = "rows are tokens in memory already, and every row is trained on"
_SHOWN = "the engine reports every training alike"
_NOT_NEEDED = {
    "device_map": _ONE_DEVICE,
    "ephemeral_gpu_offload": "adapters are small enough to stay where the base is",
    "save_quant_config": "an adapter refers to the base in full precision",
    "quantized_modules": "which modules are quantized is told by the base",
    "ortmodule_onnx_opset_version": _ORT_TRAINER,
}
"""Options of Olive's fine-tuning passes that say nothing here, and why."""
_ARGS_NOT_NEEDED = {
    **dict.fromkeys(("deepspeed", "fsdp", "fsdp_config", "local_rank", "ddp_find_unused_parameters"), _ONE_DEVICE),
    **dict.fromkeys(("ddp_backend", "ddp_bucket_cap_mb", "ddp_timeout"), _ONE_DEVICE),
    **dict.fromkeys(("dataloader_pin_memory", "dataloader_drop_last", "dataloader_prefetch_factor"), _LOADER),
    "dataloader_persistent_workers": _LOADER,
    **dict.fromkeys(("logging_first_step", "disable_tqdm", "run_name", "log_level", "logging_nan_inf_filter"), _SHOWN),
    **dict.fromkeys(("push_to_hub", "hub_model_id", "hub_strategy", "hub_token"), "results stay in `output_dir`"),
    "gradient_checkpointing_kwargs": "gradient checkpointing has one way of working here",
    "use_module_with_loss": _ORT_TRAINER,
}
"""The same of transformers' training arguments."""
_OUTSIDE = "what a run writes is decided by the engine: models in `output_dir`, checkpoints in the cache"
_REPORTS = "every event of a training is in the run's own report (`olive run --json`)"


def _double_quant(revision: Revision) -> None:
    """Options of QLoRA under LoRA: older Olive warned and ignored them; who wrote them wanted a quantized base."""
    for name in _QLORA_ONLY:
        for path in revision.matches(f"{_EACH}.{name}"):
            if type_of(revision, path) != "lora":
                continue
            if as_meant(revision.value(path), (bool,)) in (False, None):
                revision.note(path, "not needed: LoRA does not quantize the base")
                revision.remove(path)
            else:
                revision.note(path, f"`{name}` is an option of QLoRA: the pass is read as QLoRA")
                revision.put((*path[:-1], "type"), "QLoRA")


def _unavailable(revision: Revision) -> None:
    """Options of Olive's passes that ours do not have yet."""
    for path in revision.matches(f"{_EACH}.metadata_only"):
        if type_of(revision, path) == "modelbuilder":
            if revision.value(path):
                revision.lack(path, "`metadata_only` is not available yet", str(path[1]))
            revision.remove(path)


def _flows(revision: Revision) -> None:
    """``pass_flows: [[a, b], [a, c]]``: each pass takes the model of the one before it in its flow."""
    path: ConfigPath = ("pass_flows",)
    if not revision.has(path):
        return
    names, flows = revision.members(("passes",)), _names_in(revision.value(path))
    unknown = [
        at
        for at in (*revision.matches("pass_flows.*"), *revision.matches("pass_flows.*.*"))
        if isinstance(name := revision.value(at), str) and name not in names
    ]
    if flows is None:
        revision.refuse(path, "expected a list of lists of pass names", "e.g. [[lora, merge]]")
    elif not names:
        if revision.value(("passes",)) is None:
            revision.refuse(path, "the passes of the flows are not described", "add a section `passes`")
    elif unknown:
        for at in unknown:
            name = str(revision.value(at))
            near = nearest(name, names)
            hint = f"did you mean `{near}`?" if near else f"passes of this file: {', '.join(names)}"
            revision.refuse(at, f"there is no pass {name!r}", hint)
    elif flows:
        _join(revision, flows, names)
    revision.remove(path)


def _join(revision: Revision, flows: list[list[str]], names: list[str]) -> None:
    """Flows that begin alike share their passes; a pass that comes after different ones is written once for each."""
    revision.note(("pass_flows",), "`pass_flows` is written as `input` of each pass")
    written: dict[tuple[str, ...], str] = {}
    copies = {name: revision.value(("passes", name)) for name in names}
    order: list[str] = []
    for flow in flows:
        before = "input_model"
        for length in range(1, len(flow) + 1):
            prefix = tuple(flow[:length])
            if prefix not in written:
                name = _free(prefix[-1], order, names)
                written[prefix] = name
                expected = order[-1] if order else "input_model"
                order.append(name)
                if name not in copies:
                    revision.put(("passes", name), copies[prefix[-1]], ("passes", prefix[-1]))
                if before != expected:
                    _take(revision, name, before)
            before = written[prefix]
    for name in names:
        if name not in order:
            revision.note(("passes", name), "it is in no flow, so it is left out")
            revision.remove(("passes", name))
    revision.order(("passes",), order)


def _take(revision: Revision, name: str, source: str) -> None:
    """Write where a pass, or each of its alternatives, takes its model from."""
    value = revision.value(("passes", name))
    places: list[ConfigPath] = [("passes", name)]
    if isinstance(value, list):
        places = [("passes", name, index) for index in range(len(value))]
    for place in places:
        revision.put((*place, "input"), source, place)


def _free(name: str, taken: list[str], names: list[str]) -> str:
    """`name`, or if it is taken the first of name_2, name_3, … that nothing is called."""
    number, free = 2, name
    while free in taken or (free in names and free != name):
        number, free = number + 1, f"{name}_{number}"
    return free


def _names_in(value: JsonValue) -> list[list[str]] | None:
    """The flows, one written without the outer list too; None if it is something else."""
    if value is None:
        return []
    if isinstance(value, list) and value and all(isinstance(name, str) for name in value):
        value = [value]
    if not isinstance(value, list):
        return None
    flows = [[name for name in flow if isinstance(name, str)] if isinstance(flow, list) else None for flow in value]
    found = [flow for flow in flows if flow is not None]
    same = all(isinstance(flow, list) and len(flow) == len(each) for flow, each in zip(value, found, strict=False))
    return found if same and len(found) == len(value) else None


PASSES: tuple[Rule, ...] = (
    Lifted(f"{_EACH}.config", "what `config` holds stands beside `type`"),
    Lifted(f"{_EACH}.params", "what `params` holds stands beside `type`"),
    Dropped(f"{_EACH}.clean_run_cache", "not needed: a step is keyed by everything that it depends on"),
    Dropped(f"{_EACH}.output_name", "not needed: what is written into `output_dir` is called after its pass"),
    *VALUES,
    Dropped(f"{_EACH}.disable_search", "an option is searched only where a search is written for it"),
    # Fine-tuning.
    Moved(f"{_EACH}.lora_r", f"{_EACH}.r", "`lora_r` is called `r`", _TRAINED),
    Moved(f"{_EACH}.lora_alpha", f"{_EACH}.alpha", "`lora_alpha` is called `alpha`", _TRAINED),
    Dropped(
        f"{_EACH}.target_modules", "without a list, all linear layers but the head are meant", ("all-linear",), _TRAINED
    ),
    Moved(f"{_EACH}.weight_decay", f"{_ARGS}.weight_decay", "`weight_decay` stands in `training_args`", _TRAINED),
    Moved(f"{_EACH}.hf_training_args", _ARGS, "`hf_training_args` is called `training_args`", _TRAINED),
    Moved(f"{_ARGS}.evaluation_strategy", f"{_ARGS}.eval_strategy", "`evaluation_strategy` is called `eval_strategy`"),
    Lifted(f"{_ARGS}.extra_args", "what `extra_args` holds stands beside it"),
    Dropped(f"{_EACH}.training_output_dir", _OUTSIDE),
    Dropped(f"{_EACH}.use_ort_trainer", _ORT_TRAINER, (False, None)),
    Refused(f"{_EACH}.use_ort_trainer", _ORT_TRAINER, "remove it"),
    *(Dropped(f"{_EACH}.{name}", why, types=_TRAINED) for name, why in _NOT_NEEDED.items()),
    *(Dropped(f"{_ARGS}.{name}", why) for name, why in _ARGS_NOT_NEEDED.items()),
    Dropped(f"{_ARGS}.max_steps", "without a limit, num_train_epochs counts", (-1, 0)),
    Dropped(f"{_ARGS}.metric_for_best_model", "the loss is what the best is chosen by", ("loss", "eval_loss", None)),
    Dropped(f"{_ARGS}.greater_is_better", "a lower loss is better", (False, None)),
    Valued(f"{_ARGS}.optim", {"adamw_hf": "adamw_torch"}, "`{old}` is called `{new}`"),
    Moved(f"{_ARGS}.tf32", f"{_EACH}.allow_tf32", "`tf32` is the pass's own `allow_tf32`", _TRAINED),
    *BUILDER,
    Dropped(f"{_ARGS}.output_dir", _OUTSIDE),
    Dropped(f"{_ARGS}.overwrite_output_dir", _OUTSIDE),
    Dropped(f"{_ARGS}.resume_from_checkpoint", "a run that was cut off always goes on from its last checkpoint"),
    Dropped(f"{_ARGS}.save_total_limit", "the last checkpoint is kept until the training is done"),
    Dropped(f"{_ARGS}.save_strategy", "checkpoints are kept every `save_steps` until the training is done"),
    Dropped(f"{_ARGS}.logging_dir", _REPORTS),
    Dropped(f"{_ARGS}.report_to", _REPORTS),
    Dropped(f"{_ARGS}.logging_strategy", "the loss is reported every `logging_steps`"),
    Dropped(f"{_ARGS}.remove_unused_columns", "only tokens reach the model"),
    Dropped(f"{_ARGS}.do_train", "training is what the pass does", (True, None)),
    Dropped(f"{_ARGS}.do_eval", "`eval_strategy` says when to evaluate"),
    Dropped(f"{_ARGS}.prediction_loss_only", "the loss is all that is measured in a training"),
)

PASSES_JOINED: tuple[Rule, ...] = (Rewritten(_flows),)

PASSES_LAST: tuple[Rule, ...] = (Rewritten(_double_quant), Rewritten(_unavailable), *BUILDER_LAST)
