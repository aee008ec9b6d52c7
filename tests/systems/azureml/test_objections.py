"""What `olive validate` says of an AzureML system's options, with their places in the file."""

from pathlib import Path

import pytest

from olive_engine import run
from olive_engine.errors import InvalidWorkflow
from olive_engine.preflight import not_yet
from olive_engine.reading import load_workflow, read_workflow

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
  build: {{type: ModelBuilder, precision: int4}}
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
    assert said("hf_token: true", CLIENT.replace("}", ", keyvault_name: team-vault1}")) == []
    switches = "{HF_HUB_DISABLE_IMPLICIT_TOKEN: '1', HF_TOKEN_PATH: /mnt/token, TOKENIZERS_PARALLELISM: 'false'}"
    assert said(f"environment_variables: {switches}\n    tags: {{team: 3}}\n    identity: user") == []
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
    top = "azureml_client: {subscription_id: s, resource_group: g, workspace_name: w, keyvault_name: vault}"
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


# --- secrets ------------------------------------------------------------------------------------------------------


TOKEN = "hf_" + "a1B2" * 6


@pytest.mark.parametrize(
    ("more", "place", "secret"),
    [
        ("environment_variables: {HF_TOKEN: %s}", "environment_variables.HF_TOKEN", TOKEN),
        ("environment_variables: {DB_PASSWORD: %s}", "environment_variables.DB_PASSWORD", "hunter22"),
        (
            "environment_variables: {FEED: 'https://me:%s@feed.example/simple'}",
            "environment_variables.FEED",
            "hunter22",
        ),
        ("tags: {made_by: %s}", "tags.made_by", TOKEN),
        ("resources: {docker_args: '--ipc host -e API_KEY=%s'}", "resources.docker_args", "hunter22"),
        ("resources: {docker_args: [--env, API_KEY=%s]}", "resources.docker_args", "hunter22"),
        (
            "resources: {properties: {service: {client_secret: %s}}}",
            "resources.properties.service.client_secret",
            "hun22",
        ),
        ("resources: {properties: {list: [%s]}}", "resources.properties.list", TOKEN),
    ],
)
def test_a_secret_that_would_stand_in_a_job_is_an_error_and_is_not_shown(more: str, place: str, secret: str) -> None:
    ((severity, told),) = said(more % secret)
    assert severity == "error"
    assert f"systems.aml.{place}: " in told
    assert "anybody in the workspace could read in the job's description" in told
    assert secret not in told


def test_who_wrote_the_hubs_token_is_told_where_it_belongs() -> None:
    ((_, told),) = said(f"environment_variables: {{HF_TOKEN: {TOKEN}}}")
    assert told.endswith(
        "; write hf_token: true, and keep the token in the key vault azureml_client.keyvault_name as the secret "
        "hf-token"
    )


def test_a_tag_with_the_name_of_a_secret_is_a_doubt() -> None:
    ((severity, told),) = said("tags: {project_key: OLIVE}")
    assert severity == "warning"
    assert "systems.aml.tags.project_key: its name is that of a secret" in told


# --- names --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["evil.example/x?", "no", "1vault", "two--hyphens", "ends-", "a" * 25])
def test_the_token_of_an_identity_goes_to_no_other_host(name: str) -> None:
    ((severity, told),) = said(client=CLIENT.replace("}", f", keyvault_name: '{name}'}}"))
    assert severity == "error"
    assert f"azureml_client.keyvault_name: {name!r} is no name of a key vault" in told


@pytest.mark.parametrize(
    "name",
    ["Your Azure ML Workspaces name", "<workspace>", "my workspace", "''", "YOUR_WORKSPACE", "{{workspace}}", "…"],
)
def test_placeholders_are_named_and_let_one_plan(name: str) -> None:
    ((severity, told),) = said(client=CLIENT.replace("w}", f"{name!r}}}" if "'" not in name else f"{name}}}"))
    assert severity == "warning"
    assert told == (
        "w.yaml:7:77: systems.aml.azureml_client.workspace_name: still to be filled in: azureml_client.workspace_name; "
        "write your own names; the workspace's page in the Azure portal has those of the workspace"
    )


