# ruff: noqa: TID253 - heavy module, imported lazily by olive_systems.azure_ml.system
"""A workspace as jobs need it: who asks, the SDK's client, its datastores, and what becomes of a job."""

from __future__ import annotations

import logging
import os
import time
import warnings
from dataclasses import dataclass
from threading import RLock
from typing import TYPE_CHECKING, Literal

from azure.core import PipelineClient
from azure.core.exceptions import HttpResponseError
from azure.core.pipeline.policies import BearerTokenCredentialPolicy, RetryPolicy
from azure.core.rest import HttpRequest, HttpResponse
from azure.identity import DefaultAzureCredential
from azure.storage.blob import BlobClient, ContainerClient, ExponentialRetry
from pydantic import BaseModel

from olive_engine.errors import SystemUnavailable
from olive_systems.azure_ml.clouds import current
from olive_systems.azure_ml.failures import in_words, is_missing
from olive_systems.azure_ml.locations import WorkspaceName
from olive_systems.azure_ml.options import AzureMLClient
from olive_systems.azure_ml.quiet import quiet

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its dependencies warn of each other
    from azure.ai.ml import MLClient
    from azure.ai.ml.entities import AmlCompute, AzureBlobDatastore, Compute

if TYPE_CHECKING:
    from azure.ai.ml.entities import Command, Job

LOG = "user_logs/std_log.txt"
SIGNATURE_LIFE = 1800.0
"""Seconds that a datastore's signature is used for; it is good for an hour."""
BLOCK = 32 << 20
"""Bytes of a blob that are sent, or asked for, at once."""
LOG_PIECE = 4 << 20
"""Bytes of a job's log that are read at once."""
_NOTHING_THERE = 416
"""Of a range behind the end."""
RUNNING = ("NotStarted", "Starting", "Provisioning", "Preparing", "Queued", "Running", "Finalizing", "CancelRequested")
CHATTY = ("azure.ai.ml", "azure.identity", "azure.core", "msrest")
"""Loggers that warn of the SDK's own affairs."""


@dataclass(frozen=True, slots=True)
class JobState:
    """What is known of a job."""

    status: str
    error: str
    """Why it failed, in the service's words."""
    log: str
    """The signed address of what it says; empty: it has said nothing."""

    @property
    def outcome(self) -> Literal["running", "done", "lost"]:
        """What that means for who waits for it."""
        return "done" if self.status == "Completed" else "running" if self.status in RUNNING else "lost"


class _ServiceError(BaseModel):
    code: str | None = None
    message: str | None = None


class _RunError(BaseModel):
    error: _ServiceError | None = None


class _Details(BaseModel):
    status: str
    logFiles: dict[str, str] | None = None  # noqa: N815 - the service's name
    error: _RunError | None = None


class _Services(BaseModel):
    history: str


