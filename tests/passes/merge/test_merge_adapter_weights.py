import json
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from olive_engine.digests import file_digest, files_under
from olive_engine.models import HfAdapterModel, HfModel
from olive_engine.testing.tiny_models import ARCHITECTURES, Architecture, build_tiny_adapter, build_tiny_model
from olive_passes.merge.merge import merge

PROMPT = torch.tensor([[1, 50, 60, 70, 80, 90]])

# peft asks transformers by a name that transformers has renamed; the pass filters this, loading in a test does not.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


def digests(folder: Path) -> dict[str, str]:
    return {name: file_digest(folder / name) for name in files_under(folder)}


@torch.no_grad()
def logits(model: HfModel | HfAdapterModel) -> torch.Tensor:
    loaded = AutoModelForCausalLM.from_pretrained(model.model_path)
    if isinstance(model, HfAdapterModel):
        loaded = PeftModel.from_pretrained(loaded, model.adapter_path)
    return loaded.eval()(PROMPT).logits


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("architecture", [*ARCHITECTURES, "gpt2"])
def test_the_merged_model_answers_as_base_and_adapter_do(
    tmp_path: Path, architecture: Architecture, tied: bool
) -> None:
    base = build_tiny_model(tmp_path / "base", architecture, tied=tied)
    adapted = build_tiny_adapter(base, tmp_path / "adapter")
    merged = merge(adapted, tmp_path / "merged")

    torch.testing.assert_close(logits(merged), logits(adapted), atol=1e-4, rtol=0)
    assert (logits(merged) - logits(base)).abs().max() > 0.01
    assert AutoModelForCausalLM.from_pretrained(merged.model_path).config.tie_word_embeddings == tied


def test_all_but_the_weights_is_the_bases_byte_for_byte(tmp_path: Path) -> None:
    base = build_tiny_model(tmp_path / "base")
    generation = base.model_path / "generation_config.json"
    generation.write_text('{"pad_token_id": 0,   "eos_token_id": [2, 3]}')
    (base.model_path / "NOTICE").write_text("kept")
    (base.model_path / "pytorch_model.bin").write_bytes(b"old")
    merged = merge(build_tiny_adapter(base, tmp_path / "adapter"), tmp_path / "merged")

    before, after = digests(base.model_path), digests(merged.model_path)
    assert set(before) - set(after) == {"pytorch_model.bin"}
    assert {name for name in after if after[name] != before[name]} == {"model.safetensors"}
    tokenizer = AutoTokenizer.from_pretrained(merged.model_path)
    assert tokenizer.chat_template == AutoTokenizer.from_pretrained(base.model_path).chat_template


def test_the_same_inputs_give_the_same_bytes_and_are_left_alone(tmp_path: Path) -> None:
    base = build_tiny_model(tmp_path / "base")
    adapted = build_tiny_adapter(base, tmp_path / "adapter")
    before = digests(base.model_path) | digests(adapted.adapter_path)
    first, second = merge(adapted, tmp_path / "one"), merge(adapted, tmp_path / "two")
    assert digests(first.model_path) == digests(second.model_path)
    assert digests(base.model_path) | digests(adapted.adapter_path) == before
    assert str(tmp_path) not in (first.model_path / "config.json").read_text()


def test_a_bfloat16_base_stays_bfloat16(tmp_path: Path) -> None:
    base = build_tiny_model(tmp_path / "base")
    AutoModelForCausalLM.from_pretrained(base.model_path, dtype=torch.bfloat16).save_pretrained(base.model_path)
    merged = merge(build_tiny_adapter(base, tmp_path / "adapter"), tmp_path / "merged")
    tensors = load_file(merged.model_path / "model.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.bfloat16}
    assert AutoConfig.from_pretrained(merged.model_path).dtype == torch.bfloat16


def test_a_head_of_the_adapters_own_survives_though_the_base_ties_it(tmp_path: Path) -> None:
    base = build_tiny_model(tmp_path / "base", tied=True)
    model = AutoModelForCausalLM.from_pretrained(base.model_path)
    config = LoraConfig(r=4, target_modules=["q_proj"], modules_to_save=["lm_head"], task_type="CAUSAL_LM")
    with pytest.warns(UserWarning, match="tie_word_embeddings"):
        wrapped = get_peft_model(model, config)
    torch.nn.init.normal_(wrapped.base_model.model.lm_head.modules_to_save["default"].weight)
    wrapped.save_pretrained(tmp_path / "adapter", save_embedding_layers=False)
    with torch.no_grad():
        expected = wrapped.eval()(PROMPT).logits
    merged = merge(HfAdapterModel(model_path=base.model_path, adapter_path=tmp_path / "adapter"), tmp_path / "merged")
    torch.testing.assert_close(logits(merged), expected, atol=1e-4, rtol=0)


def refused(adapted: HfAdapterModel, tmp_path: Path) -> str:
    with pytest.raises(ValueError, match=r"^the adapter ") as caught:
        merge(adapted, tmp_path / "merged")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "merged").exists()
    return str(caught.value)


def test_an_adapter_of_another_model_is_refused_in_a_sentence(tmp_path: Path) -> None:
    llama = build_tiny_model(tmp_path / "llama")
    phi3 = build_tiny_model(tmp_path / "phi3", "phi3")
    adapter = build_tiny_adapter(llama, tmp_path / "adapter").adapter_path

    other = HfAdapterModel(model_path=phi3.model_path, adapter_path=adapter)
    assert "does not fit the base model" in refused(other, tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("shape", "size mismatch"),
        ("less", "layers.1.self_attn.q_proj.lora_A.weight is missing in the adapter"),
        ("more", "layers.2.self_attn.q_proj.lora_A.weight has no place in the base model"),
        ("none", "the adapter has no adapter_model.safetensors"),
    ],
)
def test_an_adapter_with_odd_weights_is_refused_in_a_sentence(tmp_path: Path, change: str, message: str) -> None:
    adapted = build_tiny_adapter(build_tiny_model(tmp_path / "base"), tmp_path / "adapter")
    path = adapted.adapter_path / "adapter_model.safetensors"
    tensors = load_file(path)
    name = "base_model.model.model.layers.{}.self_attn.q_proj.lora_A.weight"
    if change == "shape":
        tensors[name.format(1)] = torch.zeros(4, 32)
    elif change == "less":
        del tensors[name.format(1)]
    elif change == "more":
        tensors[name.format(2)] = torch.zeros(4, 64)
    save_file(tensors, path, metadata={"format": "pt"})
    if change == "none":
        path.unlink()
    assert message in refused(adapted, tmp_path)


def test_the_adapter_config_is_not_needed_to_name_the_base(tmp_path: Path) -> None:
    adapted = build_tiny_adapter(build_tiny_model(tmp_path / "base"), tmp_path / "adapter")
    assert json.loads((adapted.adapter_path / "adapter_config.json").read_text())["base_model_name_or_path"] is None
    assert merge(adapted, tmp_path / "merged").model_path == tmp_path / "merged"
