from pathlib import Path

import pytest

from olive_engine.models import HfModel, PreparedData
from olive_engine.testing.pass_conformance import PassCase, PassConformance
from olive_passes.finetune import LoRA
from tests.passes.finetune.bench import lora


class TestLoRA(PassConformance):
    @pytest.fixture(params=["lean", "trainer"])
    def case(self, request: pytest.FixtureRequest, base: HfModel, data: dict[str, Path]) -> PassCase:
        core = request.param
        if core == "trainer" and request.node.originalname == "test_segments_equal_one_run":
            pytest.skip("the Trainer core runs in one piece and refuses segments")
        configs = [lora(core=core, r=r, lora_dropout=0.1, eval_data=True).model_dump(mode="json") for r in (4, 8)]
        datasets = {option: PreparedData(data_path=folder) for option, folder in data.items()}
        return PassCase(LoRA, configs[0], base, datasets, other_config=configs[1])
