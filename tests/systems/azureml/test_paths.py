"""Whatever a path may be in a workflow, it may be in Azure ML: by URL, and in the four spellings of Olive."""

import hashlib
import json
from pathlib import Path

import pytest

from olive_engine import run
from olive_engine.errors import PassFailed
from olive_engine.reading import read_workflow
from olive_engine.testing.harness import tree_of
from olive_engine.testing.toys import build_toy_model
from tests.emulators.azureml.assets import Assets
from tests.emulators.azureml.sdk import Input, Model, Output
from tests.emulators.azureml.submitting import shell

STORE = "workspaceblobstore"
BASE = "azureml://datastores/workspaceblobstore/paths/models/base"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A working directory; the portal's file says which workspace it is."""
    monkeypatch.setattr("olive_systems.azure_ml.handle.INTERVAL", 0.1)
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


@pytest.fixture
def there(azureml, tmp_path):
    """A toy model in a datastore, the workspace, a registry and as a job's output; an adapter in the datastore."""
    base = build_toy_model(tmp_path / "base", (1.0, 2.0, 3.0)).model_path
    adapter = build_toy_model(tmp_path / "adapter", (10.0, 20.0, 30.0)).model_path
    (adapter / "adapter_config.json").write_text('{"rank": 1}')
    for name, folder in {"base": base, "adapter": adapter}.items():
        azureml.storage.upload(folder, azureml.datastores[STORE], f"models/{name}")
    azureml.client().models.create_or_update(Model(name="toy", version="2", path=BASE, type="custom_model"))
    azureml.registries["shelf"] = Assets("azureml://registries/shelf")
    registry = azureml.registry_client("shelf")
    registry.models.create_or_update(Model(name="toy", version="3", path=str(base), type="custom_model"))
    line = "mkdir ${{outputs.made}}/inner && cp ${{inputs.model}}/* ${{outputs.made}}/inner"
    given = {"model": Input(type="uri_folder", path=BASE)}
    made = shell("maker", line, inputs=given, outputs={"made": Output(type="uri_folder")})
    azureml.client().jobs.create_or_update(made)
    assert azureml.job("maker").status == "Completed"


def client_of(options, project: Path) -> dict[str, object]:
    names = ("subscription_id", "resource_group", "workspace_name")
    (project / "config.json").write_text(json.dumps({name: options["azureml_client"][name] for name in names}))
    return {"aml_config_path": "config.json", "operation_retry_interval": 1}


SPELLINGS = {
    "model": {"type": "azureml_model", "config": {"name": "toy", "version": 2}},
    "registry": {"type": "azureml_registry_model", "name": "toy", "registry_name": "shelf", "version": "3"},
    "datastore": {"type": "azureml_datastore", "config": {"datastore_name": STORE, "relative_path": "models/base"}},
    "job": {"type": "azureml_job_output", "job_name": "maker", "output_name": "made", "relative_path": "inner"},
    "url": BASE,
}


@pytest.mark.slow
def test_every_spelling_of_a_path_names_the_same_model(azureml, there, options, project):
    """Here of the input model and of its adapter, in the workflow itself and in a file that is laid over it."""
    described = {
        "azureml_client": client_of(options, project),
        "input_model": {"type": "HfModel", "model_path": "overlaid"},
        "systems": {"cloud": {"type": "AzureML", "aml_compute": "cpu-cluster"}},
        "host": "cloud",
        "passes": {"scale": {"type": "ToyScale"}},
    }
    Path("workflow.json").write_text(json.dumps(described))
    executed = {}
    for name, spelling in SPELLINGS.items():
        Path("overlay.json").write_text(json.dumps({"input_model": {"model_path": spelling}}))
        result = run(read_workflow(["workflow.json", "overlay.json"]).raise_if_wrong())
        executed[name] = result.executed
        assert json.loads((project / "output/model/numbers.json").read_text()) == [2.0, 4.0, 6.0], name
        (project / "output/model/numbers.json").unlink()
    assert executed == {"model": ("scale",), **dict.fromkeys(list(SPELLINGS)[1:], ())}  # the same bytes, the same step
    described["passes"] = {"merge": {"type": "ToyMerge"}}
    adapter = {"type": "azureml_datastore", "datastore_url": BASE.replace("base", "adapter")}
    described["input_model"] = {"type": "HfModel", "model_path": SPELLINGS["model"], "adapter_path": adapter}
    Path("workflow.json").write_text(json.dumps(described))
    assert run(read_workflow(["workflow.json"]).raise_if_wrong()).executed == ("merge",)
    assert json.loads((project / "output/model/numbers.json").read_text()) == [11.0, 22.0, 33.0]
    assert azureml.recorder.traffic("PUT", "*/olive-engine/trees/*", caller="client").up == 0
    assert azureml.recorder.traffic("GET", "*/models/base/*", caller="client").down == 0


def test_a_failed_step_shows_the_last_lines_of_its_log(options, project):
    build_toy_model(project / "base")
    known = hashlib.sha256(b"any").hexdigest()
    described = {
        "input_model": {"type": "HfModel", "model_path": "base"},
        "systems": {"cloud": {"type": "AzureML", "environment_variables": {"WORD": "any"}, **options}},
        "host": "cloud",
        "passes": {"use": {"type": "ToySecret", "variable": "WORD", "sha256": known, "then": "exit"}},
    }
    Path("workflow.json").write_text(json.dumps(described))
    with pytest.raises(PassFailed) as raised:
        run(read_workflow(["workflow.json"]).raise_if_wrong())
    (failure,) = raised.value.failures
    assert failure.cause == "its worker ended with exit code 3 before the result was written"
    assert "printed in pieces: any" in failure.log


@pytest.mark.slow
def test_an_onnx_model_may_be_named_by_url(azureml, options, project, tmp_path):
    """It is measured where it is."""
    folder = build_toy_model(tmp_path / "onnx", (1.0, -5.0, 3.0)).model_path
    (folder / "model.onnx").write_bytes(b"onnx")
    azureml.storage.upload(folder, azureml.datastores[STORE], "models/onnx")
    described = {
        "input_model": {"type": "OnnxModel", "model_path": BASE.replace("base", "onnx")},
        "systems": {"cloud": {"type": "AzureML", **options}},
        "host": "cloud",
        "target": "cloud",
        "evaluators": {"numbers": {"metrics": [{"name": "n", "type": "size_on_disk"}]}},
        "evaluator": "numbers",
    }
    Path("workflow.json").write_text(json.dumps(described))
    result = run(read_workflow(["workflow.json"]).raise_if_wrong())
    assert result.metrics == {"input_model": {"n.bytes": tree_of(folder).size}}
    assert run(read_workflow(["workflow.json"]).raise_if_wrong()).executed == ()
    assert azureml.recorder.traffic("GET", "*/models/onnx/*", caller="client").down == 0
