"""What is not right is refused in one sentence: options, sources, devices, and models that compute something else."""

from __future__ import annotations

import re
import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from transformers import AutoTokenizer, Phi3Config, Phi3ForCausalLM

from olive_engine.contracts import Device, Metrics
from olive_engine.errors import Stopped
from olive_engine.models import HfModel
from olive_engine.testing.tiny_models import Architecture
from olive_passes.model_builder import ModelBuilder, ModelBuilderConfig
from olive_passes.model_builder.config import Precision
from olive_passes.model_builder.extra_options import ACCEPTED, OWN, REFUSED
from olive_passes.model_builder.rounding import rounded
from olive_passes.model_builder.verify import TOLERANCE, Agreement, compare, require_agreement

from .conftest import make_context, run_pass

Sources = dict[Architecture, HfModel]


@pytest.fixture(scope="module")
def misread(sources: Sources, tmp_path_factory: pytest.TempPathFactory) -> HfModel:
    """A Phi-3 whose fused gate and up projection has as many outputs as the vocabulary: the builder takes it for the
    head and says nothing."""
    folder = tmp_path_factory.mktemp("misread")
    AutoTokenizer.from_pretrained(sources["phi3"].model_path).save_pretrained(folder)
    config = Phi3Config.from_pretrained(sources["phi3"].model_path)
    config.intermediate_size = config.vocab_size // 2
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Phi3ForCausalLM(config)
    model.save_pretrained(folder)
    return HfModel(model_path=folder)


@pytest.mark.parametrize("precision", ["fp32", "int8", "int4"])
def test_model_that_the_builder_misreads_is_refused(precision: str, misread: HfModel, tmp_path: Path) -> None:
    events = []
    context = make_context(tmp_path / "job", events.append)
    with pytest.raises(ValueError) as failure:
        ModelBuilder().run(misread, ModelBuilderConfig(precision=precision), context)
    message = str(failure.value)
    found = re.search(r"over (\d+) positions .* off by ([\d.]+) of .* at worst by ([\d.]+), where ([\d.]+)", message)
    assert found is not None, message
    assert float(found[2]) > 0.4 > 1.5 * float(found[4])
    assert float(found[4]) <= TOLERANCE[precision]
    assert "\n" not in message
    (metrics,) = (event.values for event in events if isinstance(event, Metrics))
    assert metrics["logit_rms_error"] == pytest.approx(float(found[2]), rel=0.01)


def test_agreement_is_measured_in_the_spread_of_the_reference() -> None:
    expected = np.array([[1.0, -1.0], [3.0, -3.0]])
    rows = expected + np.array([[0.5, -0.5], [10.0, 10.0]])  # the second is shifted as a whole: the same distribution
    agreement = compare(expected, rows)
    assert agreement == Agreement(
        rms=pytest.approx(np.sqrt(0.125 / 5)), worst=pytest.approx(0.5 / np.sqrt(5)), top1=1.0, positions=2
    )
    assert compare(expected, -rows).top1 == 0.0


@pytest.mark.parametrize(
    ("precision", "explained", "allowed"),
    [("fp32", 0.0, 0.001), ("fp16", 0.0, 0.02), ("int8", 0.02, 0.08), ("int4", 0.2, 0.35), ("int4", 0.9, 0.5)],
)
def test_tolerance_is_that_of_the_precision_and_of_its_rounding(
    precision: Precision, explained: float, allowed: float
) -> None:
    within, beyond = 0.999 * allowed, 1.001 * allowed
    require_agreement(Agreement(rms=within, worst=2 * within, top1=0.5, positions=9), precision, explained)
    for rms, worst in ((beyond, within), (within, 2 * beyond), (float("nan"), float("nan"))):
        with pytest.raises(ValueError, match=rf"where {allowed:g} and {2 * allowed:g} are tolerated"):
            require_agreement(Agreement(rms=rms, worst=worst, top1=0.5, positions=9), precision, explained)


