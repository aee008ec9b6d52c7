"""What a system's accelerators mean: for keys, for jobs, and in the pre-flight."""

from pathlib import Path

import pytest

from olive_engine import api, gpus, plan
from olive_engine.config.draft import parse_tree
from olive_engine.testing.toys import build_toy_model
from olive_systems.local import LocalSystemConfig
from olive_systems.places import places

METRICS = [{"name": "speed", "type": "throughput"}, {"name": "size", "type": "size_on_disk"}]
NPUS = "name QNNExecutionProvider, VitisAIExecutionProvider or OpenVINOExecutionProvider"


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    build_toy_model(tmp_path / "base")
    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx" / "model.onnx").write_bytes(b"weights")
    return tmp_path


@pytest.fixture
def make(project):
    """A workflow that evaluates a model on a system with these accelerators."""

    def workflow(*accelerators, model="onnx", passes=None):
        kind = "OnnxModel" if model == "onnx" else "HfModel"
        tree = {
            "input_model": {"type": kind, "model_path": model},
            "systems": {"box": {"type": "LocalSystem", "accelerators": list(accelerators)}},
            "host": "box",
            "target": "box",
            "evaluators": {"e": {"metrics": METRICS}},
            "evaluator": "e",
            "passes": passes or {},
        }
        return parse_tree(tree, project).raise_if_wrong()

    return workflow


def keys(workflow):
    return {name: step.key for name, step in plan(workflow).steps.items()}


def told(workflow):
    return [(str(problem), problem.severity) for problem in api.preflight(workflow, plan(workflow))]


CPU = {"device": "cpu"}
NAMED = {"device": "cpu", "execution_providers": ["CPUExecutionProvider"]}


def test_execution_providers_count_for_what_runs_an_onnx_model(make):
    before, after = keys(make(CPU)), keys(make(NAMED))
    assert {name for name in before if before[name] != after[name]} == {"input_model:speed"}
    before, after = keys(make(CPU, model="base")), keys(make(NAMED, model="base"))
    assert before == after


def test_short_names_are_the_same_providers(make):
    assert keys(make({"device": "cpu", "execution_providers": ["cpu"]})) == keys(make(NAMED))


def test_older_spellings_are_the_same_devices(make):
    assert keys(make("cpu")) == keys(make(CPU))
    assert keys(make("GPU")) == keys(make({"device": "gpu"}))


def test_jobs_are_told_what_to_run_models_with():
    config = LocalSystemConfig.model_validate({"accelerators": [NAMED], "threads": 1})
    assert places(config, {}).resources.execution_providers == ("CPUExecutionProvider",)


def test_of_several_accelerators_the_first_counts(make, monkeypatch):
    found = told(make(NAMED, {"device": "gpu", "execution_providers": ["CUDAExecutionProvider"]}))
    what = "only the first of 2 accelerators is used: cpu; describe a system for each device"
    assert found == [(f"systems.box.accelerators[1]: {what}", "warning")]


def test_a_gpu_that_is_not_there(make, monkeypatch):
    monkeypatch.setattr(gpus, "found", lambda _visible=None: ())
    assert ("systems.box: no NVIDIA GPU is found there; see `olive doctor`", "warning") in told(make({"device": "gpu"}))


@pytest.mark.parametrize(
    ("providers", "place", "what"),
    [
        ((), "systems.box.accelerators[0].execution_providers", "no execution provider is named for the NPU"),
        (("cpu",), "systems.box.accelerators[0].execution_providers", "CPUExecutionProvider does not run on an NPU"),
    ],
)
def test_an_npu_has_providers_of_its_own(make, providers, place, what):
    assert (f"{place}: {what}; {NPUS}", "error") in told(make({"device": "npu", "execution_providers": providers}))


def test_a_provider_for_npus_must_be_there_and_needs_no_other(make):
    (found, severity) = told(make({"device": "npu", "execution_providers": ["QNNExecutionProvider"]}))[0]
    assert found.startswith("systems.box.accelerators[0].execution_providers[0]: the ONNX Runtime there has no QNN")
    assert severity == "error"


def test_an_npu_trains_nothing(make):
    passes = {"double": {"type": "ToyScale"}, "tune": {"type": "ToyTrain"}}
    found = told(make({"device": "npu", "execution_providers": ["QNNExecutionProvider"]}, model="base", passes=passes))
    assert found == [
        ("passes.tune: ToyTrain trains a model, which no NPU can; name a host with a CPU or a GPU", "error"),
    ]
