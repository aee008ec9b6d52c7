"""`olive run --setup`, `--dry-run` and `--list-required-packages`; Olive's spellings of run's options."""

import base64
import hashlib
import json
import os
import subprocess
import sys
import venv
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from olive_engine import installation, requirements
from olive_engine.cli.group import olive as group
from olive_engine.contracts import Known, Objection
from olive_engine.testing.toys import ToyScale

METADATA = ("torch>=2.8; extra == 'cpu'", "onnxruntime>=1.23; extra == 'cpu'", "onnxruntime-gpu>=1.23; extra == 'gpu'")


def call(*arguments: str) -> Result:
    return CliRunner().invoke(group, arguments, prog_name="olive", catch_exceptions=False)


@pytest.fixture
def needy(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workflow whose passes need two libraries, of which one is installed."""
    monkeypatch.setattr(requirements, "requires", lambda _name: list(METADATA))
    monkeypatch.setattr(ToyScale, "requires", ("torch", "nonesuch", "onnxruntime|onnxruntime-gpu"))
    return folder


# --- telling ------------------------------------------------------------------------------------------------------


def test_what_is_required_is_a_requirements_file(needy: Path) -> None:
    result = call("run", "workflow.yaml", "--list-required-packages")
    assert (result.exit_code, result.stdout) == (0, "nonesuch\nonnxruntime>=1.23\ntorch>=2.8\n")
    told = json.loads(call("run", "workflow.yaml", "--list-required-packages", "--json").stdout)
    assert told == {"required": ["nonesuch", "onnxruntime>=1.23", "torch>=2.8"], "elsewhere": {}}


def test_the_flavour_that_is_installed_counts(needy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "package_version", {"onnxruntime-gpu": "1.25"}.get)
    assert "onnxruntime-gpu>=1.23\n" in call("run", "workflow.yaml", "--list-required-packages").stdout


ELSEWHERE = """\
input_model: {type: HfModel, model_path: base}
systems:
  aml: {type: AzureML, aml_compute: cpu, azureml_client: {subscription_id: s, resource_group: g, workspace_name: w}}
  idle: {type: Docker, image_name: olive}
  box: {type: LocalSystem}
passes:
  double: {type: ToyScale, factor: 2}
  triple: {type: ToyScale, factor: 3}
host: aml
"""


@pytest.fixture
def partly_elsewhere(needy: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two steps in an environment that is not this one; no package of it but Azure's is asked for here."""
    monkeypatch.setattr(requirements, "requires", lambda _name: [*METADATA, "azure-ai-ml>=1.20; extra == 'azureml'"])
    (needy / "aml.yaml").write_text(ELSEWHERE)
    return needy


def test_what_runs_elsewhere_is_not_required_here(partly_elsewhere: Path) -> None:
    result = call("run", "aml.yaml", "--list-required-packages")
    left_out = "left out: 2 steps run on aml, which has an environment of its own\n"
    assert (result.exit_code, result.stdout, result.stderr) == (0, "azure-ai-ml>=1.20\n", left_out)
    told = json.loads(call("run", "aml.yaml", "--packages", "--json").stdout)
    assert told == {"required": ["azure-ai-ml>=1.20"], "elsewhere": {"aml": 2}}
    assert call("run", "aml.yaml", "--packages", "--json").stderr == ""


def test_one_of_the_steps_is_here(partly_elsewhere: Path) -> None:
    text = ELSEWHERE.replace("factor: 3", "factor: 3, host: box")
    (partly_elsewhere / "aml.yaml").write_text(text)
    result = call("run", "aml.yaml", "--list-required-packages")
    assert result.stdout.splitlines() == ["azure-ai-ml>=1.20", "nonesuch", "onnxruntime>=1.23", "torch>=2.8"]
    assert result.stderr == "left out: 1 step runs on aml, which has an environment of its own\n"


def test_a_set_up_for_steps_elsewhere(partly_elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "package_version", {"azure-ai-ml": "1.33"}.get)
    assert call("run", "aml.yaml", "--setup").output == (
        "left out: 2 steps run on aml, which has an environment of its own\n"
        "nothing is missing: the workflow needs 1 package here, and all is installed\n"
    )


def test_a_system_that_only_reads_a_url_needs_its_packages(partly_elsewhere: Path) -> None:
    text = ELSEWHERE.replace("host: aml", "host: box").replace(
        "model_path: base", "model_path: azureml://models/m/versions/1"
    )
    (partly_elsewhere / "aml.yaml").write_text(text)
    assert call("run", "aml.yaml", "--list-required-packages").stdout.startswith("azure-ai-ml>=1.20\n")
    (partly_elsewhere / "aml.yaml").write_text(ELSEWHERE.replace("host: aml", "host: box"))
    assert "azure" not in call("run", "aml.yaml", "--list-required-packages").stdout


def test_a_workflow_that_needs_nothing(folder: Path) -> None:
    assert call("run", "workflow.yaml", "--list-required-packages").output == ""
    assert call("run", "workflow.yaml", "--setup").output == (
        "nothing is missing: the workflow needs 0 packages, and all is installed\n"
    )
    assert not (folder / "output").exists()


def test_a_dry_run_shows_what_plan_shows_and_runs_nothing(needy: Path) -> None:
    planned, dry = call("plan", "workflow.yaml"), call("run", "workflow.yaml", "--dry-run")
    assert (dry.exit_code, dry.stdout, dry.stderr) == (0, planned.stdout, planned.stderr)
    assert dry.stdout.startswith("Plan: 3 steps, all to run\n")
    assert dry.stderr == ('warning: systems.local: nonesuch is not installed there; pip install "nonesuch"\n')
    told = json.loads(call("run", "workflow.yaml", "--dry-run", "--json").stdout)
    assert [problem["path"] for problem in told["warnings"]] == [["systems", "local"]]
    assert not (needy / "output").exists()


def test_a_run_without_what_it_needs_is_refused_at_its_place_in_the_file(needy: Path) -> None:
    text = (needy / "workflow.yaml").read_text()
    (needy / "workflow.yaml").write_text(text + "systems:\n  box: {type: LocalSystem}\nhost: box\n")
    result = call("run", "workflow.yaml")
    assert result.exit_code == 2
    assert result.stderr.splitlines()[:2] == [
        'workflow.yaml:7:8: systems.box: nonesuch is not installed there; pip install "nonesuch"',
        "    7 |   box: {type: LocalSystem}",
    ]
    assert result.stderr.endswith("error: nothing was run\n")


@pytest.mark.parametrize(("level", "told"), [("info", 1), ("warning", 1), ("error", 0)])
def test_a_doubt_is_told_and_the_run_goes_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch, level: str, told: int
) -> None:
    def objections(cls: type[ToyScale], config: object, known: Known) -> list[Objection]:
        return [Objection("factor", "slow there", "take a GPU", "warning")] if known.device else []

    monkeypatch.setattr(ToyScale, "objections", classmethod(objections))
    result = call("run", "workflow.yaml", "--debug", "--log-level", level)
    assert result.exit_code == 0
    assert result.output.count("warning: passes.triple.factor: slow there; take a GPU\n") == told


