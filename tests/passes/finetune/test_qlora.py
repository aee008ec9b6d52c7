import json
from pathlib import Path
from typing import Any

import pytest
import torch
from bitsandbytes.functional import dequantize_4bit
from bitsandbytes.nn import Linear4bit
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from olive_engine.contracts import Device
from olive_engine.digests import file_digest, files_under
from olive_engine.errors import Stopped
from olive_engine.models import HfAdapterModel, HfModel
from olive_engine.testing.tiny_models import ARCHITECTURES, Architecture, build_tiny_model
from olive_passes.finetune import QLoRA, QLoRAConfig
from olive_passes.finetune.base import structural_copy
from olive_passes.finetune.cores import Quantization, quantization_of
from olive_passes.merge.merge import merge
from tests.passes.finetune.bench import Bench, qlora

CORES = ("lean", "trainer")
FAMILIES: tuple[Architecture, ...] = (*ARCHITECTURES, "gpt2")
PROMPT = torch.tensor([[1, 50, 60, 70, 80, 90]])

# peft asks transformers by a name that transformers has renamed; the pass filters this, loading in a test does not.
pytestmark = [
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`:UserWarning"),
]


def run(bench: Bench, base: HfModel, config: QLoRAConfig, **context: Any) -> HfAdapterModel:
    return QLoRA().run(base, config, bench.context(**context))


def digests(adapter: HfAdapterModel) -> dict[str, str]:
    return {name: file_digest(adapter.adapter_path / name) for name in files_under(adapter.adapter_path)}


def load(model: HfModel) -> PreTrainedModel:
    return AutoModelForCausalLM.from_pretrained(model.model_path)


def layers(model: torch.nn.Module) -> dict[str, Linear4bit]:
    return {name: module for name, module in model.named_modules() if isinstance(module, Linear4bit)}


@torch.no_grad()
def logits(model: torch.nn.Module) -> torch.Tensor:
    return model.eval()(PROMPT).logits


@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize("architecture", FAMILIES)
def test_the_loss_falls_and_the_shared_base_is_untouched(
    bench: Bench, tmp_path: Path, architecture: Architecture, core: str
) -> None:
    base = build_tiny_model(tmp_path / "model", architecture)
    often = {"max_steps": 12, "learning_rate": 1e-2, "eval_strategy": "steps", "eval_steps": 4}
    run(bench, base, qlora(core=core, eval_data=True, training=often | {"max_steps": 1}))
    (resident,) = bench.residents.values()
    states = {name: (layer.weight.clone(), dequantized(layer)) for name, layer in layers(resident).items()}
    others = {name: tensor.clone() for name, tensor in resident.state_dict().items()}
    bench.events.clear()

    run(bench, base, qlora(core=core, eval_data=True, training=often))
    losses = bench.losses()
    assert len(losses) == 12
    assert losses[-1] < 0.8 * losses[0]
    assert bench.metrics()["eval_loss"] < losses[0]
    assert len(bench.residents) == 1
    assert len(states) > 0
    assert "lm_head" not in states
    for name, layer in layers(resident).items():
        assert torch.equal(layer.weight, states[name][0])
        assert torch.equal(dequantized(layer), states[name][1])
    assert all(torch.equal(tensor, others[name]) for name, tensor in resident.state_dict().items())
    assert not any(p.requires_grad or p.grad is not None for p in resident.parameters())


def dequantized(layer: Linear4bit) -> torch.Tensor:
    return dequantize_4bit(layer.weight, layer.weight.quant_state)


@pytest.mark.parametrize("quant_type", ["nf4", "fp4"])
@pytest.mark.parametrize("double_quant", [False, True])
def test_the_base_is_the_model_rounded_to_four_bits(
    bench: Bench, base: HfModel, quant_type: str, double_quant: bool
) -> None:
    run(bench, base, qlora(quant_type=quant_type, double_quant=double_quant, training={"max_steps": 1}))
    (resident,) = bench.residents.values()
    full = load(base)
    linear = {name for name, module in full.named_modules() if isinstance(module, torch.nn.Linear)}
    for name, module in resident.named_modules():
        if name not in linear - {"lm_head"}:
            continue
        weight = full.get_submodule(name).weight.detach()
        rounded = module.weight
        if isinstance(module, Linear4bit):
            state = module.weight.quant_state
            assert (state.quant_type, state.nested) == (quant_type, double_quant)
            assert module.weight.numel() * module.weight.element_size() == weight.numel() // 2
            rounded = dequantized(module)
        # Rows of 160 weights are two and a half blocks, which bitsandbytes cannot unpack on a CPU.
        assert isinstance(module, Linear4bit) == (weight.shape[1] % 64 == 0)
        # A block is its largest value times 16 numbers: the error is at most half the widest gap between these.
        error = (rounded - weight).abs().reshape(-1, 64) / weight.abs().reshape(-1, 64).amax(dim=1, keepdim=True)
        gap = {"nf4": 1 - 0.69619, "fp4": 1 - 0.66667}[quant_type]
        assert 0.4 * gap < error.max() < 0.5 * gap + (0.02 if double_quant else 1e-3)
    assert torch.equal(resident.lm_head.weight, full.lm_head.weight)
    assert torch.equal(resident.model.embed_tokens.weight, full.model.embed_tokens.weight)


def test_the_model_in_four_bits_computes_with_its_rounded_weights(bench: Bench, tmp_path: Path) -> None:
    for architecture in FAMILIES:
        base = build_tiny_model(tmp_path / architecture, architecture)
        bench.residents.clear()
        run(bench, base, qlora(training={"max_steps": 1}))
        (resident,) = bench.residents.values()
        rounded = load(base)
        for name, module in resident.named_modules():
            if isinstance(module, Linear4bit):
                weight = dequantized(module)
                original = rounded.get_submodule(name)
                original.weight.data = weight.T if isinstance(original, Conv1D) else weight
            elif hasattr(module, "source_cls"):
                original = rounded.get_submodule(name)
                original.weight.data = module.weight.T if isinstance(original, Conv1D) else module.weight
        torch.testing.assert_close(logits(resident), logits(rounded), atol=1e-4, rtol=0)
        assert (logits(resident) - logits(load(base))).abs().max() > 0.01


def test_both_cores_give_one_loss_curve(bench: Bench, base: HfModel) -> None:
    curves = []
    for core in CORES:
        bench.events.clear()
        run(bench, base, qlora(core=core, double_quant=True, training={"learning_rate": 1e-3, "max_steps": 8}))
        curves.append(bench.losses())
    assert curves[0] == pytest.approx(curves[1], abs=1e-4)
    assert curves[0][-1] < curves[0][0]


@pytest.mark.parametrize("core", CORES)
def test_the_same_config_gives_the_same_bytes_whatever_ran_between(bench: Bench, base: HfModel, core: str) -> None:
    a, b = qlora(core=core, lora_dropout=0.1), qlora(core=core, double_quant=True, quant_type="fp4", r=8)
    first, other, second = run(bench, base, a), run(bench, base, b), run(bench, base, a)
    assert set(digests(first)) == {"adapter_config.json", "adapter_model.safetensors"}
    assert digests(first) == digests(second) != digests(other)
    assert len(bench.residents) == 2, "a base for each way of quantizing it"
    text = (first.adapter_path / "adapter_config.json").read_text()
    assert str(bench.root) not in text
    assert str(base.model_path) not in text
    assert json.loads(text)["base_model_name_or_path"] is None
    assert first.model_path == base.model_path
    assert first.load_kwargs == {}


@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize("how", ["asked", "crash"])
def test_a_training_cut_short_goes_on_by_itself_and_ends_bit_identical(
    bench: Bench, base: HfModel, core: str, how: str
) -> None:
    config = qlora(core=core, lora_dropout=0.1, training={"save_steps": 3, "max_steps": 8, "logging_steps": 3})
    whole = run(bench, base, config)
    calls = 0

    def stop() -> bool:
        nonlocal calls
        calls += 1
        if calls == 6 and how == "crash":
            raise KeyError
        return calls == 6

    with pytest.raises(Stopped if how == "asked" else KeyError):
        run(bench, base, config, state="cut", stop=stop)
    bench.events.clear()
    assert digests(run(bench, base, config, state="cut")) == digests(whole)
    assert next(e.step for e in bench.events if e.type == "progress") > 3


def test_a_stretch_after_an_evaluation_trains_as_before(bench: Bench, base: HfModel) -> None:
    often = {"eval_strategy": "steps", "eval_steps": 1}
    plain, watched = qlora(eval_data=True), qlora(eval_data=True, training=often)
    assert digests(run(bench, base, plain)) == digests(run(bench, base, watched))


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("double_quant", True),
        ("quant_type", "fp4"),
        ("compute_dtype", "bfloat16"),
        ("torch_dtype", "bfloat16"),
        ("target_modules", ["q_proj"]),
        ("modules_to_save", ["lm_head"]),
        ("use_rslora", True),
    ],
)
def test_every_option_makes_a_difference(bench: Bench, base: HfModel, option: str, value: Any) -> None:
    plain = digests(run(bench, base, qlora(training={"max_steps": 3})))
    assert digests(run(bench, base, qlora(training={"max_steps": 3}, **{option: value}))) != plain


@pytest.mark.parametrize("architecture", ["qwen2", "gpt2"])
@pytest.mark.parametrize("bias", ["all", "lora_only"])
@pytest.mark.parametrize("compute", [None, "bfloat16"])
def test_biases_are_trained_beside_the_adapters(
    bench: Bench, tmp_path: Path, architecture: Architecture, bias: str, compute: str | None
) -> None:
    base = build_tiny_model(tmp_path / "model", architecture)
    result = run(bench, base, qlora(bias=bias, compute_dtype=compute, training={"learning_rate": 1e-2}))
    tensors = load_file(result.adapter_path / "adapter_model.safetensors")
    biases = {name: tensor for name, tensor in tensors.items() if name.endswith("bias")}
    before = dict(load(base).named_parameters())
    assert biases
    for name, tensor in biases.items():
        original = before[name.removeprefix("base_model.model.").replace(".base_layer", "")]
        assert (tensor.float() - original).abs().max() > 1e-3, name
    assert bench.losses()[-1] < bench.losses()[0]


def test_the_precisions_follow_the_options_and_the_device(bench: Bench, base: HfModel) -> None:
    cpu, gpu = Device(), Device(kind="gpu", bf16=True)
    assert quantization_of(qlora(), cpu) == Quantization("nf4", double_quant=False, compute_dtype="float32")
    assert quantization_of(qlora(), gpu) == Quantization("nf4", double_quant=False, compute_dtype="bfloat16")
    mixed = qlora(double_quant=True, training={"fp16": True})
    assert quantization_of(mixed, gpu) == Quantization("nf4", double_quant=True, compute_dtype="float16")
    assert QLoRA.device_facts(mixed, gpu) == {"device": "gpu", "dtype": "float32", "core": "trainer"}
    assert quantization_of(qlora(compute_dtype="float32", training={"bf16": True}), gpu).compute_dtype == "float32"


@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize(
    ("architecture", "targets", "saved"),
    [
        ("gpt2", ["c_attn", "c_proj"], ["ln_f", "lm_head"]),
        ("gpt2", None, None),
        ("phi3", ["o_proj", "qkv_proj"], None),
        ("llama", None, ["lm_head"]),
    ],
)
def test_merged_into_the_model_in_full_precision(
    bench: Bench,
    tmp_path: Path,
    architecture: Architecture,
    core: str,
    targets: list[str] | None,
    saved: list[str] | None,
) -> None:
    base = build_tiny_model(tmp_path / "model", architecture)
    config = qlora(core=core, target_modules=targets, modules_to_save=saved, training={"learning_rate": 1e-2})
    result = run(bench, base, config)
    written = json.loads((result.adapter_path / "adapter_config.json").read_text())
    assert written["fan_in_fan_out"] == (architecture == "gpt2")
    both = logits(PeftModel.from_pretrained(load(base), result.adapter_path))
    merged = load(merge(result, tmp_path / "merged"))
    assert merged.dtype == torch.float32
    assert not layers(merged)
    torch.testing.assert_close(logits(merged), both, atol=1e-4, rtol=0)
    assert (both - logits(load(base))).abs().max() > 0.01


def test_a_copy_shares_the_quantized_tensors(bench: Bench, base: HfModel) -> None:
    run(bench, base, qlora(training={"max_steps": 1}))
    (resident,) = bench.residents.values()
    copied = layers(structural_copy(resident))
    for name, layer in layers(resident).items():
        assert copied[name] is not layer
        assert copied[name].weight is layer.weight
        assert copied[name].quant_state is layer.weight.quant_state


@pytest.mark.parametrize("optim", ["paged_adamw_32bit", "adamw_8bit"])
def test_optimizers_of_bitsandbytes_train_it(bench: Bench, base: HfModel, optim: str) -> None:
    run(bench, base, qlora(r=64, double_quant=True, training={"optim": optim}))
    assert bench.losses()[-1] < bench.losses()[0]
