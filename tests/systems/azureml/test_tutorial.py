"""The tutorial's workflow for Azure ML, whole: a registry's MLflow model, rows in a datastore, LoRA, merge, int4."""

import json
import shutil

import onnxruntime_genai
import pytest

from olive_engine import plan, run
from olive_engine.errors import InvalidWorkflow, SystemUnavailable
from olive_engine.reading import read_workflow
from olive_engine.reporting.events import SystemSaid
from olive_engine.reporting.recorder import Recorder
from olive_engine.testing.tiny_models import build_tiny_model
from tests.emulators.azureml.assets import Assets
from tests.emulators.azureml.sdk import Model

CONDA = """
name: tuning
dependencies:
  - python=3.8.13
  - pip=22.3.1
  - pip:
      - bitsandbytes
      - peft
      - torch>=2.2.0
      - transformers
      - git+https://github.com/microsoft/Olive#egg=olive-ai[cpu]
"""
ROWS = [{"Question": f"What is {n} and {n}?", "Best Answer": f"It is {2 * n}."} for n in range(40)]
NOT_RESOLVED = "not resolved yet: it is asked for when the run starts"


@pytest.fixture
def project(tmp_path, monkeypatch, azureml):
    """A working directory; the model is in a registry, the rows are in the workspace's datastore."""
    monkeypatch.setattr("olive_systems.azure_ml.handle.INTERVAL", 0.1)
    folder = tmp_path / "mlflow"
    build_tiny_model(folder / "data" / "model", "phi3")
    for part, names in {"config": ("config.json", "generation_config.json"), "tokenizer": ("tokenizer",)}.items():
        (folder / "data" / part).mkdir()
        for path in list((folder / "data" / "model").iterdir()):
            if path.name.startswith(names):
                shutil.move(path, folder / "data" / part / path.name)
    (folder / "MLmodel").write_text("flavors:\n  hftransformersv2: {model_data: data, task_type: chat-completion}\n")
    azureml.registries["azureml-msr"] = Assets("azureml://registries/azureml-msr")
    azureml.registry_client("azureml-msr").models.create_or_update(
        Model(name="Phi-3-mini-4k-instruct", version="11", path=str(folder), type="mlflow_model")
    )
    rows = "".join(json.dumps(row) + "\n" for row in ROWS)
    azureml.storage.write(azureml.datastores["workspaceblobstore"], "tutorial/train_data.json", rows.encode())
    azureml.vaults["secrets"] = {"hf-token": "hf_canary0123456789abcdef"}
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "conda.yaml").write_text(CONDA)
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


@pytest.fixture
def tree(azureml, project):
    client = {
        "subscription_id": azureml.subscription_id,
        "resource_group": azureml.resource_group,
        "workspace_name": azureml.workspace_name,
        "keyvault_name": "secrets",
    }
    model = {"name": "Phi-3-mini-4k-instruct", "registry_name": "azureml-msr", "version": "11"}
    data = {
        "azureml_client": client,
        "datastore_name": "workspaceblobstore",
        "relative_path": "tutorial/train_data.json",
    }
    return {
        "azureml_client": client,
        "input_model": {
            "type": "PyTorchModel",
            "config": {
                "model_path": {"type": "azureml_registry_model", "config": model},
                "model_file_format": "PyTorch.MLflow",
                "hf_config": {"task": "text-generation", "from_pretrained_args": {"trust_remote_code": True}},
            },
        },
        "data_configs": [
            {
                "name": "train",
                "type": "HuggingfaceContainer",
                "load_dataset_config": {
                    "params": {
                        "data_name": "json",
                        "data_files": {"type": "azureml_datastore", "config": data},
                        "split": "train",
                    }
                },
                "pre_process_data_config": {
                    "params": {
                        "dataset_type": "corpus",
                        "text_cols": ["Question", "Best Answer"],
                        "text_template": "<|user|>\n{Question}<|end|>\n<|assistant|>\n{Best Answer}\n<|end|>",
                        "corpus_strategy": "join",
                        "source_max_len": 64,
                    }
                },
            }
        ],
        "systems": {
            "aml": {
                "type": "AzureML",
                "config": {
                    "accelerators": ["cpu"],
                    "hf_token": True,
                    "aml_compute": "cpu-cluster",
                    "aml_docker_config": {"base_image": "registry.example/image:1", "conda_file_path": "conda.yaml"},
                },
            }
        },
        "passes": {
            "lora": {
                "type": "QLoRA",
                "config": {
                    "target_modules": ["o_proj", "qkv_proj"],
                    "double_quant": True,
                    "lora_r": 4,
                    "lora_alpha": 8,
                    "train_data_config": "train",
                    "eval_dataset_size": 0.3,
                    "training_args": {"per_device_train_batch_size": 1, "max_steps": 3, "learning_rate": 0.0001},
                },
            },
            "merge_adapter_weights": {"type": "MergeAdapterWeights"},
            "builder": {"type": "ModelBuilder", "config": {"precision": "int4"}},
        },
        "engine": {"host": "aml", "target": "aml", "search_strategy": False, "output_dir": "models"},
    }


