"""Workspace, datastores, computes and versioned assets through the SDK as it is published."""

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

from tests.emulators.azureml.assets import Assets
from tests.emulators.azureml.computes import Compute
from tests.emulators.azureml.sdk import Data, Environment, Input, MLClient, Model
from tests.emulators.azureml.submitting import CONDA, IMAGE, shell


@pytest.fixture
def mlflow_model(tmp_path):
    """A folder in the layout that MLflow gives a transformers model."""
    folder = tmp_path / "phi"
    (folder / "model").mkdir(parents=True)
    (folder / "MLmodel").write_text("flavors:\n  transformers:\n    model_binary: model\n")
    (folder / "model/config.json").write_text("{}")
    return folder


def files(folder):
    return {f.relative_to(folder).as_posix(): f.read_text() for f in folder.rglob("*") if f.is_file()}


def test_the_workspace_and_no_other(azureml, client):
    found = client.workspaces.get(azureml.workspace_name)
    assert (found.location, found.discovery_url.split("/")[2]) == ("eastus", "eastus.api.azureml.ms")
    with pytest.raises(ResourceNotFoundError, match="workspaces/other was not found"):
        client.workspaces.get("other")


def test_datastores_give_tokens(azureml, client):
    assert client.datastores.get_default().name == "workspaceblobstore"
    assert [store.name for store in client.datastores.list()] == ["workspaceblobstore", "workspaceartifactstore"]
    store = client.datastores.get("workspaceblobstore", include_secrets=True)
    assert store.container_name == azureml.datastores["workspaceblobstore"]
    assert "sig=" in store.credentials.sas_token
    with pytest.raises(ResourceNotFoundError, match="Could not find datastore none"):
        client.datastores.get("none")


def test_computes_and_their_states(azureml, client):
    azureml.computes["big"] = Compute("big", max_nodes=8, vm_size="Standard_NC96ads_A100_v4")
    azureml.computes["workstation"].state = "Stopped"
    assert [found.name for found in client.compute.list()] == ["cpu-cluster", "workstation", "big"]
    big = client.compute.get("big")
    assert (big.type, big.size, big.max_instances) == ("amlcompute", "Standard_NC96ads_A100_v4", 8)
    assert client.compute.get("workstation").state == "Stopped"
    with pytest.raises(ResourceNotFoundError, match="compute none was not found"):
        client.compute.get("none")


def test_data_is_uploaded_once_by_content(azureml, client, tmp_path):
    (tmp_path / "rows.json").write_text("[1]" * 1000)
    asset = Data(name="rows", version="1", path=str(tmp_path / "rows.json"), type="uri_file")
    with azureml.recorder.label("first"):
        client.data.create_or_update(asset)
    with azureml.recorder.label("second"):
        client.data.create_or_update(Data(name="rows", version="2", path=str(tmp_path / "rows.json"), type="uri_file"))
    blobs = f"{azureml.storage.host}/*"
    assert azureml.recorder.traffic("PUT", blobs, label="first").up == 3000
    assert azureml.recorder.traffic("PUT", blobs, label="second").up == 0
    assert client.data.get("rows", "1").path == client.data.get("rows", label="latest").path
    assert client.data.get("rows", label="latest").version == "2"
    where = azureml.locations.find(client.data.get("rows", "1").path)
    assert azureml.storage.read(where.container, where.path) == b"[1]" * 1000
    (tmp_path / "rows.json").write_text("[2]")
    with pytest.raises(HttpResponseError, match="Asset paths cannot be updated"):
        client.data.create_or_update(Data(name="rows", version="1", path=str(tmp_path / "rows.json"), type="uri_file"))


