# ruff: noqa: TID253 - heavy module, imported lazily by olive_systems.azure_ml.workspace
"""Registries: what is known of a model there, and its files, one by one.

The SDK's own `models.download` takes a whole model, and each file of it whole into memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock
from typing import TypeVar
from urllib.parse import quote, unquote, urlsplit

from azure.core import PipelineClient
from azure.core.credentials import TokenCredential
from azure.core.exceptions import DecodeError
from azure.core.pipeline.policies import BearerTokenCredentialPolicy, RetryPolicy
from azure.core.rest import HttpRequest, HttpResponse
from azure.storage.blob import ContainerClient
from pydantic import BaseModel, ValidationError

from olive_systems.azure_ml.clouds import current
from olive_systems.azure_ml.datastore import opened
from olive_systems.azure_ml.failures import in_words, repeated
from olive_systems.azure_ml.locations import RegistryModel
from olive_systems.azure_ml.options import AzureMLClient
from olive_systems.azure_ml.signing import Signature

VERSION = "2021-10-01-dataplanepreview"
"""Of the interface that the SDK speaks to registries, too."""
_SERVICE = "mferp/managementfrontend"

Answer = TypeVar("Answer", bound=BaseModel)


class Registered(BaseModel):
    """What a registry says of a version of a model."""

    modelUri: str  # noqa: N815 - the service's name
    """The folder of its files, in the registry's own storage."""
    modelType: str = "custom_model"  # noqa: N815 - the service's name


class _Version(BaseModel):
    properties: Registered


class _Discovery(BaseModel):
    primaryRegionResourceProviderUri: str  # noqa: N815 - the service's name
    resourceGroup: str  # noqa: N815 - the service's name
    subscriptionId: str  # noqa: N815 - the service's name


class _Credential(BaseModel):
    sasUri: str | None = None  # noqa: N815 - the service's name


class _Consumption(BaseModel):
    blobUri: str  # noqa: N815 - the service's name
    credential: _Credential = _Credential()


class _Reference(BaseModel):
    blobReferenceForConsumption: _Consumption  # noqa: N815 - the service's name


@dataclass(frozen=True, slots=True)
class _Blobs:
    """A folder of a container, and what lets one read it."""

    account: str
    container: str
    root: str
    token: str


class Registries:
    """All of them; each is looked up once, and so is each model. Several threads may ask."""

    def __init__(self, credential: TokenCredential, options: AzureMLClient) -> None:
        """Make them for who asks."""
        self._options = options
        cloud = current()
        self._discovery = f"https://{cloud.registries}/registrymanagement/v1.0/registries"
        retries = RetryPolicy[HttpRequest, HttpResponse](retry_total=options.max_operation_retries)
        signed = BearerTokenCredentialPolicy(credential, f"https://{cloud.management}/.default")
        self._http: PipelineClient[HttpRequest, HttpResponse] = PipelineClient(
            self._discovery, policies=[retries, signed], read_timeout=options.read_timeout
        )
        self._lock = Lock()
        self._places: dict[str, str] = {}
        self._models: dict[RegistryModel, Registered] = {}
        self._containers: dict[RegistryModel, tuple[ContainerClient, str]] = {}

    def close(self) -> None:
        """Let connections go."""
        self._http.close()
        for container, _ in list(self._containers.values()):
            container.close()

    def model(self, model: RegistryModel) -> Registered:
        """What the registry says of a model; a version never changes.

        Raises:
            SystemUnavailable: it is not there, or cannot be asked about.
        """
        with self._lock:
            if model not in self._models:
                missing = f"the registry {model.registry} has no version {model.version} of a model {model.name}"
                doing = f"the model {model.name} of the registry {model.registry} cannot be looked up"
                url = f"{self._place(model.registry)}/models/{_of(model)}"
                self._models[model] = self._asked(HttpRequest("GET", url), _Version, doing, missing).properties
            return self._models[model]

    def files(self, model: RegistryModel) -> tuple[ContainerClient, str]:
        """The container that a model's files are in, and the folder of them there.

        Raises:
            SystemUnavailable: the registry does not let them be read.
        """
        uri = self.model(model).modelUri
        with self._lock:
            if model not in self._containers:
                found = self._blobs(model, uri)
                signature = Signature(found.token, lambda: self._blobs(model, uri).token) if found.token else None
                container = opened(found.account, found.container, self._options, signature=signature)
                self._containers[model] = container, found.root
            return self._containers[model]

    def _blobs(self, model: RegistryModel, uri: str) -> _Blobs:
        asked = {
            "assetId": f"azureml://registries/{model.registry}/models/{model.name}/versions/{model.version}",
            "blobUri": uri,
        }
        request = HttpRequest("POST", f"{self._place(model.registry)}/datarefs/{_of(model)}", json=asked)
        doing = f"the files of the model {model.name} of the registry {model.registry} cannot be opened"
        given = self._asked(request, _Reference, doing).blobReferenceForConsumption
        signed, files = urlsplit(given.credential.sasUri or given.blobUri), urlsplit(uri)
        container = signed.path.strip("/").partition("/")[0]
        root = unquote(files.path).strip("/").partition("/")[2]
        return _Blobs(f"{signed.scheme}://{signed.netloc}", container, root, signed.query)

    def _place(self, registry: str) -> str:
        """The address of a registry's own resources."""
        if registry not in self._places:
            missing = f"there is no registry {registry}, or who is logged in may not read it"
            request = HttpRequest("GET", f"{self._discovery}/{quote(registry)}/discovery")
            found = self._asked(request, _Discovery, f"the registry {registry} cannot be opened", missing)
            self._places[registry] = (
                f"{found.primaryRegionResourceProviderUri.rstrip('/')}/{_SERVICE}/subscriptions/{found.subscriptionId}"
                f"/resourceGroups/{found.resourceGroup}/providers/Microsoft.MachineLearningServices"
                f"/registries/{quote(registry)}"
            )
        return self._places[registry]

    def _asked(self, request: HttpRequest, form: type[Answer], doing: str, missing: str = "") -> Answer:
        def ask() -> Answer:
            with in_words(doing, missing=missing):
                response = self._http.send_request(request)
                response.raise_for_status()
                try:
                    return form.model_validate_json(response.read())
                except ValidationError as error:
                    raise DecodeError(f"it is no {form.__name__}", response=response) from error

        again = self._options.max_operation_retries if request.method == "POST" else 0  # others the client repeats
        return repeated(ask, again, self._options.operation_retry_interval)


def _of(model: RegistryModel) -> str:
    return f"{quote(model.name, safe='')}/versions/{quote(model.version, safe='')}?api-version={VERSION}"
