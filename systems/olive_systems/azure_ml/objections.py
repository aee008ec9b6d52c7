"""What can be said against a system's options from them, and the local files that they name, alone."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from olive_engine.contracts import Objection
from olive_engine.errors import SystemUnavailable
from olive_systems.azure_ml import environments
from olive_systems.azure_ml.locations import workspace_name
from olive_systems.azure_ml.options import AzureMLConfig
from olive_systems.variables import doubts

_VAULT = "write hf_token: true, and keep the token in the key vault azureml_client.keyvault_name as the secret hf-token"


def objections(options: AzureMLConfig) -> Iterator[Objection]:
    """All of them. What only counts when jobs are submitted is a warning."""
    yield from _workspace(options)
    yield from environments.objections(options)
    yield from _secrets(options)
    yield from _vault(options)
    hint = "Azure ML's jobs are given no variables of this machine: write the value, if it is no secret"
    yield from doubts(options.environment_variables, hint=hint)
    yield from _machines(options)


def refusal(options: AzureMLConfig) -> str:
    """Why no job can be submitted with these options, in one sentence; empty: nothing speaks against it."""
    errors = (objection for objection in objections(options) if objection.severity == "error")
    found = next(chain(errors, _vault(options)), None)
    return f"{found.option}: {found.what}; {found.hint}".removesuffix("; ") if found else ""


def _workspace(options: AzureMLConfig) -> Iterator[Objection]:
    client = options.azureml_client
    try:
        workspace_name(client)
    except SystemUnavailable as error:
        if client is None:
            yield Objection("azureml_client", str(error))
        elif client.aml_config_path and Path(client.aml_config_path).expanduser().exists():
            yield Objection("azureml_client.aml_config_path", str(error))
        else:  # to plan takes no workspace, and the file may be where the workflow will run
            yield Objection("azureml_client.aml_config_path", str(error), severity="warning")


def _secrets(options: AzureMLConfig) -> Iterator[Objection]:
    """What would put a secret into the description of a job, or leaves open where it is."""
    for name, text in options.environment_variables.items():
        if "${env:" in text:
            what = (
                "it refers to a variable of this machine, whose value anybody in the workspace could read in the job's "
                "description"
            )
            hint = "write the value, if it is no secret; keep a secret in a key vault, or set it on the compute"
            yield Objection(f"environment_variables.{name}", what, hint)
    if isinstance(options.hf_token, str):
        yield Objection("hf_token", "it refers to a variable of this machine, whose value is never sent along", _VAULT)


def _vault(options: AzureMLConfig) -> Iterator[Objection]:
    """A plan needs no token."""
    client = options.azureml_client
    if options.hf_token is True and client is not None and not client.keyvault_name:
        what = "the job reads the token from a key vault, and none is named"
        hint = "name it as azureml_client.keyvault_name; it holds the token as `hf-token`"
        yield Objection("hf_token", what, hint, severity="warning")


def _machines(options: AzureMLConfig) -> Iterator[Objection]:
    """Nothing divides the work of a job among machines: each of several would do all of it, and write one result."""
    asked = {
        "instance_count": options.instance_count,
        "resources.instance_count": options.resources.get("instance_count"),
    }
    for option, count in asked.items():
        if isinstance(count, int) and count > 1:
            what = f"{count} machines for each job, and a step's work cannot be divided among machines"
            yield Objection(option, what, "leave it out; `max_parallel` says how many jobs run at once")
