"""Safetensors files for tests that only look at headers: the numbers are zeros that take no room on the disk."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

BYTES = {"F32": 4, "BF16": 2, "U8": 1}

TINY_GPT2 = {
    "transformer.wte.weight": (16, 4),
    "transformer.wpe.weight": (8, 4),
    "transformer.h.0.attn.c_attn.weight": (4, 12),
    "transformer.h.0.attn.c_proj.weight": (4, 4),
    "transformer.h.0.mlp.c_fc.weight": (4, 16),
    "transformer.h.0.mlp.c_proj.weight": (16, 4),
}
"""What GPT-2 calls its layers."""


def write_weights(file: Path, shapes: Mapping[str, Sequence[int]], dtype: str = "F32") -> None:
    """Write a safetensors file with these tensors."""
    header, end = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in shapes.items():
        begin, end = end, end + BYTES[dtype] * math.prod(shape)
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        stream.truncate(8 + len(text) + end)


def write_model(folder: Path, shapes: Mapping[str, Sequence[int]] = TINY_GPT2, **config: object) -> Path:
    """Write a model folder that can be looked at, but not loaded."""
    write_weights(folder / "model.safetensors", shapes)
    (folder / "config.json").write_text(json.dumps({"model_type": "gpt2", "n_positions": 8, **config}))
    return folder