def test_models_of_the_workspace(azureml, client, mlflow_model, tmp_path):
    client.models.create_or_update(Model(name="phi", version="1", path=str(mlflow_model), type="mlflow_model"))
    assert client.models.get("phi", "1").type == "mlflow_model"
    client.models.download("phi", "1", download_path=tmp_path / "down")
    assert files(tmp_path / "down/phi/phi") == files(mlflow_model)
    given = {"m": Input(type="mlflow_model", path="azureml:phi:1")}
    client.jobs.create_or_update(shell("lists", "cd ${{inputs.m}} && ls", inputs=given))
    assert azureml.job("lists").error is None
    assert azureml.log("lists") == "MLmodel\nmodel\n"
    with pytest.raises(ResourceNotFoundError):
        client.models.get("phi", "2")


def test_models_of_a_registry(azureml, client, mlflow_model, tmp_path):
    azureml.registries["azureml-msr"] = Assets("azureml://registries/azureml-msr")
    registry = azureml.registry_client("azureml-msr")
    registry.models.create_or_update(Model(name="Phi", version="11", path=str(mlflow_model), type="mlflow_model"))
    found = registry.models.get("Phi", "11")
    assert (found.id, found.type) == ("azureml://registries/azureml-msr/models/Phi/versions/11", "mlflow_model")
    registry.models.download("Phi", "11", download_path=tmp_path / "down")
    assert files(tmp_path / "down/Phi/phi") == files(mlflow_model)
    assert [each.version for each in registry.models.list("Phi")] == ["11"]
    given = {"m": Input(type="mlflow_model", path=found.id)}
    client.jobs.create_or_update(shell("lists", "cat ${{inputs.m}}/model/config.json", inputs=given))
    assert azureml.job("lists").error is None
    assert azureml.log("lists") == "{}"
    with pytest.raises(HttpResponseError, match="There is no registry none"):
        azureml.registry_client("none")
    assert azureml.recorder.refused_hosts == []


def test_environments_have_versions_and_documents(azureml, client):
    made = Environment(name="tuning", version="1", image=IMAGE, conda_file=CONDA)
    client.environments.create_or_update(made)
    client.environments.create_or_update(Environment(name="tuning", version="2", image=IMAGE + ":other"))
    assert client.environments.get("tuning", "1").conda_file == CONDA
    assert client.environments.get("tuning", label="latest").version == "2"
    with pytest.raises(HttpResponseError, match="image cannot be updated"):
        client.environments.create_or_update(Environment(name="tuning", version="2", image=IMAGE))
    with pytest.raises(HttpResponseError, match="needs the name of an image; found 'not an image'"):
        client.environments.create_or_update(Environment(name="tuning", version="3", image="not an image"))
    client.jobs.create_or_update(shell("registered", "echo", environment="tuning@latest"))
    assert azureml.jobs["registered"].properties["environmentId"].endswith("/environments/tuning/versions/2")


def test_anonymous_environments_and_snapshots_are_known_by_their_content(azureml, client, tmp_path):
    (tmp_path / "code").mkdir()
    (tmp_path / "code/f").write_text("x" * 5000)
    for name in ("a", "b"):
        with azureml.recorder.label(name):
            client.jobs.create_or_update(shell(name, "cat f", code=str(tmp_path / "code")))
        assert azureml.job(name).error is None
    blobs = f"{azureml.storage.host}/*"
    assert azureml.recorder.traffic("PUT", blobs, label="a").up == 5000
    assert azureml.recorder.traffic("PUT", blobs, label="b").up == 0
    properties = [azureml.jobs[name].properties for name in ("a", "b")]
    assert properties[0]["codeId"] == properties[1]["codeId"]
    assert properties[0]["environmentId"] == properties[1]["environmentId"]


def test_a_client_by_the_environment_alone(azureml):
    """azure-identity's default credential needs no more than the variables."""
    assert isinstance(azureml.client(), MLClient)
    azureml.client().compute.get("cpu-cluster")
    asked = [(e.method, e.path.split("/")[-1]) for e in azureml.recorder.exchanges(path="login.microsoftonline.com/*")]
    assert asked[-1] == ("POST", "token")
    assert {method for method, _ in asked[:-1]} == {"GET"}
