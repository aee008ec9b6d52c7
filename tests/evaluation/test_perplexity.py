from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from olive_engine.data.tokens import load_tokens
from olive_engine.evaluation.perplexity import Perplexity, PerplexityConfig
from olive_engine.models import HfAdapterModel, HfModel, Model, OnnxModel
from olive_engine.testing.tiny_models import ARCHITECTURES, Architecture, build_tiny_model

from .conftest import PHRASES, MakeContext, MakeData


def _measure(model: Model, data: Path, make_context: MakeContext, **options: object) -> float:
    config = PerplexityConfig.model_validate(options)
    values = Perplexity().measure(model, config, make_context({"data_config": data})).values
    assert list(values) == ["perplexity"]
    return values["perplexity"]


def _by_hand(model: HfModel, data: Path, *, all_tokens: bool = False) -> float:
    """exp of the loss that transformers itself computes, row by row, weighted by the rows' counted tokens."""
    loaded = AutoModelForCausalLM.from_pretrained(model.model_path)
    total, count = 0.0, 0
    for ids, mask in load_tokens(data):
        tokens = torch.tensor([ids.tolist()])
        labels = torch.tensor(
            [[int(token) if all_tokens or kept else -100 for token, kept in zip(ids, mask, strict=True)]]
        )
        counted = int((labels[:, 1:] != -100).sum())
        with torch.no_grad():
            total += float(loaded(tokens, labels=labels).loss) * counted
        count += counted
    return math.exp(total / count)


@pytest.mark.parametrize("batch_size", [None, 1, 32])
@pytest.mark.parametrize("all_tokens", [False, True])
def test_perplexity_is_exp_of_the_loss(
    tiny: HfModel, make_data: MakeData, make_context: MakeContext, batch_size: int | None, all_tokens: bool
) -> None:
    data = make_data()
    found = _measure(tiny, data, make_context, batch_size=batch_size, all_tokens=all_tokens)
    assert found == pytest.approx(_by_hand(tiny, data, all_tokens=all_tokens), rel=1e-5)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_padding_changes_no_architecture(
    architecture: Architecture, tmp_path: Path, make_data: MakeData, make_context: MakeContext
) -> None:
    model = build_tiny_model(tmp_path / architecture, architecture)
    data = make_data()
    assert _measure(model, data, make_context, batch_size=9) == pytest.approx(_by_hand(model, data), rel=1e-5)


@pytest.mark.parametrize("all_tokens", [False, True])
def test_onnx_agrees_with_torch(
    tiny: HfModel, onnx_model: OnnxModel, make_data: MakeData, make_context: MakeContext, all_tokens: bool
) -> None:
    data = make_data()
    expected = _measure(tiny, data, make_context, all_tokens=all_tokens)
    for batch_size in (1, 4):
        found = _measure(onnx_model, data, make_context, all_tokens=all_tokens, batch_size=batch_size)
        assert found == pytest.approx(expected, rel=1e-3)


def test_onnx_reads_pad_tokens_that_belong_to_the_text(
    tiny: HfModel, onnx_model: OnnxModel, make_data: MakeData, make_context: MakeContext
) -> None:
    rows = [("x", "<pad><pad><pad>y"), ("a longer phrase beside it", "z<pad> <pad>"), ("<pad>", "<pad><pad><pad>")]
    data = make_data(rows)
    expected = _by_hand(tiny, data)
    assert _measure(tiny, data, make_context, batch_size=3) == pytest.approx(expected, rel=1e-5)
    assert _measure(onnx_model, data, make_context, batch_size=3) == pytest.approx(expected, rel=1e-3)


# peft asks transformers by a name that transformers has renamed.
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_the_adapter_counts(
    tiny: HfModel, adapter: HfAdapterModel, make_data: MakeData, make_context: MakeContext
) -> None:
    from peft import PeftModel

    data = make_data(PHRASES[:1])
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny.model_path), str(adapter.adapter_path))
    ids, mask = load_tokens(data)[0]
    labels = torch.tensor([[int(token) if kept else -100 for token, kept in zip(ids, mask, strict=True)]])
    with torch.no_grad():
        expected = math.exp(float(model(torch.tensor([ids.tolist()]), labels=labels).loss))
    assert _measure(adapter, data, make_context) == pytest.approx(expected, rel=1e-5)
    assert abs(_measure(tiny, data, make_context) / expected - 1) > 0.01


def test_only_the_first_rows(tiny: HfModel, make_data: MakeData, make_context: MakeContext) -> None:
    found = _measure(tiny, make_data(), make_context, max_samples=2)
    assert found == pytest.approx(_by_hand(tiny, make_data(PHRASES[:2])), rel=1e-5)


def test_a_hopeless_model_has_an_infinite_perplexity(
    tmp_path: Path, make_data: MakeData, make_context: MakeContext
) -> None:
    model = build_tiny_model(tmp_path / "hopeless")
    loaded = AutoModelForCausalLM.from_pretrained(model.model_path)
    with torch.no_grad():
        loaded.lm_head.weight.mul_(1e6)
    loaded.save_pretrained(model.model_path)
    assert _measure(model, make_data(), make_context) == math.inf


def test_rows_longer_than_the_context_are_refused(
    tiny: HfModel, make_data: MakeData, make_context: MakeContext
) -> None:
    data = make_data([("short", "Joy"), ("x" * 400, "Joy")])
    with pytest.raises(ValueError, match=r"row 1, to be shortened by .*: 4\d\d tokens are more than the 256"):
        _measure(tiny, data, make_context)
