"""A folder with the models and the data that the files here name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from olive_engine.testing.tiny_models import build_tiny_model

ROWS = [{"phrase": f"phrase number {index}", "tone": "joy" if index % 2 else "anger"} for index in range(20)]


@pytest.fixture(scope="session")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which every file here can be planned."""
    folder = tmp_path_factory.mktemp("workplace")
    build_tiny_model(folder / "models" / "gpt2", "gpt2")
    build_tiny_model(folder / "models" / "phi3", "phi3")
    build_tiny_model(folder / "models" / "tiny", "llama")
    for onnx in ("built/model.onnx", "picture.onnx"):
        (folder / "models" / onnx).parent.mkdir(exist_ok=True)
        (folder / "models" / onnx).write_bytes(b"a graph")
    (folder / "conda.yaml").write_text("dependencies: [python=3.8, {pip: [olive-ai]}]\n")
    (folder / "data").mkdir()
    (folder / "data" / "rows.json").write_text(json.dumps(ROWS))
    (folder / "data" / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return folder


@pytest.fixture(autouse=True)
def _there(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workplace)
