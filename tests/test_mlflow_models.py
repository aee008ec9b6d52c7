"""MLflow folders, laid out as mlflow 3.17 and Azure ML's registry lay them out, read and run as the model inside."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from olive_engine import plan, run
from olive_engine.config.checkpoint import read_checkpoint
from olive_engine.config.draft import parse_tree
from olive_engine.config.mlflow_models import NoHuggingFaceModel, layout
from olive_engine.config.workflow import Workflow
from olive_engine.errors import InvalidWorkflow, PassFailed
from olive_engine.reporting.events import StepStarted
from olive_engine.reporting.reporter import Reporter
from olive_engine.testing.tiny_models import build_tiny_adapter, build_tiny_model
from olive_engine.testing.toys import NUMBERS, build_toy_model, read_numbers
from tests.headers import write_model

TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")

TODAY = """\
flavors:
  python_function:
    env: {conda: conda.yaml, virtualenv: python_env.yaml}
    loader_module: mlflow.transformers
    python_version: 3.11.7
  transformers:
    code: null
    components:
    - tokenizer
    instance_type: TextGenerationPipeline
    model_binary: model
    pipeline_model_type: LlamaForCausalLM
    source_model_name: org/name
    task: text-generation
    tokenizer_type: TokenizersBackend
    torch_dtype: torch.float32
    transformers_version: 5.23.0
mlflow_version: 3.17.2
model_uuid: f3c12c585ef948fabfa22d5cc99badda
signature:
  inputs: '[{"type": "string", "required": true}]'
  outputs: '[{"type": "string", "required": true}]'
  params: null
utc_time_created: '2026-11-21 05:18:26.596900'
"""
EARLY = TODAY.replace("    model_binary: model\n", "")
AZURE = """\
flavors:
  hftransformersv2:
    code: code
    hf_config_class: AutoConfig
    hf_pretrained_class: AutoModelForCausalLM
    hf_tokenizer_class: AutoTokenizer
    huggingface_id: org/name
    model_data: data
    task_type: text-generation
  python_function:
    data: data
    loader_module: azureml.evaluate.mlflow.hftransformers
"""
LAYOUTS = {
    "today": (TODAY, "model", "model", "components/tokenizer"),
    "early": (EARLY, "pipeline", "pipeline", "components/tokenizer"),
    "azure": (AZURE, "data/model", "data/config", "data/tokenizer"),
    "azure, older": (
        AZURE.replace("hftransformersv2", "hftransformers"),
        "data/model",
        "data/config",
        "data/tokenizer",
    ),
}


def wrapped(plain: Path, into: Path, name: str = "today") -> Path:
    """The same files as mlflow keeps them."""
    described, model, config, tokenizer = LAYOUTS[name]
    for file in plain.iterdir():
        folder = tokenizer if file.name in TOKENIZER else config if file.name == "config.json" else model
        (into / folder).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, into / folder / file.name)
    (into / "MLmodel").write_text(described)
    (into / "requirements.txt").write_text("transformers\n")
    return into


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a toy model, plain and as MLflow keeps it."""
    build_toy_model(tmp_path / "plain")
    wrapped(tmp_path / "plain", tmp_path / "mlflow")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def workflow(model: str, **more: Any) -> Workflow:
    """Scale the toy model, unless another pass is named."""
    tree = {"input_model": {"type": "HfModel", "model_path": model}, "passes": {"scale": {"type": "ToyScale"}}, **more}
    return parse_tree(tree).raise_if_wrong()


# --- which files --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_gives_the_files_of_the_plain_folder(tmp_path, name):
    build_tiny_model(tmp_path / "plain")
    folder = wrapped(tmp_path / "plain", tmp_path / "mlflow", name)
    places = layout(folder)
    assert places is not None
    assert {file: (folder / place).read_bytes() for file, place in places.items()} == {
        file.name: file.read_bytes() for file in (tmp_path / "plain").iterdir()
    }
    assert read_checkpoint(folder) == read_checkpoint(tmp_path / "plain")


def test_a_folder_with_a_configuration_is_a_plain_one(tmp_path):
    write_model(tmp_path)
    (tmp_path / "MLmodel").write_text(TODAY)
    assert layout(tmp_path) is None