def test_all_placeholders_are_told_at_once_and_a_run_refuses_them() -> None:
    more = "aml_docker_config: {base_image: Your docker image}\n    datastores: <store>"
    ((_, told),) = said(more, client=CLIENT.replace("s,", "Your Azure Subscription ID,"))
    assert "filled in: azureml_client.subscription_id, aml_docker_config.base_image, datastores;" in told
    with pytest.raises(InvalidWorkflow, match=r"still to be filled in: azureml_client\.subscription_id, ") as raised:
        run(load_workflow("w.yaml"))
    assert [problem.severity for problem in raised.value.problems] == ["error"]


def test_what_no_step_runs_on_stops_no_run() -> None:
    assert len(said("hf_token: true")) == 1
    workflow = load_workflow("w.yaml")
    assert [problem.path for problem in not_yet(workflow)] == [("systems", "aml", "hf_token")]
    assert not_yet(workflow.model_copy(update={"host": None})) == ()


@pytest.mark.parametrize("name", ["your-team-ml", "yourcompany", "prod.eu", "Big_One(2)"])
def test_names_of_ones_own_are_none(name: str) -> None:
    assert said(client=CLIENT.replace("w}", f"{name}}}")) == []


# --- options ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("{process_timeout: soon}", "default_auth_params.process_timeout: expected a whole number"),
        ("{exclude_cli: true}", "unknown option `exclude_cli`; did you mean `exclude_cli_credential`?"),
        ("{authority: 'http://x'}", "authority: a host that tokens come from, such as login.microsoftonline.com"),
    ],
)
def test_what_the_login_does_not_take(given: str, told: str) -> None:
    ((severity, text),) = said(client=CLIENT.replace("}", f", default_auth_params: {given}}}"))
    assert severity == "error"
    assert told in text


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("resources: {gpus: 3}", "systems.aml.resources.gpus: unknown option `gpus`; options here: instance_count, "),
        ("resources: {shm_size: 2 GB}", "systems.aml.resources.shm_size: must match the pattern"),
        ("resources: {max_instance_count: 2}", "resources.max_instance_count: 2 machines for each job"),
        (
            "identity: {client_id: c, object_id: o}",
            "systems.aml.identity: which managed identity it is takes one of client_id, object_id and resource_id",
        ),
        ("identity: users", "systems.aml.identity: must be 'user' or 'managed', found 'users'; did you mean `user`?"),
        ("tags: {team: 1.10}", "systems.aml.tags.team: expected text, found 1.1; put it in quotes"),
        (
            "aml_environment_config: {name: azureml://registries/azureml/environments/sk/labels/latest}",
            "a label of a registry may lead to another version at any time; name the version that is meant: "
            "azureml://registries/azureml/environments/sk/versions/VERSION",
        ),
        ("aml_environment_config: {name: 'azureml:sk:3'}", "write name: sk, version: 3"),
        ("aml_environment_config: {name: 'azureml:sk@latest'}", "write name: sk, label: latest"),
        (
            "aml_environment_config: {name: azureml://registries/r/environments/e/versions/2, version: 3}",
            "aml_environment_config.version: the name says a version of its own",
        ),
        ("datastores: d\n    aml_docker_config: {base_image: i, name: e, version: [1]}", "expected text, found a list"),
    ],
)
def test_options_that_cannot_be(more: str, told: str) -> None:
    ((severity, text),) = said(more)
    assert severity == "error"
    assert told in text


def test_computes_by_their_whole_id_are_refused() -> None:
    said()
    where = (
        "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/other/computes/big"
    )
    Path("w.yaml").write_text(Path("w.yaml").read_text().replace("aml_compute: c", f"aml_compute: {where}"))
    (problem,) = read_workflow(["w.yaml"]).problems
    assert str(problem).endswith("are taken; write big, if it is one of them")


def test_serverless_is_refused_by_name() -> None:
    said()
    text = Path("w.yaml").read_text().replace("aml_compute: c", "aml_compute: serverless")
    Path("w.yaml").write_text(text)
    (problem,) = read_workflow(["w.yaml"]).problems
    assert "aml_compute: serverless compute is not available yet; name a compute of the workspace: " in str(problem)
