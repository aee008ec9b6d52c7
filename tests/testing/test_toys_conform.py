"""The toy passes keep the promises that real passes keep: the suites are proven on them."""

import pytest

from olive_engine.testing.harness import Trial, output_of, run_pass
from olive_engine.testing.pass_conformance import PassCase, PassConformance
from olive_engine.testing.toys import ToyMerge, ToyScale, ToySum, ToyTrain, build_toy_model


@pytest.fixture
def toy(tmp_path):
    return build_toy_model(tmp_path / "toy", (1.0, -2.0, 0.5))


class TestToys(PassConformance):
    @pytest.fixture(params=["ToyScale", "ToySum", "ToyTrain", "ToyMerge"])
    def case(self, request, toy, tmp_path):
        if request.param == "ToyScale":
            return PassCase(ToyScale, {"factor": 3.0}, toy, other_config={"factor": 5.0})
        if request.param == "ToySum":
            return PassCase(ToySum, {}, (toy, build_toy_model(tmp_path / "second", (1.0, 1.0, 1.0))))
        if request.param == "ToyTrain":
            other = {"steps": 6, "learning_rate": 0.1, "rank": 2}
            return PassCase(ToyTrain, {"steps": 8}, toy, other_config=other)
        folder, (result,) = run_pass(tmp_path, "ToyTrain", [Trial({})], [toy])
        return PassCase(ToyMerge, {}, output_of(folder, result))
