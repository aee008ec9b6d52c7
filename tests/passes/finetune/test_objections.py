import json
from math import prod
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open

from olive_engine.contracts import Device, Known, Needs, Objection
from olive_engine.models import Checkpoint, HfModel
from olive_engine.testing.tiny_models import ARCHITECTURES, Architecture, build_tiny_model
from olive_passes.finetune import LoRA, LoRAConfig, QLoRA, QLoRAConfig

FAMILIES: tuple[Architecture, ...] = (*ARCHITECTURES, "gpt2")
CPU, GPU = Device(), Device(kind="gpu", bf16=True)

LLAMA = {
    "model.embed_tokens.weight": (32000, 64),
    "model.layers.0.self_attn.q_proj.weight": (64, 64),
    "model.layers.0.self_attn.k_proj.weight": (32, 64),
    "model.layers.0.self_attn.v_proj.weight": (32, 64),
    "model.layers.0.self_attn.o_proj.weight": (64, 64),
    "model.layers.0.mlp.gate_proj.weight": (160, 64),
    "model.layers.0.mlp.up_proj.weight": (160, 64),
    "model.layers.0.mlp.down_proj.weight": (64, 160),
    "model.layers.0.input_layernorm.weight": (64,),
    "model.norm.weight": (64,),
}
PHI3 = {
    "model.embed_tokens.weight": (32064, 64),
    "model.layers.0.self_attn.qkv_proj.weight": (192, 64),
    "model.layers.0.self_attn.o_proj.weight": (64, 64),
    "model.layers.0.mlp.gate_up_proj.weight": (320, 64),
    "model.layers.0.mlp.down_proj.weight": (64, 160),
    "model.norm.weight": (64,),
    "lm_head.weight": (32064, 64),
}
# As the files on the hub name them: without the first part, and with the buffer of a mask.
GPT2 = {
    "wte.weight": (50257, 64),
    "wpe.weight": (1024, 64),
    "h.0.attn.bias": (1, 1, 1024, 1024),
    "h.0.attn.c_attn.weight": (64, 192),
    "h.0.attn.c_attn.bias": (192,),
    "h.0.attn.c_proj.weight": (64, 64),
    "h.0.mlp.c_fc.weight": (64, 256),
    "h.0.mlp.c_proj.weight": (256, 64),
    "ln_f.weight": (64,),
    "ln_f.bias": (64,),
}


def about(tensors: dict[str, tuple[int, ...]], config: dict[str, Any] | None = None, **options: Any) -> list[Objection]:
    known = Known(checkpoint=Checkpoint(config=config or {}, tensors=tensors))
    return list(LoRA.objections(LoRAConfig.model_validate({"r": 8} | options), known))


def about_rows(rows: int | None = None, *, pass_class: Any = LoRA, device: Device | None = None, **options: Any) -> Any:
    known = Known(rows={} if rows is None else {"train_data_config": rows}, device=device)
    config = pass_class.config_type.model_validate({"train_data_config": "rows", **options})
    return list(pass_class.objections(config, known))


def test_nothing_is_said_where_nothing_is_known_or_all_is_well() -> None:
    options = LoRAConfig(target_modules=["no_such"], training_args={"fp16": True})
    assert list(LoRA.objections(options, Known())) == []
    assert about(LLAMA) == []
    assert about(LLAMA, target_modules=["q_proj", "mlp.down_proj", "model.layers.0.self_attn.o_proj"]) == []
    assert about(GPT2, target_modules=["c_attn", "c_proj"], modules_to_save=["ln_f", "lm_head"]) == []
    assert about(PHI3, target_modules=["o_proj", "qkv_proj"]) == []
    assert about_rows(1000, device=CPU) == []


@pytest.mark.parametrize("architecture", FAMILIES)
def test_what_the_files_of_each_family_say_is_what_the_model_has(tmp_path: Path, architecture: Architecture) -> None:
    """Real modules by their real names are never objected to, nor is a tied head."""
    from torch import nn
    from transformers import AutoModelForCausalLM
    from transformers.pytorch_utils import Conv1D

    base: HfModel = build_tiny_model(tmp_path, architecture)
    tensors = tensors_of(base)
    model = AutoModelForCausalLM.from_pretrained(base.model_path)
    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear | Conv1D)]
    saved = [name for name, module in model.named_modules() if name and any(True for _ in module.parameters())]
    ends = sorted({name.rsplit(".", 1)[-1] for name in linear})
    config = json.loads((base.model_path / "config.json").read_text())
    assert about(tensors, config, target_modules=linear, modules_to_save=saved) == []
    assert about(tensors, config, target_modules=ends) == []
    assert about(tensors, config, r=65)[0].option == "r"


