"""The wheel: its names, its schemas, and that it works where decoy folders lie about."""

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


def test_top_level_names(wheel):
    names = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {name for name in names if not name.endswith(".dist-info")} == {
        "olive_engine",
        "olive_passes",
        "olive_systems",
    }


def test_schemas_and_types_are_inside(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    schemas = {f"olive_engine/schemas/{path.name}" for path in (ROOT / "schemas").glob("*.json")}
    assert schemas
    assert schemas <= names
    assert {"olive_engine/py.typed", "olive_passes/py.typed", "olive_systems/py.typed"} <= names


def test_the_tested_versions_are_inside(wheel):
    inside = zipfile.ZipFile(wheel).read("olive_engine/tested_versions.txt").decode()
    assert inside == (ROOT / "constraints.txt").read_text()


def test_an_installed_wheel_validates_beside_decoy_folders(wheel, tmp_path):
    """Not editable, from another folder that holds `passes/`, `systems/` and `schemas/` of the user's own."""
    environment = tmp_path / "venv"
    venv.create(environment, with_pip=False, symlinks=True)
    site = next((environment / "lib").glob("python3*/site-packages"))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    # The dependencies come from the environment that runs this test; the engine itself must come from the wheel.
    here = next(path for path in map(Path, sys.path) if (path / "pydantic").is_dir())
    (site / "dependencies.pth").write_text(f"{here}\n")
    project = tmp_path / "project"
    for decoy in ("passes", "systems", "schemas"):
        (project / decoy).mkdir(parents=True)
        (project / decoy / "__init__.py").write_text("raise SystemExit('a decoy was imported')")
    sample = ROOT / "samples" / "phrase_tone"
    (project / "base_model").symlink_to(sample / "base_model")
    (project / "data").symlink_to(sample / "data")
    (project / "workflow.yaml").write_text((sample / "workflow.yaml").read_text())
    python = environment / "bin" / "python"
    where = subprocess.run(
        [python, "-c", "import olive_engine, olive_passes; print(olive_engine.__file__, olive_passes.__file__)"],
        cwd=project,
        capture_output=True,
        text=True,
        check=True,
    )
    assert all(path.startswith(str(site)) for path in where.stdout.split()), where.stdout
    for command in (["validate", "workflow.yaml"], ["schema"], ["doctor"]):
        done = subprocess.run([python, "-m", "olive_engine", *command], cwd=project, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
