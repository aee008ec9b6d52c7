"""``olive plan`` and ``olive validate`` of workflows that run on Azure ML, without Azure and without its libraries."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from olive_engine import __version__
from olive_engine.cli.group import olive
from olive_engine.reporting.plan import notes_lines
from olive_engine.testing.detached import DetachedSystem

CONDA = """\
name: of_the_tutorial
channels:
  - defaults
dependencies:
  - python=3.8.13
  - pip=22.3.1
  - pip:
      - einops
      - accelerate
      - azure-identity
      - azure-keyvault-secrets
      - peft
      - scipy
      - torch>=2.2.0
      - git+https://github.com/microsoft/Olive@some/branch#egg=olive-ai[gpu]
"""
WORKFLOW = {
    "input_model": {"type": "PyTorchModel", "config": {"hf_config": {"model_name": "org/some-model"}}},
    "azureml_client": {"subscription_id": "s", "resource_group": "g", "workspace_name": "w", "keyvault_name": "vault"},
    "systems": {
        name: {
            "type": "AzureML",
            "config": {
                "accelerators": ["gpu"],
                "hf_token": True,
                "aml_compute": f"{name}-cluster",
                "aml_docker_config": {"base_image": "registry.example/cuda:1", "conda_file_path": "conda.yaml"},
            },
        }
        for name in ("aml", "arc")
    },
    "data_configs": [{"name": "rows", "load_dataset_config": {"data_name": "org/rows"}}],
    "passes": {
        "lora": {"type": "LoRA", "config": {"train_data_config": "rows"}},
        "merge": {"type": "MergeAdapterWeights"},
    },
    "engine": {"host": "aml", "target": "aml", "search_strategy": False},
}


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a workflow as the tutorials have it, and its conda file."""
    (tmp_path / "workflow.json").write_text(json.dumps(WORKFLOW, indent=2))
    (tmp_path / "conda.yaml").write_text(CONDA)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*arguments: str) -> Result:
    return CliRunner().invoke(olive, arguments, prog_name="olive", catch_exceptions=False)


def test_the_plan_shows_the_environment_and_what_is_changed(cloud: Path) -> None:
    lines = call("plan", "workflow.json").stdout.splitlines()
    start = lines.index("aml:")
    assert lines[:1] == ["Plan: 3 steps, all to run"]
    assert "arc:" not in lines, "no step runs there"
    assert lines[start + 1 : start + 7] == [
        "  jobs run in registry.example/cuda:1, with the packages of conda.yaml, changed for them:",
        f"  python=3.8.13 becomes python=3.11: olive-engine {__version__} needs 3.11 or later",
        f"  accelerate, peft, torch: versions that olive-engine {__version__} does not work with are ruled out",
        "  git+https://github.com/microsoft/Olive@some/branch#egg=olive-ai[gpu] gives way to what olive-engine "
        f"{__version__} needs, with its extra gpu; the engine itself comes with every job",
        "    --- conda.yaml",
        "    +++ conda.yaml (as jobs get it)",
    ]
    removed = [line.removeprefix("    -") for line in lines if line.startswith("    - ")]
    added = [line.split()[-1] for line in lines if line.startswith("    + ")]
    assert [line.split()[-1] for line in removed] == [
        *("python=3.8.13", "accelerate", "peft", "torch>=2.2.0"),
        "git+https://github.com/microsoft/Olive@some/branch#egg=olive-ai[gpu]",
    ]
    assert added[0] == "python=3.11"
    assert {"torch>=2.8", "click>=8.1", "onnxruntime-gpu>=1.23", "transformers>=5.0"} <= set(added)
    assert not any(name.startswith(("optuna", "einops", "azure-", "olive")) for name in added)


def test_the_plan_as_json_has_it_line_by_line(cloud: Path) -> None:
    told = json.loads(call("plan", "workflow.json", "--json").stdout)
    assert list(told["systems"]) == ["aml"]
    lines = told["systems"]["aml"]
    assert lines[4] == "--- conda.yaml"
    assert "-  - python=3.8.13" in lines
    assert not any("\n" in line for line in lines)


def test_nothing_of_azure_is_imported(cloud: Path) -> None:
    command = [sys.executable, "-P", "-X", "importtime", "-m", "olive_engine", "plan", "workflow.json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert re.search(r"^\s+added|^aml:", done.stdout, re.MULTILINE)
    imported = {line.split("|")[-1].strip().split(".")[0] for line in done.stderr.splitlines() if "|" in line}
    assert "olive_systems" in imported
    assert not imported & {"azure", "torch", "requests"}


def test_a_plan_on_this_machine_says_nothing_of_systems(folder: Path) -> None:
    assert json.loads(call("plan", "workflow.yaml", "--json").stdout)["systems"] == {}


@pytest.mark.parametrize(
    ("conda", "message"),
    [
        (None, "no such file: 'conda.yaml'"),
        ("dependencies:\n  - python=3.11\n - pip\n", "conda.yaml is not YAML: "),
        ("name: x\n", "conda.yaml has no list of `dependencies`, as a conda file must"),
        ("dependencies: [{pip: [-r more.txt]}]", "conda.yaml: `-r more.txt` names a file of this machine, which the "),
    ],
)
def test_validate_judges_the_conda_file(cloud: Path, conda: str | None, message: str) -> None:
    (cloud / "conda.yaml").unlink()
    if conda is not None:
        (cloud / "conda.yaml").write_text(conda)
    result = call("validate", "workflow.json")
    assert result.exit_code == 2
    place = r"workflow\.json:\d+:\d+: systems\.aml\.aml_docker_config\.conda_file_path: "
    assert re.search(place + re.escape(message), result.stderr)
    assert call("plan", "workflow.json").exit_code == 2


def test_validate_refuses_to_build_an_image(cloud: Path) -> None:
    given = {"dockerfile": "Dockerfile", "build_context_path": "docker"}
    result = call("validate", "workflow.json", "--set", f"systems.aml.aml_docker_config={json.dumps(given)}")
    assert result.exit_code == 2
    assert "building an image is not available on Azure ML yet; name an image as `base_image`" in result.stderr


def test_a_run_tells_the_notes_before_the_steps_and_only_where_the_environment_is_new(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DetachedSystem, "notes", lambda _: ("this is where it runs", "--- a\n+++ b"))
    (folder / "elsewhere").mkdir()
    words = ("--set", "systems.away={type: DetachedSystem, root: elsewhere}", "--set", "host=away", "--json")

    def events(*more: str) -> list[dict[str, object]]:
        return [json.loads(line) for line in call("run", "workflow.yaml", *words, *more).stdout.splitlines()]

    first = events()
    told = [each["message"] for each in first if each["event"] == "system_said"]
    assert told[:3] == ["this is where it runs", "--- a", "+++ b"]
    names = [each["event"] for each in first]
    assert names.index("system_said") < names.index("step_started")
    again = events("--set", "passes.double.factor=7")
    assert "step_started" in [each["event"] for each in again]
    assert "system_said" not in [each["event"] for each in again], "`olive plan` shows them"


def test_sentences_are_wrapped_and_diffs_are_not() -> None:
    notes = {"aml": ("one two three four five six seven eight nine ten", "-" + "x" * 60 + "\n+y")}
    assert list(notes_lines(notes, 40)) == [
        *("aml:", "  one two three four five six seven", "    eight nine ten", "    -" + "x" * 60, "    +y"),
    ]
    assert list(notes_lines(notes, None))[1] == "  one two three four five six seven eight nine ten"
