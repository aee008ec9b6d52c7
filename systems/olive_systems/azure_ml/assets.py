"""What URLs of Azure ML name: paths of datastores, models of a workspace or a registry, outputs of jobs."""

from __future__ import annotations

import re
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from olive_engine.contracts import Listing
from olive_engine.digests import digest, file_digest
from olive_engine.errors import StoreCorrupt, SystemUnavailable
from olive_engine.models import Tree
from olive_systems.azure_ml.failures import in_words
from olive_systems.azure_ml.locations import Place, RegistryModel, inside, registry_model
from olive_systems.azure_ml.workspace import Workspace

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the SDK's dependencies warn of each other
    from azure.ai.ml import MLClient

if TYPE_CHECKING:
    from azure.ai.ml.entities import Model

_REGISTRY_MODEL = re.compile(
    r"azureml://registries/(?P<registry>[^/]+)/models/(?P<name>.+)/versions/(?P<version>[^/]+)"
)
_MODEL = re.compile(r"models/(?P<name>.+)/versions/(?P<version>[^/]+)")
_DATASTORE = re.compile(r"datastores/(?P<datastore>[^/]+)/paths/(?P<path>.*)")
_OUTPUT = re.compile(r"jobs/(?P<job>[^/]+)/outputs/(?P<output>[^/]+)(?:/paths/(?P<path>.*))?")


def listing(workspace: Workspace, url: str) -> Listing:
    """What a URL names now.

    Raises:
        SystemUnavailable: nothing is there, or it cannot be asked.
    """
    if model := registry_model(url):
        _of_registry(workspace, model)  # that it is there
        return Listing(location=url, names=None, version=url)
    rest = inside(url, workspace.name)
    if rest is None:
        raise SystemUnavailable(f"{url} is not of the workspace {workspace.name.workspace}")
    return _listed(workspace, _place(workspace, url, rest), url)


def input_type(workspace: Workspace, model: RegistryModel) -> str:
    """How a job has to name a registry's model among its inputs: ``mlflow_model`` or ``custom_model``."""
    return str(_of_registry(workspace, model).type)


def download(workspace: Workspace, tree: Tree, into: Path) -> None:
    """Bring the files of a registry's model into a folder, each compared with its digest.

    Raises:
        SystemUnavailable: the registry refuses, or a file is not there.
        StoreCorrupt: a file came with other bytes than its digest says.
    """
    model = registry_model(tree.location)
    if model is None:
        raise SystemUnavailable(f"{tree.location} is no model of a registry")
    with tempfile.TemporaryDirectory(dir=into.parent) as folder:
        with in_words(f"the model {model.name} of the registry {model.registry} cannot be downloaded"):
            _registry(workspace, model.registry).models.download(model.name, model.version, download_path=folder)
        # The SDK puts it under its name, in a folder that is called as the one that was registered.
        (root,) = [each for each in (Path(folder) / model.name).iterdir() if each.is_dir()] or [
            Path(folder) / model.name
        ]
        for name, entry in tree.files.items():
            source, target = root / tree.place_of(name), into / name
            if not source.is_file():
                raise SystemUnavailable(f"{name} is no longer in {tree.location}")
            if file_digest(source) != entry.sha256:
                raise StoreCorrupt(entry.sha256, f"{name} came from {tree.location} with other bytes")
            target.parent.mkdir(parents=True, exist_ok=True)
            source.replace(target)


# --- places of the workspace ----------------------------------------------------------------------------------------


def _place(workspace: Workspace, url: str, rest: str) -> Place:
    """Where in a datastore lies what a URL names."""
    if found := _DATASTORE.fullmatch(rest):
        return Place(found["datastore"], unquote(found["path"]).strip("/"))
    if found := _MODEL.fullmatch(rest):
        name, version = unquote(found["name"]), found["version"]
        missing = f"the workspace {workspace.name.workspace} has no version {version} of a model {name}"
        with in_words(f"the model {name} cannot be looked up", missing=missing):
            path = str(workspace.client.models.get(name, version).path)
        return _known(workspace, path)
    if found := _OUTPUT.fullmatch(rest):
        missing = f"the workspace {workspace.name.workspace} has no job {found['job']}"
        with in_words(f"the job {found['job']} cannot be looked up", missing=missing):
            outputs = getattr(workspace.client.jobs.get(found["job"]), "outputs", {})
        if found["output"] not in outputs:
            has = ", ".join(outputs) or "none"
            raise SystemUnavailable(f"the job {found['job']} has no output {found['output']} (it has {has})")
        path = outputs[found["output"]].path or (
            # Where Azure ML keeps an output for which no path is given.
            f"azureml://datastores/workspaceblobstore/paths/azureml/{found['job']}/{found['output']}/"
        )
        place = _known(workspace, str(path).replace("${{name}}", found["job"]))
        return place / found["path"].strip("/") if found["path"] else place
    raise SystemUnavailable(
        f"{url} names no data; expected azureml://datastores/…/paths/…, azureml://models/…/versions/…, "
        "azureml://registries/…/models/…/versions/… or azureml://jobs/…/outputs/…"
    )


def _known(workspace: Workspace, path: str) -> Place:
    rest = inside(path, workspace.name)
    found = _DATASTORE.fullmatch(rest or "")
    if found is None:
        raise SystemUnavailable(f"{path} is not in a datastore of the workspace {workspace.name.workspace}")
    return Place(found["datastore"], unquote(found["path"]).strip("/"))


def _listed(workspace: Workspace, place: Place, url: str) -> Listing:
    """A blob, or all below a path; the version is of names, sizes and the storage's own tags."""
    with in_words(f"the datastore {place.datastore} cannot be listed"):
        blobs = list(workspace.container(place.datastore).list_blobs(name_starts_with=place.path))
    alone = [blob for blob in blobs if blob.name == place.path]
    folder, _, _ = place.path.rpartition("/")
    root = Place(place.datastore, folder) if alone else place
    found = alone or [blob for blob in blobs if blob.name.startswith(f"{place.path}/")]
    if not found:
        raise SystemUnavailable(f"there is no file at {url}")
    version = digest(
        [[blob.name, blob.size, str(blob.etag)] for blob in sorted(found, key=lambda each: str(each.name))]
    )
    prefix = f"{root.path}/" if root.path else ""
    names = tuple(sorted(str(blob.name).removeprefix(prefix) for blob in found))
    return Listing(location=workspace.name.location(root), names=names, version=version)


# --- registries -----------------------------------------------------------------------------------------------------


def _of_registry(workspace: Workspace, model: RegistryModel) -> Model:
    missing = f"the registry {model.registry} has no version {model.version} of a model {model.name}"
    with in_words(f"the model {model.name} of the registry {model.registry} cannot be looked up", missing=missing):
        made: Model = _registry(workspace, model.registry).models.get(model.name, model.version)
        return made


def _registry(workspace: Workspace, name: str) -> MLClient:
    missing = f"there is no registry {name}, or who is logged in may not read it"
    with in_words(f"the registry {name} cannot be opened", missing=missing):
        return workspace.registry(name)
