"""Commands of Olive's that are not here: what does the same today, so that a name that is right there is no typo.

Names are those of microsoft/Olive from v0.4 to August 2026.
"""

from __future__ import annotations

from collections.abc import Mapping

_ADAPTERS = (
    "a model and its adapter become one ONNX model with `olive init --goal tuned-onnx`; adapters beside an ONNX model "
    "are not available yet"
)

COMMANDS: Mapping[str, str] = {
    "finetune": "`olive init --goal adapter` writes a workflow that does it, `olive run` runs it",
    "auto-opt": "`olive init --goal onnx` writes a workflow that builds an optimized ONNX model, `olive run` runs it",
    "optimize": "`olive init --goal onnx` writes a workflow that builds an optimized ONNX model, `olive run` runs it",
    "quantize": "`olive init --goal onnx` writes a workflow whose ONNX model has the `precision` of its pass",
    "capture-onnx-graph": "`olive init --goal onnx` writes a workflow that does it, `olive run` runs it",
    "generate-adapter": _ADAPTERS,
    "convert-adapters": _ADAPTERS,
    "export-adapters": _ADAPTERS,
    "extract-adapters": _ADAPTERS,
    "run-pass": "`olive init --passes TYPE` writes a workflow of one pass, `olive run` runs it",
    "benchmark": "a workflow without passes and with an `evaluator` measures its input model; `olive metrics` lists "
    "what can be measured",
    "tune-session-params": "the metrics `latency` and `throughput` measure what is to be tuned; sessions are not tuned "
    "yet",
    "manage-aml-compute": "create the compute with `az ml compute create --type AmlCompute --name NAME --size SIZE "
    "--min-instances 0 --max-instances 2`, and write NAME as `aml_compute`; `az ml compute delete` removes it",
    "diffusion-lora": "models that make images are not available yet",
    "generate-cost-model": "models in several parts are not available yet",
    "generate-model-package": "packaging is not available yet: the final models are folders in `output_dir`",
    "configure-qualcomm-sdk": "passes that need Qualcomm's SDK are not available",
}
"""Command -> the way to the same end, or why there is none."""
