"""What a URL names, however it is laid out: folders of folders, roots, blanks, what MLflow has left, registries."""

import hashlib

import pytest

from olive_engine import run
from olive_engine.config.draft import parse_tree
from olive_engine.errors import SystemUnavailable
from olive_engine.models import FileEntry, Tree
from olive_engine.testing.harness import tree_of
from olive_engine.testing.system_conformance import wait
from olive_engine.testing.toys import build_toy_model
from tests.emulators.azureml.assets import Assets
from tests.emulators.azureml.sdk import Model
from tests.systems.azureml.jobs import scale

STORE = "workspaceblobstore"
PATHS = f"azureml://datastores/{STORE}/paths/"


def entry(data):
    return FileEntry(sha256=hashlib.sha256(data).hexdigest(), size=len(data))


@pytest.fixture
def write(azureml):
    """Write blobs that say their own names."""

    def write(*paths, store=STORE):
        for path in paths:
            azureml.storage.write(azureml.datastores[store], path, path.encode())

    return write


def test_what_stands_for_a_folder_is_no_file(azureml, make, write):
    """As in accounts with a hierarchical namespace."""
    for folder in ("data", "data/rows", "data/rows/sub", "data/none"):
        azureml.storage.mark_folder(azureml.datastores[STORE], folder)
    write("data/rows/a.jsonl", "data/rows/sub/b.jsonl")
    system = make()
    for url in (f"{PATHS}data/rows", f"{PATHS}data/rows/"):
        found = system.listing(url)
        assert found.names == ("a.jsonl", "sub/b.jsonl")
        assert found.location.endswith("/paths/data/rows")
    with pytest.raises(SystemUnavailable, match="there is no file at azureml://datastores/workspaceblobstore/paths/da"):
        system.listing(f"{PATHS}data/none")


def test_neighbours_are_not_even_listed(azureml, make, write):
    write("data/a.jsonl", "data-archive/b.jsonl", "data.txt")
    with azureml.recorder.label("look"):
        assert make().listing(f"{PATHS}data").names == ("a.jsonl",)
    asked = [each.query for each in azureml.recorder.exchanges(label="look") if "comp=list" in each.query]
    assert len(asked) == 1
    assert "prefix=data%2F" in asked[0]


def test_the_root_of_a_datastore_and_a_file_there(azureml, make, write, tmp_path):
    write("rows.jsonl", "more/rows.jsonl", "olive-engine/trees/x/ours.json")
    system = make()
    whole, alone = system.listing(PATHS), system.listing(f"{PATHS}rows.jsonl")
    assert (whole.names, alone.names) == (("more/rows.jsonl", "rows.jsonl"), ("rows.jsonl",))
    assert whole.location == alone.location
    for found in (whole, alone):
        files = {name: entry(name.encode()) for name in found.names}
        into = tmp_path / str(len(files))
        system.fetch(Tree(files=files, location=found.location), into)
        assert tree_of(into).files == files


@pytest.mark.parametrize("folder", ["my data", "100%", "x%20y"])
def test_a_folder_may_be_called_anything(azureml, make, write, folder):
    """A path stands in a URL as it is, or as URLs have it: what is there decides."""
    write(f"{folder}/a.jsonl")
    system = make()
    encoded = folder.replace("%", "%25").replace(" ", "%20")
    found = [system.listing(f"{PATHS}{name}") for name in (folder, encoded)]
    assert found[0] == found[1]
    assert found[0].names == ("a.jsonl",)
    place = system._connection.name.place(found[0].location)
    assert place is not None
    assert place.path == folder


