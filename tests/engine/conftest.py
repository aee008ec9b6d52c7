"""Workflows of toy passes: the whole engine in milliseconds."""

import os
from pathlib import Path

import pytest

from olive_engine.config.draft import parse_tree
from olive_engine.testing.toys import build_toy_model

TUNE = {"scale": {"type": "ToyScale"}, "tune": {"type": "ToyTrain"}, "merge": {"type": "ToyMerge"}}
"""A chain like the main job's: a model, an adapter for it, the two merged."""


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """A working directory with a toy model."""
    monkeypatch.chdir(tmp_path)
    build_toy_model(tmp_path / "base", (1.0, 2.0, 3.0))
    return tmp_path


@pytest.fixture
def make(project):
    """Build a workflow from its passes; the rest has defaults."""

    def workflow(passes=TUNE, **more):
        tree = {"input_model": {"type": "HfModel", "model_path": "base"}, "passes": passes, **more}
        return parse_tree(tree, project).raise_if_wrong()

    return workflow


def tree_bytes(folder: Path) -> dict[str, bytes]:
    """Every file under a folder."""
    return {os.path.relpath(path, folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