@pytest.mark.parametrize(
    "arguments",
    [
        ("--run-config", "workflow.yaml", "--list_required_packages"),
        ("--config", "workflow.yaml", "--packages"),
        ("workflow.yaml", "--list_required_packages", "--output_path", "elsewhere", "--log_level", "3"),
        ("workflow.yaml", "--list-required-packages", "--output_dir", "elsewhere", "--cache_dir", "there"),
    ],
)
def test_olives_spellings(needy: Path, arguments: tuple[str, ...]) -> None:
    result = call("run", *arguments)
    assert (result.exit_code, result.output) == (0, "nonesuch\nonnxruntime>=1.23\ntorch>=2.8\n")


def test_olives_output_path_is_where_the_models_go(folder: Path) -> None:
    result = call("run", "--run-config", "workflow.yaml", "--output_path", "there", "--log_level", "4", "--debug")
    assert (result.exit_code, result.output) == (0, "")
    assert (folder / "there" / "triple" / "model" / "numbers.json").is_file()


def test_one_thing_at_a_time(folder: Path) -> None:
    result = call("run", "workflow.yaml", "--setup", "--dry-run")
    assert result.exit_code == 2
    assert "only one of --dry-run and --setup at a time" in result.stderr


# --- installing ---------------------------------------------------------------------------------------------------