@pytest.mark.slow
@pytest.mark.parametrize("name", ["my model", "100%20"])
def test_a_job_reads_a_folder_of_any_name(azureml, options, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("olive_systems.azure_ml.handle.INTERVAL", 0.1)
    azureml.storage.upload(build_toy_model(tmp_path / "base").model_path, azureml.datastores[STORE], f"models/{name}")
    described = {
        "input_model": {"type": "HfModel", "model_path": f"{PATHS}models/{name}"},
        "systems": {"cloud": {"type": "AzureML", **options}},
        "host": "cloud",
        "passes": {"scale": {"type": "ToyScale"}},
    }
    assert run(parse_tree(described, tmp_path).raise_if_wrong()).executed == ("scale",)


def test_what_a_job_has_logged(azureml, make, tmp_path, write):
    """MLflow's models are there, and the models that were made of them."""
    system = make()
    handle = system.submit(scale(tmp_path, build_toy_model(tmp_path / "model")))
    assert wait(handle).state == "done"
    write(f"{azureml.jobs[handle.name].artifacts}/my model/MLmodel", store="workspaceartifactstore")
    outputs = f"azureml://jobs/{handle.name}/outputs"
    written = (
        f"{outputs}/artifacts/paths/my model",
        f"{outputs}/default/paths/my%20model",
        f"{outputs}/artifacts/my model",
    )
    assert {system.listing(url).names for url in written} == {("MLmodel",)}
    models = azureml.client().models
    by_region = f"azureml://locations/eastus/workspaces/1234/jobs/{handle.name}/outputs/artifacts/paths/my model"
    for version, path in enumerate((written[0], by_region), 1):
        models.create_or_update(Model(name="logged", version=str(version), path=path, type="mlflow_model"))
        assert system.listing(f"azureml://models/logged/versions/{version}").names == ("MLmodel",)
    with pytest.raises(SystemUnavailable) as raised:
        system.listing(f"{outputs}/other")
    assert str(raised.value) == f"cloud: the job {handle.name} has no output other (it has result, artifacts)"


@pytest.fixture
def shelf(azureml, tmp_path):
    """A registry's model whose files lie in a folder, and one whose files lie at the root of a container."""
    files = {"MLmodel": b"x", "data/weights.bin": bytes(300_000), "data/tokenizer.json": b"{}"}
    for name, data in files.items():
        (tmp_path / "m" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "m" / name).write_bytes(data)
    azureml.registries["shelf"] = Assets("azureml://registries/shelf")
    registry = azureml.registry_client("shelf")
    for name in ("folder", "flat"):
        registry.models.create_or_update(Model(name=name, version="1", path=str(tmp_path / "m"), type="custom_model"))
    container = azureml.storage.new_container("flat")
    azureml.storage.upload(tmp_path / "m", container, "")
    for path in azureml.storage.paths(container):
        azureml.storage.write(container, path.lstrip("/"), azureml.storage.read(container, path))
    azureml.registries["shelf"].get("models", "flat", "1")["properties"]["modelUri"] = azureml.storage.url(container)
    return {name: entry(data) for name, data in files.items()}


@pytest.mark.parametrize("name", ["folder", "flat"])
def test_only_what_is_asked_for_comes_from_a_registry(azureml, make, shelf, tmp_path, name, monkeypatch):
    monkeypatch.setattr("olive_systems.azure_ml.datastore.BLOCK", 1 << 16)
    system, url = make(), f"azureml://registries/shelf/models/{name}/versions/1"
    assert system.listing(url).location == url
    with azureml.recorder.label("one"):
        system.fetch(Tree(files={"data/tokenizer.json": shelf["data/tokenizer.json"]}, location=url), tmp_path / "one")
    assert azureml.recorder.traffic("GET", "*/data/weights.bin").requests == 0
    system.fetch(Tree(files=shelf, location=url), tmp_path / "all")
    assert tree_of(tmp_path / "all").files == shelf
    assert azureml.recorder.traffic("GET", "*/data/weights.bin").requests == 5  # as many pieces
    assert azureml.recorder.traffic("POST", "*/datarefs/*").requests == 1


def test_a_registry_is_looked_up_once(azureml, make, shelf):
    system, url = make(), "azureml://registries/shelf/models/folder/versions/1"
    with azureml.recorder.label("look"):
        for _ in range(3):
            system.listing(url)
    asked = [each.path.rsplit("/", 1)[1] for each in azureml.recorder.exchanges("GET", label="look")]
    assert asked.count("discovery") == 1
    with pytest.raises(SystemUnavailable) as raised:
        system.listing(url.replace("/1", "/2"))
    assert str(raised.value) == "cloud: the registry shelf has no version 2 of a model folder"
    with pytest.raises(SystemUnavailable) as raised:
        system.listing(url.replace("shelf", "none"))
    assert str(raised.value) == "cloud: there is no registry none, or who is logged in may not read it"


def test_a_result_that_names_what_is_not_its_own_is_refused(azureml, make, tmp_path):
    """A result is the word of whoever may write to the datastore."""
    system = make()
    job = scale(tmp_path, build_toy_model(tmp_path / "model"))
    handle = system.submit(job)
    assert wait(handle).state == "done"
    container, path = azureml.datastores[STORE], f"olive-engine/results/{handle.name}/result.json"
    text = azureml.storage.read(container, path).decode()
    assert '"job:outputs/0/model"' in text
    azureml.storage.write(container, path, text.replace("job:outputs/0/model", "job:../other/outputs").encode())
    again = system.attach(job)
    assert again is not None
    assert wait(again).state == "done"
    with pytest.raises(SystemUnavailable) as raised:
        again.collect(fetch=True)
    assert str(raised.value) == "a job names 'job:../other/outputs' as its output, which is not in its folder"