def workflow(project, tree):
    (project / "olive-config-azureml.json").write_text(json.dumps(tree))
    return read_workflow([project / "olive-config-azureml.json"]).raise_if_wrong()


@pytest.mark.slow
def test_the_tutorial_runs_whole_on_azure_ml(azureml, project, tree):
    made = workflow(project, tree)
    with azureml.recorder.label("plan"):
        planned = plan(made).steps
    assert azureml.recorder.traffic(label="plan").requests == 0
    assert {step.action for step in planned.values()} == {"run"}

    recorder = Recorder()
    with azureml.recorder.label("run"):
        result = run(made, recorder)
    assert result.executed == ("data:train", "lora", "merge_adapter_weights", "builder")
    model = onnxruntime_genai.Model(str(result.models["builder"].model_path))
    generator = onnxruntime_genai.Generator(model, onnxruntime_genai.GeneratorParams(model))
    generator.append_tokens([[1, 5, 7]])
    generator.generate_next_token()
    assert len(generator.get_sequence(0)) == 4
    said = [event.message for event in recorder.events if isinstance(event, SystemSaid)]
    assert any("python=3.8.13" in line or "3.8.13" in line for line in said)  # the conda file's, which is replaced
    assert any(line.startswith("describing azureml://registries/azureml-msr/") for line in said)

    # Of models only the last one's bytes went through this machine.
    size = sum(path.stat().st_size for path in result.models["builder"].model_path.rglob("*") if path.is_file())
    down = azureml.recorder.traffic("GET", "*/olive-engine/results/*/outputs/*", label="run").down
    assert down == size
    assert azureml.recorder.traffic("PUT", "*/olive-engine/trees/*", label="run").up == 0
    names = azureml.recorder.submitted()
    assert len(names) == len(set(names)) == 7  # two are described, the environment is probed, four steps
    assert not [exchange for exchange, body in azureml.recorder.bodies() if b"canary" in body]
    assert azureml.recorder.refused_hosts == []

    with azureml.recorder.label("again"):
        assert run(made).executed == ()
    assert azureml.recorder.traffic("PUT", "*/jobs/*", label="again").requests == 0
    assert plan(made).to_run == ()


@pytest.mark.slow
def test_rows_in_the_cloud_can_be_read_here(azureml, project, tree):
    tree["engine"]["host"] = "here"
    tree["systems"]["here"] = {"type": "LocalSystem", "workers": 1, "threads": 1}
    tree["passes"] = {"lora": tree["passes"]["lora"]}
    result = run(workflow(project, tree))
    assert result.executed == ("data:train", "lora")
    assert (result.models["lora"].model_path / "config.json").exists()


def test_what_is_still_to_be_filled_in_is_told_at_once_and_lets_one_plan(project, tree):
    """The file as the tutorial has it: one plans it, and a run names everything before it asks anybody."""
    client = {name: f"Your Azure {name}" for name in ("subscription_id", "resource_group", "workspace_name")}
    tree["azureml_client"] = client
    data = tree["data_configs"][0]["load_dataset_config"]["params"]["data_files"]["config"]
    data |= {"azureml_client": client, "relative_path": "Your train_data.json Azure ML Location"}
    system = tree["systems"]["aml"]["config"]
    system |= {"aml_compute": "Your compute name"}
    system["aml_docker_config"]["base_image"] = "Your Azure ML docker"
    tree["input_model"]["config"]["model_path"]["config"]["name"] = "microsoft/Phi-3-mini-4k-instruct"
    (project / "olive-config-azureml.json").write_text(json.dumps(tree))
    draft = read_workflow([project / "olive-config-azureml.json"])
    said = {problem.what: problem.hint for problem in draft.problems}
    assert {problem.severity for problem in draft.problems} == {"warning"}
    names = [*(f"azureml_client.{name}" for name in client), "aml_docker_config.base_image", "aml_compute"]
    paths = [*client.values(), "Your train_data.json Azure ML Location"]
    assert said.keys() == {
        f"still to be filled in: {', '.join(names)}",
        f"still to be filled in: {', '.join(paths)}",
        "the job reads the token from a key vault, and none is named",
        "the name of a model has no `/`, and this one is microsoft/Phi-3-mini-4k-instruct",
    }
    assert all(said.values())  # each says what to do
    assert {step.action for step in plan(draft.workflow).steps.values()} == {"run"}
    with pytest.raises(InvalidWorkflow) as raised:
        run(draft.workflow)
    assert {problem.what for problem in raised.value.problems} == said.keys()


def test_a_url_that_names_nothing_is_told_with_its_place(azureml, project, tree):
    tree["input_model"]["config"]["model_path"]["config"]["version"] = "12"
    with pytest.raises(
        SystemUnavailable, match="registry azureml-msr has no version 12 of a model Phi-3-mini-4k-instruct"
    ):
        run(workflow(project, tree))


def test_without_a_system_that_reads_it_a_run_refuses_the_url(azureml, project, tree):
    del tree["systems"], tree["engine"]["host"], tree["engine"]["target"], tree["azureml_client"]
    made = workflow(project, tree)
    with pytest.raises(InvalidWorkflow, match="no system of this workflow can read azureml://registries/azureml-msr/"):
        run(made)
