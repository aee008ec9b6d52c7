from pathlib import Path

import pytest

from olive_engine.testing.pass_conformance import PassCase, PassConformance
from olive_engine.testing.tiny_models import build_tiny_adapter, build_tiny_model
from olive_passes.merge import MergeAdapterWeights


class TestMergeAdapterWeights(PassConformance):
    @pytest.fixture
    def case(self, tmp_path: Path) -> PassCase:
        base = build_tiny_model(tmp_path / "base")
        return PassCase(MergeAdapterWeights, {}, build_tiny_adapter(base, tmp_path / "adapter"))
