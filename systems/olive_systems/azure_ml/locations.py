"""Where data lies in a workspace, as URIs; and which workspace a system works in."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

from olive_engine.errors import SystemUnavailable
from olive_systems.azure_ml.options import AzureMLClient

_IN_A_WORKSPACE = re.compile(
    r"azureml://subscriptions/(?P<subscription>[^/]+)/resourcegroups/(?P<group>[^/]+)/"
    r"(?:providers/Microsoft\.MachineLearningServices/)?workspaces/(?P<workspace>[^/]+)/(?P<rest>.*)",
    re.IGNORECASE,
)
_IN_A_DATASTORE = re.compile(r"datastores/(?P<datastore>[^/]+)/paths/(?P<path>.*)")
_REGISTRY_MODEL = re.compile(
    r"azureml://registries/(?P<registry>[^/]+)/models/(?P<name>.+)/versions/(?P<version>[^/]+)"
)


ROOT = "olive-engine"
"""The folder of a datastore that everything of ours lies in."""
_OWN = "job:"


@dataclass(frozen=True, slots=True)
class WorkspaceName:
    """A workspace by its full name; names of Azure's count without their case."""

    subscription: str
    group: str
    workspace: str

    @property
    def resource_id(self) -> str:
        """Its path among the resources of Azure."""
        return (
            f"/subscriptions/{self.subscription}/resourceGroups/{self.group}"
            f"/providers/Microsoft.MachineLearningServices/workspaces/{self.workspace}"
        )

    def is_same(self, other: WorkspaceName) -> bool:
        """Whether both name one workspace."""
        return self.resource_id.lower() == other.resource_id.lower()

    def location(self, place: Place) -> str:
        """The URI of a place in one of its datastores, which means the same everywhere."""
        return (
            f"azureml://subscriptions/{self.subscription}/resourcegroups/{self.group}/workspaces/{self.workspace}"
            f"/datastores/{place.datastore}/paths/{quote(place.path)}"
        )

    def place(self, location: str) -> Place | None:
        """What a `location` names in one of this workspace's datastores; none: it is of another place."""
        found = _IN_A_DATASTORE.fullmatch(inside(location, self) or "")
        return Place(found["datastore"], unquote(found["path"]).rstrip("/")) if found else None


@dataclass(frozen=True, slots=True)
class Place:
    """A path in a datastore of a known workspace."""

    datastore: str
    path: str

    @property
    def uri(self) -> str:
        """Its URI inside the workspace, as jobs name their inputs and outputs.

        The path stands in it as it is: Azure ML's SDK encodes none either, neither blanks nor percent signs.
        """
        return f"azureml://datastores/{self.datastore}/paths/{self.path}"

    def __truediv__(self, path: str) -> Place:
        return Place(self.datastore, below(self.path, path))


def below(root: str, path: str) -> str:
    """A path under another one, either of which may be empty: the root of a datastore."""
    return f"{root}/{path}" if root and path else root or path


def described_place(datastore: str, name: str) -> Place:
    """Where a job reads its ``job.json``."""
    return Place(datastore, f"{ROOT}/submitted/{name}/job.json")


def result_place(datastore: str, name: str) -> Place:
    """Where a job's output is kept."""
    return Place(datastore, f"{ROOT}/results/{name}")


def tree_place(datastore: str, digest: str) -> Place:
    """Where a tree is kept that came from here."""
    return Place(datastore, f"{ROOT}/trees/{digest}")


def own_path(location: str) -> str | None:
    """What a job has made, by its path in the job's folder; none: the location is of another thing.

    Raises:
        SystemUnavailable: it leads out of the folder.
    """
    path = location.removeprefix(_OWN)
    if path == location:
        return None
    if "\0" in path or not {"", ".", ".."}.isdisjoint(path.split("/")):
        raise SystemUnavailable(f"a job names {location!r} as its output, which is not in its folder")
    return path


def is_result(place: Place) -> bool:
    """Whether a job of ours has made what lies there, so that it can be made again."""
    return place.path.startswith(f"{ROOT}/results/")


@dataclass(frozen=True, slots=True)
class RegistryModel:
    """A version of a model in a registry."""

    registry: str
    name: str
    version: str

    @property
    def url(self) -> str:
        """Its URL, which means the same everywhere."""
        return f"azureml://registries/{self.registry}/models/{self.name}/versions/{self.version}"


def registry_model(url: str) -> RegistryModel | None:
    """The model that a URL of a registry names; none: it is another URL."""
    found = _REGISTRY_MODEL.fullmatch(url)
    return RegistryModel(found["registry"], unquote(found["name"]), found["version"]) if found else None


def inside(url: str, workspace: WorkspaceName) -> str | None:
    """What a URL names within a workspace, short or with that workspace's full name; none: it is of another place."""
    if full := _IN_A_WORKSPACE.fullmatch(url):
        named = WorkspaceName(full["subscription"], full["group"], full["workspace"])
        return full["rest"] if workspace.is_same(named) else None
    short = url.removeprefix("azureml://")
    return short if short != url and not short.startswith(("subscriptions/", "registries/")) else None


def workspace_name(client: AzureMLClient | None) -> WorkspaceName:
    """The workspace that the options name, themselves or in the portal's ``config.json``; what they say goes first.

    Raises:
        SystemUnavailable: they name none, or the file cannot be read.
    """
    if client is None:
        raise SystemUnavailable(
            "it is not said which workspace it is; write subscription_id, resource_group and workspace_name, or "
            "aml_config_path, into `azureml_client`"
        )
    written = _from_file(Path(client.aml_config_path).expanduser()) if client.aml_config_path else {}
    names = ("subscription_id", "resource_group", "workspace_name")
    found = [getattr(client, name) or written.get(name) for name in names]
    if missing := [name for name, value in zip(names, found, strict=True) if not value]:
        raise SystemUnavailable(f"{client.aml_config_path} does not say {' nor '.join(missing)} of the workspace")
    return WorkspaceName(*map(str, found))


def _from_file(path: Path) -> dict[str, object]:
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SystemUnavailable(
            f"there is no file {path}, which `aml_config_path` names; download config.json from the workspace's page "
            "in the Azure portal"
        ) from None
    except (OSError, ValueError) as error:
        raise SystemUnavailable(f"{path}, which `aml_config_path` names, cannot be read: {error}") from None
    if not isinstance(read, dict):
        raise SystemUnavailable(f"{path}, which `aml_config_path` names, is not the portal's config.json")
    return read
