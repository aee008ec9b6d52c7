"""What one workflow gives, another takes: an adapter, an ONNX model."""

import json

import pytest

from tests.acceptance.conftest import Project, main_job, tree_bytes, unmeasured


def test_an_adapter_made_by_one_workflow_is_merged_by_another(project: Project, finished: Project) -> None:
    tuned = project.olive("run", project.write(unmeasured("lora")), "--output-dir", "tuned")
    assert tuned.returncode == 0, tuned.stderr
    assert {step["status"] for step in project.report("tuned")["steps"]} == {"reused"}
    described = json.loads((project.folder / "tuned" / "model_config.json").read_text())
    assert described["model_path"] == str(project.folder / "base"), "the base is referred to, not copied"
    assert described["adapter_path"] == str(project.folder / "tuned" / "adapter")

    tree = {**unmeasured("merge", "int4"), "input_model": described, "output_dir": "built"}
    done = project.olive("run", project.write(tree))
    assert done.returncode == 0, done.stderr
    assert {step["status"] for step in project.report("built")["steps"]} == {"executed"}
    assert tree_bytes(project.folder / "built" / "model") == tree_bytes(finished.folder / "output" / "model")


def test_an_onnx_model_is_measured_without_any_pass(project: Project, finished: Project) -> None:
    described = json.loads((project.folder / "output" / "model_config.json").read_text())
    tree = {**main_job(), "input_model": {**described, "model_path": "output/model"}, "passes": {}}
    del tree["data_configs"][0]
    tree["evaluators"]["tone"]["metrics"][0]["sub_types"] = []
    tree |= {"evaluator": "tone", "output_dir": "measured"}
    done = project.olive("run", project.write(tree))
    assert done.returncode == 0, done.stderr
    measured = project.report("measured")["metrics"]["input_model"]
    assert measured == pytest.approx(finished.report()["metrics"]["int4"])
    assert "input_model" in done.stdout
    assert not (project.folder / "measured" / "model").exists()
