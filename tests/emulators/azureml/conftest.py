"""For the tests of the emulator."""

import pytest

from tests.emulators.azureml.emulator import Emulator
from tests.emulators.azureml.fixtures import *  # noqa: F403 - the fixtures that it lists
from tests.emulators.azureml.sdk import MLClient


@pytest.fixture
def client(azureml: Emulator) -> MLClient:
    """The SDK's client of the emulated workspace."""
    return azureml.client()
