"""Versions that steps really worked with, held against those that were planned with."""

from importlib.metadata import version

import pytest

from olive_engine import run
from olive_engine.config.draft import parse_tree
from olive_engine.contracts import Item, Job, Resources
from olive_engine.errors import PassFailed
from olive_engine.probing import forget
from olive_engine.step_packages import Versions, requires_of
from olive_engine.store import Store
from olive_engine.testing.detached import DetachedConfig, DetachedSystem
from olive_engine.testing.toys import ToyScale, build_toy_model


def job(kind, type_):
    item = Item(key="k", step="s", type=type_, config={})
    return Job(id="j", kind=kind, items=(item,), resources=Resources())


def test_what_a_job_s_steps_need_is_told_with_its_versions():
    told = Versions().of(job("pass", "LoRA"))
    assert told["peft"] == version("peft")
    assert told.keys() == {name for each in requires_of("pass", "LoRA") for name in each.split("|")}
    assert Versions().of(job("data", ""))["transformers"] == version("transformers")


def test_of_flavours_the_installed_one_is_told():
    assert "onnxruntime" in Versions().of(job("pass", "ModelBuilder"))
    assert "onnxruntime-gpu" not in Versions().of(job("pass", "ModelBuilder"))


@pytest.mark.parametrize("kind", ["probe", "describe"])
def test_the_engine_s_own_jobs_need_nothing(kind):
    assert Versions().of(job(kind, "")) == {}


def test_what_was_imported_stays_what_it_was(monkeypatch):
    monkeypatch.setattr(ToyScale, "requires", ("click",))
    versions = Versions()
    before = versions.of(job("pass", "ToyScale"))
    monkeypatch.setattr("olive_engine.step_packages.package_version", lambda _: "99")
    assert versions.of(job("pass", "ToyScale")) == before == {"click": version("click")}


def test_a_result_of_other_versions_is_not_kept_under_a_key_that_names_the_planned_ones(tmp_path, monkeypatch):
    build_toy_model(tmp_path / "base")
    monkeypatch.setattr(ToyScale, "requires", ("click",))
    workflow = parse_tree(
        {"input_model": {"type": "HfModel", "model_path": "base"}, "passes": {"scale": {"type": "ToyScale"}}}, tmp_path
    ).raise_if_wrong()
    with monkeypatch.context() as patched:
        patched.setattr("olive_engine.step_packages.package_version", lambda _: "99")
        with pytest.raises(PassFailed) as failed:
            run(workflow, debug=True)
    now = version("click")
    assert str(failed.value) == (
        f"scale: local: click is 99 there now, and was {now} when the run was planned; run again"
    )
    assert not list(Store(tmp_path / ".olive-cache").records.each())
    assert run(workflow, debug=True).executed == ("scale",)


def test_a_probe_that_is_not_true_any_more_is_forgotten(tmp_path):
    system = DetachedSystem("away", DetachedConfig(root=str(tmp_path)))
    store = Store(tmp_path / "cache")
    path = store.probe_file(_identity_of(system))
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    forget(system, store)
    assert not path.exists()


def _identity_of(system):
    from olive_engine.probing import _identity

    return _identity(system)
