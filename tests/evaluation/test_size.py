from __future__ import annotations

from pathlib import Path

from olive_engine.evaluation.size import SizeOnDisk
from olive_engine.models import HfAdapterModel, HfModel, OnnxModel
from olive_engine.options import Options

from .conftest import MakeContext


def test_the_bytes_of_all_files(tmp_path: Path, make_context: MakeContext) -> None:
    model, adapter = tmp_path / "model", tmp_path / "adapter"
    (model / "onnx").mkdir(parents=True)
    adapter.mkdir()
    (model / "model.safetensors").write_bytes(b"x" * 1000)
    (model / "onnx" / "tokenizer.json").write_bytes(b"x" * 20)
    (adapter / "adapter_model.safetensors").write_bytes(b"x" * 3)
    measure, context = SizeOnDisk().measure, make_context()
    assert measure(HfModel(model_path=model), Options(), context).values == {"bytes": 1020}
    assert measure(OnnxModel(model_path=model), Options(), context).values == {"bytes": 1020}
    both = HfAdapterModel(model_path=model, adapter_path=adapter)
    assert measure(both, Options(), context).values == {"bytes": 1023}
