"""What a warm worker keeps between jobs, and what it does not."""

from pathlib import Path

from olive_engine.contracts import Pass, PassContext
from olive_engine.job_run import Residents
from olive_engine.models import HfModel
from olive_engine.options import Options
from olive_engine.testing.harness import Trial, run_pass
from olive_engine.testing.toys import build_toy_model
from olive_engine.worker import Worker

LOADED: list[str] = []


class NoOptions(Options):
    """None."""


class Loader(Pass[NoOptions, HfModel, HfModel]):
    """Gives its input back, after loading it as a resident."""

    type = "Loader"

    def run(self, model: HfModel, config: NoOptions, context: PassContext) -> HfModel:
        def load() -> str:
            LOADED.append(model.model_path.read_text() if model.model_path.is_file() else str(model.model_path))
            return "loaded"

        assert context.resident(("base", model.model_path, "float32"), load) == "loaded"
        return model


def test_jobs_of_one_worker_share_a_model_by_its_contents(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("olive_engine.job_run.find_pass", lambda name: Loader)
    LOADED.clear()
    worker = Worker(None)
    model, copy = (build_toy_model(tmp_path / name) for name in ("one", "copy"))
    other = build_toy_model(tmp_path / "other", (9.0,))
    for each in (model, copy, other, model):
        run_pass(tmp_path, "Loader", [Trial({})], [each], worker=worker)
    assert len(LOADED) == 2


def test_the_least_recently_used_resident_makes_room():
    residents = Residents(2)
    made = []
    for key in ("a", "b", "a", "c", "a", "b"):
        residents.get(key, lambda key=key: made.append(key))
    assert made == ["a", "b", "c", "b"]


def test_an_output_that_is_an_input_is_referred_to(tmp_path, monkeypatch):
    monkeypatch.setattr("olive_engine.job_run.find_pass", lambda name: Loader)
    model = build_toy_model(tmp_path / "model")
    _, (result,) = run_pass(tmp_path, "Loader", [Trial({})], [model])
    assert result.output is not None
    assert result.output.parts["model_path"].location == model.model_path.as_uri()


def test_a_large_worker_keeps_no_second_model(monkeypatch):
    monkeypatch.setattr("olive_engine.machine.memory_in_use", lambda: 30)
    monkeypatch.setattr("olive_engine.machine.memory", lambda: 100)
    residents = Residents(2)
    made = []
    for key in ("a", "b", "a"):
        residents.get(key, lambda key=key: made.append(key))
    assert made == ["a", "b", "a"]
