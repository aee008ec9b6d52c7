# ruff: noqa: TID253 - heavy module, imported lazily by olive_passes.model_builder
"""Run onnxruntime-genai's model builder and make what it writes the same on every machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
import onnxruntime_genai

# Before any output is captured: these libraries keep the stderr that they find when they are first imported.
import torch  # noqa: F401
import transformers  # noqa: F401

from olive_engine.contracts import Device, Log, Metrics, PassContext
from olive_engine.errors import Stopped
from olive_engine.models import HfModel, OnnxModel
from olive_passes.model_builder.config import ModelBuilderConfig, SearchOptions
from olive_passes.model_builder.output_capture import captured_output
from olive_passes.model_builder.verify import compare, onnx_rows, read_sample, require_agreement

# What of `load_kwargs` does not change which function the weights compute.
NEUTRAL_LOAD_KWARGS = frozenset(
    {"attn_implementation", "device_map", "dtype", "low_cpu_mem_usage", "revision", "torch_dtype", "trust_remote_code"}
)


def build(model: HfModel, config: ModelBuilderConfig, context: PassContext) -> OnnxModel:
    """Build, make reproducible, and verify.

    Raises:
        ValueError: the model or the device is not one that can be built.
        ValueError: the builder failed, or its model does not load or does not agree with its source.
        Stopped: the job was asked to stop.
    """
    _check_source(model)
    provider = _execution_provider(context.device)
    out, report = context.out / "model", context.report
    out.mkdir()
    with captured_output(report):
        sample = read_sample(model, config, context.device)
    _stop_if_asked(context)
    report(Log(message=f"building {config.precision} for {provider}"))
    with captured_output(report):
        _run_builder(model, config, provider, out, context.scratch / "builder")
    _make_reproducible(out, runs_on=provider)
    _write_search_options(out, config.search)
    _stop_if_asked(context)
    report(Log(message=f"comparing with the source model at {len(sample.ids)} positions"))
    with captured_output(report):
        positions, rows = onnx_rows(out, sample, config, context.threads)
    agreement = compare(sample.expected[positions], rows)
    report(Metrics(values={**agreement.metrics(), "rounding_rms_error": sample.explained}))
    require_agreement(agreement, config.precision, sample.explained)
    return OnnxModel(model_path=out, onnx_file_name="model.onnx")


def _check_source(model: HfModel) -> None:
    """Refuse what the builder would read wrongly, or from a pickle."""
    other = sorted(model.load_kwargs.keys() - NEUTRAL_LOAD_KWARGS)
    if other:
        raise ValueError(
            f"ModelBuilder reads the weights as they are stored and cannot apply load_kwargs {', '.join(other)}; "
            "remove them, or save the model as they make it"
        )
    needed = {"config.json": "config.json", "*.safetensors": ".safetensors weights", "*token*": "tokenizer"}
    for pattern, what in needed.items():
        if not any(model.model_path.glob(pattern)):
            raise ValueError(
                f"the model folder {model.model_path} holds no {what}; save model and tokenizer there with "
                "save_pretrained (pickled weights are not read)"
            )


def _execution_provider(device: Device) -> str:
    if device.kind == "npu":
        raise ValueError("ModelBuilder builds for cpu and gpu; this step's system gives it an npu")
    return "cuda" if device.kind == "gpu" else "cpu"


def _stop_if_asked(context: PassContext) -> None:
    if context.should_stop():
        raise Stopped


def _run_builder(model: HfModel, config: ModelBuilderConfig, provider: str, out: Path, cache: Path) -> None:
    """Call the builder in this process."""
    from onnxruntime_genai.models.builder import create_model, parse_extra_options

    # The builder's fp16 graph for the CPU provider fails in its first decoding step ("Shape mismatch attempting to
    # re-use buffer"); the fused one it makes for CUDA runs on a CPU as well.
    builder_provider = "cuda" if config.precision == "fp16" else provider
    arguments = (None, str(model.model_path), str(out), config.precision, builder_provider, str(cache))
    try:
        prepared = parse_extra_options(*arguments, list(_builder_options(model, config)))
        create_model(*arguments, **prepared)
    except (OSError, MemoryError):  # of the machine, not of the model
        raise
    except Exception as error:
        raise ValueError(_builder_failure(model, config, error)) from error


def _builder_failure(model: HfModel, config: ModelBuilderConfig, error: Exception) -> str:
    """One sentence for an exception of the builder, whatever it was."""
    described = json.loads((model.model_path / "config.json").read_text(encoding="utf-8"))
    architecture = ", ".join(described.get("architectures") or ["a model of no stated architecture"])
    cause = f"{type(error).__name__}: {error}".replace(str(model.model_path), "given")
    hint = ""
    if (config.int4_algo_config or "").startswith("k_quant"):
        hint = "; k_quant needs an even number of blocks in each row of a weight: try a smaller int4_block_size"
    return f"onnxruntime-genai's builder cannot build {architecture} in {config.precision} ({cause}){hint}"


def _builder_options(model: HfModel, config: ModelBuilderConfig) -> Iterator[str]:
    """The builder's ``name=value`` words."""
    yield "hf_token=false"
    if model.load_kwargs.get("trust_remote_code"):
        yield "hf_remote=true"
    for flag in ("use_qdq", "exclude_embeds", "exclude_lm_head", "include_hidden_states", "enable_cuda_graph"):
        if getattr(config, flag):
            yield f"{flag}=true"
    for name in ("block_size", "accuracy_level", "algo_config", "is_symmetric"):
        value = getattr(config, f"int4_{name}")
        if value is not None:
            yield f"{name}={_word(value)}"
    if config.int4_op_types_to_quantize:
        yield "op_types_to_quantize=" + "/".join(config.int4_op_types_to_quantize)
    if config.int4_nodes_to_exclude:
        yield "nodes_to_exclude=" + ",".join(config.int4_nodes_to_exclude)
    for name, value in sorted(config.extra_options.items()):
        yield f"{name}={_word(value)}"


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _make_reproducible(out: Path, *, runs_on: str) -> None:
    """Take out of the written files what is of this machine, not of the model."""
    path = out / "model.onnx"
    graph = onnx.load(path, load_external_data=False)
    # The builder appends the commit of whatever repository the Python environment happens to lie in.
    graph.producer_version = onnxruntime_genai.__version__
    path.write_bytes(graph.SerializeToString(deterministic=True))

    tokenizer = _read_json(out / "tokenizer_config.json")
    for name in ("is_local", "local_files_only"):  # how the tokenizer was read here: depends on HF_HUB_OFFLINE
        tokenizer.pop(name, None)
    _write_json(out / "tokenizer_config.json", tokenizer)

    if runs_on == "cpu":
        genai = _read_json(out / "genai_config.json")
        genai["model"]["decoder"]["session_options"]["provider_options"] = []
        _write_json(out / "genai_config.json", genai)


def _write_search_options(out: Path, search: SearchOptions) -> None:
    """Put the options that were given into ``genai_config.json``."""
    given = search.model_dump(exclude_none=True)
    genai = _read_json(out / "genai_config.json")
    longest = genai["model"]["context_length"]
    if given.get("max_length", 0) > longest:
        raise ValueError(f"search.max_length is {given['max_length']}, but the model takes at most {longest} tokens")
    genai["search"] |= given
    _write_json(out / "genai_config.json", genai)


def _read_json(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
