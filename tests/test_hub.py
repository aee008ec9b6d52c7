"""Hub names, with a hub cache that the test makes: nothing here can reach a hub."""

import json

import pytest

from olive_engine import hub, plan, run
from olive_engine.config.draft import parse_tree
from olive_engine.errors import InvalidWorkflow
from olive_engine.planner import NOT_RESOLVED
from olive_engine.testing.toys import build_toy_model

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TREE = {"input_model": {"type": "HfModel", "model_path": "somebody/toy"}, "passes": {"scale": {"type": "ToyScale"}}}


@pytest.fixture
def hub_cache(tmp_path, monkeypatch):
    """An empty local hub cache, and a hub that cannot be reached."""
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    (tmp_path / "hub").mkdir()
    return tmp_path / "hub"


@pytest.fixture
def snapshot(hub_cache):
    """One model in it."""
    repository = hub_cache / "models--somebody--toy"
    build_toy_model(repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    return repository


def workflow(tmp_path):
    return parse_tree(TREE, tmp_path).raise_if_wrong()


def test_without_a_snapshot_a_plan_says_so_and_asks_no_network(hub_cache, tmp_path):
    assert plan(workflow(tmp_path)).steps["scale"].reasons == (NOT_RESOLVED,)


def test_without_a_snapshot_a_run_asks_for_the_model(hub_cache, tmp_path):
    with pytest.raises(InvalidWorkflow, match="input_model: `somebody/toy` is no folder here, and the hub could not"):
        run(workflow(tmp_path))


def test_the_local_snapshots_commit_counts(snapshot, tmp_path):
    pinned = hub.pin(workflow(tmp_path), online=False)
    assert pinned.input_model.load_kwargs == {"revision": COMMIT}
    result = run(workflow(tmp_path))
    assert (result.models["scale"].model_path / "numbers.json").read_text() == "[2.0, 4.0, 6.0]"
    assert plan(workflow(tmp_path)).to_run == ()
    lock = json.loads((tmp_path / "output" / "workflow.lock.json").read_text())
    assert lock["workflow"]["input_model"]["load_kwargs"]["revision"] == COMMIT


def test_another_commit_is_another_model(snapshot, tmp_path):
    run(workflow(tmp_path))
    other = "f" * 40
    build_toy_model(snapshot / "snapshots" / other)
    (snapshot / "refs" / "main").write_text(other)
    assert plan(workflow(tmp_path)).to_run == ("scale",)
