"""docs/systems/azure_ml.md: its configurations are valid, its options are there, its names are the code's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from olive_engine.reading import read_workflow
from olive_systems.azure_ml.environments import IMAGES
from olive_systems.azure_ml.locations import ROOT
from olive_systems.azure_ml.options import (
    AuthParams,
    AzureMLClient,
    AzureMLConfig,
    DockerConfig,
    EnvironmentConfig,
    JobResources,
    ManagedIdentity,
)
from olive_systems.azure_ml.urls import objection

FOLDER = Path(__file__).parents[2] / "docs" / "systems"
PAGE = (FOLDER / "azure_ml.md").read_text()
CONFIGS = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
PASS = "input_model: {model_path: org/name}\npasses: {build: {type: ModelBuilder, precision: int4}}\n"
GROUPS: tuple[type[BaseModel], ...] = (
    *(AzureMLConfig, AzureMLClient, AuthParams, DockerConfig, EnvironmentConfig, JobResources, ManagedIdentity),
)
ROW = re.compile(r"^\| (?P<first>.+?) \| ", re.MULTILINE)


@pytest.mark.parametrize("config", CONFIGS)
def test_its_configurations_are_read_without_a_word(
    config: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("conda.yaml").write_text("dependencies: [python=3.11, {pip: [olive-ai]}]\n")
    Path("w.yaml").write_text(PASS + config)
    draft = read_workflow(["w.yaml"])
    assert [str(problem) for problem in draft.problems] == []
    assert draft.raise_if_wrong().host == "aml"


def test_there_is_a_configuration() -> None:
    assert len(CONFIGS) >= 1


def _section(name: str) -> str:
    """A section, and what is below it."""
    begin = PAGE.index(f"\n## {name}\n")
    return PAGE[begin : PAGE.find("\n## ", begin + 1)]


def test_options_of_its_tables_are_there() -> None:
    known = {name for group in GROUPS for name in group.model_fields}
    table = _section("Workspace and login").partition("###")[0]
    named = {name for row in ROW.finditer(table) for name in re.findall(r"`(\w+)`", row["first"])}
    assert {"azureml_client", "aml_compute", "datastores", "resources", "tags", "identity", "threads"} <= named
    assert named <= known
    described = set(re.findall(r"`(\w+)`", table)) & known
    assert set(JobResources.model_fields) - {"instance_count", "max_instance_count"} <= described


def test_environments_are_described_as_they_are_written() -> None:
    rows = [row["first"] for row in ROW.finditer(_section("The environment"))]
    written = [text for row in rows for text in re.findall(r"`(\w+: \{.*\})`", row)]
    assert len(written) == 4
    for text in written:
        ((option, names),) = yaml.safe_load(
            text.replace("{name: azureml:", "{name: 'azureml:").replace("/V}", "/V'}")
        ).items()
        group = DockerConfig if option == "aml_docker_config" else EnvironmentConfig
        assert set(names) <= set(group.model_fields)


def test_images_are_those_that_are_taken() -> None:
    assert all(image in PAGE and re.search(r":\d{8}\.v\d+$", image) for image in IMAGES.values())


def test_urls_of_its_table_are_right() -> None:
    rows = [row["first"] for row in ROW.finditer(_section("Models and data that are there already"))]
    urls = [url for row in rows for url in re.findall(r"`(azureml://[^`]+)`", row)]
    assert len(urls) == 4
    assert [objection(url, None) for url in urls] == [None] * 4


def test_folders_are_those_of_the_code() -> None:
    folders = set(re.findall(r"`([\w-]+)/(?:trees|submitted|results)/", PAGE))
    assert folders == {ROOT}


def test_links_lead_somewhere() -> None:
    targets = re.findall(r"\]\((?!https?://)([^)#]+)#?([^)]*)\)", PAGE)
    assert targets
    for path, anchor in targets:
        headings = re.findall(r"^#+ (.+)$", (FOLDER / path).read_text(), re.MULTILINE)
        assert not anchor or anchor in {heading.lower().replace(" ", "-") for heading in headings}
