"""Older spellings of the input model: PyTorchModel with its hf_config, ONNXModel, paths that are mappings."""

from __future__ import annotations

from olive_engine.config.legacy.edits import Revision
from olive_engine.config.legacy.resources import url_of
from olive_engine.config.legacy.rules import Dropped, Lifted, Moved, Rewritten, Rule, Valued

_MODEL = ("input_model",)
_CODE = ("model_loader", "model_script")
"""Options that mean: the model is what a user's code makes."""
_HF_TYPES = ("pytorchmodel", "hfmodel", "optimummodel")
_PICKLED = ("pytorch.entiremodel", "pytorch.statedict", "pytorch.torchscript", "pytorch.slicegpt")


def _hf_config(revision: Revision) -> None:
    """Without a path `model_name` is the path; with one it says only where the files once came from."""
    name = ("input_model", "hf_config", "model_name")
    path = (*_MODEL, "model_path")
    if revision.has(name) and revision.value(path) is not None and not revision.is_later(name, path):
        revision.note(name, "`model_path` says where the model is; `model_name` is not needed beside it")
        revision.remove(name)
    elif revision.has(name):
        revision.note(name, "`hf_config.model_name` is called `model_path`")
        revision.remove(path)
        revision.move(name, (*_MODEL, "model_path"))


DATASET = "__input_model_data_config__"
"""What Olive up to 0.5 called the data set that an hf_config describes."""


def _dataset(revision: Revision) -> None:
    """A data set in hf_config is a data config, which metrics name or leave out."""
    path = (*_MODEL, "dataset")
    value = revision.value(path)
    if not isinstance(value, dict):
        revision.remove(path)
        return
    revision.note(path, f"a data set is described under `data_configs`: {DATASET}")
    data = revision.value(("data_configs",))
    if isinstance(data, list):
        revision.put(("data_configs", len(data)), {"name": DATASET, "params_config": value}, path)
    else:
        revision.put(("data_configs", DATASET), {"params_config": value}, path)
    revision.remove(path)


def _kind(revision: Revision) -> None:
    """A PyTorchModel is an HfModel, unless a user's code makes it."""
    path = (*_MODEL, "type")
    kind = revision.value(path)
    if not isinstance(kind, str) or kind.lower() not in _HF_TYPES:
        return
    if any(revision.value((*_MODEL, name)) is not None for name in ("model_loader",)):
        revision.refuse(
            (*_MODEL, "model_loader"),
            "a model that code of your own makes is not available yet",
            "save it as a Hugging Face folder (`save_pretrained`), and name that as `model_path`",
        )
        for name in revision.members(_MODEL):
            if name != "type":
                revision.remove((*_MODEL, name))
        return
    if kind.lower() != "hfmodel":
        revision.note(path, f"`{kind}` is called `HfModel`")
        revision.put(path, "HfModel")


def _path(revision: Revision) -> None:
    """A path written as ``{type: …, config: …}`` is a plain path or a URL."""
    for option in ("model_path", "adapter_path"):
        url_of(revision, (*_MODEL, option))


def _format(revision: Revision) -> None:
    path = (*_MODEL, "model_file_format")
    value = revision.value(path)
    if value is None:
        revision.remove(path)
    elif isinstance(value, str) and value.lower() in _PICKLED:
        revision.refuse(
            path,
            f"`{value}` is not available: such a file is a pickle, which can run code",
            "save the model as a Hugging Face folder with safetensors",
        )
        revision.remove(path)
    else:
        revision.note(path, "not needed: the folder tells its format")
        revision.remove(path)


_EXPORT = "an export finds the inputs and outputs of a model itself"
_NOT_NEEDED = {
    "model_class": "the model's own config.json tells its class",
    "feature": "the task says it",
    "components": _EXPORT,
    "use_ort_implementation": _EXPORT,
}


INPUT_MODEL: tuple[Rule, ...] = (
    Lifted("input_model.config", "what `config` holds stands beside `type`"),
    Moved(
        "input_model.hf_config.model_loading_args",
        "input_model.load_kwargs",
        "`hf_config.model_loading_args` is called `load_kwargs`",
    ),
    Moved(
        "input_model.hf_config.from_pretrained_args",
        "input_model.load_kwargs",
        "`hf_config.from_pretrained_args` is called `load_kwargs`",
    ),
    Moved(
        "input_model.hf_config.hf_from_pretrained_args",
        "input_model.load_kwargs",
        "`hf_config.hf_from_pretrained_args` is called `load_kwargs`",
    ),
    Moved("input_model.hf_config.load_kwargs", "input_model.load_kwargs", "`hf_config.load_kwargs` is `load_kwargs`"),
    Moved("input_model.hf_config.task", "input_model.task", "`hf_config.task` stands beside `type`"),
    Rewritten(_hf_config),
    *(Dropped(f"input_model.hf_config.{name}", why) for name, why in _NOT_NEEDED.items()),
    Lifted("input_model.hf_config", "what `hf_config` holds stands beside `type`"),
    Rewritten(_path),
    Rewritten(_format),
    Valued("input_model.type", {"onnxmodel": "OnnxModel"}, "`{old}` is called `{new}`"),
    *(
        Dropped(f"input_model.{name}", why)
        for name, why in {
            **dict.fromkeys(("io_config", "dummy_inputs_func", "model_script", "script_dir"), _EXPORT),
            **dict.fromkeys(("custom_task_class_name", "custom_task_class_module"), _NOT_NEEDED["model_class"]),
            "generative": "a model that writes text is meant",
            "model_attributes": "what is known of a model is read from its own files",
            "model_storage_kind": "the path tells it",
            **dict.fromkeys(("is_hf_model", "is_hf"), "the type tells it"),
            "is_file": "the path tells it",
            "name": "a model is called by its path",
            "model_components": _EXPORT,
            "inference_settings": "sessions are made for the target's device",
            "use_ort_extensions": "sessions are made for the target's device",
            **_NOT_NEEDED,
        }.items()
    ),
    *(
        Dropped(f"input_model.load_kwargs.{name}", "the hub is asked with your own log-in")
        for name in ("token", "use_auth_token")
    ),
    Lifted("input_model.load_kwargs.extra_args", "what `extra_args` holds stands in `load_kwargs`"),
)

INPUT_MODEL_LAST: tuple[Rule, ...] = (Rewritten(_kind),)

INPUT_MODEL_JOINED: tuple[Rule, ...] = (Rewritten(_dataset),)
