"""The main job on a small model, through the real command: a base, LoRA, merge, int4, every stage measured.

One run of it is shared by all tests. A test that runs on takes a copy of that folder, cache and all; a test that needs
an empty cache takes a fresh folder.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from olive_engine.testing.tiny_models import build_tiny_model

MOODS = {"Joy": "what joy", "Sad": "so sad", "Fear": "I fear", "Surprise": "how sudden"}
THINGS = ("today", "the rain", "my dog", "that house", "this song", "a letter", "the sea", "her laugh")
SAVE_STEPS, MAX_STEPS = 10, 60
Tree = dict[str, Any]


def rows() -> list[dict[str, str]]:
    """Phrases whose tone stands in their first words: a model of two layers learns it in seconds."""
    return [{"phrase": f"{start} {thing}", "tone": tone} for thing in THINGS for tone, start in MOODS.items()]


def write_rows(path: Path, chosen: list[dict[str, str]]) -> None:
    """A jsonl file."""
    path.write_text("".join(json.dumps(row) + "\n" for row in chosen))


def main_job() -> Tree:
    """The workflow as one would write it."""
    prompt = {"text_template": "{phrase}\n{tone}", "completion_only_loss": True, "max_seq_len": 64}
    return {
        "input_model": {"type": "HfModel", "model_path": "base"},
        "data_configs": [
            {
                "name": name,
                "load_dataset_config": {"data_files": f"{name}.jsonl"},
                "pre_process_data_config": prompt,
            }
            for name in ("train", "heldout")
        ],
        "evaluators": {
            "tone": {
                "metrics": [
                    {
                        "name": "accuracy",
                        "type": "accuracy",
                        "data_config": "heldout",
                        "sub_types": [{"name": "accuracy_score", "goal": {"type": "min-improvement", "value": 0.2}}],
                    },
                    {
                        "name": "perplexity",
                        "type": "perplexity",
                        "data_config": "heldout",
                        "sub_types": [{"name": "perplexity", "goal": {"type": "threshold", "value": 1.001}}],
                    },
                ]
            }
        },
        "passes": {
            "lora": {
                "type": "LoRA",
                "r": 16,
                "alpha": 32,
                "train_data_config": "train",
                "training_args": {
                    "learning_rate": 0.01,
                    "max_steps": MAX_STEPS,
                    "per_device_train_batch_size": 8,
                    "logging_steps": 1,
                    "save_steps": SAVE_STEPS,
                },
                "evaluator": "tone",
            },
            "merge": {"type": "MergeAdapterWeights", "evaluator": "tone"},
            "int4": {"type": "ModelBuilder", "precision": "int4", "evaluator": "tone"},
        },
    }


def unmeasured(*passes: str) -> Tree:
    """The same job without evaluations, and with the passes named only."""
    tree = main_job()
    for entry in tree["passes"].values():
        del entry["evaluator"]
    del tree["evaluators"]
    return {**tree, "passes": {name: tree["passes"][name] for name in passes or tree["passes"]}}


@dataclass(frozen=True)
class Project:
    """A folder with a base model, rows and a workflow, and the command in it."""

    folder: Path

    def write(self, tree: Mapping[str, Any], name: str = "workflow.json") -> str:
        """Write a workflow file; gives its name."""
        (self.folder / name).write_text(json.dumps(tree))
        return name

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """`olive` with these arguments, running."""
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "olive_engine", *arguments],
            cwd=self.folder,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def olive(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """`olive` with these arguments, run to its end."""
        process = self.start(*arguments)
        stdout, stderr = process.communicate(timeout=200)
        return subprocess.CompletedProcess(arguments, process.returncode, stdout, stderr)

    def report(self, output: str = "output") -> Tree:
        """What ``run.json`` says."""
        told: Tree = json.loads((self.folder / output / "run.json").read_text())
        return told

    def step(self, name: str, output: str = "output") -> Tree:
        """What ``run.json`` says of a step."""
        return next(step for step in self.report(output)["steps"] if step["step"] == name)

    def copy(self, target: Path) -> "Project":
        """The same, cache and all, elsewhere."""
        shutil.copytree(self.folder, target, symlinks=True, dirs_exist_ok=True)
        return Project(target)


def environment() -> dict[str, str]:
    """A user's: nothing that colours the output."""
    hidden = ("FORCE_COLOR", "COLUMNS", "PYTHONPATH")
    return {name: value for name, value in os.environ.items() if name not in hidden} | {"HF_HUB_OFFLINE": "1"}


def events(stdout: str) -> list[Tree]:
    """The lines that ``--json`` prints."""
    return [json.loads(line) for line in stdout.splitlines()]


def tree_bytes(folder: Path) -> dict[str, bytes]:
    """Every file under a folder."""
    return {os.path.relpath(path, folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="session")
def materials(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base model and rows, before any run."""
    folder = tmp_path_factory.mktemp("materials")
    build_tiny_model(folder / "base")
    everything = rows()
    write_rows(folder / "train.jsonl", everything[:24])
    write_rows(folder / "heldout.jsonl", everything[24:])
    return folder


@pytest.fixture
def fresh(materials: Path, tmp_path: Path) -> Project:
    """A folder where nothing has run."""
    return Project(Path(shutil.copytree(materials, tmp_path, dirs_exist_ok=True)))


@pytest.fixture(scope="session")
def first(
    materials: Path, tmp_path_factory: pytest.TempPathFactory
) -> "tuple[Project, subprocess.CompletedProcess[str]]":
    """The main job, run once: where, and what the command said."""
    project = Project(Path(shutil.copytree(materials, tmp_path_factory.mktemp("first"), dirs_exist_ok=True)))
    done = project.olive("run", project.write(main_job()), "--json")
    assert done.returncode == 0, done.stderr
    return project, done


@pytest.fixture(scope="session")
def finished(first: "tuple[Project, subprocess.CompletedProcess[str]]") -> Project:
    """Where the main job has run. Not to be run in: see `project`."""
    return first[0]


@pytest.fixture
def project(finished: Project, tmp_path: Path) -> Project:
    """A copy of the folder where the main job has run."""
    return finished.copy(tmp_path)
