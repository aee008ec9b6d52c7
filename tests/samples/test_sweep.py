"""The sweep sample: the space it searches, and a short run of it from the search to the int4 model."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from olive_engine import load_workflow
from olive_engine.config.search.values import Choice, FloatRange, IntRange

FOLDER = Path(__file__).parents[2] / "samples" / "sweep"
RATE, RANK, SIZE = "tune.training_args.learning_rate", "tune.r", "tune.training_args.per_device_train_batch_size"


@pytest.fixture
def workflow(monkeypatch):
    monkeypatch.chdir(FOLDER)
    return load_workflow("workflow.yaml")


def test_it_searches_three_options_by_their_usual_names(workflow):
    assert workflow.search_space == {
        RATE: FloatRange(low=1e-6, high=1e-3, log=True),
        RANK: IntRange(low=8, high=64),
        SIZE: Choice(values=(8, 16, 32)),
    }
    assert workflow.search_strategy is not None
    assert (workflow.search_strategy.sampler, workflow.search_strategy.max_samples) == ("random", 20)


def test_no_row_is_both_learned_from_and_chosen_by(workflow):
    parts = {each.name: each.load_dataset_config.split for each in workflow.data_configs}
    assert parts == {"train": "train[:562]", "validation": "train[562:]", "heldout": "train"}


@pytest.mark.slow
def test_a_short_run_gives_an_int4_model_of_the_best_trial(tmp_path):
    """Four trials, two of them to the end; the learning rates are those that teach the model something."""
    command = [
        *(sys.executable, "-m", "olive_engine", "run", "workflow.yaml", "--json"),
        *("--cache-dir", str(tmp_path / "cache"), "--output-dir", str(tmp_path / "output")),
        *("--set", "search_strategy.max_samples=4", "--set", "search_space.learning_rate.low=2e-4"),
        *("--set", "passes.tune.training_args.num_train_epochs=1"),
    ]
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    with (tmp_path / "output" / "trials.csv").open(encoding="utf-8", newline="") as stream:
        trials = list(csv.DictReader(stream))
    assert sorted(each["state"] for each in trials) == ["complete", "complete", "pruned", "pruned"]
    losses = {float(each["values.eval_loss"]): each["best"] for each in trials if each["state"] == "complete"}
    assert losses[min(losses)] == "1"
    report = json.loads((tmp_path / "output" / "run.json").read_bytes())
    assert report["finals"] == ["int4"]
    assert report["metrics"]["int4"]["size.bytes"] < 2_000_000
    assert report["metrics"]["int4"]["accuracy.accuracy_score"] > 0.3  # four tones: a guess is right in a quarter