def test_of_two_files_of_one_name_the_tokenizers_counts_but_for_the_configuration(project):
    for folder, text in (("model", "old"), ("components/tokenizer", "new")):
        (project / "mlflow" / folder / "tokenizer_config.json").write_text(text)
    (project / "mlflow" / "components" / "tokenizer" / "config.json").write_text("{}")
    places = layout(project / "mlflow")
    assert places is not None
    assert places["tokenizer_config.json"] == "components/tokenizer/tokenizer_config.json"
    assert places["config.json"] == "model/config.json"


# --- what cannot be read ------------------------------------------------------------------------------------------


PYTORCH = "flavors:\n  python_function: {loader_module: mlflow.pytorch}\n  pytorch: {model_data: data}\n"


@pytest.mark.parametrize(
    ("described", "message", "hint"),
    [
        (PYTORCH, "{} is an MLflow model of the flavour pytorch: a pickle, which can run code", "log it with"),
        (
            "flavors: {sklearn: {pickled_model: model.pkl}, python_function: {}}\n",
            "{} is an MLflow model of the flavour sklearn, not transformers",
            "log it with `mlflow.transformers`",
        ),
        (
            "flavors: {python_function: {}}\n",
            "{} is an MLflow model of the flavour python_function, not transformers",
            "log it with `mlflow.transformers`",
        ),
        ("flavors: {}\n", "{}/MLmodel names no `flavors`", "copy the folder again"),
        ("[1]\n", "{}/MLmodel names no `flavors`", "copy the folder again"),
        ("flavors: {a: [}\n", "{}/MLmodel:1 cannot be read: ", "copy the folder again"),
        (
            EARLY,
            "{} was logged without its weights, which are those of org/name",
            "write `model_path: org/name`",
        ),
        (
            EARLY.replace("    task:", "    source_model_revision: abc\n    task:"),
            "{} was logged without its weights, which are those of org/name",
            "write `model_path: org/name` with `load_kwargs: {{revision: abc}}`",
        ),
        (
            TODAY.replace("    task:", "    peft_adaptor: peft\n    task:"),
            "{} holds an adapter for org/name",
            "write `model_path: org/name` and `adapter_path: {}/peft`",
        ),
        (
            TODAY.replace("model_binary: model", "model_binary: gone"),
            "{}/MLmodel speaks of gone, which is not there",
            "copy the folder again",
        ),
        (
            TODAY.replace("model_binary: model", "model_binary: components"),
            "the folder {}/components has no config.json",
            "log it with",
        ),
        (
            TODAY.replace("model_binary: model", "model_binary: ../plain"),
            "{}/MLmodel names '../plain', which is no folder in it",
            "",
        ),
        (TODAY.replace("model_binary: model", "model_binary: /etc"), "{}/MLmodel names '/etc', which is no", ""),
        (TODAY.replace("model_binary: model", "model_binary: [a]"), "{}/MLmodel names ['a'], which is no", ""),
    ],
)
def test_what_is_no_hugging_face_model_is_refused(project, described, message, hint):
    folder = project / "mlflow"
    (folder / "MLmodel").write_text(described)
    with pytest.raises(NoHuggingFaceModel) as caught:
        layout(folder, "mlflow")
    assert str(caught.value).startswith(message.format("mlflow"))
    assert caught.value.hint.startswith(hint.format("mlflow"))
    assert read_checkpoint(folder) is None
    (problem,) = parse_tree({"input_model": {"type": "HfModel", "model_path": "mlflow"}, "passes": {}}).problems
    assert problem.path == ("input_model", "model_path")
    assert (problem.what, problem.hint) == (str(caught.value), caught.value.hint)


def test_an_exported_graph_is_refused(project):
    (project / "mlflow" / "MLmodel").write_text(PYTORCH)
    (project / "mlflow" / "data").mkdir()
    (project / "mlflow" / "data" / "model.pt2").touch()
    with pytest.raises(NoHuggingFaceModel, match="an exported graph, without layers"):
        layout(project / "mlflow")


def test_damaged_weights_inside_are_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wrapped(write_model(tmp_path / "plain"), tmp_path / "mlflow", "azure")
    weights = tmp_path / "mlflow" / "data" / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    (problem,) = parse_tree({"input_model": {"type": "HfModel", "model_path": "mlflow"}, "passes": {}}).problems
    assert problem.what.startswith(f"{weights} is cut short or damaged: ")


