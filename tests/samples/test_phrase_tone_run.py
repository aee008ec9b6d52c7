"""The sample, run whole: what the README and the demo say of it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from olive_engine import load_workflow, run
from olive_engine.evaluation.comparison import correct_count, disagreement, read_predictions, wilson_interval
from olive_engine.models import Predictions

SAMPLE = Path(__file__).parents[2] / "samples" / "phrase_tone"
STAGES = ("input_model", "lora", "merge", "int4")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy of the sample without what runs left in it."""
    folder = tmp_path_factory.mktemp("project") / "phrase_tone"
    shutil.copytree(SAMPLE, folder, ignore=shutil.ignore_patterns(".olive-cache", "output", "corpus", "__pycache__"))
    return folder


@pytest.fixture(scope="module")
def demo(project):
    """What the demo prints."""
    done = subprocess.run([sys.executable, "demo.py"], cwd=project, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def result(project, demo):
    """The same run again, from the cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        return run(load_workflow("workflow.yaml"))


@pytest.fixture(scope="module")
def answers(result):
    folders = {stage: result.predictions[f"{stage}:accuracy"].parent for stage in STAGES}
    return {stage: read_predictions(Predictions(predictions_path=folder)) for stage, folder in folders.items()}


def interval(answers):
    return wilson_interval(correct_count(answers), len(answers))


@pytest.mark.slow
def test_the_tuned_model_is_better_than_the_base_beyond_chance(answers):
    assert {len(rows) for rows in answers.values()} == {160}
    assert interval(answers["lora"])[0] > interval(answers["input_model"])[1]


@pytest.mark.slow
def test_the_merged_model_answers_as_the_tuned_one(answers):
    assert disagreement(answers["lora"], answers["merge"]) == 0


@pytest.mark.slow
def test_the_int4_model_stays_near_its_source(answers, result):
    assert disagreement(answers["lora"], answers["int4"]) <= 0.10
    perplexity = {stage: result.metrics[stage]["perplexity.perplexity"] for stage in STAGES}
    assert perplexity["int4"] / perplexity["merge"] <= 1.15
    assert result.metrics["int4"]["size.bytes"] < result.metrics["merge"]["size.bytes"] / 3


@pytest.mark.slow
def test_a_second_run_reuses_everything(project, result):
    assert result.executed == ()
    again = subprocess.run([sys.executable, "demo.py"], cwd=project, capture_output=True, text=True, check=True)
    assert "everything was reused" in again.stdout


@pytest.mark.slow
def test_the_demo_prints_what_was_measured(demo, answers):
    for stage, title in (("input_model", "base"), ("lora", "tuned (LoRA)"), ("int4", "int4 ONNX")):
        share = correct_count(answers[stage]) / len(answers[stage])
        (line,) = [line for line in demo.splitlines() if line.strip().startswith(title)]
        assert f"{share:.1%}" in line
    assert "TF-IDF + logistic regression" in demo
