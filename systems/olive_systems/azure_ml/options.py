"""What may be written of an AzureML system: the workspace, the compute, the environment."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, JsonValue, model_validator

from olive_engine.contracts import Accelerator
from olive_engine.options import Options, Secret
from olive_systems.variables import Variables

_REFERENCE = re.compile(r"\$\{env:[A-Za-z_][A-Za-z0-9_]*\}")
_HOST = re.compile(r"(?:https://)?[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::\d+)?/?")


def _only_a_reference(value: bool | str | None) -> bool | str | None:  # noqa: FBT001 - pydantic's signature
    if isinstance(value, str) and not _REFERENCE.fullmatch(value):
        raise ValueError("a secret is never written into a file: write ${env:NAME}, or true for the key vault's")
    return value


def _as_text(value: object) -> object:
    """A whole number as text; not a fraction, for 1.10 would become 1.1."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _is_a_host(value: str | None) -> str | None:
    if value is not None and not _HOST.fullmatch(value):
        raise ValueError("a host that tokens come from, such as login.microsoftonline.com, or its https:// address")
    return value


Text = Annotated[str, BeforeValidator(_as_text, json_schema_input_type=str | int)]
"""A version or a tag, which people also write as a number."""


class AuthParams(Options):
    """Arguments of azure-identity's `DefaultAzureCredential`, by its own names."""

    authority: Annotated[str | None, AfterValidator(_is_a_host)] = Field(
        default=None, description="The host that tokens come from; default: the cloud's own."
    )
    exclude_environment_credential: bool = Field(default=False, description="Ask no variables AZURE_CLIENT_….")
    exclude_workload_identity_credential: bool = Field(default=False, description="Ask no workload identity.")
    exclude_managed_identity_credential: bool = Field(default=False, description="Ask no managed identity.")
    exclude_shared_token_cache_credential: bool = Field(default=False, description="Ask no cache of Visual Studio.")
    exclude_visual_studio_code_credential: bool = Field(default=False, description="Ask no Visual Studio Code.")
    exclude_cli_credential: bool = Field(default=False, description="Ask no Azure CLI (`az login`).")
    exclude_powershell_credential: bool = Field(default=False, description="Ask no Azure PowerShell.")
    exclude_developer_cli_credential: bool = Field(default=False, description="Ask no Azure Developer CLI.")
    exclude_interactive_browser_credential: bool = Field(default=True, description="Open no browser to log in.")
    exclude_broker_credential: bool = Field(default=False, description="Ask no broker of the operating system.")
    interactive_browser_tenant_id: str | None = Field(default=None, description="The tenant of a login by browser.")
    interactive_browser_client_id: str | None = Field(default=None, description="The client of a login by browser.")
    broker_tenant_id: str | None = Field(default=None, description="The tenant of a login by the broker.")
    broker_client_id: str | None = Field(default=None, description="The client of a login by the broker.")
    managed_identity_client_id: str | None = Field(default=None, description="Which managed identity it is.")
    workload_identity_client_id: str | None = Field(default=None, description="Which workload identity it is.")
    workload_identity_tenant_id: str | None = Field(default=None, description="The tenant of the workload identity.")
    shared_cache_username: str | None = Field(default=None, description="Who it is in Visual Studio's cache.")
    shared_cache_tenant_id: str | None = Field(default=None, description="The tenant of whom it is in that cache.")
    visual_studio_code_tenant_id: str | None = Field(default=None, description="The tenant of Visual Studio Code.")
    additionally_allowed_tenants: tuple[str, ...] = Field(default=(), description="Other tenants to ask tokens of.")
    process_timeout: int = Field(default=10, gt=0, description="Seconds that a tool, such as `az`, has to answer.")

    def given(self) -> dict[str, JsonValue]:
        """Those that say something; the defaults are the SDK's own."""
        return self.model_dump(mode="json", exclude_defaults=True)


class AzureMLClient(Options):
    """An Azure ML workspace, and how it is talked to."""

    subscription_id: str | None = Field(default=None, description="The subscription that the workspace is in.")
    resource_group: str | None = Field(default=None, description="The resource group that the workspace is in.")
    workspace_name: str | None = Field(default=None, description="The name of the workspace.")
    aml_config_path: str | None = Field(
        default=None, description="A config.json as Azure's portal gives it, with the other three in it."
    )
    keyvault_name: str | None = Field(
        default=None, description="The key vault that holds the hub's token, as `hf-token`."
    )
    read_timeout: int = Field(default=60, gt=0, description="Seconds to wait for an answer of the service.")
    max_operation_retries: int = Field(default=3, ge=0, description="How often a call that failed is tried again.")
    operation_retry_interval: int = Field(
        default=5, gt=0, description="Seconds before the first repetition; then doubled."
    )
    default_auth_params: AuthParams = Field(
        default=AuthParams(), description="How `DefaultAzureCredential` finds who asks."
    )

    @model_validator(mode="after")
    def _names_a_workspace(self) -> AzureMLClient:
        if self.aml_config_path is None:
            parts = ("subscription_id", "resource_group", "workspace_name")
            if missing := [name for name in parts if getattr(self, name) is None]:
                raise ValueError(f"a workspace needs {', '.join(parts)}, or aml_config_path; {missing[0]} is not given")
        return self


