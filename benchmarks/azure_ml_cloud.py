"""Workspaces of Azure ML on the loopback: the emulator of the tests, for a benchmark's own use."""

# The tests have no py.typed, nor a package at their top, so mypy takes what is imported of them as untyped.
# mypy: disable-error-code="import-untyped"

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.emulators.azureml.emulator import Emulator

POLLING = "AZUREML_RUN_POLLING_INTERVAL_MIN"


class Clouds:
    """Makes emulated clouds, one after another."""

    def __init__(self, folder: Path) -> None:
        """Make ready what all of them share.

        Args:
            folder: for certificates and jobs.

        Raises:
            SystemExit: this is no checkout with the extra `dev`, or node or npm is missing.
        """
        os.environ.pop(POLLING, None)  # the SDK reads it when it is imported: its own default counts
        try:
            import pytest

            from tests.emulators.azureml import certificates
            from tests.emulators.azureml.emulator import CERTIFIED
            from tests.emulators.azureml.sandbox import Sandbox
            from tests.emulators.azurite import installed

            import_module("tests.emulators.azureml.sdk")  # now, so that no chain waits for it
        except ImportError as error:
            raise SystemExit(
                "azure_ml runs on the emulator of the tests: start it in the root of a checkout, with the extra dev "
                f"installed ({error})"
            ) from error
        try:
            self._azurite = installed()
        except pytest.skip.Exception as error:
            raise SystemExit(f"azure_ml runs on an emulator of Azure's storage: {error}") from error
        self._folder = folder
        self._authority = certificates.create(folder, CERTIFIED)
        self._sandbox = Sandbox(folder / "sandbox")

    @contextmanager
    def fresh(self) -> Iterator[Emulator]:
        """A workspace that has seen nothing, and a storage whose memory is free again afterwards."""
        from tests.emulators.azureml.emulator import Emulator
        from tests.emulators.azurite import running

        with (
            running(self._azurite) as azurite,
            Emulator(self._folder / "cloud", azurite, self._authority, self._sandbox) as emulator,
            _environment({name: value for name, value in emulator.variables().items() if name != POLLING}),
        ):
            yield emulator


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    from tests.emulators.azureml.fixtures import OTHER_PROXIES

    before = dict(os.environ)
    for name in OTHER_PROXIES:
        os.environ.pop(name, None)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
