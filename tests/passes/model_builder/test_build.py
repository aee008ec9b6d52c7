"""Built models compute what their sources compute, in every precision and architecture."""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from transformers import AutoModelForCausalLM, AutoTokenizer

from olive_engine.contracts import Device
from olive_engine.digests import file_digest, files_under
from olive_engine.models import HfModel
from olive_engine.testing.tiny_models import ARCHITECTURES, Architecture
from olive_passes.model_builder import ModelBuilder

from .conftest import Built, make_context, run_pass

BuiltModels = Callable[[Architecture, str], Built]
Sources = dict[Architecture, HfModel]
EXPECTED_FILES = [
    "chat_template.jinja",
    "genai_config.json",
    "model.onnx",
    "model.onnx.data",
    "tokenizer.json",
    "tokenizer_config.json",
]


def digests(folder: Path) -> dict[str, str]:
    return {name: file_digest(folder / name) for name in files_under(folder)}


def test_what_the_pass_takes_and_gives() -> None:
    assert ModelBuilder.accepts == (HfModel,)
    assert [kind.__name__ for kind in ModelBuilder.produces] == ["OnnxModel"]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(("precision", "error"), [("fp32", 1e-5), ("fp16", 0.005), ("int8", 0.05), ("int4", 0.4)])
def test_logits_agree(architecture: Architecture, precision: str, error: float, built: BuiltModels) -> None:
    metrics = built(architecture, precision).metrics
    assert 0 < metrics["logit_rms_error"] < error
    assert metrics["logit_worst_error"] < 2 * error
    assert metrics["verified_positions"] > 30
    if precision in ("fp32", "fp16"):
        assert metrics["top1_agreement"] == 1.0
        assert metrics["rounding_rms_error"] == 0.0
    if precision == "int4":
        # The model is the source with its weights rounded, and nothing else: the two errors are one.
        assert metrics["logit_rms_error"] == pytest.approx(metrics["rounding_rms_error"], rel=0.02)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_greedy_answers_are_those_of_transformers(
    architecture: Architecture, sources: Sources, built: BuiltModels
) -> None:
    import onnxruntime_genai as og

    source = sources[architecture].model_path
    tokenizer = AutoTokenizer.from_pretrained(source)
    reference = AutoModelForCausalLM.from_pretrained(source).eval()
    model = og.Model(str(built(architecture, "fp32").model.model_path))
    for prompt in ("The ferry left the harbour", "What a wonderful surprise!"):
        ids = tokenizer(prompt).input_ids
        assert list(og.Tokenizer(model).encode(prompt)) == ids
        # No stop token: random weights may draw it at once, and nothing would be compared.
        expected = reference.generate(torch.tensor([ids]), do_sample=False, max_new_tokens=20, eos_token_id=-1)
        parameters = og.GeneratorParams(model)
        parameters.set_search_options(max_length=len(ids) + 20, min_length=len(ids) + 20, do_sample=False)
        generator = og.Generator(model, parameters)
        generator.append_tokens(ids)
        while not generator.is_done():
            generator.generate_next_token()
        assert list(generator.get_sequence(0)) == expected[0].tolist()
        assert len(expected[0]) == len(ids) + 20


