# ruff: noqa: TID253 - heavy module, imported lazily by olive_systems.azure_ml.system
"""What URLs of Azure ML name: paths of datastores, models of a workspace or a registry, outputs of jobs."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

from azure.core.exceptions import ResourceNotFoundError
from azure.storage.blob import BlobProperties

from olive_engine.contracts import Listing
from olive_engine.digests import digest
from olive_engine.errors import SystemUnavailable
from olive_engine.models import Tree
from olive_systems.azure_ml.blobs import fetch
from olive_systems.azure_ml.failures import in_words
from olive_systems.azure_ml.locations import ROOT, Place, RegistryModel, inside, registry_model
from olive_systems.azure_ml.workspace import Workspace

_MODEL = re.compile(r"models/(?P<name>.+)/versions/(?P<version>[^/]+)")
_DATA = re.compile(r"data/(?P<name>.+)/versions/(?P<version>[^/]+)")
_DATASTORE = re.compile(r"datastores/(?P<datastore>[^/]+)/(?:paths/)?(?P<path>.*)")
_OUTPUT = re.compile(r"jobs/(?P<job>[^/]+)/outputs/(?P<output>[^/]+)(?:/(?:paths/)?(?P<path>.*))?")
_BY_REGION = re.compile(r"azureml://locations/[^/]+/workspaces/[^/]+/(?P<rest>.*)")
"""How the service itself calls what is in a workspace."""
ARTIFACTS = ("artifacts", "default")
"""The output that every job has: what it has logged, MLflow's models among it."""
_STEPS = 4
"""How often a name may lead to another one: a model to data, to a job's output, to a datastore."""
_MARKED = "hdi_isfolder"
"""What the blob has among its metadata that stands for a folder, in accounts that have folders."""


def listing(workspace: Workspace, url: str) -> Listing:
    """What a URL names now.

    Raises:
        SystemUnavailable: nothing is there, or it cannot be asked.
    """
    if model := registry_model(url):
        workspace.registries.model(model)  # that it is there
        return Listing(location=url, names=None, version=url)
    rest = inside(url, workspace.name)
    if rest is None:
        raise SystemUnavailable(f"{url} is not of the workspace {workspace.name.workspace}")
    place = _place(workspace, url, rest)
    # People paste paths as they are, and also as URLs have them: what is there decides.
    spellings = dict.fromkeys((place.path, unquote(place.path)))
    found = next((each for path in spellings if (each := _listed(workspace, Place(place.datastore, path)))), None)
    if found is None:
        raise SystemUnavailable(f"there is no file at {url}")
    return found


def input_type(workspace: Workspace, model: RegistryModel) -> str:
    """How a job has to name a registry's model among its inputs: ``mlflow_model`` or ``custom_model``."""
    return workspace.registries.model(model).modelType


def download(workspace: Workspace, tree: Tree, into: Path) -> None:
    """Bring files of a registry's model into a folder, each compared with its digest.

    Raises:
        SystemUnavailable: the registry refuses, or a file is not there.
        StoreCorrupt: a file came with other bytes than its digest says.
    """
    model = registry_model(tree.location)
    if model is None:
        raise SystemUnavailable(f"{tree.location} is no model of a registry")
    container, root = workspace.registries.files(model)
    fetch(container, tree, root, into, tree.location)


# --- places of the workspace ----------------------------------------------------------------------------------------


def _place(workspace: Workspace, url: str, rest: str, steps: int = _STEPS) -> Place:
    """Where in a datastore lies what a URL names, its path as it is written."""
    if found := _DATASTORE.fullmatch(rest):
        return Place(found["datastore"], found["path"].strip("/"))
    if found := _MODEL.fullmatch(rest):
        return _known(workspace, _path_of(workspace, "model", unquote(found["name"]), found["version"]), steps)
    if found := _OUTPUT.fullmatch(rest):
        output = _output(workspace, found["job"], found["output"])
        place = _known(workspace, output, steps)
        return place / found["path"].strip("/") if found["path"] else place
    if steps < _STEPS and (found := _DATA.fullmatch(rest)):
        return _known(workspace, _path_of(workspace, "data", unquote(found["name"]), found["version"]), steps)
    raise SystemUnavailable(
        f"{url} names no data; expected azureml://datastores/…/paths/…, azureml://models/…/versions/…, "
        "azureml://registries/…/models/…/versions/… or azureml://jobs/…/outputs/…"
    )


def _known(workspace: Workspace, path: str, steps: int) -> Place:
    """Where a path leads that the service gave for something else."""
    by_region = _BY_REGION.fullmatch(path)
    rest = by_region["rest"] if by_region else inside(path, workspace.name)
    if rest is None or not steps:
        raise SystemUnavailable(f"{path} is not in a datastore of the workspace {workspace.name.workspace}")
    return _place(workspace, path, rest, steps - 1)


def _path_of(workspace: Workspace, kind: str, name: str, version: str) -> str:
    missing = f"the workspace {workspace.name.workspace} has no version {version} of a {kind} {name}"
    with in_words(f"the {kind} {name} cannot be looked up", missing=missing):
        operations = workspace.client.models if kind == "model" else workspace.client.data
        return str(operations.get(name, version).path)


def _output(workspace: Workspace, job: str, name: str) -> str:
    """The URI of a job's output."""
    missing = f"the workspace {workspace.name.workspace} has no job {job}"
    with in_words(f"the job {job} cannot be looked up", missing=missing):
        outputs = getattr(workspace.client.jobs.get(job), "outputs", None) or {}
    path = outputs[name].path if name in outputs else None
    if path is None and name in ARTIFACTS:
        return f"azureml://datastores/workspaceartifactstore/paths/ExperimentRun/dcid.{job}/"
    if name not in outputs:
        has = ", ".join((*outputs, ARTIFACTS[0]))
        raise SystemUnavailable(f"the job {job} has no output {name} (it has {has})")
    # Where Azure ML keeps an output for which no path is given.
    kept = str(path or f"azureml://datastores/workspaceblobstore/paths/azureml/{job}/{name}/")
    return kept.replace("${{name}}", job)


def _listed(workspace: Workspace, place: Place) -> Listing | None:
    """All below a path, or the blob of that name; the version is of names, sizes and the storage's own tags.

    Without a path it is the whole datastore, but for what jobs of ours have left in it.
    """
    prefix = f"{place.path}/" if place.path else ""
    with in_words(f"the datastore {place.datastore} cannot be listed"):
        container = workspace.datastores.container(place.datastore)
        blobs = [blob for blob in container.list_blobs(prefix or None, include=["metadata"]) if not _is_folder(blob)]
        found = [blob for blob in blobs if prefix or not blob.name.startswith(f"{ROOT}/")]
        root = place
        if not found and place.path:
            try:
                blob = container.get_blob_client(place.path).get_blob_properties()
            except ResourceNotFoundError:
                return None
            found = [] if _is_folder(blob) else [blob]
            folder = place.path.rpartition("/")[0]
            root, prefix = Place(place.datastore, folder), f"{folder}/" if folder else ""
    if not found:
        return None
    version = digest([[blob.name, blob.size, str(blob.etag)] for blob in sorted(found, key=lambda each: each.name)])
    names = tuple(sorted(blob.name.removeprefix(prefix) for blob in found))
    return Listing(location=workspace.name.location(root), names=names, version=version)


def _is_folder(blob: BlobProperties) -> bool:
    """Whether a blob only stands for a folder, as in accounts with a hierarchical namespace."""
    marks = {name.lower(): value for name, value in (blob.metadata or {}).items()}
    return str(marks.get(_MARKED, "")).lower() == "true"
