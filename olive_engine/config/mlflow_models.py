"""MLflow model folders: which of their files make up a Hugging Face model. Read from ``MLmodel``, without mlflow.

The flavour ``transformers`` keeps the model in ``model/`` (before 2.4.1 in ``pipeline/``) and the tokenizer in
``components/tokenizer/``; Azure ML's ``hftransformers`` and ``hftransformersv2`` keep the parts in ``data/model/``,
``data/config/`` and ``data/tokenizer/``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from pydantic import JsonValue

from olive_engine.config.loader import load
from olive_engine.config.tree import plain
from olive_engine.digests import files_under
from olive_engine.errors import InvalidWorkflow

METADATA = "MLmodel"
"""The file that makes a folder an MLflow model."""

_AZURE = ("hftransformersv2", "hftransformers")
_HINT = "log it with `mlflow.transformers`, or save the model with `save_pretrained`"
_AGAIN = "copy the folder again"

Flavour = Mapping[str, JsonValue]


class NoHuggingFaceModel(ValueError):
    """An MLflow folder has no Hugging Face model that can be read; `hint` says what to do."""

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.hint = hint


def layout(folder: Path, name: str = "") -> dict[str, str] | None:
    """Where the files of the Hugging Face model in an MLflow folder are; None: the folder is no MLflow model.

    Args:
        folder: a model folder.
        name: what messages call it.

    Returns:
        The path under `folder` of each file, by the name that it has in a Hugging Face folder.

    Raises:
        NoHuggingFaceModel: it holds another kind of model, or one that is not complete.
    """
    if not is_mlflow(folder):
        return None
    return _Described(folder, name or str(folder)).layout()


def is_mlflow(folder: Path) -> bool:
    """Whether a folder is to be read as an MLflow model: with a ``config.json`` it is a Hugging Face folder itself."""
    here = (os.path.isfile(folder / name) for name in (METADATA, "config.json"))  # noqa: PTH113 - takes any text
    return next(here) and not next(here)


class _Described:
    """A folder with an ``MLmodel``."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name
        self._metadata = f"{name}/{METADATA}"

    def layout(self) -> dict[str, str]:
        flavours = self._flavours()
        if isinstance(found := flavours.get("transformers"), Mapping):
            return self._of_transformers(found)
        if azure := next((each for name in _AZURE if isinstance(each := flavours.get(name), Mapping)), None):
            data = self._inside(azure.get("model_data") or "data")
            return self._merged(f"{data}/model", f"{data}/config", f"{data}/tokenizer")
        if isinstance(found := flavours.get("pytorch"), Mapping):
            exported = (self._folder / self._inside(found.get("model_data") or "data") / "model.pt2").is_file()
            kind = "an exported graph, without layers" if exported else "a pickle, which can run code"
            raise NoHuggingFaceModel(f"{self._name} is an MLflow model of the flavour pytorch: {kind}", _HINT)
        names = ", ".join(name for name in flavours if name != "python_function") or "python_function"
        raise NoHuggingFaceModel(f"{self._name} is an MLflow model of the flavour {names}, not transformers", _HINT)

    def _flavours(self) -> Mapping[str, JsonValue]:
        try:
            described = plain(load(self._folder / METADATA).root)
        except InvalidWorkflow as error:
            problem = error.problems[0]
            at = f":{problem.position.line}" if problem.position and problem.position.line else ""
            raise NoHuggingFaceModel(f"{self._metadata}{at} cannot be read: {problem.what}", _AGAIN) from None
        flavours = described.get("flavors") if isinstance(described, dict) else None
        if not isinstance(flavours, dict) or not flavours:
            raise NoHuggingFaceModel(f"{self._metadata} names no `flavors`", _AGAIN)
        return flavours

    def _of_transformers(self, flavour: Flavour) -> dict[str, str]:
        binary, source = flavour.get("model_binary"), flavour.get("source_model_name")
        if adapter := flavour.get("peft_adaptor"):
            # What mlflow keeps beside an adapter is no base: its layers have the adapter's names in them.
            base = f"`model_path: {source}`" if source else "`model_path` with the adapter's base"
            raise NoHuggingFaceModel(
                f"{self._name} holds an adapter for {source or 'a model that it does not name'}",
                f"write {base} and `adapter_path: {self._name}/{self._inside(adapter)}`",
            )
        if binary is None and not (self._folder / "pipeline").is_dir():
            revision = flavour.get("source_model_revision")
            pinned = f" with `load_kwargs: {{revision: {revision}}}`" if revision else ""
            raise NoHuggingFaceModel(
                f"{self._name} was logged without its weights, which are those of {source or 'another model'}",
                f"write `model_path: {source}`{pinned}" if source else "log it with `save_pretrained=True`",
            )
        return self._merged(self._inside(binary or "pipeline"), "", "components/tokenizer")

    def _merged(self, model: str, config: str, tokenizer: str) -> dict[str, str]:
        """One set of files from several folders: of the tokenizer's all that is not the model's configuration."""
        if not (self._folder / model).is_dir():
            raise NoHuggingFaceModel(f"{self._metadata} speaks of {model}, which is not there", _AGAIN)
        files = self._files(model) | (self._files(config) if config else {})
        if "config.json" not in files:
            raise NoHuggingFaceModel(f"the folder {self._name}/{model} has no config.json", _HINT)
        files |= {name: place for name, place in self._files(tokenizer).items() if name != "config.json"}
        return dict(sorted(files.items()))

    def _files(self, part: str) -> dict[str, str]:
        return {name: f"{part}/{name}" for name in files_under(self._folder / part)}

    def _inside(self, named: JsonValue) -> str:
        """A path in ``MLmodel``, which must stay in the folder."""
        path = PurePosixPath(named) if isinstance(named, str) else PurePosixPath("..")
        if path.is_absolute() or ".." in path.parts or not path.parts:
            raise NoHuggingFaceModel(f"{self._metadata} names {named!r}, which is no folder in it")
        return str(path)
