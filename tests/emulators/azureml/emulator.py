"""Azure Machine Learning on the loopback: one workspace, registries, a storage account, computes that run jobs."""

from __future__ import annotations

import secrets as random
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.emulators.azureml import login, workspace
from tests.emulators.azureml.assets import Assets
from tests.emulators.azureml.certificates import Authority
from tests.emulators.azureml.computes import Compute
from tests.emulators.azureml.dataplane import Dataplane
from tests.emulators.azureml.execution import Runner
from tests.emulators.azureml.faults import Faults
from tests.emulators.azureml.gateway import Gateway, Service
from tests.emulators.azureml.jobs import Job, Jobs
from tests.emulators.azureml.locations import Locations
from tests.emulators.azureml.login import Login, Tokens
from tests.emulators.azureml.recording import Recorder
from tests.emulators.azureml.sandbox import Sandbox
from tests.emulators.azureml.secrets_of_jobs import IDENTITY, VAULT_SUFFIX, Identity, Vault
from tests.emulators.azureml.storage import Storage
from tests.emulators.azurite import Azurite

if TYPE_CHECKING:
    from azure.ai.ml import MLClient

CERTIFIED = (
    login.HOST,
    workspace.HOST,
    "*.api.azureml.ms",
    "*.blob.core.windows.net",
    "*.vault.azure.net",
)
"""The hosts that the authority of a session vouches for."""
DATASTORES = ("workspaceblobstore", "workspaceartifactstore")


class Emulator:
    """The emulated cloud, and what a test asks of it.

    Attributes:
        faults: What goes wrong.
        recorder: What was asked.
        computes: Compute targets by name; tests add and change them.
        registries: Assets by the name of their registry.
        vaults: Secrets by the name of their key vault.
        storage: The blobs.
        runner: Runs jobs; its ``settle_s`` may be changed.
    """

    subscription_id, resource_group = workspace.SUBSCRIPTION, workspace.RESOURCE_GROUP
    workspace_name = workspace.WORKSPACE

    def __init__(self, folder: Path, azurite: Azurite, authority: Authority, sandbox: Sandbox) -> None:
        self.faults, self.recorder, self._authority = Faults(), Recorder(), authority
        self.tokens, self._node_secret = Tokens(), random.token_urlsafe(16)
        self.storage = Storage(azurite)
        self.datastores = {name: self.storage.new_container(name.removeprefix("workspace")) for name in DATASTORES}
        self.computes = {
            "cpu-cluster": Compute("cpu-cluster", max_nodes=2),
            "workstation": Compute("workstation", "ComputeInstance"),
        }
        self.registries = {"azureml": Assets("azureml://registries/azureml")}
        self.vaults: dict[str, dict[str, str]] = {}
        self._assets = Assets(workspace.WORKSPACE_ID)
        self.jobs = Jobs(workspace.WORKSPACE_ID, self._assets, self.computes, lambda job: self.runner.start(job))
        self.locations = Locations(self.datastores, self._assets, self.registries, self.jobs, self.storage.host)
        self.runner = Runner(
            folder / "nodes",
            self.storage,
            sandbox,
            self.faults,
            self._assets,
            self.locations,
            self.computes,
            self.jobs,
            self.datastores["workspaceartifactstore"],
            self._job_variables,
        )
        self.login = Login(self.tokens)
        self._services: Mapping[str, Service] = self._make_services()
        local = Identity(self.tokens, self._node_secret)
        self._gateway = Gateway(authority.server_context(), self._route, local, self.recorder, self.faults, self.tokens)

    def __enter__(self) -> Self:
        self._gateway.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.runner.stop()
        self._gateway.stop()
        self.storage.close()

    def variables(self) -> dict[str, str]:
        """Environment variables that make a process a client: the way here, whom to trust, and who it is."""
        return {
            **self._gateway.variables("client", self._authority.bundle),
            "AZURE_TENANT_ID": login.TENANT,
            "AZURE_CLIENT_ID": login.CLIENT,
            "AZURE_CLIENT_SECRET": self.login.client_secret,
            "AZUREML_RUN_POLLING_INTERVAL_MIN": "1",
            "AZUREML_CURRENT_CLOUD": "AzureCloud",
        }

    def client(self) -> MLClient:
        """A client of the workspace; the environment must have `variables`."""
        from tests.emulators.azureml.sdk import DefaultAzureCredential, MLClient

        where = self.subscription_id, self.resource_group, self.workspace_name
        return MLClient(DefaultAzureCredential(), *where, enable_telemetry=False, show_progress=False)

    def registry_client(self, name: str = "azureml") -> MLClient:
        """A client of a registry; the environment must have `variables`."""
        from tests.emulators.azureml.sdk import DefaultAzureCredential, MLClient

        return MLClient(DefaultAzureCredential(), registry_name=name, enable_telemetry=False, show_progress=False)

    def job(self, name: str, *, ended_s: float = 60) -> Job:
        """A job, when it has ended.

        Raises:
            TimeoutError: It has not, within this time.
        """
        job = self.jobs[name]
        if not job.ended.wait(ended_s):
            raise TimeoutError(f"Job {name} is {job.status} after {ended_s} s")
        return job

    def log(self, name: str) -> str:
        """What a job has written so far."""
        path = f"{self.jobs[name].artifacts}/user_logs/std_log.txt"
        return self.storage.read(self.datastores["workspaceartifactstore"], path).decode()

    def output(self, name: str, output: str) -> dict[str, bytes]:
        """The files of a job's output by path."""
        where = self.locations.find(self.jobs.output_uri(name, output))
        stem = where.path.rstrip("/") + "/"
        paths = self.storage.paths(where.container, stem)
        return {path[len(stem) :]: self.storage.read(where.container, path) for path in paths}

    def _make_services(self) -> Mapping[str, Service]:
        management = workspace.Management(
            self.storage, self.datastores, self._assets, self.computes, self.jobs, self.tokens
        )
        artifacts = self.datastores["workspaceartifactstore"]
        dataplane = Dataplane(self.storage, artifacts, self.jobs, self.registries, self.tokens)
        return {
            login.HOST: self.login,
            workspace.HOST: management,
            workspace.DATAPLANE: dataplane,
            self.storage.host: self.storage,
        }

    def _route(self, host: str) -> Service | None:
        name = host.removesuffix(VAULT_SUFFIX)
        if host.endswith(VAULT_SUFFIX) and name in self.vaults:
            return Vault(name, self.vaults[name], self.tokens)
        return self._services.get(host)

    def _job_variables(self, name: str) -> Mapping[str, str]:
        return {
            **self._gateway.variables(f"job:{name}", self._authority.bundle),
            "AZUREML_RUN_ID": name,
            "AZUREML_ARM_SUBSCRIPTION": self.subscription_id,
            "AZUREML_ARM_RESOURCEGROUP": self.resource_group,
            "AZUREML_ARM_WORKSPACE_NAME": self.workspace_name,
            "AZUREML_EXPERIMENT_NAME": str(self.jobs[name].properties.get("experimentName") or "Default"),
            "AZUREML_NODE_COUNT": str(self.jobs[name].nodes),
            "MSI_ENDPOINT": f"http://127.0.0.1:{self._gateway.port}{Identity.PATH}",
            "MSI_SECRET": self._node_secret,
            "DEFAULT_IDENTITY_CLIENT_ID": IDENTITY,
        }
