"""A graph on a system that shares nothing gives the bytes of the all-local run, and moves no byte it need not."""

import pytest

from olive_engine import plan, run
from olive_engine.store import Store
from tests.engine.conftest import TUNE, tree_bytes


@pytest.fixture
def elsewhere(project):
    (project / "elsewhere").mkdir()
    return {"away": {"type": "DetachedSystem", "root": str(project / "elsewhere")}}


@pytest.fixture
def local(make, project):
    run(make(cache_dir="local-cache", output_dir="local"))
    return tree_bytes(project / "local" / "model")


def test_a_chain_elsewhere_gives_the_local_bytes(make, project, elsewhere, local):
    workflow = make(systems=elsewhere, host="away")
    assert {step.reasons for step in plan(workflow).steps.values()} == {("environment not probed yet",)}
    assert run(workflow).executed == ("scale", "tune", "merge")
    assert tree_bytes(project / "output" / "model") == local
    assert run(workflow).executed == ()


def test_intermediate_results_never_come_here(make, project, elsewhere):
    result = run(make(systems=elsewhere, host="away"))
    store = Store(project / ".olive-cache")
    for step in ("scale", "tune"):
        tree = store.records.load(result.steps[step].key).output.parts["model_path"]
        assert tree.location.startswith("detached://")
    merged = store.records.load(result.steps["merge"].key).output.parts["model_path"]
    fetched = {path.name for path in (project / ".olive-cache" / "blobs").glob("*/*")}
    assert fetched == {entry.sha256 for entry in merged.files.values()}


@pytest.mark.parametrize("away", [("scale",), ("tune",), ("merge",), ("scale", "merge")], ids="+".join)
def test_passes_that_alternate_between_systems_give_the_local_bytes(make, project, elsewhere, local, away):
    passes = {name: {**entry, "host": "away"} if name in away else entry for name, entry in TUNE.items()}
    run(make(passes, systems=elsewhere))
    assert tree_bytes(project / "output" / "model") == local


def test_results_from_elsewhere_that_are_gone_are_computed_again(make, project, elsewhere):
    import shutil

    run(make(systems=elsewhere, host="away"))
    shutil.rmtree(project / "elsewhere" / "jobs")
    changed = {**TUNE, "merge": {"type": "ToyScale", "factor": 7.0, "input": "scale"}}
    workflow = make(changed, systems=elsewhere, host="away", output_dir="second")
    assert "scale" in plan(workflow).to_run
    run(workflow)
    assert (project / "second" / "merge" / "model" / "numbers.json").read_text() == "[14.0, 28.0, 42.0]"


def test_equal_environments_share_results(make, elsewhere):
    run(make())
    assert run(make(systems=elsewhere, host="away")).executed == ()