class DockerConfig(Options):
    """The image that jobs run in."""

    base_image: str | None = Field(
        default=None, description="An image of a registry, such as mcr.microsoft.com/azureml/…."
    )
    dockerfile: str | None = Field(
        default=None, description="A Dockerfile to build the image from, in build_context_path."
    )
    build_context_path: str | None = Field(default=None, description="The folder that the Dockerfile is built in.")
    conda_file_path: str | None = Field(default=None, description="A conda environment file for the base image.")
    name: str | None = Field(default=None, description="Name to register the environment under.")
    version: Text | None = Field(default=None, description="Version to register the environment under.")

    @model_validator(mode="after")
    def _has_an_image(self) -> DockerConfig:
        if self.base_image is None and (self.dockerfile is None or self.build_context_path is None):
            raise ValueError("an image needs base_image, or dockerfile with build_context_path")
        return self


class EnvironmentConfig(Options):
    """An environment that the workspace has already."""

    name: str = Field(
        min_length=1, description="Its name, or azureml://registries/R/environments/E/versions/V of a registry."
    )
    version: Text | None = Field(default=None, description="Its version; none: by label.")
    label: str | None = Field(default=None, description="Its label, such as latest.")


class ManagedIdentity(Options):
    """Which of a compute's managed identities it is; one of the three says it."""

    client_id: str | None = Field(default=None, description="Its client ID.")
    object_id: str | None = Field(default=None, description="Its object ID, which is also called principal ID.")
    resource_id: str | None = Field(default=None, description="Its ID as a resource: /subscriptions/….")


class JobResources(Options):
    """What a job asks of its compute, by the names of Azure ML's `JobResourceConfiguration`."""

    instance_count: int | None = Field(default=None, gt=0, description="As the system's own `instance_count`.")
    instance_type: str | None = Field(default=None, description="The instance type, on Kubernetes.")
    locations: tuple[str, ...] = Field(default=(), description="Where the job may run.")
    max_instance_count: int | None = Field(default=None, gt=0, description="The most machines of an elastic job.")
    properties: dict[str, JsonValue] = Field(default={}, description="Properties, as the service has them.")
    docker_args: str | tuple[str, ...] | None = Field(default=None, description="More arguments of `docker run`.")
    shm_size: str | None = Field(
        default=None, pattern=r"^[1-9][0-9]*[bkmg]$", description="Shared memory of the container, such as 2g."
    )

    def given(self) -> dict[str, JsonValue]:
        """Those that say something; the defaults are the SDK's own."""
        return self.model_dump(mode="json", exclude_defaults=True)


class AzureMLConfig(Options):
    """Options of an AzureML system."""

    azureml_client: AzureMLClient | None = Field(
        default=None, description="The workspace; a workflow's own `azureml_client` counts where it is left out."
    )
    aml_compute: str = Field(min_length=1, description="The compute target, by name.")
    aml_docker_config: DockerConfig | None = Field(default=None, description="The image that jobs run in.")
    aml_environment_config: EnvironmentConfig | None = Field(
        default=None, description="Or an environment of the workspace."
    )
    accelerators: tuple[Accelerator, ...] = Field(default=(), description="The devices of the compute; default: a CPU.")
    datastores: str = Field(
        default="workspaceblobstore", description="The datastore that inputs and results are kept in."
    )
    threads: int = Field(default=1, ge=1, description="CPU threads of each job; part of what its result depends on.")
    max_parallel: int | None = Field(
        default=None, ge=1, description="Jobs at once; default: as many as the cluster has nodes for."
    )
    instance_count: int = Field(
        default=1, gt=0, description="Machines of a job: one, for no step is divided among several."
    )
    resources: JobResources = Field(default=JobResources(), description="Resources of a job, in Azure ML's terms.")
    identity: Literal["user", "managed"] | ManagedIdentity | None = Field(
        default=None,
        description="Who jobs are to Azure: the user who submits them, the compute's managed identity, or one of "
        "several managed identities; default: what the workspace's datastores and the compute say.",
    )
    tags: dict[str, Text] = Field(default={}, description="Tags of every job.")
    environment_variables: Variables = Field(default={}, description="Set for the jobs.")
    hf_token: Annotated[bool | str | None, Secret(), AfterValidator(_only_a_reference)] = Field(
        default=None,
        description="Token of the model hub, needed for gated names only: true has the job read the secret `hf-token` "
        "of the key vault. A variable of this machine is refused.",
    )