@pytest.mark.parametrize("bits", [4, 8])
def test_quantized_weights_are_within_half_a_step(bits: int, built: BuiltModels) -> None:
    exact = _matmul_weights(built("llama", "fp32").model.model_path)
    graph = onnx.load(built("llama", f"int{bits}").model.model_path / "model.onnx")
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.graph.initializer}
    compared = 0
    for node in graph.graph.node:
        if node.op_type != "MatMulNBits":
            continue
        size = {a.name: a.i for a in node.attribute}
        assert size["bits"] == bits
        rows, columns, block = size["N"], size["K"], size["block_size"]
        packed = stored[node.input[1]].reshape(rows, -1)
        levels = packed if bits == 8 else np.stack([packed & 15, packed >> 4], axis=-1).reshape(rows, -1)
        step = np.repeat(stored[node.input[2]].reshape(rows, -1), block, axis=1)[:, :columns]
        restored = (levels[:, :columns].astype(np.float32) - 2 ** (bits - 1)) * step
        name = node.name.removesuffix(f"_Q{bits}")
        error = np.abs(restored - exact[name].T) / np.abs(step)
        # 2^bits levels around zero are not symmetric: a value at the end without a level is off by up to one step.
        at_the_end = levels[:, :columns] == 2**bits - 1
        assert error[~at_the_end].max() <= 0.5 + 1e-4
        assert error.max() <= 1.0 + 1e-4
        compared += restored.size
    assert compared == sum(weight.size for weight in exact.values())


def test_files_get_smaller_with_the_precision(built: BuiltModels) -> None:
    size = {
        precision: (built("llama", precision).model.model_path / "model.onnx.data").stat().st_size
        for precision in ("fp32", "fp16", "int8", "int4")
    }
    assert size["fp16"] < 0.55 * size["fp32"]
    assert size["int4"] < size["int8"] < size["fp16"]


def test_exactly_the_files_that_are_needed(built: BuiltModels) -> None:
    for precision in ("fp32", "int4"):
        built_model = built("llama", precision).model
        assert list(files_under(built_model.model_path)) == EXPECTED_FILES
        assert built_model.onnx_file_name == "model.onnx"


def test_no_output_file_holds_a_path_of_this_machine(sources: Sources, built: BuiltModels) -> None:
    for architecture in ARCHITECTURES:
        folder = built(architecture, "int4").model.model_path
        for name in files_under(folder):
            content = (folder / name).read_bytes()
            for path in (folder.parent.parent, sources[architecture].model_path.parent, Path.home(), Path.cwd()):
                assert os.fsencode(path) + b"/" not in content, f"{name} names {path}"


def test_same_bytes_in_another_process_and_place(sources: Sources, built: BuiltModels, tmp_path: Path) -> None:
    script = (
        "import sys, pathlib\n"
        "from model_builder.conftest import run_pass\n"
        "from olive_engine.models import HfModel\n"
        "run_pass(HfModel(model_path=sys.argv[1]), pathlib.Path(sys.argv[2]), precision='int4')"
    )
    first = digests(built("gemma", "int4").model.model_path)
    root = Path(__file__).parents[1]
    # The builder would stamp this repository's commit, and transformers whether it was offline.
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": str(root), "OMP_NUM_THREADS": "2"}
    environment["HF_HUB_OFFLINE"] = "0" if os.environ.get("HF_HUB_OFFLINE") == "1" else "1"
    command = [sys.executable, "-c", script, str(sources["gemma"].model_path), str(tmp_path / "other place")]
    subprocess.run(command, check=True, cwd=tmp_path, env=environment, capture_output=True)
    assert digests(tmp_path / "other place" / "out" / "model") == first
    graph = onnx.load(built("gemma", "int4").model.model_path / "model.onnx", load_external_data=False)
    assert "+" not in graph.producer_version


