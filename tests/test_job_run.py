"""What a warm worker keeps between jobs, and what it does not."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import JsonValue

from olive_engine.contracts import PackItem, Pass, PassContext
from olive_engine.models import HfModel
from olive_engine.options import Options, Packable
from olive_engine.residents import Residents
from olive_engine.testing.harness import Trial, run_pass, write_job
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


class HowOptions(Options):
    """How to go wrong."""

    how: str


class Wrong(Pass[HowOptions, HfModel, HfModel]):
    """Goes wrong."""

    type = "Wrong"

    def run(self, model: HfModel, config: HowOptions, context: PassContext) -> HfModel:
        out = context.out / "model"
        if config.how == "link":
            out.symlink_to(model.model_path.resolve())
        if config.how == "dots":
            return HfModel(model_path=context.out / ".." / ".." / "job.json")
        if config.how == "inner":
            build_toy_model(out)
            (out / "more").symlink_to(model.model_path.resolve())
        if config.how == "hard":
            out.mkdir()
            for path in model.model_path.iterdir():
                os.link(path.resolve(), out / path.name)
        if config.how == "exit":
            sys.exit(0)
        if config.how == "surrogate":
            raise ValueError("bad \udcff name")
        return HfModel(model_path=out)


def go_wrong(tmp_path, monkeypatch, how):
    monkeypatch.setattr("olive_engine.job_run.find_pass", lambda name: Wrong)
    model = build_toy_model(tmp_path / "model")
    return run_pass(tmp_path, "Wrong", [Trial({"how": how})], [model])


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("link", "reached through a link"),
        ("dots", "reached through a link or `..`"),
        ("inner", "more is a link"),
        ("exit", "the pass ended its process (exit 0)"),
        ("surrogate", "bad ? name"),
    ],
)
def test_what_a_pass_may_not_do_is_its_failure(tmp_path, monkeypatch, how, message):
    _, (result,) = go_wrong(tmp_path, monkeypatch, how)
    assert result.error is not None
    assert message in result.error.message


def test_a_hard_linked_output_becomes_a_file_of_its_own(tmp_path, monkeypatch):
    folder, (result,) = go_wrong(tmp_path, monkeypatch, "hard")
    assert result.status == "done"
    assert {path.stat().st_nlink for path in (folder / "outputs/0/model").iterdir()} == {1}
    assert {path.stat().st_nlink for path in (tmp_path / "model").iterdir()} == {1}


def test_a_missing_input_is_named(tmp_path):
    job = write_job(tmp_path, "ToyScale", [Trial({})], [build_toy_model(tmp_path / "model")])
    (job / "inputs/models/0/model_path").unlink()
    (result,) = Worker(None).run(job).items
    assert result.error is not None
    assert "inputs/models/0/model_path is missing" in result.error.message


def test_a_job_that_was_stopped_before_it_began_does_not_run(tmp_path):
    job = write_job(tmp_path, "ToyScale", [Trial({})], [build_toy_model(tmp_path / "model")])
    (job / "stop").touch()
    assert [item.status for item in Worker(None).run(job).items] == ["stopped"]


def test_items_that_differ_in_other_options_are_no_pack(tmp_path):
    trials = [Trial({"save_steps": 1}), Trial({"save_steps": 2})]
    _, items = run_pass(tmp_path, "ToyTrain", trials, [build_toy_model(tmp_path / "model")])
    assert [(item.status, item.packed) for item in items] == [("done", False)] * 2


class PackOptions(Options):
    """Packable options: one that is a mapping, one in a group."""

    class Inner(Options):
        """A group."""

        rate: Annotated[float, Packable()] = 0.1
        fixed: int = 0

    schedule: Annotated[dict[str, JsonValue], Packable()] = {}
    inner: Inner = Inner()


class Packed(Pass[PackOptions, HfModel, HfModel]):
    """Gives its input back, alone or in a pack."""

    type = "Packed"

    def run(self, model: HfModel, config: PackOptions, context: PassContext) -> HfModel:
        return model

    def run_pack(self, model: HfModel, items: Sequence[PackItem[PackOptions]]) -> list[HfModel | Exception]:
        return [model.model_copy() for _ in items]


@pytest.mark.parametrize(
    ("config", "packed"),
    [
        ({"schedule": {"cycles": 2}}, True),
        ({"inner": {"rate": 0.5}}, True),
        ({"inner": {"fixed": 1}}, False),
    ],
)
def test_what_a_packable_option_holds_may_differ_within_a_pack(tmp_path, monkeypatch, config, packed):
    monkeypatch.setattr("olive_engine.job_run.find_pass", lambda name: Packed)
    trials = [Trial({"schedule": {"cycles": 1, "power": 2.0}}), Trial(config)]
    _, items = run_pass(tmp_path, "Packed", trials, [build_toy_model(tmp_path / "model")])
    assert [(item.status, item.packed) for item in items] == [("done", packed)] * 2


def test_the_members_of_a_failed_pack_run_alone(tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError("no pack today")

    monkeypatch.setattr("olive_engine.testing.toys.ToyTrain.run_pack", fail)
    trials = [Trial({"rank": 1}), Trial({"rank": 9})]
    _, items = run_pass(tmp_path, "ToyTrain", trials, [build_toy_model(tmp_path / "model")])
    assert [(item.status, item.packed) for item in items] == [("done", False), ("failed", False)]
