"""A disk that fills up, wherever the engine writes: a failure that says so; the run succeeds once there is room."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from olive_engine.store import Store
from olive_engine.testing.toys import build_toy_model
from tests.acceptance.conftest import Project, environment, tree_bytes, unmeasured


def _may_mount() -> bool:
    unshare = shutil.which("unshare")
    command = [unshare or "", "-m", "sh", "-c", "mount -t tmpfs -o size=16k none /mnt"]
    return unshare is not None and subprocess.run(command, capture_output=True).returncode == 0


pytestmark = pytest.mark.skipif(not _may_mount(), reason="this user may not mount a file system in a namespace")


def run_on_small_disk(
    project: Project, place: str, kilobytes: int, *arguments: str
) -> "subprocess.CompletedProcess[str]":
    """`olive run` where a file system of that size is mounted at `place`, holding what was there.

    It vanishes with its namespace, so a copy of what it held at the end is left at ``<place>.kept``.
    """
    folder = project.folder / place
    folder.mkdir(parents=True, exist_ok=True)
    script = (
        f'rm -rf "$1.kept"; cp -a "$1" "$1.before"; mount -t tmpfs -o size={kilobytes}k none "$1" || exit 99; '
        'cp -a "$1.before/." "$1" || exit 98; rm -rf "$1.before"; place="$1"; shift; "$@"; rc=$?; '
        'cp -a "$place" "$place.kept"; exit $rc'
    )
    command = [
        "unshare",
        "-m",
        "sh",
        "-c",
        script,
        "sh",
        str(folder),
        sys.executable,
        "-P",
        "-m",
        "olive_engine",
        "run",
    ]
    return subprocess.run(
        [*command, *arguments], cwd=project.folder, env=environment(), capture_output=True, text=True, timeout=200
    )


def says_that_the_disk_is_full(done: "subprocess.CompletedProcess[str]", project: Project, *, where: str) -> None:
    assert done.returncode == 1, (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stdout + done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, done.stderr
    assert "o space left on" in errors[0]
    assert str(project.folder / where) in errors[0]


@pytest.fixture
def toys(tmp_path: Path) -> Project:
    """Two passes over 170 kB of numbers."""
    build_toy_model(tmp_path / "base", [float(number) for number in range(20_000)])
    project = Project(tmp_path)
    passes = {name: {"type": "ToyScale", "factor": factor} for name, factor in (("two", 2), ("three", 3))}
    project.write({"input_model": {"type": "HfModel", "model_path": "base"}, "passes": passes})
    return project


@pytest.mark.parametrize("kilobytes", [4, 64, 200, 360, 400])
def test_the_cache_is_on_the_full_disk(toys: Project, kilobytes: int) -> None:
    done = run_on_small_disk(toys, ".olive-cache", kilobytes, "workflow.json")
    if kilobytes == 400:
        assert done.returncode == 0, done.stderr
        return
    says_that_the_disk_is_full(done, toys, where=".olive-cache")
    output = toys.folder / "output"
    assert not (output / "model").exists()
    assert not output.exists() or toys.report()["status"] == "failed"
    shutil.rmtree(toys.folder / ".olive-cache")
    (toys.folder / ".olive-cache.kept").rename(toys.folder / ".olive-cache")
    assert Store(toys.folder / ".olive-cache").verify() == []
    assert toys.olive("run", "workflow.json").returncode == 0
    assert (output / "model" / "numbers.json").read_text().startswith("[0.0, 6.0, 12.0, ")


@pytest.mark.parametrize("kilobytes", [4, 16, 100, 184])
def test_the_output_folder_is_on_the_full_disk(toys: Project, kilobytes: int) -> None:
    done = run_on_small_disk(toys, "output", kilobytes, "workflow.json")
    says_that_the_disk_is_full(done, toys, where="output")
    output = toys.folder / "output"
    shutil.rmtree(output)
    (toys.folder / "output.kept").rename(output)
    left = {name for name in tree_bytes(output) if name.endswith("numbers.json")}
    assert left == set() or toys.report()["status"] == "failed", "no model without a report that says it failed"
    again = toys.olive("run", "workflow.json")
    assert again.returncode == 0, again.stderr
    assert {step["status"] for step in toys.report()["steps"]} == {"reused"}
    assert (output / "model" / "numbers.json").read_text().startswith("[0.0, 6.0, 12.0, ")


@pytest.mark.parametrize(
    ("place", "kilobytes", "failing", "change"),
    [
        (".olive-cache/jobs", 900, "int4", {"int4": {"precision": "fp32"}}),
        (".olive-cache/state", 40, "lora", {"lora": {"r": 15}}),
    ],
    ids=["built model", "checkpoint"],
)
def test_a_pass_runs_out_of_space(
    project: Project, place: str, kilobytes: int, failing: str, change: dict[str, dict[str, object]]
) -> None:
    tree = unmeasured()
    for name, options in change.items():
        tree["passes"][name] |= options
    done = run_on_small_disk(project, place, kilobytes, project.write(tree), "--output-dir", "new")
    says_that_the_disk_is_full(done, project, where=".olive-cache")
    assert f"error: {failing}: " in done.stderr
    assert project.report("new")["status"] == "failed"
    assert [path.name for path in (project.folder / "new").iterdir()] == ["run.json"]
    assert Store(project.folder / ".olive-cache").verify() == []
