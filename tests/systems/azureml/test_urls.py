"""What `olive validate` says of URLs of Azure ML: what their text tells, and that they are of another workspace."""

from __future__ import annotations

from pathlib import Path

import pytest

from olive_engine import run
from olive_engine.errors import InvalidWorkflow
from olive_engine.reading import load_workflow, read_workflow
from olive_systems.azure_ml.options import AzureMLClient
from olive_systems.azure_ml.urls import FORMS, objection

CLIENT = AzureMLClient(subscription_id="s", resource_group="g", workspace_name="w")
HERE = "azureml://subscriptions/s/resourcegroups/g/workspaces/w"
THERE = "azureml://subscriptions/s/resourcegroups/g/workspaces/other"
WORKFLOW = """\
input_model: {model_path: %s}
systems:
  one: {type: AzureML, aml_compute: c, azureml_client: {subscription_id: s, resource_group: g, workspace_name: w}}
  two: {type: AzureML, aml_compute: c, azureml_client: {subscription_id: s, resource_group: g, workspace_name: v}}
host: one
passes:
  build: {type: ModelBuilder, precision: int4}
"""


@pytest.mark.parametrize(
    "url",
    [
        "azureml://models/phi-3.5_mini/versions/1.0",
        "azureml://registries/azureml/models/Phi-3-mini/versions/11",
        "azureml://datastores/store/paths/with blanks/ü€ %25.json",
        "azureml://datastores/store/paths/",
        "azureml://jobs/calm_tree_1/outputs/model",
        "azureml://jobs/calm_tree_1/outputs/artifacts/paths/model/",
        f"{HERE}/models/phi/versions/1",
        f"{HERE.upper().replace('AZUREML', 'azureml')}/datastores/store/paths/a.json",
        "azureml://subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w/jobs/j/outputs/o",
    ],
)
def test_what_is_right(url: str) -> None:
    assert objection(url, CLIENT) is None


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("azureml://model/phi/version/3", f"expected {FORMS['models']}"),
        ("azureml://models/phi", f"expected {FORMS['models']}"),
        ("azureml://datastore/store/paths/x", f"expected {FORMS['datastores']}"),
        (f"{HERE}/datastores/store", f"expected {FORMS['datastores']}"),
        ("azureml://jobs/j/x", f"expected {FORMS['jobs']}"),
        ("azureml://registries/r/data/rows/versions/1", f"expected {FORMS['registries']}"),
        ("azureml://phi", f"expected {', or '.join(FORMS.values())}"),
    ],
)
def test_what_names_nothing(url: str, hint: str) -> None:
    found = objection(url, CLIENT)
    assert found is not None
    assert (found.what, found.hint, found.severity) == (f"{url} names no model and no data", hint, "error")


@pytest.mark.parametrize("before", ["azureml://", f"{HERE}/", "azureml://registries/azureml/"])
def test_a_label_is_refused(before: str) -> None:
    found = objection(f"{before}models/phi/labels/latest", CLIENT)
    assert found is not None
    assert (found.hint, found.severity) == (f"name the version that is meant: {before}models/phi/versions/V", "error")


@pytest.mark.parametrize("before", ["azureml://", f"{HERE}/", "azureml://registries/azureml-msr/"])
def test_a_name_with_a_slash_can_be_planned_and_not_run(before: str) -> None:
    for slash in ("/", "%2F"):
        found = objection(f"{before}models/microsoft{slash}Phi-3/versions/11", CLIENT)
        assert found is not None
        assert (found.severity, found.stops_run) == ("warning", True)
        assert found.what == "the name of a model has no `/`, and this one is microsoft/Phi-3"
        assert found.hint == f"did you mean {before}models/Phi-3/versions/11?"


@pytest.mark.parametrize(
    ("url", "names"),
    [
        ("azureml://datastores/Your datastore/paths/x", "Your datastore"),
        ("azureml://datastores/d/paths/Your train_data.json Location", "Your train_data.json Location"),
        ("azureml://datastores/d/paths/<rows>", "<rows>"),
        ("azureml://models/<model>/versions/<version>", "<model>, <version>"),
        (f"{HERE.replace('/w', '/Your%20Workspace')}/jobs/<j>/outputs/o", "Your%20Workspace, <j>"),
    ],
)
def test_placeholders(url: str, names: str) -> None:
    url = url.replace("/Your%20Workspaceorkspaces", "/workspaces")
    found = objection(url, CLIENT)
    assert found is not None
    assert (found.what, found.stops_run) == (f"still to be filled in: {names.replace('%20', ' ')}", True)


def test_another_workspace_is_told_where_its_own_is_known() -> None:
    found = objection(f"{THERE}/models/phi/versions/1", CLIENT)
    assert found is not None
    assert found.what == (
        f"{THERE}/models/phi/versions/1 is in the workspace other of the resource group g, and no system of this "
        "workflow works there"
    )
    unknown = AzureMLClient(aml_config_path="gone.json")
    for client in (unknown, None, CLIENT.model_copy(update={"workspace_name": "<name>"})):
        assert objection(f"{THERE}/models/phi/versions/1", client) is None


def _read(folder: Path, url: str) -> list[tuple[str, str]]:
    (folder / "w.yaml").write_text(WORKFLOW % url)
    problems = read_workflow([folder / "w.yaml"]).problems
    return [(problem.severity, str(problem).removeprefix(f"{folder}/")) for problem in problems]


def test_one_system_that_takes_it_is_enough(tmp_path: Path) -> None:
    assert _read(tmp_path, THERE.replace("/other", "/v") + "/models/phi/versions/1") == []
    ((severity, told),) = _read(tmp_path, f"{THERE}/models/phi/versions/1")
    assert severity == "error"
    assert told.startswith(
        f"w.yaml:1:27: input_model.model_path: {THERE}/models/phi/versions/1 is in the workspace other"
    )


def test_what_can_be_planned_is_refused_by_a_run_before_anybody_is_asked(tmp_path: Path) -> None:
    ((severity, _),) = _read(tmp_path, "azureml://registries/r/models/org/phi/versions/1")
    assert severity == "warning"
    with pytest.raises(InvalidWorkflow, match="did you mean azureml://registries/r/models/phi/versions/1"):
        run(load_workflow(tmp_path / "w.yaml"))


@pytest.mark.parametrize(("name", "meant"), [("azureml:phi:3", "phi/versions/3"), ("azureml:phi", "phi/versions/V")])
def test_the_short_form_of_the_command_line_is_pointed_at(tmp_path: Path, name: str, meant: str) -> None:
    ((severity, told),) = _read(tmp_path, f"'{name}'")
    assert severity == "error"
    assert told.endswith(f"is the short form of the az command line; write azureml://models/{meant}")
