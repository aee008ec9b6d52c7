"""For the tests of Azure ML's system."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from olive_engine.testing.toys import build_toy_model
from olive_systems.azure_ml import AzureML
from olive_systems.azure_ml.options import AzureMLConfig
from tests.emulators.azureml.emulator import Emulator
from tests.emulators.azureml.fixtures import *  # noqa: F403 - the fixtures that it lists

Make = Callable[..., AzureML]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a toy model, for whole runs."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setattr("olive_systems.azure_ml.handle.INTERVAL", 0.1)
    build_toy_model(folder / "base", (1.0, 2.0, 3.0))
    return folder


@pytest.fixture
def options(azureml: Emulator) -> dict[str, object]:
    """What a workflow says of the emulated workspace."""
    client = {
        "subscription_id": azureml.subscription_id,
        "resource_group": azureml.resource_group,
        "workspace_name": azureml.workspace_name,
        "operation_retry_interval": 1,
    }
    return {"azureml_client": client, "aml_compute": "cpu-cluster"}


@pytest.fixture
def make(options: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Make systems of the emulated workspace, which are closed in the end."""
    monkeypatch.setattr("olive_systems.azure_ml.handle.INTERVAL", 0.1)
    made: list[AzureML] = []

    def make(**more: object) -> AzureML:
        made.append(AzureML("cloud", AzureMLConfig.model_validate({**options, **more})))
        return made[-1]

    yield make
    for system in made:
        system.close()