@pytest.mark.parametrize(
    ("tensors", "name", "what", "hint"),
    [
        (
            PHI3,
            "q_proj",
            "the model has no linear layer named q_proj",
            "qkv_proj does its work here; the model has down_proj, gate_up_proj, lm_head, o_proj, qkv_proj",
        ),
        (
            LLAMA,
            "qkv_proj",
            "the model has no linear layer named qkv_proj",
            "k_proj, q_proj and v_proj do its work here; "
            "the model has down_proj, gate_proj, k_proj, lm_head, o_proj, q_proj, up_proj, v_proj",
        ),
        (
            LLAMA,
            "q_porj",
            "the model has no linear layer named q_porj",
            "did you mean `q_proj`? "
            "the model has down_proj, gate_proj, k_proj, lm_head, o_proj, q_proj, up_proj, v_proj",
        ),
        (
            GPT2,
            "o_proj",
            "the model has no linear layer named o_proj",
            "c_proj does its work here; the model has c_attn, c_fc, c_proj, lm_head",
        ),
        (
            GPT2,
            "wte",
            "wte is an embedding, and adapters go on linear layers",
            "train it in full: modules_to_save",
        ),
        (
            GPT2,
            "ln_f",
            "the model has no linear layer named ln_f",
            "the model has c_attn, c_fc, c_proj, lm_head",
        ),
        (
            GPT2,
            "attn",
            "the model has no linear layer named attn",
            "did you mean `c_attn`? the model has c_attn, c_fc, c_proj, lm_head",
        ),
    ],
)
def test_a_target_that_no_layer_bears(tensors: Any, name: str, what: str, hint: str) -> None:
    targets = ["c_attn" if tensors is GPT2 else "o_proj", name]
    assert about(tensors, target_modules=targets) == [Objection("target_modules.1", what, hint)]


def test_a_module_to_save_that_is_not_there() -> None:
    (found,) = about(GPT2, modules_to_save=["lm_head", "ln_f", "final_norm", "transformer.ln_f"])
    assert (found.option, found.severity) == ("modules_to_save.2", "error")
    assert found.what == "the model has no module named final_norm"
    assert found.hint == "the model has attn, c_attn, c_fc, c_proj, h, lm_head, ln_f, mlp, wpe, wte"


def test_a_rank_above_the_smaller_side() -> None:
    assert about(LLAMA, r=64) == [
        Objection(
            "r",
            "the rank is larger than the smaller side of k_proj (32 x 64)",
            "more than 32 adds nothing there",
            "warning",
        )
    ]
    assert about(LLAMA, r=64, target_modules=["q_proj"]) == []
    assert about(LLAMA, r=65, target_modules=["q_proj", "k_prj"])[1].what.endswith("q_proj (64 x 64)")


def test_the_files_of_a_quantized_model_are_not_judged_by_shape() -> None:
    config = {"quantization_config": {"quant_method": "gptq"}}
    assert about({"model.layers.0.self_attn.q_proj.qweight": (8, 64)}, config, target_modules=["q_proj"], r=64) == []
    known = Known(checkpoint=Checkpoint(config=config, tensors={}))
    assert list(QLoRA.objections(QLoRAConfig(), known)) == [
        Objection(
            "quant_type",
            "the weights of the model are quantized already, and QLoRA quantizes them itself",
            "start from the model in full precision, or use LoRA",
        )
    ]


@pytest.mark.parametrize("pass_class", [LoRA, QLoRA])
def test_float16_on_a_cpu(pass_class: Any) -> None:
    assert about_rows(pass_class=pass_class, device=CPU, training_args={"fp16": True}) == [
        Objection(
            "training_args.fp16",
            "training in float16 needs a GPU, and this step runs on a CPU",
            "write bf16: true instead, or remove fp16",
        )
    ]
    (found,) = about_rows(pass_class=pass_class, device=CPU, torch_dtype="float16")
    assert (found.option, found.hint) == ("torch_dtype", "write bfloat16, float32 or auto")
    assert about_rows(pass_class=pass_class, device=GPU, torch_dtype="float16", training_args={"fp16": True}) == []
    (note,) = about_rows(pass_class=pass_class, device=CPU, training_args={"bf16": True})
    assert (note.option, note.severity) == ("training_args.bf16", "note")
    assert about_rows(pass_class=pass_class, device=Device(bf16=True), training_args={"bf16": True}) == []


@pytest.mark.parametrize(
    "optim", ["adamw_8bit", "paged_adamw_32bit", "paged_adamw_8bit", "lion_8bit", "paged_lion_8bit"]
)
def test_optimizers_of_bitsandbytes_run_on_a_cpu_too(optim: str) -> None:
    assert about_rows(device=CPU, training_args={"optim": optim}) == []


@pytest.mark.parametrize(
    ("args", "option", "what"),
    [
        (
            {"gradient_accumulation_steps": 16},
            "gradient_accumulation_steps",
            "an optimizer step takes 128 (8 x 16) rows, and there are 24: all of them make one step per epoch",
        ),
        (
            {"per_device_train_batch_size": 32},
            "per_device_train_batch_size",
            "an optimizer step takes 32 rows, and there are 24: all of them make one step per epoch",
        ),
    ],
)
def test_a_step_of_more_rows_than_there_are(args: dict[str, int], option: str, what: str) -> None:
    hint = f"lower {option}, or raise num_train_epochs (now 3)"
    assert about_rows(24, training_args=args) == [Objection(f"training_args.{option}", what, hint, "warning")]
    assert about_rows(None, training_args=args) == []
    assert about_rows(128, training_args=args) == []


