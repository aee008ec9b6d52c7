"""The system keeps the promises of the contract, on the emulated workspace."""

import pytest

from olive_engine.testing.system_conformance import SystemConformance


class TestAzureML(SystemConformance):
    @pytest.fixture
    def system(self, make):
        return make()
