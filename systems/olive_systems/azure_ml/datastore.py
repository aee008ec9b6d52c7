# ruff: noqa: TID253 - heavy module, imported lazily by olive_systems.azure_ml.system
"""The datastores of a workspace as containers of blobs, whose requests are signed anew as long as they last."""

from __future__ import annotations

import warnings
from threading import Lock

from azure.core.credentials import TokenCredential
from azure.storage.blob import ContainerClient, ExponentialRetry

from olive_engine.errors import SystemUnavailable
from olive_systems.azure_ml.failures import in_words, repeated
from olive_systems.azure_ml.locations import WorkspaceName
from olive_systems.azure_ml.options import AzureMLClient
from olive_systems.azure_ml.signing import Patience, Signature

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the SDK's dependencies warn of each other
    from azure.ai.ml import MLClient
    from azure.ai.ml.entities import AzureBlobDatastore, Datastore

BLOCK = 8 << 20
"""Bytes of a blob that are sent, or asked for, at once; 50,000 of them are the largest blob there can be."""
CONNECTION_TIMEOUT = 60
"""Seconds that a connection, or the sending of a piece of a block, may take."""


class Datastores:
    """Those of one workspace; several threads may ask."""

    def __init__(
        self, workspace: WorkspaceName, client: MLClient, credential: TokenCredential, options: AzureMLClient
    ) -> None:
        """Make them for a workspace.

        Args:
            workspace: whose they are.
            client: looks them up.
            credential: who asks, where a datastore has no secret of its own.
            options: how patient to be.
        """
        self._workspace = workspace
        self._client = client
        self._credential = credential
        self._options = options
        self._containers: dict[str, ContainerClient] = {}
        self._opening: dict[str, Lock] = {}
        self._closed = False

    def container(self, name: str) -> ContainerClient:
        """The container of a datastore; it may be used as long as this is open.

        Raises:
            SystemUnavailable: there is no such datastore, or it is of another kind.
        """
        with self._opening.setdefault(name, Lock()):  # one that is slow keeps nobody from the others
            if self._closed:
                raise SystemUnavailable(f"the datastore {name} was closed")
            if name not in self._containers:
                self._containers[name] = self._container(name)
            return self._containers[name]

    def close(self) -> None:
        """Let connections go."""
        self._closed = True
        for container in list(self._containers.values()):
            container.close()

    def _container(self, name: str) -> ContainerClient:
        found = self._found(name)
        if not isinstance(found, AzureBlobDatastore):
            raise SystemUnavailable(f"the datastore {name} is a {found.type}; name one of Azure Blob Storage")
        key = getattr(found.credentials, "account_key", None)
        token = _token(found)
        signature = Signature(token, lambda: _token(self._found(name))) if token else None
        return opened(
            f"{found.protocol}://{found.account_name}.blob.{found.endpoint}",
            found.container_name,
            self._options,
            credential=None if signature else key or self._credential,
            signature=signature,
        )

    def _found(self, name: str) -> Datastore:
        missing = f"the workspace {self._workspace.workspace} has no datastore {name}; correct `datastores`"

        def ask() -> Datastore:
            with in_words(f"the datastore {name} cannot be opened", missing=missing):
                found: Datastore = self._client.datastores.get(name, include_secrets=True)
                return found

        return repeated(ask, self._options.max_operation_retries, self._options.operation_retry_interval)


def opened(
    account: str,
    container: str,
    options: AzureMLClient,
    *,
    credential: str | TokenCredential | None = None,
    signature: Signature | None = None,
) -> ContainerClient:
    """A container of an account, in pieces that a slow line can carry.

    Args:
        account: its URL.
        container: its name.
        options: how patient to be.
        credential: who asks.
        signature: instead of it.
    """
    return ContainerClient(
        account,
        container,
        credential=credential,
        retry_policy=Patience(signature, options.max_operation_retries, options.operation_retry_interval),
        connection_timeout=CONNECTION_TIMEOUT,
        read_timeout=options.read_timeout,
        max_single_put_size=BLOCK,
        max_block_size=BLOCK,
        max_single_get_size=BLOCK,
        max_chunk_get_size=BLOCK,
    )


def blob_retries(options: AzureMLClient) -> ExponentialRetry:
    """Retries of a storage client whose requests are signed by their address."""
    return Patience(None, options.max_operation_retries, options.operation_retry_interval)


def _token(datastore: Datastore) -> str:
    """The signature that a datastore comes with; empty: it has none."""
    token = getattr(datastore.credentials, "sas_token", None) if isinstance(datastore, AzureBlobDatastore) else None
    return token.removeprefix("?") if isinstance(token, str) else ""
