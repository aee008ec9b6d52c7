"""What `olive validate` says of an AzureML system's options, with their places in the file."""

from pathlib import Path

import pytest

from olive_engine.reading import read_workflow

WORKFLOW = """\
input_model: {{type: HfModel, model_path: org/name}}
{top}
systems:
  aml:
    type: AzureML
    aml_compute: c
    azureml_client: {client}
    {more}
host: aml
passes:
  merge: {{type: MergeAdapterWeights}}
"""
CLIENT = "{subscription_id: s, resource_group: g, workspace_name: w}"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said(more: str = "tags: {}", client: str = CLIENT, top: str = "seed: 1") -> list[tuple[str, str]]:
    """Severity and text of what is said of the system."""
    text = WORKFLOW.format(more=more, client=client, top=top)
    if not client:
        text = text.replace("    azureml_client: \n", "")
    Path("w.yaml").write_text(text)
    problems = read_workflow(["w.yaml"]).problems
    return [(problem.severity, str(problem)) for problem in problems if "systems" in problem.path]


def test_nothing_is_said_of_what_is_right() -> None:
    assert said("hf_token: true", CLIENT.replace("}", ", keyvault_name: v}")) == []
    assert said("environment_variables: {MODE: fast, PRICE: 3 US$}\n    instance_count: 1") == []


@pytest.mark.parametrize(
    ("more", "place", "what"),
    [
        (
            "environment_variables: {TOKEN: '${env:TOKEN}'}",
            "8:36: systems.aml.environment_variables.TOKEN: ",
            "it refers to a variable of this machine, whose value anybody in the workspace could read in the job's "
            "description; write the value, if it is no secret; keep a secret in a key vault, or set it on the compute",
        ),
        (
            "hf_token: ${env:HF_TOKEN}",
            "8:15: systems.aml.hf_token: ",
            "it refers to a variable of this machine, whose value is never sent along; write hf_token: true, and keep "
            "the token in the key vault azureml_client.keyvault_name as the secret hf-token",
        ),
        (
            "instance_count: 4",
            "8:21: systems.aml.instance_count: ",
            "4 machines for each job, and a step's work cannot be divided among machines; leave it out; "
            "`max_parallel` says how many jobs run at once",
        ),
        (
            "resources: {instance_count: 2}",
            "8:33: systems.aml.resources.instance_count: ",
            "2 machines for each job, and a step's work cannot be divided among machines; leave it out; "
            "`max_parallel` says how many jobs run at once",
        ),
    ],
)
def test_what_no_job_may_have_is_an_error(more: str, place: str, what: str) -> None:
    assert said(more) == [("error", f"w.yaml:{place}{what}")]


def test_a_system_without_a_workspace_is_an_error() -> None:
    (problem,) = said(client="")
    assert problem[0] == "error"
    assert "systems.aml.azureml_client: it is not said which workspace it is; write subscription_id," in problem[1]


def test_a_vault_that_is_not_named_counts_when_it_runs() -> None:
    (problem,) = said("hf_token: true")
    assert problem == (
        "warning",
        "w.yaml:8:15: systems.aml.hf_token: the job reads the token from a key vault, and none is named; name it as "
        "azureml_client.keyvault_name; it holds the token as `hf-token`",
    )
    top = "azureml_client: {subscription_id: s, resource_group: g, workspace_name: w, keyvault_name: v}"
    assert said("hf_token: true", client="", top=top) == []


def test_the_portals_file_may_be_elsewhere_and_must_be_right(folder: Path) -> None:
    client = "{aml_config_path: config.json}"
    ((severity, text),) = said(client=client)
    assert severity == "warning"
    assert "w.yaml:7:39: systems.aml.azureml_client.aml_config_path: there is no file config.json, which" in text
    (folder / "config.json").write_text('{"subscription_id": "s", "resource_group": "g"}')
    ((severity, text),) = said(client=client)
    assert severity == "error"
    assert text.endswith("config.json does not say workspace_name of the workspace")
    (folder / "config.json").write_text('{"subscription_id": "s", "resource_group": "g", "workspace_name": "w"}')
    assert said(client=client) == []


@pytest.mark.parametrize("text", ["${TOKEN}", "$TOKEN"])
def test_what_looks_like_a_reference_gets_a_hint_that_fits(text: str) -> None:
    ((severity, told),) = said(f"environment_variables: {{MODE: '{text}'}}")
    assert severity == "warning"
    assert told.endswith("Azure ML's jobs are given no variables of this machine: write the value, if it is no secret")
    assert "env:" not in told
