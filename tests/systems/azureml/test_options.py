"""What becomes of options: in the description of a job, in what a probe is remembered under, in advice."""

from __future__ import annotations

from inspect import signature
from pathlib import Path

import pytest

from olive_engine.contracts import Environment
from olive_engine.testing.toys import build_toy_model
from olive_systems.azure_ml import AzureML
from olive_systems.azure_ml.options import AuthParams, AzureMLConfig, JobResources
from tests.emulators.azureml.emulator import Emulator
from tests.systems.azureml.conftest import Make
from tests.systems.azureml.jobs import put, scale

CLIENT = {"subscription_id": "s", "resource_group": "g", "workspace_name": "w"}
THERE = Environment(
    engine="1", python="3.11", machine="node", packages={}, device="cpu", executable="/mnt/node/job/env/bin/python"
)


def config(**more: object) -> AzureMLConfig:
    return AzureMLConfig.model_validate({"azureml_client": CLIENT, "aml_compute": "c", **more})


def identity(**more: object) -> str:
    return AzureML("cloud", config(**more)).environment_id


# --- advice -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "advice"),
    [
        (
            {"aml_docker_config": {"base_image": "i:1", "conda_file_path": "conda.yaml"}},
            "add to the conda file conda.yaml, under `pip`: peft",
        ),
        (
            {"aml_docker_config": {"base_image": "i:1"}},
            "add to the image i:1, or name a conda file with it as `conda_file_path`: peft",
        ),
        (
            {"aml_environment_config": {"name": "training"}},
            "register a version of the environment training that has peft",
        ),
        ({}, "name a conda file with it as `conda_file_path` in `aml_docker_config`: peft"),
    ],
)
def test_a_package_that_is_missing_is_added_where_the_environment_comes_from(
    given: dict[str, object], advice: str
) -> None:
    assert AzureML.to_install("peft", config(**given), THERE) == advice


# --- where results come from --------------------------------------------------------------------------------------


def test_what_changes_the_machine_changes_what_a_probe_is_remembered_under() -> None:
    asked = (
        {"instance_type": "big"},
        {"instance_type": "small"},
        {"properties": {"a": 1}},
        {"docker_args": "--ipc=host"},
    )
    ids = [identity(), *(identity(resources=each) for each in asked), identity(aml_compute="d")]
    assert len(set(ids)) == len(ids)
    assert "" not in ids


def test_what_does_not_change_it_does_not() -> None:
    same: list[dict[str, object]] = [
        {"resources": {"instance_count": 1}},
        {"resources": {"locations": ["eastus"]}},
        {"identity": "user"},
        {"tags": {"a": "b"}},
        {"aml_compute": "C"},
    ]
    assert {identity(**each) for each in same} == {identity()}


# --- what is passed on --------------------------------------------------------------------------------------------


def test_options_are_those_of_the_sdk() -> None:
    from tests.emulators.azureml.sdk import DefaultAzureCredential  # before the SDK itself, for what it warns of

    from azure.ai.ml.entities import JobResourceConfiguration  # isort: skip

    known = set(signature(JobResourceConfiguration).parameters) - {"kwargs"}
    assert set(JobResources.model_fields) == known
    said = DefaultAzureCredential.__doc__ or ""
    own = {"additionally_allowed_tenants"}  # of its members
    assert [name for name in AuthParams.model_fields if f" {name}:" not in said and name not in own] == []
    written = AuthParams(process_timeout=20)
    assert AuthParams.model_validate(written.model_dump()).given() == {"process_timeout": 20}  # nothing else is set


@pytest.mark.parametrize(
    ("option", "sent"),
    [
        (None, None),
        ("user", {"identityType": "UserIdentity"}),
        ("managed", {"identityType": "Managed"}),
        ({"client_id": "1234"}, {"identityType": "Managed", "clientId": "1234"}),
    ],
)
def test_a_job_says_whose_identity_it_has(
    option: object, sent: object, azureml: Emulator, make: Make, tmp_path: Path
) -> None:
    job = scale(tmp_path, build_toy_model(tmp_path / "model"))
    system = make(identity=option, tags={"team": 3}, resources={"shm_size": "2g", "docker_args": ["--ipc", "host"]})
    handle = put(system.submit(job))
    properties = azureml.job(handle.name).properties
    assert properties.get("identity") == sent
    assert properties["tags"]["team"] == "3"
    asked = {"instanceCount": 1, "shmSize": "2g", "dockerArgsList": ["--ipc", "host"], "properties": {}}
    assert properties["resources"] == asked
