from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from onnxruntime_genai.models.builder import create_model, parse_extra_options
from transformers import AutoModelForCausalLM, GenerationConfig

from olive_engine.evaluation.scoring import OUTPUT_FLOATS, batches, merged
from olive_engine.evaluation.subjects import Query, open_subject
from olive_engine.models import HfAdapterModel, HfModel, Model, OnnxModel
from olive_engine.testing.tiny_models import build_tiny_adapter, build_tiny_model

from .conftest import MakeContext

PROMPTS = [(5, 6, 7, 8, 9), (40,), (100, 101, 102), (7, 7, 0), (0, 0)]


def _reference(model: HfModel, prompt: tuple[int, ...], new_tokens: int) -> list[int]:
    loaded = AutoModelForCausalLM.from_pretrained(model.model_path)
    ids = torch.tensor([prompt])
    out = loaded.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=new_tokens, min_new_tokens=new_tokens, do_sample=False
    )
    return out[0, len(prompt) :].tolist()


@pytest.mark.parametrize("kind", ["tiny", "onnx_model"])
def test_a_batch_is_generated_as_each_prompt_alone(
    kind: str, tiny: HfModel, request: pytest.FixtureRequest, make_context: MakeContext
) -> None:
    subject = open_subject(request.getfixturevalue(kind), make_context())
    together = subject.generate(PROMPTS, 8, stop_at_end=False)
    assert [list(tokens) for tokens in together.tokens] == [_reference(tiny, prompt, 8) for prompt in PROMPTS]
    assert together.prompt_seconds > 0
    assert together.decode_seconds > 0


@pytest.mark.parametrize("runtime", ["torch", "genai"])
def test_generation_ends_at_the_end_of_the_text(
    runtime: str, tiny: HfModel, onnx_model: OnnxModel, tmp_path: Path, make_context: MakeContext
) -> None:
    free = open_subject(tiny, make_context()).generate(PROMPTS, 8, stop_at_end=False).tokens
    end = free[0][3]  # from now on this token ends a text
    folder = tmp_path / "model"
    shutil.copytree(tiny.model_path if runtime == "torch" else onnx_model.model_path, folder)
    if runtime == "torch":
        GenerationConfig(eos_token_id=[2, end], pad_token_id=0).save_pretrained(folder)
        model: Model = HfModel(model_path=folder)
    else:
        settings = json.loads((folder / "genai_config.json").read_text())
        settings["model"]["eos_token_id"] = [2, end]
        # Whatever a model's file says about searching: measurements are greedy.
        settings["search"] |= {"do_sample": True, "temperature": 5.0, "repetition_penalty": 3.0, "top_k": 50}
        (folder / "genai_config.json").write_text(json.dumps(settings))
        model = OnnxModel(model_path=folder)
    subject = open_subject(model, make_context())
    found = subject.generate(PROMPTS, 8).tokens
    assert found == tuple(
        tokens[: min((tokens.index(e) for e in (2, end) if e in tokens), default=8)] for tokens in free
    )
    assert len(found[0]) == free[0].index(end)
    assert subject.generate(PROMPTS, 8, stop_at_end=False).tokens[0][: len(found[0])] == found[0]
    assert all(len(tokens) == 8 for tokens in subject.generate(PROMPTS, 8, stop_at_end=False).tokens)


def test_metrics_of_one_worker_share_a_model_and_others_do_not(tmp_path: Path, make_context: MakeContext) -> None:
    model = build_tiny_model(tmp_path / "model")
    first = open_subject(model, make_context())
    assert open_subject(model, make_context()) is first
    adapted = build_tiny_adapter(model, tmp_path / "adapter")
    assert open_subject(adapted, make_context()) is not first
    halves = HfModel(model_path=model.model_path, load_kwargs={"dtype": "bfloat16"})
    assert open_subject(halves, make_context()) is not first
    other = build_tiny_model(tmp_path / "other", seed=1)
    assert open_subject(other, make_context()) is not first


def test_the_precision_is_the_models_own_where_it_names_one(tmp_path: Path, make_context: MakeContext) -> None:
    folder = tmp_path / "model"
    model = build_tiny_model(folder)
    loaded = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    loaded.save_pretrained(folder)
    query = Query((5, 6, 7), ((3, 8),))

    def score(**load_kwargs: str) -> float:
        subject = open_subject(HfModel(model_path=folder, load_kwargs=load_kwargs), make_context())
        return subject.score([query])[0][0]

    with torch.no_grad():
        halves = loaded(torch.tensor([[5, 6, 7]])).logits[0, -1].float().log_softmax(dim=-1)[8]
        floats = loaded.float()(torch.tensor([[5, 6, 7]])).logits[0, -1].log_softmax(dim=-1)[8]
    assert abs(float(halves - floats)) > 1e-3
    assert score() == pytest.approx(float(floats), abs=1e-5)
    assert score(dtype="bfloat16") == score(torch_dtype="bfloat16") == pytest.approx(float(halves), abs=1e-5)
    assert model.load_kwargs == {}


