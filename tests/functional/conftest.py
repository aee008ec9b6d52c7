"""A folder with a toy model and workflows over it: real runs, in milliseconds."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from olive_engine.testing.toys import build_toy_model

WORKFLOW = """\
input_model: {type: HfModel, model_path: base}
passes:
  double: {type: ToyScale, factor: 2}
  triple: {type: ToyScale, factor: 3}
  other: {type: ToyScale, factor: 5, input: double}
"""

Olive = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    build_toy_model(tmp_path / "base")
    (tmp_path / "workflow.yaml").write_text(WORKFLOW)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def olive(folder: Path) -> Olive:
    """Run the command as a user does: a process of its own, in the folder."""

    def call(*arguments: str) -> "subprocess.CompletedProcess[str]":
        environment = {name: value for name, value in os.environ.items() if name not in ("FORCE_COLOR", "COLUMNS")}
        return subprocess.run(
            [sys.executable, "-P", "-m", "olive_engine", *arguments],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )

    return call


@pytest.fixture
def judged(folder: Path) -> Path:
    """A workflow that measures the size of each final model, and wants none larger than the input model."""
    (folder / "judged.yaml").write_text(
        WORKFLOW
        + """\
evaluators:
  sizes:
    metrics:
      - name: size
        type: size_on_disk
        sub_types: [{name: bytes, goal: {type: max-degradation, value: 0}}]
evaluator: sizes
"""
    )
    return folder