def test_rounding_is_that_of_the_quantizer() -> None:
    weight = torch.tensor([[0.8, -0.35, 0.0, 0.14], [-1.6, 0.3, 1.59, 0.0], [0.0, 0.0, 0.0, 0.0]])
    expected = torch.tensor([[0.8, -0.4, 0.0, 0.1], [-1.6, 0.4, 1.4, 0.0], [0.0, 0.0, 0.0, 0.0]])
    torch.testing.assert_close(rounded(weight, bits=4, block=4), expected)
    torch.testing.assert_close(rounded(weight, bits=4, block=32), expected)
    assert rounded(weight, bits=8, block=2).sub(weight).abs().max() < 1.6 / 128


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "int3"}, "Input should be 'fp32', 'fp16', 'int8' or 'int4'"),
        ({"precision": "int4", "int4_block_size": 48}, "Input should be 16, 32, 64, 128 or 256"),
        ({"precision": "int4", "int4_accuracy_level": 5}, "less than or equal to 4"),
        ({"precision": "fp16", "int4_accuracy_level": 0}, "int4_accuracy_level: no effect with precision fp16"),
        ({"precision": "int8", "use_qdq": True}, "use_qdq exists for precision int4 only, not int8"),
        ({"exclude_lm_head": True, "include_hidden_states": True}, "gives hidden_states already"),
        ({"search": {"top_q": 1}}, "Extra inputs are not permitted"),
        ({"extra_options": {"shared_embedings": False}}, "did you mean 'shared_embeddings'?"),
        ({"extra_options": {"zzz": 1, "qqq": 1}}, "no option 'zzz'; it knows .*; the builder has no option 'qqq'"),
        ({"extra_options": {"int4_block_size": 32}}, "write int4_block_size beside precision"),
        ({"extra_options": {"is_symmetric": True}}, "write int4_is_symmetric beside precision"),
        ({"extra_options": {"adapter_path": "a"}}, "cannot be used here: merge the adapter first"),
    ],
)
def test_options_are_refused_by_name(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ModelBuilderConfig.model_validate(options)


def test_every_option_of_the_installed_builder_is_judged() -> None:
    package = find_spec("onnxruntime_genai")
    assert package is not None
    assert package.submodule_search_locations
    source = Path(package.submodule_search_locations[0]) / "models"
    reads = re.compile(r"""extra_options(?:\.get\(|\[)\s*"([a-z]\w*)"|"([a-z]\w*)" in (?:self\.)?extra_options""")
    read = {a or b for path in source.rglob("*.py") for a, b in reads.findall(path.read_text(encoding="utf-8"))}
    assert {"block_size", "shared_embeddings"} <= read
    internal = {"hf_details"}
    assert read - internal <= ACCEPTED | OWN.keys() | REFUSED.keys()
    assert len(ACCEPTED | OWN.keys() | REFUSED.keys()) == len(ACCEPTED) + len(OWN) + len(REFUSED)


def test_every_option_says_what_it_does() -> None:
    for name, info in ModelBuilderConfig.model_fields.items():
        assert info.description, name
        assert len(info.description) > 20, name


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("config.json", "holds no config.json"),
        ("model.safetensors", "holds no .safetensors weights.*pickled weights are not read"),
        ("token*", "holds no tokenizer"),
    ],
)
def test_incomplete_source_is_refused(missing: str, message: str, sources: Sources, tmp_path: Path) -> None:
    folder = tmp_path / "source"
    shutil.copytree(sources["llama"].model_path, folder)
    for path in folder.glob(missing):
        path.unlink()
    (folder / "pytorch_model.bin").write_bytes(b"\x80")
    with pytest.raises(ValueError, match=message):
        run_pass(HfModel(model_path=folder), tmp_path / "job")


def test_architecture_that_the_builder_lacks_is_named(sources: Sources, tmp_path: Path) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    folder = tmp_path / "source"
    AutoTokenizer.from_pretrained(sources["llama"].model_path).save_pretrained(folder)
    GPT2LMHeadModel(GPT2Config(vocab_size=352, n_embd=32, n_layer=1, n_head=2)).save_pretrained(folder)
    with pytest.raises(ValueError, match=r"builder cannot build GPT2LMHeadModel in fp32.*not currently supported"):
        run_pass(HfModel(model_path=folder), tmp_path / "job")


def test_failing_quantizer_comes_with_a_hint(sources: Sources, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"an even number of blocks .* try a smaller int4_block_size"):
        run_pass(sources["llama"], tmp_path / "job", precision="int4", int4_algo_config="k_quant")


def test_model_that_does_not_load_is_refused(sources: Sources, tmp_path: Path) -> None:
    # The builder shares a tied embedding with a head whose quantized tensors it names wrongly in this combination.
    with pytest.raises(
        ValueError, match=r"^the built int4 model does not run: Load model from model/model.onnx failed"
    ):
        run_pass(sources["gemma"], tmp_path / "job", precision="int4", int4_is_symmetric=False)
    built = run_pass(
        sources["gemma"],
        tmp_path / "other",
        precision="int4",
        int4_is_symmetric=False,
        extra_options={"shared_embeddings": False},
    )
    assert built.metrics["logit_rms_error"] < 0.4


def test_what_the_source_and_the_device_cannot_do(sources: Sources, tmp_path: Path) -> None:
    llama = sources["llama"]
    quantized = llama.model_copy(update={"load_kwargs": {"quantization_config": {}, "dtype": "bfloat16"}})
    with pytest.raises(ValueError, match=r"cannot apply load_kwargs quantization_config; remove them"):
        run_pass(quantized, tmp_path / "a")
    with pytest.raises(ValueError, match=r"builds for cpu and gpu; this step's system gives it an npu"):
        run_pass(llama, tmp_path / "b", Device("npu"))
    with pytest.raises(ValueError, match=r"search.max_length is 300, but the model takes at most 256 tokens"):
        run_pass(llama, tmp_path / "c", search={"max_length": 300})
    with pytest.raises(ValueError, match=r"verify_prompt has 1 tokens .* give it at least two"):
        run_pass(llama, tmp_path / "d", verify_prompt="a")


def test_prompt_longer_than_the_model_takes_is_cut(sources: Sources, tmp_path: Path) -> None:
    built = run_pass(sources["llama"], tmp_path / "job", verify_prompt="word " * 200)
    assert built.metrics["verified_positions"] == 256
    assert built.metrics["logit_rms_error"] < 1e-5


def test_stops_when_asked(sources: Sources, tmp_path: Path) -> None:
    from dataclasses import replace

    context = replace(make_context(tmp_path / "job", lambda _: None), should_stop=lambda: True)
    with pytest.raises(Stopped):
        ModelBuilder().run(sources["llama"], ModelBuilderConfig(), context)
    assert list((tmp_path / "job" / "out" / "model").iterdir()) == []
