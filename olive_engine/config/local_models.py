"""Whether the input model's files are here. Names on the model hub are left alone: nothing is looked up there."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from olive_engine.config.checkpoint import (
    INDEX,
    DamagedWeights,
    model_files,
    read_header,
    read_object,
    weight_files,
)
from olive_engine.config.data import AZUREML
from olive_engine.config.findings import Findings, nearest, shown
from olive_engine.config.mlflow_models import METADATA, NoHuggingFaceModel, is_mlflow
from olive_engine.config.workflow import HfModelConfig, OnnxModelConfig
from olive_engine.errors import ConfigPath, Position

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.\-]*(/[\w.\-]+)?")
_SHORT = re.compile(r"azureml:(?P<name>[^:/@]+)(?:[:@](?P<version>[^:/@]+))?")
"""What the az command line calls a model of the workspace: ``azureml:NAME:VERSION``."""


def looks_local(name: str, base_dir: Path) -> bool:
    """Whether a model path means a folder or file here: it exists, or it cannot be a hub name (``org/name``)."""
    if os.path.exists(local_path(name, base_dir)):  # noqa: PTH110 - unlike Path.exists it takes any text
        return True
    return not _HUB_NAME.fullmatch(name) or name.lower().endswith((".onnx", ".safetensors", ".bin", ".pt"))


def local_path(name: str, base_dir: Path) -> Path:
    """The path that `name` stands for: ``~`` is the home folder, relative paths start at the working directory."""
    try:
        return base_dir / Path(name).expanduser()
    except RuntimeError:  # no such user
        return base_dir / name


def check_model(config: HfModelConfig | OnnxModelConfig, path: ConfigPath, base_dir: Path, findings: Findings) -> None:
    """Report paths of the input model that are not here, or are not what they should be."""
    name, place = config.model_path, (*path, "model_path")
    if name.startswith(AZUREML):
        pass  # whether it is there only Azure ML can tell
    elif short := _SHORT.fullmatch(name):
        which = f"{AZUREML}models/{short['name']}/versions/{short['version'] or 'V'}"
        findings.add(place, f"{shown(name)} is the short form of the az command line", f"write {which}")
    elif "://" in name:
        findings.add(
            place, f"a URL is not available as a model path yet, found {shown(name)}", "use a folder or a hub name"
        )
    elif isinstance(config, OnnxModelConfig):
        _check_onnx(config, place, base_dir, findings)
    elif is_mlflow(local_path(name, base_dir)):
        _check_mlflow(name, place, base_dir, findings)
    elif looks_local(name, base_dir) or beside_file(name, findings.locate(place)):
        _check_folder(name, "config.json", "model", place, base_dir, findings)
        _check_weights(_files_in(local_path(name, base_dir)), place, findings)
    adapter = config.adapter_path if isinstance(config, HfModelConfig) else None
    if adapter is not None and not adapter.startswith(AZUREML):
        place = (*path, "adapter_path")
        _check_folder(adapter, "adapter_config.json", "adapter", place, base_dir, findings)
        _check_weights(_files_in(local_path(adapter, base_dir)), place, findings)


def _check_mlflow(name: str, place: ConfigPath, base_dir: Path, findings: Findings) -> None:
    try:
        files = model_files(local_path(name, base_dir), name)
    except NoHuggingFaceModel as error:
        findings.add(place, str(error), error.hint)
        return
    _check_object(files["config.json"], place, findings)
    _check_weights(files, place, findings)


def _check_folder(name: str, needed: str, kind: str, place: ConfigPath, base_dir: Path, findings: Findings) -> None:
    folder = local_path(name, base_dir)
    if not os.path.exists(folder):  # noqa: PTH110 - unlike Path.exists it takes any text
        findings.add(place, f"no such folder: {shown(name)}", _where_it_is(name, place, base_dir, findings))
    elif not folder.is_dir():
        findings.add(place, f"expected a folder with {needed}, found the file {shown(name)}")
    elif not os.path.isfile(folder / needed):  # noqa: PTH113 - unreadable is as good as missing here
        inner = _folder_inside(folder, (needed, METADATA) if kind == "model" else (needed,))
        hint = f"did you mean `{Path(name) / inner}`?" if inner else f"expected a Hugging Face {kind} folder"
        findings.add(place, f"the folder {shown(name)} has no {needed}", hint)
    else:
        _check_object(folder / needed, place, findings)


def _check_object(file: Path, place: ConfigPath, findings: Findings) -> None:
    try:
        read_object(file)
    except DamagedWeights as error:
        findings.add(place, f"{file} is {error}", "the file is damaged: copy it again")


def _check_weights(files: Mapping[str, Path], place: ConfigPath, findings: Findings) -> None:
    """Report weights that are not all there, or were cut short, as by a broken download."""
    hint = "copy or download it again"
    for name, file in files.items():
        if name.endswith(".safetensors"):
            try:
                read_header(file)
            except DamagedWeights as error:
                findings.add(place, f"{file} is {error}", hint)
    try:
        missing = [name for name in weight_files(files) if name not in files]
    except DamagedWeights as error:
        findings.add(place, f"{files[INDEX]} is {error}", hint)
        return
    if missing:
        findings.add(place, f"{files[INDEX]} names {', '.join(missing)}, which is not there", hint)


def _check_onnx(config: OnnxModelConfig, place: ConfigPath, base_dir: Path, findings: Findings) -> None:
    name = config.model_path
    location = local_path(name, base_dir)
    if not os.path.exists(location):  # noqa: PTH110 - unlike Path.exists it takes any text
        findings.add(place, f"no such file or folder: {shown(name)}", _where_it_is(name, place, base_dir, findings))
    elif location.is_dir():
        files = [each for each in _names_in(location) if each.lower().endswith(".onnx")]
        wanted = config.onnx_file_name
        if wanted is not None and not os.path.isfile(location / wanted):  # noqa: PTH113 - as above
            findings.unknown_name((*place[:-1], "onnx_file_name"), "file there", wanted, files, listed="the folder has")
        elif wanted is None and not files:
            findings.add(place, f"the folder {shown(name)} has no .onnx file")
        elif wanted is None and len(files) > 1:
            findings.add(
                place, f"the folder {shown(name)} has {len(files)} .onnx files", "choose with `onnx_file_name`"
            )
    elif location.suffix.lower() != ".onnx":
        findings.add(place, f"expected an .onnx file or a folder with one, found {shown(name)}")


def _where_it_is(name: str, place: ConfigPath, base_dir: Path, findings: Findings) -> str:
    """A hint: the same path beside the workflow file, or a near name where it was looked for."""
    if beside := beside_file(name, findings.locate(place)):
        return beside
    looked = local_path(name, base_dir)
    near = nearest(looked.name, _names_in(looked.parent))
    if near is not None:
        return f"did you mean `{Path(name).parent / near}`?"
    return "paths are relative to the working directory" if _is_relative(name) else ""


def beside_file(name: str, position: Position | None) -> str:
    """A hint where a relative path exists beside the file in which it is written; empty: it does not."""
    if position is None or not position.line or not _is_relative(name):
        return ""
    beside = Path(position.file).parent / name
    if not os.path.exists(beside):  # noqa: PTH110 - unlike Path.exists it takes any text
        return ""
    return f"paths are relative to the working directory; it exists as {beside}"


def _is_relative(name: str) -> bool:
    return not (Path(name).is_absolute() or name.startswith("~"))


def _folder_inside(folder: Path, needed: tuple[str, ...]) -> str:
    """The one sub-folder that has one of the files needed; empty: none, or several."""
    found = [name for name in _names_in(folder) if any((folder / name / each).is_file() for each in needed)]
    return found[0] if len(found) == 1 else ""


def _files_in(folder: Path) -> dict[str, Path]:
    """The files of a folder by name; none where it cannot be read: that is reported as the folder's own problem."""
    return {name: folder / name for name in _names_in(folder)}


def _names_in(folder: Path) -> list[str]:
    """The names in a folder, sorted; none where it cannot be read: the message does without."""
    try:
        return sorted(each.name for each in folder.iterdir())
    except (OSError, ValueError):
        return []
