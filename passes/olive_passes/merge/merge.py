# ruff: noqa: TID253 - heavy module, imported lazily by olive_passes.merge
"""The fold of an adapter into its base."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from typing import Any

from peft import PeftConfig, PeftModel, get_peft_model_state_dict
from safetensors import safe_open
from transformers import AutoModelForCausalLM, PreTrainedModel

from olive_engine.digests import files_under
from olive_engine.models import HfAdapterModel, HfModel
from olive_engine.quiet import quiet

WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".msgpack", ".h5", ".gguf", ".index.json")
"""Endings of the base's files that hold weights: the merged model has its own."""


def merge(model: HfAdapterModel, out: Path) -> HfModel:
    """Write base and adapter as one model to `out`; all that the base has beside its weights is copied as it is.

    Raises:
        ValueError: the adapter does not fit the base.
    """
    options: dict[str, Any] = {"use_safetensors": True} | model.load_kwargs
    options.pop("torch_dtype", None)
    options["dtype"] = "auto"  # what the base is stored in
    with quiet():
        base: PreTrainedModel = AutoModelForCausalLM.from_pretrained(model.model_path, local_files_only=True, **options)
        merged = _fold(base, model.adapter_path)
        merged.save_pretrained(out)
    _carry(model.model_path, out)
    return HfModel(model_path=out, task=model.task, load_kwargs=model.load_kwargs)


def _fold(base: PreTrainedModel, adapter: Path) -> PreTrainedModel:
    weights = adapter / "adapter_model.safetensors"
    if not weights.is_file():
        raise ValueError(f"the adapter has no {weights.name}")
    config = PeftConfig.from_pretrained(str(adapter))
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Found missing adapter keys", UserWarning)  # an error below
            model = PeftModel.from_pretrained(base, str(adapter), config=config)
    except (ValueError, RuntimeError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise ValueError(f"the adapter does not fit the base model: {' '.join(lines[:2])}") from error
    _check_names(model, weights)
    tied = base.get_output_embeddings().weight is base.get_input_embeddings().weight  # type: ignore[no-untyped-call]  # transformers leaves it untyped
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Input and output embeddings are no longer tied", UserWarning)  # see below
        merged: PreTrainedModel = model.merge_and_unload(safe_merge=True)
    if tied and merged.get_output_embeddings().weight is not merged.get_input_embeddings().weight:  # type: ignore[no-untyped-call]  # transformers leaves it untyped
        # The adapter brought a head or an embedding of its own; saved as tied, one of the two would be lost.
        merged.config.tie_word_embeddings = False
    return merged


def _check_names(model: PeftModel, weights: Path) -> None:
    """Peft leaves out what it finds no place for, and keeps fresh weights where the file has none."""
    with safe_open(weights, framework="pt") as file:
        written = set(file.keys())
    expected = set(get_peft_model_state_dict(model, save_embedding_layers=False))
    if written != expected:
        odd = sorted(written ^ expected)[0]
        where = "has no place in the base model" if odd in written else "is missing in the adapter"
        raise ValueError(f"the adapter does not fit the base model: {odd} {where}")


def _carry(base: Path, out: Path) -> None:
    """Copy what the base has beside its weights and config: tokenizer, chat template, generation config, model code."""
    written = set(files_under(out)) - {"generation_config.json"}
    for name in files_under(base):
        if name not in written and not name.endswith(WEIGHTS):
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(base / name, out / name)