class Workspace:
    """Talks to one workspace, from several threads if need be.

    Every method raises `SystemUnavailable` where Azure refuses, is away for longer than the retries, or is not
    reached with what there is of a login.
    """

    def __init__(self, name: WorkspaceName, options: AzureMLClient) -> None:
        self.name = name
        self.retries = options.max_operation_retries
        self._options = options
        for each in CHATTY:
            logging.getLogger(each).setLevel(logging.ERROR)
        self.cloud = current()
        # Where it is not said who logs in, it is the cloud's own host; azure-identity would take the public one.
        own = {} if os.environ.get("AZURE_AUTHORITY_HOST") else {"authority": self.cloud.login}
        with in_words("Azure's login cannot be used"):
            self._credential = DefaultAzureCredential(**{**own, **options.default_auth_params})
        self.client = MLClient(
            self._credential,
            name.subscription,
            name.group,
            name.workspace,
            show_progress=False,
            enable_telemetry=False,
            **self._retries(),  # type: ignore[arg-type]  # the SDK's options have no types
        )
        self._http: PipelineClient[HttpRequest, HttpResponse] | None = None
        self._history = ""
        self._containers: dict[str, tuple[float, ContainerClient]] = {}
        self._lock = RLock()

    def close(self) -> None:
        """Let connections go."""
        with self._lock:
            if self._http is not None:
                self._http.close()
            for _, container in self._containers.values():
                container.close()
            self._containers = {}
        self._credential.close()

    # --- what has to be there -------------------------------------------------------------------------------------

    def check(self) -> None:
        """See that the workspace is there and whoever asks may read it; learn where its run history is."""
        missing = (
            f"there is no workspace {self.name.workspace} in the resource group {self.name.group} of the subscription "
            f"{self.name.subscription}, or who is logged in may not see it"
        )
        with in_words(f"the workspace {self.name.workspace} cannot be looked up", missing=missing):
            found = self.client.workspaces.get(self.name.workspace)
            if found is None or not found.discovery_url:
                raise SystemUnavailable(f"the workspace {self.name.workspace} does not say where its services are")
            request = HttpRequest("GET", found.discovery_url)
            self._history = _Services.model_validate(self._json(request)).history.rstrip("/")

    def nodes(self, compute: str) -> int:
        """See that a compute is there, and how many nodes it has at the most; 1 for what is no cluster."""
        missing = (
            f"the workspace {self.name.workspace} has no compute {compute}; correct aml_compute, or create it: "
            f"az ml compute create --name {compute} --type amlcompute"
        )
        with in_words(f"the compute {compute} cannot be looked up", missing=missing):
            found: Compute = self.client.compute.get(compute)
        if found.provisioning_state and found.provisioning_state.lower() in ("failed", "deleting"):
            raise SystemUnavailable(f"the compute {compute} is not usable: its state is {found.provisioning_state}")
        return max(1, found.max_instances or 1) if isinstance(found, AmlCompute) else 1

    def container(self, datastore: str) -> ContainerClient:
        """The container of a datastore, with a signature that is good for a while."""
        with self._lock:
            since, client = self._containers.get(datastore, (0.0, None))
            if client is None or time.monotonic() - since > SIGNATURE_LIFE:
                client = self._container(datastore)
                self._containers[datastore] = time.monotonic(), client
            return client

    def _container(self, datastore: str) -> ContainerClient:
        missing = f"the workspace {self.name.workspace} has no datastore {datastore}; correct `datastores`"
        with in_words(f"the datastore {datastore} cannot be opened", missing=missing):
            found = self.client.datastores.get(datastore, include_secrets=True)
        if not isinstance(found, AzureBlobDatastore):
            raise SystemUnavailable(f"the datastore {datastore} is a {found.type}; name one of Azure Blob Storage")
        url = f"{found.protocol}://{found.account_name}.blob.{found.endpoint}"
        secret = getattr(found.credentials, "sas_token", None) or getattr(found.credentials, "account_key", None)
        given = secret.removeprefix("?") if isinstance(secret, str) else self._credential
        return ContainerClient(
            url,
            found.container_name,
            credential=given,
            retry_policy=self._blob_retries(),
            read_timeout=self._options.read_timeout,
            max_single_put_size=BLOCK,
            max_block_size=BLOCK,
            max_chunk_get_size=BLOCK,
        )

    def registry(self, name: str) -> MLClient:
        """A client of a registry; the SDK looks it up at once."""
        return MLClient(
            self._credential,
            registry_name=name,
            show_progress=False,
            enable_telemetry=False,
            **self._retries(),  # type: ignore[arg-type]  # the SDK's options have no types
        )

    # --- jobs -----------------------------------------------------------------------------------------------------

    def submit(self, job: Command) -> Job:
        """Put a job; the same again is the job that there is."""
        with in_words(f"the job {job.name} was not taken"), quiet():
            made: Job = self.client.jobs.create_or_update(job, skip_validation=True)
            return made

    def has_job(self, name: str) -> bool:
        """Whether there is a job of that name."""
        try:
            with in_words(f"the job {name} cannot be looked up"):
                self.client.jobs.get(name)
        except SystemUnavailable as error:
            if is_missing(error):
                return False
            raise
        return True

    def cancel(self, name: str) -> None:
        """Ask that a job ends; one that has ended stays what it is."""
        with in_words(f"the job {name} cannot be cancelled"):
            self.client.jobs.begin_cancel(name, polling=False)

    def state(self, name: str) -> JobState | None:
        """What has become of a job; none: it is not known, or no longer."""
        if not self._history:
            self.check()
        url = f"{self._history}/history/v1.0{self.name.resource_id}/runs/{name}/details"
        try:
            with in_words(f"the job {name} cannot be followed"):
                found = _Details.model_validate(self._json(HttpRequest("GET", url)))
        except SystemUnavailable as error:
            if is_missing(error):
                return None
            raise
        why = found.error.error if found.error and found.error.error else _ServiceError()
        return JobState(
            status=found.status,
            error=": ".join(part for part in (why.code, why.message) if part),
            log=(found.logFiles or {}).get(LOG, ""),
        )

    def read_log(self, address: str, start: int) -> bytes:
        """What a job has said from a byte on."""
        with (
            in_words("the job's log cannot be read"),
            BlobClient.from_blob_url(
                address, retry_policy=self._blob_retries(), read_timeout=self._options.read_timeout
            ) as blob,
        ):
            try:
                return blob.download_blob(offset=start, length=LOG_PIECE).readall()
            except HttpResponseError as error:
                if error.status_code == _NOTHING_THERE:
                    return b""
                raise

    # --- the wire -------------------------------------------------------------------------------------------------

    def _json(self, request: HttpRequest) -> object:
        with self._lock:
            if self._http is None:
                retries = RetryPolicy[HttpRequest, HttpResponse](**self._retries())
                scope = f"https://{self.cloud.management}/.default"
                policies = [retries, BearerTokenCredentialPolicy(self._credential, scope)]
                timeout = self._options.read_timeout
                self._http = PipelineClient(f"https://{self.cloud.management}", policies=policies, read_timeout=timeout)
        response = self._http.send_request(request)
        response.raise_for_status()
        return response.json()

    def _retries(self) -> dict[str, int]:
        """The SDK's own policy of retries, as the options say; a service that says when to come back is obeyed."""
        names = ("retry_total", "retry_connect", "retry_read", "retry_status")
        count = dict.fromkeys(names, self._options.max_operation_retries)
        return {
            **count,
            "retry_backoff_factor": self._options.operation_retry_interval,
            "read_timeout": self._options.read_timeout,
        }

    def _blob_retries(self) -> ExponentialRetry:
        """The same for storage, whose policy is one of its own."""
        return ExponentialRetry(
            initial_backoff=self._options.operation_retry_interval,
            increment_base=2,
            retry_total=self._options.max_operation_retries,
            random_jitter_range=1,
        )
