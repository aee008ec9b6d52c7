"""What can be said against a system's options from them, and the local files that they name, alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import JsonValue

from olive_engine.contracts import Objection
from olive_engine.errors import SystemUnavailable
from olive_systems.azure_ml import environments
from olive_systems.azure_ml.locations import workspace_name
from olive_systems.azure_ml.options import AzureMLConfig, ManagedIdentity
from olive_systems.azure_ml.placeholders import is_placeholder, places
from olive_systems.variables import doubts, holds_secret

_VAULT = "write hf_token: true, and keep the token in the key vault azureml_client.keyvault_name as the secret hf-token"
_READABLE = "anybody in the workspace could read in the job's description"
_KEEP = "keep a secret in a key vault, or set it on the compute"
_VAULT_NAME = re.compile(r"(?=.{3,24}$)[A-Za-z](?:-?[A-Za-z0-9])*")
_COMPUTE = "name a compute of the workspace: a cluster, or an instance"
_COMPUTE_ID = re.compile(r"/subscriptions/.+/workspaces/[^/]+/computes/(?P<name>[^/]+)/?", re.IGNORECASE)
_SET = re.compile(r"(?:^|\s)(?:-e|--env)[ =]\s*['\"]?(?P<name>\w+)=(?P<text>\S*)")
"""A variable among the arguments of ``docker run``."""


def objections(options: AzureMLConfig) -> Iterator[Objection]:
    """All of them. What only counts when jobs are submitted is a warning that stops a run."""
    yield from _workspace(options)
    yield from _placeholders(options)
    yield from environments.objections(options)
    yield from _references(options)
    yield from _secrets(options)
    yield from _vault(options)
    hint = "Azure ML's jobs are given no variables of this machine: write the value, if it is no secret"
    yield from doubts(options.environment_variables, hint=hint)
    yield from _machines(options)
    yield from _identity(options)


def refusal(options: AzureMLConfig) -> str:
    """Why no job can be submitted with these options, in one sentence; empty: nothing speaks against it."""
    against = (each for each in objections(options) if each.severity == "error" or each.stops_run)
    found = next(against, None)
    return f"{found.option}: {found.what}; {found.hint}".removesuffix("; ") if found else ""


def _workspace(options: AzureMLConfig) -> Iterator[Objection]:
    client = options.azureml_client
    if any(place.startswith("azureml_client.") for place in places(options)):
        return
    try:
        workspace_name(client)
    except SystemUnavailable as error:
        if client is None:
            yield Objection("azureml_client", str(error))
        elif client.aml_config_path and Path(client.aml_config_path).expanduser().exists():
            yield Objection("azureml_client.aml_config_path", str(error))
        else:  # to plan takes no workspace, and the file may be where the workflow will run
            place = "azureml_client.aml_config_path"
            yield Objection(place, str(error), severity="warning", stops_run=True)


def _placeholders(options: AzureMLConfig) -> Iterator[Objection]:
    """All at once: an example has them everywhere, and a plan needs none of what they stand for."""
    if found := list(places(options)):
        what = f"still to be filled in: {', '.join(found)}"
        hint = "write your own names; the workspace's page in the Azure portal has those of the workspace"
        yield Objection(found[0], what, hint, severity="warning", stops_run=True)


def _references(options: AzureMLConfig) -> Iterator[Objection]:
    """What would put the value of a variable of this machine into the description of a job."""
    for name, text in options.environment_variables.items():
        if "${env:" in text:
            what = f"it refers to a variable of this machine, whose value {_READABLE}"
            hint = f"write the value, if it is no secret; {_KEEP}"
            yield Objection(f"environment_variables.{name}", what, hint)
    if isinstance(options.hf_token, str):
        yield Objection("hf_token", "it refers to a variable of this machine, whose value is never sent along", _VAULT)


def _secrets(options: AzureMLConfig) -> Iterator[Objection]:
    """Secrets themselves, as far as they are known by their look or their name."""
    for name, text in options.environment_variables.items():
        if "${env:" not in text and holds_secret(name, text):
            yield Objection(f"environment_variables.{name}", f"its value is a secret, which {_READABLE}", _hint(name))
    for name, text in options.tags.items():
        if holds_secret("", text):
            yield Objection(f"tags.{name}", f"its value is a secret, which {_READABLE}", "take it out")
        elif holds_secret(name, text):
            what = f"its name is that of a secret, and its value is what {_READABLE}"
            yield Objection(f"tags.{name}", what, "take it out, if it is one", severity="warning")
    given = options.resources.docker_args or ()
    arguments = given if isinstance(given, str) else " ".join(given)
    if holds_secret("", arguments) or any(
        holds_secret(each["name"], each["text"]) for each in _SET.finditer(arguments)
    ):
        yield Objection("resources.docker_args", f"there is a secret in it, which {_READABLE}", _KEEP)
    for place, text in _texts(options.resources.properties, "resources.properties"):
        if holds_secret(place.rpartition(".")[2], text):
            yield Objection(place, f"its value is a secret, which {_READABLE}", _KEEP)


def _hint(name: str) -> str:
    return _VAULT if name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACE_TOKEN") else _KEEP


def _texts(values: Mapping[str, JsonValue], place: str) -> Iterator[tuple[str, str]]:
    """Every text in a mapping, with where it stands."""
    for name, value in values.items():
        inner = f"{place}.{name}"
        if isinstance(value, str):
            yield inner, value
        elif isinstance(value, dict):
            yield from _texts(value, inner)
        elif isinstance(value, list):
            yield from ((inner, text) for text in value if isinstance(text, str))


def _vault(options: AzureMLConfig) -> Iterator[Objection]:
    """A plan needs no token."""
    client = options.azureml_client
    name = client.keyvault_name if client is not None else None
    if options.hf_token is True and client is not None and not name:
        what = "the job reads the token from a key vault, and none is named"
        hint = "name it as azureml_client.keyvault_name; it holds the token as `hf-token`"
        yield Objection("hf_token", what, hint, severity="warning", stops_run=True)
    if name and not is_placeholder(name) and not _VAULT_NAME.fullmatch(name):
        what = f"{name!r} is no name of a key vault: 3 to 24 letters, digits and single hyphens, a letter first"
        yield Objection("azureml_client.keyvault_name", what, "write the name alone, not its address")


def _machines(options: AzureMLConfig) -> Iterator[Objection]:
    """Nothing divides the work of a job among machines: each of several would do all of it, and write one result."""
    resources = options.resources
    asked = {
        "instance_count": options.instance_count,
        "resources.instance_count": resources.instance_count or 1,
        "resources.max_instance_count": resources.max_instance_count or 1,
    }
    for option, count in asked.items():
        if count > 1:
            what = f"{count} machines for each job, and a step's work cannot be divided among machines"
            yield Objection(option, what, "leave it out; `max_parallel` says how many jobs run at once")
    if options.aml_compute.strip().lower() == "serverless":
        what = "serverless compute is not available yet"
        yield Objection("aml_compute", what, _COMPUTE)
    elif found := _COMPUTE_ID.fullmatch(options.aml_compute):
        what = (
            f"it is the compute {found['name']} by its whole ID, and only those of the system's own workspace are taken"
        )
        yield Objection("aml_compute", what, f"write {found['name']}, if it is one of them")


def _identity(options: AzureMLConfig) -> Iterator[Objection]:
    if isinstance(options.identity, ManagedIdentity):
        count = sum(value is not None for value in options.identity.model_dump().values())
        if count != 1:
            what = "which managed identity it is takes one of client_id, object_id and resource_id"
            yield Objection(
                "identity", f"{what}, found {count}", "write one; `identity: managed` where there is one only"
            )
