"""A Docker system keeps the promises of the contract; the worker in its containers is the real one."""

import pytest

from olive_engine.testing.system_conformance import SystemConformance


class TestDocker(SystemConformance):
    @pytest.fixture
    def system(self, docker):
        return docker(workers=2)
