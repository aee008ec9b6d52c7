"""Fixtures of tests that need the emulated cloud; a conftest imports those it uses."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.emulators.azureml import certificates
from tests.emulators.azureml.emulator import CERTIFIED, Emulator
from tests.emulators.azureml.sandbox import Sandbox
from tests.emulators.azurite import Azurite, azurite

__all__ = ["authority", "azureml", "azurite", "pytest_collection_modifyitems", "sandbox"]

ACCEPTED = (
    "ignore::marshmallow.warnings.Marshmallow4Warning",
    "ignore:The use of a 'BlobProperties' instance:DeprecationWarning",
    "ignore:content_as_bytes is deprecated:DeprecationWarning",
)
"""Warnings that the SDK raises of its own dependencies when it is used."""

OTHER_PROXIES = (
    "ALL_PROXY",
    "all_proxy",
    "AZURE_CLIENT_CERTIFICATE_PATH",
    "AZURE_FEDERATED_TOKEN_FILE",
    "MSI_ENDPOINT",
)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> certificates.Authority:
    """The session's private certificate authority."""
    return certificates.create(tmp_path_factory.mktemp("authority"), CERTIFIED)


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    """What jobs have of the tests' environment."""
    return Sandbox(tmp_path_factory.mktemp("sandbox"))


@pytest.fixture
def azureml(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    azurite: Azurite,
    authority: certificates.Authority,
    sandbox: Sandbox,
) -> Iterator[Emulator]:
    """An emulated cloud of the test's own; this process and those that it starts are its clients."""
    with Emulator(tmp_path / "azureml", azurite, authority, sandbox) as emulator:
        for name in OTHER_PROXIES:
            monkeypatch.delenv(name, raising=False)
        for name, value in emulator.variables().items():
            monkeypatch.setenv(name, value)
        importlib.import_module("tests.emulators.azureml.sdk")  # now, so that it warns nobody later
        yield emulator


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that use the SDK are not to fail of what it warns of by itself."""
    for item in items:
        if "azureml" in getattr(item, "fixturenames", ()):
            for accepted in ACCEPTED:
                item.add_marker(pytest.mark.filterwarnings(accepted))
