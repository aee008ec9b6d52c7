# ruff: noqa: TID253 - heavy module, imported lazily by olive_systems.azure_ml.system
"""A workspace: who asks, the SDK's client, and what has to be there before a job is put."""

from __future__ import annotations

import logging
import os
import warnings
from threading import Lock

from azure.core import PipelineClient
from azure.core.exceptions import DecodeError
from azure.core.pipeline import PipelineResponse
from azure.core.pipeline.policies import BearerTokenCredentialPolicy, CustomHookPolicy, RetryPolicy
from azure.core.rest import HttpRequest, HttpResponse
from azure.identity import DefaultAzureCredential
from pydantic import BaseModel

from olive_engine.errors import SystemUnavailable
from olive_systems.azure_ml.clouds import current
from olive_systems.azure_ml.datastore import Datastores
from olive_systems.azure_ml.failures import in_words
from olive_systems.azure_ml.jobs import Jobs, text_of
from olive_systems.azure_ml.locations import WorkspaceName
from olive_systems.azure_ml.options import AzureMLClient
from olive_systems.azure_ml.registries import Registries

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its dependencies warn of each other
    from azure.ai.ml import MLClient
    from azure.ai.ml.entities import AmlCompute, Compute, ComputeInstance

LONGEST_WAIT = 60
"""Seconds that the service may ask a call to wait before it is repeated; the handle of a job is patient beyond that."""
CHATTY = ("azure.ai.ml", "azure.identity", "azure.core", "msrest")
"""Loggers that tell of the SDK's own affairs, and of errors that it raises as well."""
_WAITS = ("Retry-After", "retry-after-ms", "x-ms-retry-after-ms")


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
            logging.getLogger(each).setLevel(logging.CRITICAL)
        self.cloud = current()
        # Where it is not said who logs in, it is the cloud's own host; azure-identity would take the public one.
        own = {} if os.environ.get("AZURE_AUTHORITY_HOST") else {"authority": self.cloud.login}
        with in_words("Azure's login cannot be used; correct `default_auth_params`, or the variables AZURE_…"):
            self._credential = DefaultAzureCredential(**{**own, **options.default_auth_params.given()})
        self.client = MLClient(
            self._credential,
            name.subscription,
            name.group,
            name.workspace,
            show_progress=False,
            enable_telemetry=False,
            raw_response_hook=_soon,
            **self._retries(),  # type: ignore[arg-type]  # the SDK's options have no types
        )
        self.datastores = Datastores(name, self.client, self._credential, options)
        self.registries = Registries(self._credential, options)
        self.jobs = Jobs(self.client, self._of_runs, options)
        self._http: PipelineClient[HttpRequest, HttpResponse] | None = None
        self._history = ""
        self._lock = Lock()

    def close(self) -> None:
        """Let connections go."""
        with self._lock:
            if self._http is not None:
                self._http.close()
        self.jobs.close()
        self.registries.close()
        self.datastores.close()
        self._credential.close()

    def check(self) -> None:
        """See that the workspace is there and whoever asks may read it; learn where its run history is."""
        missing = (
            f"there is no workspace {self.name.workspace} in the resource group {self.name.group} of the subscription "
            f"{self.name.subscription}, or who is logged in may not see it; correct azureml_client, or ask for a role "
            "there"
        )
        with in_words(f"the workspace {self.name.workspace} cannot be looked up", missing=missing):
            found = self.client.workspaces.get(self.name.workspace)
            if found is None or not found.discovery_url:
                raise SystemUnavailable(f"the workspace {self.name.workspace} does not say where its services are")
            answer = self._asked(found.discovery_url, retries=self._options.max_operation_retries)
            self._history = _Services.model_validate(answer).history.rstrip("/")

    def nodes(self, compute: str) -> int:
        """See that a compute is there and takes jobs, and how many nodes it has at most; 1 for what is no cluster."""
        missing = (
            f"the workspace {self.name.workspace} has no compute {compute}; correct aml_compute, or create it: "
            f"az ml compute create --name {compute} --type amlcompute"
        )
        with in_words(f"the compute {compute} cannot be looked up", missing=missing):
            found: Compute = self.client.compute.get(compute)
        if found.provisioning_state and found.provisioning_state.lower() in ("failed", "deleting"):
            raise SystemUnavailable(f"the compute {compute} is not usable: its state is {found.provisioning_state}")
        if isinstance(found, ComputeInstance) and text_of(found.state).lower() in ("stopped", "stopping"):
            raise SystemUnavailable(
                f"the compute {compute} is stopped, and jobs would wait for it for ever; start it: "
                f"az ml compute start --name {compute}"
            )
        return max(1, found.max_instances or 1) if isinstance(found, AmlCompute) else 1

    # --- the wire -------------------------------------------------------------------------------------------------

    def _of_runs(self, path: str) -> object:
        """What the run history says; asked once, for whoever follows a job asks again anyway."""
        if not self._history:
            self.check()
        return self._asked(f"{self._history}/history/v1.0{self.name.resource_id}/{path}", retries=0)

    def _asked(self, url: str, *, retries: int) -> object:
        with self._lock:
            if self._http is None:
                scope = f"https://{self.cloud.management}/.default"
                policies = [
                    RetryPolicy[HttpRequest, HttpResponse](**self._retries()),
                    BearerTokenCredentialPolicy(self._credential, scope),
                    CustomHookPolicy[HttpRequest, HttpResponse](raw_response_hook=_soon),
                ]
                timeout = self._options.read_timeout
                self._http = PipelineClient(f"https://{self.cloud.management}", policies=policies, read_timeout=timeout)
            http = self._http
        response = http.send_request(HttpRequest("GET", url), retry_total=retries)
        response.raise_for_status()
        try:
            return response.json()
        except ValueError as error:
            raise DecodeError(f"it is no JSON: {error}", response=response) from error

    def _retries(self) -> dict[str, int]:
        """The SDK's own policy of retries, as the options say; a service that says when to come back is obeyed."""
        names = ("retry_total", "retry_connect", "retry_read", "retry_status")
        count = dict.fromkeys(names, self._options.max_operation_retries)
        return {
            **count,
            "retry_backoff_factor": self._options.operation_retry_interval,
            "read_timeout": self._options.read_timeout,
        }


class _Services(BaseModel):
    history: str


def _soon(response: PipelineResponse[HttpRequest, HttpResponse]) -> None:
    """Have the SDK wait for no longer than we would, whatever the service asks for."""
    headers = response.http_response.headers
    for name in _WAITS:
        said, unit = headers.get(name), 1000 if name.endswith("ms") else 1
        if said is not None and (not said.isdecimal() or int(said) > LONGEST_WAIT * unit):
            headers[name] = str(LONGEST_WAIT * unit)
