"""What the options of an AzureML system come to as an environment, here and in the emulated workspace."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from olive_engine import __version__
from olive_engine.errors import SystemUnavailable
from olive_engine.reading import read_workflow
from olive_systems.azure_ml.environments import IMAGES, JobEnvironment, described, for_job, objections, resolved
from olive_systems.azure_ml.options import AzureMLConfig
from tests.emulators.azureml.submitting import shell

OLD = "dependencies:\n  - python=3.9\n  - pip:\n      - olive-ai\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conda.yaml").write_text(OLD)
    return tmp_path


def options(**given: object) -> AzureMLConfig:
    return AzureMLConfig.model_validate({"aml_compute": "cpu-cluster", **given})


def image(**given: object) -> AzureMLConfig:
    return options(aml_docker_config={"base_image": "registry.example/base:1", **given})


def registered(**given: object) -> AzureMLConfig:
    return options(aml_environment_config={"name": "training", **given})


def pip_of(environment: JobEnvironment) -> list[str]:
    assert environment.conda is not None
    *_, last = yaml.safe_load(environment.conda.text)["dependencies"]
    return list(last["pip"])


# --- what is described --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("device", "runtime"), [("cpu", "onnxruntime>=1.23"), ("gpu", "onnxruntime-gpu>=1.23")])
def test_without_a_description_it_suits_the_device(device: str, runtime: str) -> None:
    found = described(options(accelerators=[{"device": device}]))
    assert found.image == IMAGES[device]
    assert runtime in pip_of(found)
    assert [line.split(" with Python 3.11 and ")[0] for line in found.notes] == [f"jobs run in {IMAGES[device]},"]
    assert described(options()) == described(options(accelerators=[{"device": "cpu"}]))


def test_a_conda_file_is_made_fit_for_the_device() -> None:
    found = described(image(conda_file_path="conda.yaml"))
    assert found.image == "registry.example/base:1"
    assert "onnxruntime>=1.23" in pip_of(found)
    assert found.notes[:3] == (
        "jobs run in registry.example/base:1, with the packages of conda.yaml, changed for them:",
        f"python=3.9 becomes python=3.11: olive-engine {__version__} needs 3.11 or later",
        f"olive-ai gives way to what olive-engine {__version__} needs, with its extra cpu; the engine itself comes "
        "with every job",
    )
    assert found.notes[3].startswith("--- conda.yaml\n+++ conda.yaml (as jobs get it)\n@@")
    gpu = options(accelerators=[{"device": "gpu"}]).accelerators
    config = image(conda_file_path="conda.yaml").model_copy(update={"accelerators": gpu})
    assert "onnxruntime-gpu>=1.23" in pip_of(described(config))


def test_a_file_that_fits_is_said_to_be_used_and_no_more(folder: Path) -> None:
    made = described(image(conda_file_path="conda.yaml"))
    assert made.conda is not None
    (folder / "fits.yaml").write_text(made.conda.text)
    found = described(image(conda_file_path="fits.yaml"))
    assert found.notes == ("jobs run in registry.example/base:1, with the packages of fits.yaml",)
    assert found.identity == made.identity


def test_an_image_or_an_environment_as_it_is_must_hold_what_jobs_need() -> None:
    for config, what in ((image(), "registry.example/base:1"), (registered(version="7"), "the environment training:7")):
        (note,) = described(config).notes
        assert note.startswith(f"jobs run in {what}")
        assert "it must hold Python 3.11 or later, click, filelock, packaging, pydantic, pyyaml, rich, and" in note
    (note,) = described(registered().model_copy(update={"hf_token": True})).notes
    assert "rich, azure-identity, and what the passes need" in note


def test_the_key_vault_s_package_comes_where_it_is_asked() -> None:
    vault = {"hf_token": True}
    wanted = {"azure-identity>=1.17"}
    for config in (options(), image(conda_file_path="conda.yaml")):
        assert wanted <= set(pip_of(described(config.model_copy(update=vault))))
        assert not wanted & set(pip_of(described(config)))


# --- its identity -------------------------------------------------------------------------------------------------


def test_the_identity_follows_image_packages_and_version(folder: Path) -> None:
    before = described(image(conda_file_path="conda.yaml")).identity
    assert described(image(conda_file_path="conda.yaml", name="mine", version="2")).identity == before
    (folder / "same.yaml").write_text("# only a comment\n" + OLD)
    assert described(image(conda_file_path="same.yaml")).identity == before
    (folder / "conda.yaml").write_text(OLD + "      - einops\n")
    ids = [
        before,
        described(image(conda_file_path="conda.yaml")).identity,
        described(image()).identity,
        described(options()).identity,
        described(options(accelerators=[{"device": "gpu"}])).identity,
        described(registered(version="1")).identity,
        described(registered(version="2")).identity,
    ]
    assert len(set(ids)) == len(ids)
    assert all(len(each) == 64 for each in ids)


def test_a_label_has_none_before_the_service_is_asked() -> None:
    assert [described(registered(**given)).identity for given in ({}, {"label": "stable"})] == ["", ""]
    assert described(registered()).reference == "training@latest"
    assert [described(registered(version=each)).reference for each in ("3", 3)] == ["training:3"] * 2
    address = "azureml://registries/azureml/environments/some-env/versions/4"
    found = described(options(aml_environment_config={"name": address}))
    assert (found.reference, for_job(found)) == (address, address)
    assert found.identity


# --- what is wrong with it ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "option", "what"),
    [
        (image(conda_file_path="gone.yaml"), "conda_file_path", "no such file: 'gone.yaml'"),
        (image(conda_file_path="."), "conda_file_path", "the conda file . cannot be read: Is a directory"),
        (image(conda_file_path="broken.yaml"), "conda_file_path", "broken.yaml has no list of `dependencies`, as a"),
        (image(conda_file_path="latin.yaml"), "conda_file_path", "latin.yaml is not UTF-8 text, as a conda file is"),
        (image(version="2"), "version", "a version to register under, and no name"),
        (
            options(aml_docker_config={"dockerfile": "Dockerfile", "build_context_path": "docker"}),
            *("dockerfile", "building an image is not available on Azure ML yet"),
        ),
    ],
)
def test_faults_of_the_description(folder: Path, config: AzureMLConfig, option: str, what: str) -> None:
    (folder / "broken.yaml").write_text("name: x\n")
    (folder / "latin.yaml").write_bytes("name: größer\n".encode("latin-1"))
    (found,) = objections(config)
    assert (found.option, found.severity) == (f"aml_docker_config.{option}", "error")
    assert found.what.startswith(what)
    if option == "conda_file_path":
        with pytest.raises(SystemUnavailable) as raised:
            described(config)
        assert str(raised.value) == found.what


def test_two_environments_are_one_too_many() -> None:
    both = image().model_copy(update={"aml_environment_config": registered().aml_environment_config})
    assert [found.option for found in objections(both)] == ["aml_environment_config"]
    assert [found.option for found in objections(registered(version="1", label="stable"))] == [
        "aml_environment_config.label"
    ]
    for sound in (options(), image(), image(conda_file_path="conda.yaml"), registered(), registered(label="stable")):
        assert list(objections(sound)) == []


WORKFLOW = """\
input_model: {type: HfModel, model_path: org/model}
systems:
  aml:
    type: AzureML
    azureml_client: {subscription_id: s, resource_group: g, workspace_name: w}
    aml_compute: c
    aml_docker_config:
      base_image: registry.example/base:1
      conda_file_path: CONDA