def test_a_folder_that_breaks_after_reading_is_refused_by_the_plan(project):
    read = workflow("mlflow")
    (project / "mlflow" / "MLmodel").write_text(PYTORCH)
    with pytest.raises(InvalidWorkflow, match=r"input_model\.model_path: .* flavour pytorch"):
        plan(read)


def test_pickled_weights_inside_are_refused(project):
    (project / "mlflow" / "model" / "pytorch_model.bin").touch()
    with pytest.raises(InvalidWorkflow, match=r"only pickled weights, which can run code: pytorch_model\.bin"):
        plan(workflow("mlflow"))


# --- keys and runs ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_plain_folder_and_the_wrapped_one_have_one_key(project, name):
    wrapped(project / "plain", project / "other", name)
    keys = {plan(workflow(model)).steps["scale"].key for model in ("plain", "other")}
    assert len(keys) == 1
    assert None not in keys


def test_a_run_on_a_wrapped_model_serves_the_plain_one(project):
    done = run(workflow("mlflow"))
    assert done.executed == ("scale",)
    assert read_numbers(done.models["scale"].model_path) == [2.0, 4.0, 6.0]  # type: ignore[attr-defined]
    assert run(workflow("plain", output_dir="again")).reused == ("scale",)


def test_what_the_key_does_not_speak_of_may_change(project):
    run(workflow("mlflow"))
    (project / "mlflow" / "requirements.txt").write_text("transformers==5\n")
    assert run(workflow("mlflow")).executed == ()
    (project / "mlflow" / "components" / "tokenizer" / "tokenizer.json").write_text('{"new": 1}')
    assert run(workflow("mlflow")).executed == ("scale",)


class Editor(Reporter):
    """Somebody who edits a file when the step starts."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_event(self, event: object) -> None:
        if isinstance(event, StepStarted):
            self.path.write_text("[7]")


def test_a_file_edited_during_the_run_is_named_by_its_own_path(project):
    numbers = project / "mlflow" / "model" / NUMBERS
    with pytest.raises(PassFailed, match=f"{numbers} "):
        run(workflow("mlflow"), Editor(numbers))
    assert plan(workflow("mlflow")).to_run == ("scale",)


def test_a_wrapped_model_reaches_a_system_that_shares_no_files(project):
    (project / "elsewhere").mkdir()
    far = {"away": {"type": "DetachedSystem", "root": str(project / "elsewhere")}}
    done = run(workflow("mlflow", systems=far, host="away"))
    assert read_numbers(done.models["scale"].model_path) == [2.0, 4.0, 6.0]  # type: ignore[attr-defined]


def test_an_adapter_refers_to_the_wrapped_base(project):
    tuned = run(workflow("mlflow", passes={"tune": {"type": "ToyTrain"}}, output_dir="tuned"))
    assert tuned.executed == ("tune",)
    described = json.loads((project / "tuned" / "model_config.json").read_text())
    assert described["model_path"] == str(project / "mlflow")
    merged = run(workflow("-", input_model=described, passes={"merge": {"type": "ToyMerge"}}, output_dir="merged"))
    assert read_numbers(merged.models["merge"].model_path) == pytest.approx([0.0] * 3, abs=0.05)  # type: ignore[attr-defined]


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_a_real_model_is_merged_with_its_tokenizer(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plain = build_tiny_model(tmp_path / "plain")
    adapter = build_tiny_adapter(plain, tmp_path / "adapter")
    folder = wrapped(plain.model_path, tmp_path / "mlflow", "azure")
    tree = {
        "input_model": {"type": "HfModel", "model_path": "mlflow", "adapter_path": "adapter"},
        "passes": {"merge": {"type": "MergeAdapterWeights"}},
    }
    done = run(parse_tree(tree).raise_if_wrong(), debug=True)
    merged = done.models["merge"].model_path  # type: ignore[attr-defined]
    for name in TOKENIZER:
        assert (merged / name).read_bytes() == (folder / "data" / "tokenizer" / name).read_bytes()
    tokens = AutoTokenizer.from_pretrained(merged)("What joy today", return_tensors="pt").input_ids
    expected = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(plain.model_path), adapter.adapter_path)
    with torch.no_grad():
        found = AutoModelForCausalLM.from_pretrained(merged)(tokens).logits
        assert torch.allclose(found, expected(tokens).logits, atol=1e-4)
        assert not torch.allclose(found, expected.unload()(tokens).logits, atol=1e-4)