def test_source_folder_and_working_folder_stay_as_they_are(
    sources: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    before = digests(sources["qwen2"].model_path)
    run_pass(sources["qwen2"], tmp_path / "job", precision="int4")
    assert digests(sources["qwen2"].model_path) == before
    assert list(here.iterdir()) == []
    assert list((tmp_path / "job" / "state").iterdir()) == []
    assert [path.name for path in (tmp_path / "job" / "out").iterdir()] == ["model"]


def test_no_network_is_touched(sources: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert run_pass(sources["llama"], tmp_path / "job").metrics["logit_rms_error"] < 1e-5


def test_builder_is_silent_and_logging_stays_as_it_was(
    sources: Sources, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    built = run_pass(sources["llama"], tmp_path / "job", precision="int4")
    assert (root.handlers[:], root.level) == before
    assert capsys.readouterr() == ("", "")
    assert [line.message for line in built.log if line.level == "info"] == [
        "building int4 for cpu",
        f"comparing with the source model at {built.metrics['verified_positions']:.0f} positions",
    ]
    assert "Reading layer 1" in [line.message for line in built.log if line.level == "debug"]


def test_reports_made_while_capturing_can_be_printed(
    sources: Sources, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    context = make_context(tmp_path / "job", lambda event: sys.stdout.write(f"seen {event.type}\n") and None)
    ModelBuilder().run(sources["llama"], ModelBuilder.config_type(), context)
    lines = capsys.readouterr().out.splitlines()
    assert set(lines) == {"seen log", "seen metrics"}
    assert len(lines) > 5


def test_fp16_for_a_cpu_asks_for_no_gpu(built: BuiltModels) -> None:
    folder = built("llama", "fp16").model.model_path
    decoder = json.loads((folder / "genai_config.json").read_text())["model"]["decoder"]
    assert decoder["session_options"]["provider_options"] == []
    assert {t.data_type for t in onnx.load(folder / "model.onnx").graph.initializer if "MatMul" in t.name} == {
        onnx.TensorProto.FLOAT16
    }


@pytest.mark.parametrize("options", [{"exclude_embeds": True}, {"exclude_lm_head": True}])
@pytest.mark.parametrize("architecture", ["llama", "gemma"])
def test_parts_of_a_model_are_verified_too(
    options: dict[str, object], architecture: Architecture, sources: Sources, tmp_path: Path
) -> None:
    built = run_pass(sources[architecture], tmp_path / "job", **options)
    assert built.metrics["logit_rms_error"] < 1e-5
    graph = onnx.load(built.model.model_path / "model.onnx", load_external_data=False).graph
    assert ("inputs_embeds" in {i.name for i in graph.input}) == ("exclude_embeds" in options)
    assert ("logits" in {o.name for o in graph.output}) == ("exclude_embeds" in options)


def test_options_reach_the_builder(sources: Sources, tmp_path: Path) -> None:
    built = run_pass(
        sources["llama"],
        tmp_path / "job",
        precision="int4",
        int4_block_size=16,
        int4_accuracy_level=1,
        int4_is_symmetric=False,
        int4_algo_config="k_quant",
        int4_nodes_to_exclude=["/lm_head/MatMul"],
        include_hidden_states=True,
        search={"max_length": 64, "temperature": 0.5},
        extra_options={"fuse_qkv": False, "prune_lm_head": True},
    )
    graph = onnx.load(built.model.model_path / "model.onnx").graph
    nodes = {node.name: node for node in graph.node}
    quantized = [node for node in nodes.values() if node.op_type == "MatMulNBits"]
    assert len(quantized) == 2 * 7  # q, k, v, o, gate, up, down of two layers
    for node in quantized:
        values = {a.name: a.i for a in node.attribute}
        assert (values["bits"], values["block_size"], values["accuracy_level"]) == (4, 16, 1)
        assert len(node.input) >= 4  # zero points
    assert nodes["/lm_head/MatMul"].op_type == "MatMul"
    assert "hidden_states" in {o.name for o in graph.output}
    assert built.metrics["verified_positions"] == 5  # the last of the prompt, then four one by one
    search = json.loads((built.model.model_path / "genai_config.json").read_text())["search"]
    assert (search["max_length"], search["temperature"], search["do_sample"]) == (64, 0.5, False)


def test_another_device_is_part_of_the_key() -> None:
    config = ModelBuilder.config_type()
    assert ModelBuilder.device_facts(config, Device("gpu")) != ModelBuilder.device_facts(config, Device("cpu"))


def _matmul_weights(folder: Path) -> dict[str, np.ndarray]:
    graph = onnx.load(folder / "model.onnx").graph
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    return {
        node.name: stored[node.input[1]] for node in graph.node if node.op_type == "MatMul" and node.input[1] in stored
    }
