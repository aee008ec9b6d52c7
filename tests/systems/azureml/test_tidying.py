"""What lies in the datastore may be deleted at any time between two runs, in part too: the next run makes up for it."""

import json

import pytest

from olive_engine import run
from olive_engine.config.draft import parse_tree
from olive_engine.reporting.recorder import Recorder
from tests.emulators.azureml.faults import Corrupt
from tests.systems.azureml.jobs import stored


@pytest.fixture
def chain(options, project):
    """Run two passes on Azure ML, the second with a factor of its own; which steps ran, and what came of them."""

    def chain(factor, host="cloud"):
        described = {
            "input_model": {"type": "HfModel", "model_path": "base"},
            "systems": {"cloud": {"type": "AzureML", **options}, "here": {"type": "LocalSystem", "workers": 1}},
            "host": "cloud",
            "passes": {
                "scale": {"type": "ToyScale", "ballast": 1000},
                "again": {"type": "ToyScale", "factor": factor, "host": host},
            },
        }
        result = run(parse_tree(described, project).raise_if_wrong(), Recorder())
        return result.executed, json.loads((project / "output/model/numbers.json").read_text())

    return chain


def delete(azureml, prefix, only=""):
    container = azureml.datastores["workspaceblobstore"]
    paths = [path for path in stored(azureml, prefix) if path.endswith(only)]
    for path in paths:
        azureml.storage.delete(container, path)
    return paths


def test_a_result_that_was_deleted_is_made_again(azureml, chain):
    assert chain(2.0) == (("scale", "again"), [4.0, 8.0, 12.0])
    assert stored(azureml, "submitted/") == []
    assert chain(2.0)[0] == ()
    assert delete(azureml, "results/")
    assert chain(2.0)[0] == ()  # the last model is here
    assert chain(3.0) == (("scale", "again"), [6.0, 12.0, 18.0])


@pytest.mark.slow
@pytest.mark.parametrize("host", ["cloud", "here"])
def test_a_result_that_was_deleted_in_part_is_made_again(azureml, chain, host):
    chain(2.0)
    assert len(delete(azureml, "results/", only="numbers.json")) == 2
    with azureml.recorder.label("again"):
        assert chain(5.0, host) == (("scale", "again"), [10.0, 20.0, 30.0])
    names = azureml.recorder.submitted()
    assert len(names) == len(set(names))
    assert not [job.name for job in azureml.jobs.all() if job.status != "Completed"]  # none was put in vain


@pytest.mark.slow
def test_a_tree_that_was_deleted_in_part_is_completed(azureml, chain):
    chain(2.0)
    trees = stored(azureml, "trees/")
    assert len(trees) == 3
    delete(azureml, "results/")
    assert len(delete(azureml, "trees/", only="numbers.json")) == 1
    assert chain(3.0) == (("scale", "again"), [6.0, 12.0, 18.0])
    assert stored(azureml, "trees/") == trees


@pytest.mark.slow
def test_all_may_be_deleted(azureml, chain):
    chain(2.0)
    assert len(delete(azureml, "")) > 5
    assert chain(3.0) == (("scale", "again"), [6.0, 12.0, 18.0])


def test_a_result_that_comes_with_other_bytes_is_made_again(azureml, chain):
    """Here the last model, which is asked for twice, for its `output_dir`."""
    rule = azureml.faults.add("GET", "*/results/*/numbers.json", Corrupt(), times=2)
    assert chain(2.0) == (("again",), [4.0, 8.0, 12.0])
    assert (rule.hits, rule.seen) == (2, 3)
    assert [job.status for job in azureml.jobs.all()] == ["Completed"] * 4  # a probe, and `again` a second time
