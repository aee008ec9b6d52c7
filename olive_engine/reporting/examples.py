"""The smallest workflow around a pass, made from what the pass declares."""

from __future__ import annotations

import re
from typing import Literal, get_args, get_origin

from pydantic import JsonValue
from pydantic.fields import FieldInfo

from olive_engine.contracts import AnyPass
from olive_engine.models import HfAdapterModel, HfModel, OnnxModel
from olive_engine.options import DataRef, marked

Tree = dict[str, JsonValue]

TEMPLATE = "### Question: {question}\n### Answer:\n{answer}"
ROWS = "data/train.jsonl"
MODELS: dict[str, Tree] = {
    HfModel.__name__: {"type": "HfModel", "model_path": "models/base"},
    HfAdapterModel.__name__: {"type": "HfModel", "model_path": "models/base", "adapter_path": "models/adapter"},
    OnnxModel.__name__: {"type": "OnnxModel", "model_path": "models/onnx"},
}
"""What an input model of each kind is written as."""


def example(cls: type[AnyPass]) -> Tree:
    """A whole workflow whose only pass this is, with the options that must be given."""
    data = [name for name, mark in marked(cls.config_type, DataRef) if mark.required]
    names = {option: option.removesuffix("_data_config") for option in data}
    configs: list[JsonValue] = [
        {
            "name": name,
            "load_dataset_config": {"data_files": ROWS},
            "pre_process_data_config": {"text_template": TEMPLATE},
        }
        for name in dict.fromkeys(names.values())
    ]
    return {
        "input_model": MODELS[cls.accepts[0].__name__],
        **({"data_configs": configs} if configs else {}),
        "passes": {slot_name(cls.type): entry(cls)},
    }


def entry(cls: type[AnyPass]) -> Tree:
    """The pass itself, with the options that must be given."""
    fields = cls.config_type.model_fields
    data: Tree = {
        name: name.removesuffix("_data_config") for name, mark in marked(cls.config_type, DataRef) if mark.required
    }
    given: Tree = {name: _value(cls, name, info) for name, info in fields.items() if info.is_required()}
    several: Tree = {"inputs": ["input_model"]} if cls.takes_many else {}
    return {"type": cls.type, **several, **given, **data}


def slot_name(kind: str) -> str:
    """What an example calls a pass: ``LoRA`` -> ``lora``, ``MergeAdapterWeights`` -> ``merge_adapter_weights``."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z][a-z])", "_", kind)
    return words.lower()


def _value(cls: type[AnyPass], name: str, info: FieldInfo) -> JsonValue:
    """A value for an option that has no default: its first example, or the first of its choices.

    Raises:
        TypeError: it has neither.
    """
    if info.examples:
        found: JsonValue = info.examples[0]
        return found
    if get_origin(info.annotation) is Literal:
        choice: JsonValue = get_args(info.annotation)[0]
        return choice
    raise TypeError(f"{cls.__qualname__}: the option {name} has no default, so it needs `examples=[…]`")