def test_an_onnx_model_without_genai_config_is_refused(tmp_path: Path, make_context: MakeContext) -> None:
    (tmp_path / "model.onnx").touch()
    with pytest.raises(ValueError, match=r"model.onnx has no genai_config.json .* build it with ModelBuilder"):
        open_subject(OnnxModel(model_path=tmp_path), make_context())


def test_a_broken_onnx_model_is_refused(onnx_model: OnnxModel, tmp_path: Path, make_context: MakeContext) -> None:
    folder = tmp_path / "model"
    shutil.copytree(onnx_model.model_path, folder)
    (folder / "model.onnx").write_bytes(b"no model")
    with pytest.raises(ValueError, match=r"onnxruntime-genai cannot load the model"):
        open_subject(OnnxModel(model_path=folder), make_context())


def test_an_adapter_of_another_model_is_refused(
    adapter: HfAdapterModel, tmp_path: Path, make_context: MakeContext
) -> None:
    other = build_tiny_model(tmp_path / "phi3", "phi3")
    with pytest.raises(ValueError, match="the adapter does not fit its base model"):
        open_subject(HfAdapterModel(model_path=other.model_path, adapter_path=adapter.adapter_path), make_context())


def test_a_pickled_adapter_is_refused(adapter: HfAdapterModel, tmp_path: Path, make_context: MakeContext) -> None:
    folder = tmp_path / "adapter"
    shutil.copytree(adapter.adapter_path, folder)
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    with pytest.raises(ValueError, match=r"the adapter has no adapter_model.safetensors; save it as safetensors first"):
        open_subject(HfAdapterModel(model_path=adapter.model_path, adapter_path=folder), make_context())


def test_an_onnx_model_with_a_pruned_head_cannot_score(
    tiny: HfModel, tmp_path: Path, make_context: MakeContext
) -> None:
    out = tmp_path / "pruned"
    arguments = (None, str(tiny.model_path), str(out), "fp32", "cpu", str(tmp_path / "cache"))
    create_model(*arguments, **parse_extra_options(*arguments, ["hf_token=false", "prune_lm_head=true"]))
    subject = open_subject(OnnxModel(model_path=out), make_context())
    assert list(subject.generate([(5, 6, 7)], 4, stop_at_end=False).tokens[0]) == _reference(tiny, (5, 6, 7), 4)
    with pytest.raises(ValueError, match="logits for the last position only"):
        subject.score([Query((5, 6, 7), ((2, 8), (3, 8)))])


def test_what_is_no_language_model_is_refused(make_context: MakeContext) -> None:
    class Other(Model):
        pass

    with pytest.raises(ValueError, match=r"expected a language model .*, found Other"):
        open_subject(Other(), make_context())


def test_merged_queries_ask_each_question_once() -> None:
    queries = [
        Query((1, 2), ((2, 10),)),
        Query((1, 2), ((2, 11),)),
        Query((1, 2, 12), ((2, 12), (3, 13))),
        Query((1, 9), ((2, 10),)),
        Query((1, 2), ((2, 12),)),
    ]
    kept, places = merged(queries)
    assert [query.tokens for query in kept] == [(1, 2, 12), (1, 9)]
    assert len(kept[0].asked) == len(set(kept[0].asked)) == 4
    for query, found in zip(queries, places, strict=True):
        assert tuple(kept[reading].asked[at] for reading, at in found) == query.asked


class _Wide:
    vocabulary = OUTPUT_FLOATS // 10

    def outputs(self, query: Query) -> int:
        return len(query.tokens)


def test_batches_are_bounded_by_rows_and_by_memory() -> None:
    queries = [Query((1,) * length, ((1, 1),)) for length in (1, 3, 2, 11, 3, 1)]
    # The memory of 10 outputs: a longer row runs alone, and three of three do not fit with a fourth.
    assert list(batches(_Wide(), queries, 16)) == [[3], [1, 4, 2], [0, 5]]
    assert list(batches(_Wide(), queries, 2)) == [[3], [1, 4], [2, 0], [5]]


def test_the_named_execution_provider_runs_the_model(onnx_model: OnnxModel, tmp_path: Path) -> None:
    """Whatever the model was built for; the options that its own file has for that provider stand."""
    from olive_engine.evaluation.genai import load

    folder = tmp_path / "model"
    shutil.copytree(onnx_model.model_path, folder)
    settings = json.loads((folder / "genai_config.json").read_text())
    settings["model"]["decoder"]["session_options"]["provider_options"] = [{"cuda": {"enable_cuda_graph": "0"}}]
    (folder / "genai_config.json").write_text(json.dumps(settings))
    ours, query = load(onnx_model.model_path, 1), [Query((5, 6, 7), ((2, 8), (3, 8)))]
    assert load(folder, 1, ("CPUExecutionProvider",)).score(query) == ours.score(query)
    for named in ((), ("CUDAExecutionProvider",)):
        with pytest.raises(ValueError, match=r"onnxruntime-genai cannot load the model.*[Cc][Uu][Dd][Aa]"):
            load(folder, 1, named)
    with pytest.raises(ValueError, match=r"cannot load the model on DmlExecutionProvider: .*DML"):
        load(onnx_model.model_path, 1, ("DmlExecutionProvider", "CPUExecutionProvider"))
