"""What may be written of an AzureML system: the workspace, the compute, the environment."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field, JsonValue, model_validator

from olive_engine.contracts import Accelerator
from olive_engine.options import Options, Secret
from olive_systems.variables import Variables

_REFERENCE = re.compile(r"\$\{env:[A-Za-z_][A-Za-z0-9_]*\}")


def _only_a_reference(value: bool | str | None) -> bool | str | None:  # noqa: FBT001 - pydantic's signature
    if isinstance(value, str) and not _REFERENCE.fullmatch(value):
        raise ValueError("a secret is never written into a file: write ${env:NAME}, or true for the key vault's")
    return value


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
    default_auth_params: dict[str, JsonValue] = Field(default={}, description="Passed on to `DefaultAzureCredential`.")

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
    version: str | None = Field(default=None, description="Version to register the environment under.")

    @model_validator(mode="after")
    def _has_an_image(self) -> DockerConfig:
        if self.base_image is None and (self.dockerfile is None or self.build_context_path is None):
            raise ValueError("an image needs base_image, or dockerfile with build_context_path")
        return self


class EnvironmentConfig(Options):
    """An environment that the workspace has already."""

    name: str = Field(description="Its name.")
    version: str | None = Field(default=None, description="Its version; none: by label.")
    label: str | None = Field(default=None, description="Its label, such as latest.")


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
    resources: dict[str, JsonValue] = Field(default={}, description="Resources of a job, in Azure ML's terms.")
    tags: dict[str, str] = Field(default={}, description="Tags of every job.")
    environment_variables: Variables = Field(default={}, description="Set for the jobs.")
    hf_token: Annotated[bool | str | None, Secret(), AfterValidator(_only_a_reference)] = Field(
        default=None,
        description="Token of the model hub, needed for gated names only: true has the job read the secret `hf-token` "
        "of the key vault. A variable of this machine is refused.",
    )
