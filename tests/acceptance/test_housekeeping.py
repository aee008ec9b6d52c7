"""Cleaning the cache while something else works in it."""

import json
import time
from pathlib import Path

from olive_engine.testing.toys import build_toy_model
from tests.acceptance.conftest import Project, events


def toy_project(folder: Path) -> Project:
    build_toy_model(folder / "base")
    return Project(folder)


def test_what_a_run_is_working_in_survives_a_clean_up(tmp_path: Path) -> None:
    project = toy_project(tmp_path)
    passes = {"quick": {"type": "ToyScale"}} | {name: {"type": "ToyScale", "seconds": 2.0} for name in ("slow", "last")}
    name = project.write({"input_model": {"type": "HfModel", "model_path": "base"}, "passes": passes})
    running = project.start("run", name, "--json")
    assert running.stdout is not None
    while json.loads(running.stdout.readline()).get("step") != "slow":
        pass
    time.sleep(0.3)
    refused = project.olive("cache", "gc", "--older-than", "0")
    assert refused.returncode == 1
    assert "a run is using the cache" in refused.stderr
    stdout, stderr = running.communicate()
    assert running.returncode == 0, stderr
    assert events(stdout)[-1]["event"] == "result"
    assert (tmp_path / "output" / "model" / "numbers.json").read_text() == "[8.0, 16.0, 24.0]"


def test_what_failed_runs_left_behind_is_cleaned_up(tmp_path: Path) -> None:
    project = toy_project(tmp_path)
    passes = {"bad": {"type": "ToyScale", "misbehave": "raise"}}
    name = project.write({"input_model": {"type": "HfModel", "model_path": "base"}, "passes": passes})
    assert project.olive("run", name).returncode == 1
    jobs = tmp_path / ".olive-cache" / "jobs"
    (jobs / "cut short").mkdir()
    assert len(list(jobs.iterdir())) == 2
    assert project.olive("cache", "gc", "--older-than", "0").returncode == 0
    assert list(jobs.iterdir()) == []
