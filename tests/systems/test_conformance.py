"""Every built-in system, and the one that shares nothing, keeps the promises of the contract."""

import pytest

from olive_engine.testing.detached import DetachedConfig, DetachedSystem
from olive_engine.testing.system_conformance import SystemConformance
from olive_systems import InProcess, LocalSystem
from olive_systems.local import LocalSystemConfig


class TestSystems(SystemConformance):
    @pytest.fixture(params=["LocalSystem", "InProcess", "DetachedSystem"])
    def system(self, request, tmp_path):
        if request.param == "DetachedSystem":
            (tmp_path / "elsewhere").mkdir()
            system = DetachedSystem("elsewhere", DetachedConfig(root=tmp_path / "elsewhere"))
        else:
            cls = LocalSystem if request.param == "LocalSystem" else InProcess
            system = cls("here", LocalSystemConfig(workers=2, threads=1))
        self.isolated = request.param != "InProcess"
        yield system
        system.close()