passes: {lora: {type: LoRA, train_data_config: rows}}
data_configs: [{name: rows, load_dataset_config: {data_name: org/rows}}]
host: aml
"""


@pytest.mark.parametrize(
    ("conda", "told"),
    [
        ("beside.yaml", "no such file: 'beside.yaml'; paths are relative to the working directory; it exists as "),
        ("gone.yaml", "no such file: 'gone.yaml'"),
        ("bad.yaml", "bad.yaml is not YAML: "),
    ],
)
def test_validate_says_where_it_stands(folder: Path, conda: str, told: str) -> None:
    (folder / "flows").mkdir()
    (folder / "flows" / "beside.yaml").write_text(OLD)
    (folder / "bad.yaml").write_text("dependencies: [")
    (folder / "flows" / "workflow.yaml").write_text(WORKFLOW.replace("CONDA", conda))
    draft = read_workflow(["flows/workflow.yaml"])
    (problem,) = (problem for problem in draft.problems if problem.severity == "error")
    place = "flows/workflow.yaml:9:24: systems.aml.aml_docker_config.conda_file_path: "
    assert str(problem).startswith(place + told)
    assert draft.workflow is None


# --- in the workspace ---------------------------------------------------------------------------------------------


def test_a_job_runs_in_the_environment_that_was_made(azureml) -> None:
    environment = described(image(conda_file_path="conda.yaml"))
    made = for_job(environment)
    azureml.client().jobs.create_or_update(shell("first", "echo in it", environment=made))
    azureml.client().jobs.create_or_update(shell("second", "echo in it", environment=for_job(environment)))
    first, second = azureml.job("first"), azureml.job("second")
    assert (first.status, second.status) == ("Completed", "Completed"), first.error
    puts = {
        each.path for each in azureml.recorder.exchanges() if each.method == "PUT" and "/environments/" in each.path
    }
    assert len(puts) == 1


def test_a_name_is_registered_once_for_each_content(azureml) -> None:
    made = for_job(described(image(conda_file_path="conda.yaml", name="mine")))
    assert not isinstance(made, str)
    assert (made.name, made.version) == ("mine", described(image(conda_file_path="conda.yaml")).identity[:12])
    stored = azureml.client().environments.create_or_update(made)
    found = resolved(described(registered(name="mine")), azureml.client())
    assert (found.version, found.reference) == (stored.version, f"mine:{stored.version}")
    assert len(found.identity) == 64
    assert found.identity == described(registered(name="mine", version=stored.version)).identity
    assert resolved(found, azureml.client()) == found
    azureml.client().jobs.create_or_update(shell("named", "echo in it", environment=for_job(found)))
    assert azureml.job("named").status == "Completed"


@pytest.mark.parametrize("given", [{}, {"version": "9"}, {"label": "stable"}])
def test_an_environment_that_is_not_there(azureml, given: dict[str, str]) -> None:
    environment = described(registered(**given))
    with pytest.raises(SystemUnavailable) as raised:
        resolved(environment, azureml.client())
    assert environment.reference in str(raised.value)
    assert "\n" not in str(raised.value)