def test_the_rows_that_are_held_out_count() -> None:
    args = {"per_device_train_batch_size": 20}
    assert about_rows(24, training_args=args) == []
    (found,) = about_rows(24, eval_dataset_size=6, training_args=args)
    assert found.what == "an optimizer step takes 20 rows, and there are 18: all of them make one step per epoch"


@pytest.mark.parametrize(("size", "rows"), [(24, 24), (1024, 24), (0.3, 1), (0.99, 24)])
def test_a_hold_out_that_leaves_nothing(size: float, rows: int) -> None:
    (found,) = about_rows(rows, eval_dataset_size=size)
    assert (found.option, found.severity) == ("eval_dataset_size", "error")
    assert found.what.endswith(f"held out to evaluate on would leave none of the {rows} to train on")
    assert found.hint == "lower eval_dataset_size, or name an eval_data_config"


def test_an_evaluation_without_rows_to_evaluate_on() -> None:
    choose = "to choose, write eval_data_config or eval_dataset_size"
    what = "nothing says on which rows to evaluate: a tenth of the training rows{} is held out for it"
    steps = {"eval_strategy": "epoch"}
    assert about_rows(240, training_args=steps) == [
        Objection("training_args.eval_strategy", what.format(" (24 of 240)"), choose, "note")
    ]
    assert about_rows(training_args={"eval_steps": 5}) == [
        Objection("training_args.eval_steps", what.format(""), choose, "note")
    ]
    assert about_rows(240, training_args=steps, eval_dataset_size=0.3) == []
    assert about_rows(240, training_args=steps, eval_data_config="other") == []
    (error, _) = about_rows(1, training_args=steps)
    assert (error.option, error.severity) == ("training_args.eval_strategy", "error")


def test_evaluation_steps_that_have_no_effect() -> None:
    """The tutorial's: eval_steps 187 of a training of 10 steps."""
    tutorial = {"eval_strategy": "steps", "eval_steps": 187, "max_steps": 10, "per_device_train_batch_size": 1}
    assert about_rows(1000, eval_dataset_size=0.3, training_args=tutorial) == [
        Objection(
            "training_args.eval_steps",
            "the training has 10 steps: it is evaluated at its end only",
            "lower eval_steps (now 187) to see more",
            "note",
        )
    ]
    counted = {"eval_steps": 60, "num_train_epochs": 2, "per_device_train_batch_size": 4}
    assert about_rows(120, eval_data_config="other", training_args=counted)[0].what.startswith(
        "the training has 60 steps"
    )
    assert about_rows(124, eval_data_config="other", training_args=counted) == []
    (found,) = about_rows(eval_data_config="other", training_args={"eval_strategy": "epoch", "eval_steps": 5})
    assert (found.what, found.severity) == ("it has no effect: eval_strategy is 'epoch'", "note")


def test_workers_of_a_data_loader_have_nothing_to_do() -> None:
    (found,) = about_rows(training_args={"dataloader_num_workers": 4})
    assert (found.option, found.severity) == ("training_args.dataloader_num_workers", "note")
    assert "no effect" in found.what


def test_the_best_of_one_evaluation() -> None:
    (found,) = about_rows(eval_data_config="other", training_args={"load_best_model_at_end": True})
    assert (found.option, found.severity) == ("training_args.load_best_model_at_end", "note")
    assert about_rows(eval_data_config="other", training_args={"load_best_model_at_end": True, "eval_steps": 5}) == []


def test_the_memory_and_disk_that_it_takes_at_the_least(tmp_path: Path) -> None:
    """Exactly the bytes of the base on the device, and of the adapter's file but for its header."""
    base = build_tiny_model(tmp_path, "phi3")  # its widths are blocks of 64, but for down_proj
    weights = {name: prod(shape) for name, shape in tensors_of(base).items()}
    known = Known(checkpoint=Checkpoint(config={}, tensors=tensors_of(base)), device=CPU)
    config = {"r": 4, "target_modules": ["o_proj", "qkv_proj"]}
    adapters = 4 * 2 * ((64 + 64) + (64 + 128)) * 4
    assert LoRA.needs(LoRAConfig.model_validate(config), known) == Needs(
        memory=4 * sum(weights.values()) + 2 * adapters, disk=adapters
    )
    half = Known(checkpoint=known.checkpoint, device=GPU)
    assert LoRA.needs(LoRAConfig.model_validate(config), half).memory == 2 * sum(weights.values()) + 2 * adapters
    packed = sum(size for name, size in weights.items() if name.endswith("_proj.weight"))
    assert QLoRA.needs(QLoRAConfig.model_validate(config), known).memory == (
        4 * (sum(weights.values()) - packed) + packed // 2 + 2 * adapters
    )
    assert LoRA.needs(LoRAConfig(), Known()) == Needs()


def tensors_of(model: HfModel) -> dict[str, tuple[int, ...]]:
    with safe_open(model.model_path / "model.safetensors", framework="pt") as file:
        return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 - no mapping
