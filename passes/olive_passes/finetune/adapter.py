# ruff: noqa: TID253 - heavy module, imported lazily by olive_passes.finetune
"""Adapters on a model: put on with a seed, written without a trace of this machine."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from safetensors.torch import save_file
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from olive_passes.finetune.modules import absent, advice, borne_by
from olive_passes.finetune.options import LoRAConfig


def attach(model: PreTrainedModel, config: LoRAConfig, seed: int) -> PeftModel:
    """Put fresh adapters on `model` in place; the same seed gives the same weights.

    Raises:
        ValueError: a target module or a module to save is not in the model.
    """
    linear: dict[str, nn.Module] = {
        name: module for name, module in model.named_modules() if isinstance(module, nn.Linear | Conv1D)
    }
    if config.target_modules is not None:
        _check_names("target_modules", config.target_modules, list(linear))
    targets = config.target_modules or _all_but_head(model, linear)
    if config.modules_to_save is not None:
        _check_names("modules_to_save", config.modules_to_save, [name for name, _ in model.named_modules() if name])
    chosen = [module for name, module in linear.items() if any(borne_by(name, target) for target in targets)]
    torch.manual_seed(seed)
    adapted = get_peft_model(
        model,
        LoraConfig(
            task_type="CAUSAL_LM",
            r=config.r,
            lora_alpha=config.alpha,  # type: ignore[arg-type]  # a float works, and is what it is
            lora_dropout=config.lora_dropout,
            target_modules=targets,
            modules_to_save=config.modules_to_save,
            bias=config.bias,
            use_rslora=config.use_rslora,
            init_lora_weights=config.init_lora_weights,
            # Conv1D (GPT-2) holds its weight transposed.
            fan_in_fan_out=any(isinstance(module, Conv1D) for module in chosen),
        ),
    )
    # In 4 bits it was turned round, but the adapter is for the model on disk.
    written = cast(LoraConfig, adapted.peft_config["default"])
    written.fan_in_fan_out = any(_is_conv1d_on_disk(module) for module in chosen)
    return adapted


def save_adapter(model: PeftModel, folder: Path) -> None:
    """Write ``adapter_model.safetensors`` and ``adapter_config.json``; equal adapters give equal bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    state = get_peft_model_state_dict(model, save_embedding_layers=False)
    tensors = {name: state[name].detach().cpu().contiguous().clone() for name in sorted(state)}
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    written = model.peft_config["default"].to_dict()
    # The base is named by the workflow, not by a path of this machine.
    written |= {"inference_mode": True, "base_model_name_or_path": None}
    text = json.dumps(written, indent=2, sort_keys=True, default=_plain)
    (folder / "adapter_config.json").write_text(text + "\n", encoding="utf-8")


def _all_but_head(model: PreTrainedModel, linear: Mapping[str, nn.Module]) -> list[str]:
    """The linear layers by the ends of their names, in full where an end is also the head's."""
    head = model.get_output_embeddings()  # type: ignore[no-untyped-call]  # transformers leaves it untyped
    names = [name for name, module in linear.items() if module is not head]
    heads = {name.rsplit(".", 1)[-1] for name, module in linear.items() if module is head}
    ends = {name.rsplit(".", 1)[-1] for name in names}
    return sorted(names if ends & heads else ends)


def _check_names(option: str, wanted: Sequence[str], existing: Sequence[str]) -> None:
    if missing := absent(wanted, existing):
        raise ValueError(f"{option}: the model has no module named {missing[0]}; {advice(missing[0], existing)}")


def _is_conv1d_on_disk(module: nn.Module) -> bool:
    return getattr(module, "source_cls", type(module)) is Conv1D


def _plain(value: object) -> object:
    if isinstance(value, set | frozenset):
        return sorted(value)
    raise TypeError(f"peft's adapter config holds {value!r}, which is not JSON")
