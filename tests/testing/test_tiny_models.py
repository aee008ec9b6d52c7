import json
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from olive_engine.digests import file_digest, files_under
from olive_engine.testing.tiny_models import (
    ARCHITECTURES,
    VOCABULARY,
    Architecture,
    build_tiny_adapter,
    build_tiny_model,
)


def digests(folder: Path) -> dict[str, str]:
    return {name: file_digest(folder / name) for name in files_under(folder)}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_model_loads_generates_and_exporters_can_find_its_head(tmp_path: Path, architecture: Architecture) -> None:
    built = build_tiny_model(tmp_path, architecture)
    model = AutoModelForCausalLM.from_pretrained(built.model_path)
    tokenizer = AutoTokenizer.from_pretrained(built.model_path)

    assert model.config.model_type == architecture
    assert len(tokenizer) == model.config.vocab_size == VOCABULARY
    linears = {n: m for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and n != "lm_head"}
    assert all(VOCABULARY not in (m.out_features, m.in_features) for m in linears.values())
    assert all(m.in_features % 32 == 0 and m.out_features % 32 == 0 for m in linears.values())
    ids = tokenizer("a wonderful surprise é✓", return_tensors="pt").input_ids
    assert tokenizer.decode(ids[0]) == "a wonderful surprise é✓"
    output = model.generate(ids, max_new_tokens=4, do_sample=False)
    assert output.shape[1] > ids.shape[1]
    assert model(ids).logits.std() > 0.01


def test_the_same_seed_gives_the_same_bytes_whatever_ran_before(tmp_path: Path) -> None:
    first = build_tiny_model(tmp_path / "a", seed=3)
    torch.rand(7)
    state = torch.get_rng_state()
    second = build_tiny_model(tmp_path / "b", seed=3)
    other = build_tiny_model(tmp_path / "c", seed=4)

    assert torch.equal(state, torch.get_rng_state()), "the caller's random numbers are left alone"
    assert digests(first.model_path) == digests(second.model_path)
    assert digests(first.model_path)["model.safetensors"] != digests(other.model_path)["model.safetensors"]
    assert digests(first.model_path)["tokenizer.json"] == digests(other.model_path)["tokenizer.json"]


def test_the_chat_template_frames_messages(tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(build_tiny_model(tmp_path).model_path)
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": "hello"}], tokenize=False, add_generation_prompt=True
    )
    assert text == "<s>user: hello\nassistant:"


# peft asks transformers by a name that transformers has renamed.
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
@pytest.mark.parametrize("trained", [True, False])
def test_an_adapter_changes_the_logits_only_when_trained(tmp_path: Path, trained: bool) -> None:
    base = build_tiny_model(tmp_path / "base")
    adapter = build_tiny_adapter(base, tmp_path / "adapter", trained=trained)
    again = build_tiny_adapter(base, tmp_path / "again", trained=trained)

    ids = torch.tensor([[1, 50, 60, 70]])
    model = AutoModelForCausalLM.from_pretrained(base.model_path)
    before = model(ids).logits
    after = PeftModel.from_pretrained(model, adapter.adapter_path)(ids).logits
    assert ((before - after).abs().max() > 0.01) == trained
    assert digests(adapter.adapter_path) == digests(again.adapter_path)
    assert json.loads((adapter.adapter_path / "adapter_config.json").read_text())["base_model_name_or_path"] is None


def test_the_head_is_tied_when_asked(tmp_path: Path) -> None:
    tied = AutoModelForCausalLM.from_pretrained(build_tiny_model(tmp_path / "a", tied=True).model_path)
    untied = AutoModelForCausalLM.from_pretrained(build_tiny_model(tmp_path / "b", tied=False).model_path)
    assert tied.lm_head.weight is tied.model.embed_tokens.weight
    assert untied.lm_head.weight is not untied.model.embed_tokens.weight