PLUGIN = """\
from olive_engine.contracts import Pass, PassContext
from olive_engine.models import HfModel
from olive_engine.options import Options


class Nothing(Options):
    pass


class Needy(Pass[Nothing, HfModel, HfModel]):
    type = "Needy"
    requires = ("toy-need",)

    def run(self, model: HfModel, config: Nothing, context: PassContext) -> HfModel:
        raise AssertionError("a set-up runs nothing")


PASSES = (Needy,)
"""


def write_wheel(folder: Path, name: str, version: str) -> None:
    """A distribution with one empty module, as an index would hold it."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": b"",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    rows = []
    for path, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        rows.append(f"{path},sha256={digest},{len(content)}")
    files[f"{info}/RECORD"] = "\n".join([*rows, f"{info}/RECORD,,", ""]).encode()
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        for path, content in files.items():
            wheel.writestr(path, content)


Environment = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def environment(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    """`olive` in an environment of its own, whose pip knows one folder of wheels and no network."""
    root = tmp_path_factory.mktemp("environment")
    venv.create(root / "venv", with_pip=False, symlinks=True)
    site = next((root / "venv" / "lib").glob("python3*/site-packages"))
    # The engine, its dependencies and pip come from the environment that runs this test.
    here = next(path for path in map(Path, sys.path) if (path / "pydantic").is_dir())
    repository = Path(installation.__file__).parents[1]
    sources = [repository, repository / "passes", repository / "systems"]
    (site / "here.pth").write_text("\n".join(map(str, [here, *sources])) + "\n")
    (site / "needy_plugin.py").write_text(PLUGIN)
    info = site / "needy_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: needy-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[olive_engine.passes]\nneedy = needy_plugin:PASSES\n")
    (root / "wheels").mkdir()
    write_wheel(root / "wheels", "toy_need", "1.2")
    (folder / "needy.yaml").write_text(
        "input_model: {type: HfModel, model_path: base}\npasses: {needy: {type: Needy}}\n"
    )
    variables = {**os.environ, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(root / "wheels"), "PIP_NO_CACHE_DIR": "1"}
    variables["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"

    def olive(*arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
        command = [str(root / "venv" / "bin" / "python"), "-P", "-m", "olive_engine", *arguments]
        return subprocess.run(command, cwd=folder, env=variables | more, capture_output=True, text=True, timeout=60)

    yield olive
    assert not (folder / "output").exists()


def test_setup_shows_the_line_installs_and_runs_nothing(environment: Environment) -> None:
    first = environment("run", "--config", "needy.yaml", "--setup")
    assert first.returncode == 0, first.stderr
    assert first.stdout.splitlines()[0] == 'pip install "toy-need"'
    assert "Successfully installed toy-need-1.2" in first.stdout or "toy_need-1.2" in first.stdout
    again = environment("run", "--config", "needy.yaml", "--setup")
    assert again.stdout == "nothing is missing: the workflow needs 1 package, and all is installed\n"


def test_a_failing_pip_is_a_failing_setup(environment: Environment, tmp_path: Path) -> None:
    result = environment("run", "needy.yaml", "--setup", "--json", PIP_FIND_LINKS=str(tmp_path))
    assert result.returncode == 1
    assert "No matching distribution found for toy-need" in result.stderr
    assert json.loads(result.stdout) == {
        "required": ["toy-need"],
        "elsewhere": {},
        "missing": ["toy-need"],
        "pip": 1,
    }
    assert result.stderr.startswith('pip install "toy-need"\n')


def test_an_environment_of_the_operating_system_is_left_alone(
    needy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "EXTERNALLY-MANAGED").touch()
    monkeypatch.setattr("sysconfig.get_path", lambda _name: str(tmp_path))
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    monkeypatch.setattr(installation, "install", lambda *_: pytest.fail("pip was called"))
    result = call("run", "workflow.yaml", "--setup")
    assert result.exit_code == 1
    assert "belongs to the operating system" in result.stderr
    assert "python3 -m venv .venv" in result.stderr


def test_an_environment_without_pip(needy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "find_spec", lambda _name: None)
    result = call("run", "workflow.yaml", "--setup")
    assert result.exit_code == 1
    assert "has no pip; add it with" in result.stderr
