# ruff: noqa: TID253 - heavy module, imported lazily by olive_passes.model_builder.verify
"""One pass over a prompt through plain ONNX Runtime, for models without their embedding or head."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(int64)": np.int64}


def session_rows(
    folder: Path, ids: list[int], embeddings: npt.NDArray[np.float32], threads: int
) -> npt.NDArray[np.float64]:
    """The model's first output, ``logits`` or ``hidden_states``, at every position.

    Args:
        folder: with ``model.onnx`` and ``genai_config.json``.
        ids: the tokens, for a model that takes ``input_ids``.
        embeddings: (position, hidden), for one that takes ``inputs_embeds``.
        threads: of the session.

    Returns:
        (position, width).
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    # The wrong device would give the right numbers; the one that the model is for is judged where it is used.
    session = ort.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])
    available = {
        "input_ids": np.array([ids]),
        "inputs_embeds": embeddings[None],
        "attention_mask": np.ones((1, len(ids))),
        "position_ids": np.arange(len(ids))[None],
    }
    decoder = json.loads((folder / "genai_config.json").read_text(encoding="utf-8"))["model"]["decoder"]
    nothing_past = (1, decoder["num_key_value_heads"], 0, decoder["head_size"])
    feeds = {}
    for given in session.get_inputs():
        kind = _TYPES[given.type]
        if given.name in available:
            feeds[given.name] = available[given.name].astype(kind)
        else:  # past keys or values: (batch, heads, positions, head size)
            feeds[given.name] = np.zeros(nothing_past, dtype=kind)
    name = next(output.name for output in session.get_outputs() if output.name in ("logits", "hidden_states"))
    (rows,) = session.run([name], feeds)
    values: npt.NDArray[np.float64] = rows[0].astype(np.float64)
    return values
