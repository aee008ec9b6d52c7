"""Build an ONNX model that onnxruntime-genai runs, in one of four precisions, and verify it against its source."""

from __future__ import annotations

from olive_engine.contracts import Pass, PassContext
from olive_engine.models import HfModel, OnnxModel
from olive_passes.model_builder.config import ModelBuilderConfig, SearchOptions

__all__ = ["ModelBuilder", "ModelBuilderConfig", "SearchOptions"]


class ModelBuilder(Pass[ModelBuilderConfig, HfModel, OnnxModel]):
    """Build an optimized ONNX model with onnxruntime-genai's builder and verify its logits against the source model.

    Attention, rotary embedding and norms become ONNX Runtime's fused operators; int8 and int4 store the weights of
    matrix products in blocks with a scale each (https://onnxruntime.ai/docs/genai). The result is loaded again and
    its logits are compared with torch's at every position of a sample prompt: a model that does not agree within its
    precision's tolerance is a failed pass, because the builder itself can go wrong without a word.

    It builds for the device that the step runs on: a CPU, or a CUDA device.
    """

    type = "ModelBuilder"
    requires = (
        "torch",
        "transformers",
        "onnx",
        "onnxruntime|onnxruntime-gpu|onnxruntime-directml",
        "onnxruntime-genai|onnxruntime-genai-cuda|onnxruntime-genai-directml",
    )

    def run(self, model: HfModel, config: ModelBuilderConfig, context: PassContext) -> OnnxModel:
        """Write the model, ``genai_config.json`` and the tokenizer to ``context.out / "model"``."""
        from olive_passes.model_builder.build import build

        return build(model, config, context)
