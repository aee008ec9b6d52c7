# ruff: noqa: TID253 - heavy module, imported lazily by subjects.py
"""Evaluation of models in Hugging Face layout, with or without an adapter, through transformers and peft."""

from __future__ import annotations

import inspect
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from olive_engine.contracts import Device
from olive_engine.data.tokenize import load_tokenizer
from olive_engine.evaluation.subjects import Generation, Query
from olive_engine.models import HfAdapterModel, HfModel
from olive_engine.quiet import quiet


def load(model: HfModel | HfAdapterModel, device: Device) -> HfSubject:
    """Load weights, adapter and tokenizer.

    The precision is the model's own (``load_kwargs``, a quantized checkpoint) where it names one; else float32 on a
    CPU, and what the checkpoint is stored in on an accelerator.
    """
    options: dict[str, Any] = {"use_safetensors": True} | dict(model.load_kwargs)
    dtype = options.pop("torch_dtype", None)
    if "dtype" not in options:
        options["dtype"] = dtype if dtype is not None else _default_dtype(model, device)
    with quiet():
        loaded: Any = AutoModelForCausalLM.from_pretrained(model.model_path, local_files_only=True, **options)
        tokenizer = load_tokenizer(model.model_path)
        if isinstance(model, HfAdapterModel):
            loaded = _adapted(loaded, model.adapter_path)
    if "device_map" not in options and getattr(loaded.config, "quantization_config", None) is None:
        loaded = loaded.to(device.torch)
    return HfSubject(loaded.requires_grad_(requires_grad=False).eval(), tokenizer)


class HfSubject:
    """A loaded torch model; see `olive_engine.evaluation.subjects.Subject`."""

    def __init__(self, model: Any, tokenizer: PreTrainedTokenizerFast) -> None:
        self.tokenizer = tokenizer
        self._model = model
        # peft passes on whatever the model inside it takes.
        inner: PreTrainedModel = model.get_base_model() if hasattr(model, "peft_config") else model
        self._takes = frozenset(inspect.signature(inner.forward).parameters)
        self._device = next(inner.parameters()).device
        text = inner.config.get_text_config()
        self.vocabulary = int(text.vocab_size)
        self.context_length: int | None = getattr(text, "max_position_embeddings", None)
        named = (getattr(settings, "eos_token_id", None) for settings in (inner.generation_config, text))
        ends = next((found for found in named if found is not None), ())
        self._ends = frozenset([ends] if isinstance(ends, int) else ends)

    def outputs(self, query: Query) -> int:
        """All positions that are needed, where the model can leave the others out."""
        return query.kept if "logits_to_keep" in self._takes else len(query.tokens)

    @torch.inference_mode()
    def score(self, queries: Sequence[Query]) -> list[list[float]]:
        """One forward pass, padded on the left so that the wanted positions are the last ones of every row."""
        batch = self._padded([query.tokens for query in queries])
        kept = max(query.kept for query in queries)
        if "logits_to_keep" in self._takes:
            batch["logits_to_keep"] = kept
        logits = self._model(**batch, use_cache=False).logits[:, -kept:]
        cells = [
            (row, position - 1 + kept - len(query.tokens), token)
            for row, query in enumerate(queries)
            for position, token in query.asked
        ]
        rows, columns, tokens = torch.tensor(cells, device=logits.device).T
        wanted = logits[rows, columns].float()
        answers = iter((wanted.gather(1, tokens[:, None])[:, 0] - wanted.logsumexp(dim=1)).tolist())
        return [[next(answers) for _ in query.asked] for query in queries]

    @torch.inference_mode()
    def generate(self, prompts: Sequence[Sequence[int]], new_tokens: int, *, stop_at_end: bool = True) -> Generation:
        """Greedy decoding with a key-value cache, and nothing of the model's own generation settings but its end.

        Raises:
            ValueError: the model keeps no key-value cache.
        """
        started = time.perf_counter()
        batch = self._padded(prompts)
        mask = batch["attention_mask"]
        if "logits_to_keep" in self._takes:
            batch["logits_to_keep"] = 1
        written: list[list[int]] = [[] for _ in prompts]
        done = [False] * len(prompts)
        first = started
        for step in range(new_tokens):
            output = self._model(**batch, use_cache=True)
            chosen = output.logits[:, -1].argmax(dim=-1)
            for row, token in enumerate(chosen.tolist()):  # waits for the device
                done[row] = done[row] or (stop_at_end and token in self._ends)
                if not done[row]:
                    written[row].append(token)
            if step == 0:
                first = time.perf_counter()
            if all(done):
                break
            if output.past_key_values is None:
                raise ValueError("the model keeps no key-value cache, so generation with it cannot be measured")
            mask = torch.cat([mask, mask.new_ones(len(prompts), 1)], dim=1)
            batch |= {
                "input_ids": chosen[:, None],
                "attention_mask": mask,
                "past_key_values": output.past_key_values,
            }
            if "position_ids" in batch:
                batch["position_ids"] = batch["position_ids"][:, -1:] + 1
        ended = time.perf_counter()
        return Generation(tuple(tuple(row) for row in written), first - started, ended - first)

    def _padded(self, rows: Sequence[Sequence[int]]) -> dict[str, Any]:
        """Inputs (row, position) with the rows' ends aligned; what is before a row is masked and counts no position."""
        width = max(len(row) for row in rows)
        ids = torch.tensor([[0] * (width - len(row)) + list(row) for row in rows], device=self._device)
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows], device=self._device)
        inputs = {"input_ids": ids, "attention_mask": mask}
        if "position_ids" in self._takes:
            inputs["position_ids"] = (mask.cumsum(dim=1) - 1).clamp(min=0)
        return inputs


def _adapted(base: Any, folder: Path) -> Any:
    """The base with the adapter of `folder` on it.

    Raises:
        ValueError: the adapter is not in safetensors, or was made for another base: peft would leave out what does not
            fit without a word.
    """
    from peft import PeftModel, get_peft_model_state_dict

    file = folder / "adapter_model.safetensors"
    if not file.is_file():
        raise ValueError(f"the adapter has no {file.name}; save it as safetensors first")
    adapted = PeftModel.from_pretrained(base, str(folder))
    with safe_open(file, framework="pt") as tensors:
        stored = set(tensors.keys())
    placed = set(get_peft_model_state_dict(adapted, save_embedding_layers=False))
    if misfits := sorted(name for name in stored ^ placed if not _is_vocabulary(name)):
        raise ValueError(
            f"the adapter does not fit its base model: {len(misfits)} tensors are in one of them only ({misfits[0]}, …)"
        )
    return adapted


def _is_vocabulary(name: str) -> bool:
    """An embedding or head, which peft saves with an adapter that has added tokens."""
    return any(part in ("embed_tokens", "lm_head") for part in name.split("."))


def _default_dtype(model: HfModel | HfAdapterModel, device: Device) -> object:
    config = AutoConfig.from_pretrained(
        model.model_path,
        local_files_only=True,
        trust_remote_code=bool(model.load_kwargs.get("trust_remote_code", False)),
    )
    stored_quantized = getattr(config, "quantization_config", None) is not None
    return torch.float32 if device.kind == "cpu" and not stored_quantized else "auto"
