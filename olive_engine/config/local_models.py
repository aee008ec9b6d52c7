"""Whether the input model's files are here. Names on the model hub are left alone: nothing is looked up there."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from olive_engine.config.data import AZUREML
from olive_engine.config.findings import Findings, nearest, shown
from olive_engine.config.workflow import HfModelConfig, OnnxModelConfig
from olive_engine.errors import ConfigPath, Position

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.\-]*(/[\w.\-]+)?")


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
    elif "://" in name:
        findings.add(
            place, f"a URL is not available as a model path yet, found {shown(name)}", "use a folder or a hub name"
        )
    elif isinstance(config, OnnxModelConfig):
        _check_onnx(config, place, base_dir, findings)
    elif looks_local(name, base_dir) or _beside_file(name, findings.locate(place)) is not None:
        _check_folder(name, "config.json", "model", place, base_dir, findings)
        _check_weights(local_path(name, base_dir), place, findings)
    if isinstance(config, HfModelConfig) and config.adapter_path is not None:
        _check_folder(
            config.adapter_path, "adapter_config.json", "adapter", (*path, "adapter_path"), base_dir, findings
        )
        _check_weights(local_path(config.adapter_path, base_dir), (*path, "adapter_path"), findings)


def _check_folder(name: str, needed: str, kind: str, place: ConfigPath, base_dir: Path, findings: Findings) -> None:
    folder = local_path(name, base_dir)
    if not os.path.exists(folder):  # noqa: PTH110 - unlike Path.exists it takes any text
        findings.add(place, f"no such folder: {shown(name)}", _where_it_is(name, place, base_dir, findings))
    elif not folder.is_dir():
        findings.add(place, f"expected a folder with {needed}, found the file {shown(name)}")
    elif not os.path.isfile(folder / needed):  # noqa: PTH113 - unreadable is as good as missing here
        findings.add(place, f"the folder {shown(name)} has no {needed}", f"expected a Hugging Face {kind} folder")
    elif not _is_json_object(folder / needed):
        findings.add(place, f"{folder / needed} is not a JSON object", "the file is damaged: copy it again")


def _check_weights(folder: Path, place: ConfigPath, findings: Findings) -> None:
    """Report weights that were cut short, as by a broken download: each file tells its own size at its start."""
    for name in _names_in(folder):
        if name.endswith(".safetensors") and (what := _damage(folder / name)):
            findings.add(place, f"{folder / name} is {what}", "copy or download it again")


def _damage(file: Path) -> str:
    """What is wrong with a safetensors file by its header (https://huggingface.co/docs/safetensors); empty: nothing."""
    try:
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            found = file.stat().st_size
            header = json.loads(stream.read(length)) if length <= found else None
        if header is None:
            return f"cut short: {found} bytes, of which a header of {length} bytes"
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        expected = 8 + length + max(ends, default=0)
        return "" if found == expected else f"cut short or damaged: {found} bytes, and its header says {expected}"
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError):
        return "no readable safetensors file"


def _is_json_object(file: Path) -> bool:
    try:
        return isinstance(json.loads(file.read_bytes()), dict)
    except (OSError, ValueError):
        return False


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
    beside = _beside_file(name, findings.locate(place))
    if beside is not None:
        return f"paths are relative to the working directory; it exists as {beside}"
    looked = local_path(name, base_dir)
    near = nearest(looked.name, _names_in(looked.parent))
    if near is not None:
        return f"did you mean `{Path(name).parent / near}`?"
    return "" if Path(name).is_absolute() else "paths are relative to the working directory"


def _names_in(folder: Path) -> list[str]:
    """The names in a folder, sorted; none where it cannot be read: the message does without."""
    try:
        return sorted(each.name for each in folder.iterdir())
    except (OSError, ValueError):
        return []


def _beside_file(name: str, position: Position | None) -> Path | None:
    if position is None or not position.line or Path(name).is_absolute():
        return None
    beside = Path(position.file).parent / name
    return beside if os.path.exists(beside) else None  # noqa: PTH110 - unlike Path.exists it takes any text
