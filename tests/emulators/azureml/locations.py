"""From the many ways to name data to the container and the path where it lies."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import unquote, urlsplit

from tests.emulators.azureml.assets import Assets
from tests.emulators.azureml.wire import Refused

DATASTORE = re.compile(r"^azureml://(?:.*/)?datastores/(?P<store>[^/]+)/(?:paths/)?(?P<path>.*)$", re.IGNORECASE)
JOB_OUTPUT = re.compile(r"^azureml://jobs/(?P<job>[^/]+)/outputs/(?P<output>[^/]+)(?:/(?:paths/)?(?P<path>.*))?$")
REGISTERED = re.compile(
    r"^azureml://registries/(?P<registry>[^/]+)/(?P<kind>models|data)/(?P<name>[^/]+)/versions/(?P<v>[^/]+)$"
)
ASSET = re.compile(
    r"(?:^azureml:(?!/)|/(?P<kind>models|data)/)(?P<name>[^/:]+)(?:/versions/|:)(?P<version>[^/]+)$", re.IGNORECASE
)
URI_OF = {"models": "modelUri", "data": "dataUri"}


@dataclass(frozen=True, slots=True)
class Location:
    """Where data lies: one blob, or what is below a path."""

    container: str
    path: str


class Outputs(Protocol):
    """Knows where the outputs of jobs lie."""

    def output_uri(self, job: str, output: str) -> str:
        """The datastore URI of a job's output, or raise `Refused`."""


@dataclass(frozen=True, slots=True)
class Locations:
    """Resolves URIs in one workspace.

    Attributes:
        datastores: Container by datastore.
        host: Of the storage account.
    """

    datastores: Mapping[str, str]
    assets: Assets
    registries: Mapping[str, Assets]
    outputs: Outputs
    host: str

    def find(self, uri: str) -> Location:
        """Where the data of a URI lies: of a datastore, a job's output, an asset, a registry's asset, or a blob.

        Raises:
            Refused: It names nothing that there is; 400 for its form, 404 for what it names.
        """
        if found := DATASTORE.match(uri):
            return Location(self._container(found["store"]), found["path"])  # as it is: the SDK encodes nothing, too
        if found := JOB_OUTPUT.match(uri):
            whole = self.find(self.outputs.output_uri(found["job"], found["output"]))
            below = (found["path"] or "").strip("/")
            return Location(whole.container, f"{whole.path.rstrip('/')}/{below}" if below else whole.path)
        if found := REGISTERED.match(uri):
            held = self.registries.get(found["registry"])
            if held is None:
                raise Refused(404, "UserError", f"There is no registry {found['registry']}.")
            return self.find(_uri(held, found["kind"], found["name"], found["v"]))
        if uri.startswith("https://"):
            return self._blob(uri)
        if found := ASSET.search(uri):
            kind = (found["kind"] or "data").lower()
            return self.find(_uri(self.assets, kind, found["name"], found["version"]))
        raise Refused(400, "UserError", f"{uri} is no URI of data that the emulator knows.")

    def _container(self, datastore: str) -> str:
        container = self.datastores.get(datastore)
        if container is None:
            raise Refused(404, "UserError", f"Could not find datastore {datastore}.")
        return container

    def _blob(self, url: str) -> Location:
        parts = urlsplit(url)
        if parts.hostname != self.host:
            raise Refused(400, "UserError", f"The storage account of {parts.hostname} is not emulated.")
        container, _, path = parts.path.lstrip("/").partition("/")
        return Location(container, unquote(path))


def _uri(assets: Assets, kind: str, name: str, version: str) -> str:
    return str(assets.get(kind, name, version)["properties"][URI_OF[kind]])
