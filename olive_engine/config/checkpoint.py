"""What a model's files tell without being loaded: its configuration, and the headers of its weights.

A safetensors file begins with the length of its header, 8 bytes little-endian; the header is JSON
(https://huggingface.co/docs/safetensors).
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from olive_engine.config.mlflow_models import NoHuggingFaceModel, layout
from olive_engine.models import Checkpoint

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
"""Says which tensor is in which file, where there are several."""
MAX_HEADER = 100_000_000
"""Bytes that the format allows for a header."""


class DamagedWeights(ValueError):
    """A file is not what it should be; the message goes on after ``FILE is``."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """What a header says of a tensor."""

    dtype: str
    shape: tuple[int, ...]
    size: int
    """In bytes."""


def read_checkpoint(folder: Path) -> Checkpoint | None:
    """What the files of a model folder tell; None where they cannot be read, or there are no safetensors."""
    try:
        files = model_files(folder)
        config = read_object(files["config.json"])
        tensors = {name: tensor for file in weight_files(files) for name, tensor in read_header(files[file]).items()}
    except (OSError, KeyError, DamagedWeights, NoHuggingFaceModel):
        return None  # what is wrong with it is reported where the input model is checked
    if not tensors:
        return None
    return Checkpoint(
        config=config,
        tensors={name: tensor.shape for name, tensor in tensors.items()},
        dtype=_usual_dtype(tensors.values()),
        size=sum(tensor.size for tensor in tensors.values()),
    )


def model_files(folder: Path, name: str = "") -> dict[str, Path]:
    """The files of a model by the names that they have in a Hugging Face folder; sub-folders are left out.

    Args:
        folder: a Hugging Face folder, or one of MLflow's.
        name: what messages call it.

    Raises:
        OSError: the folder cannot be read.
        NoHuggingFaceModel: it is an MLflow folder with something else in it.
    """
    places = layout(folder, name)
    if places is None:
        return {path.name: path for path in sorted(folder.iterdir()) if path.is_file()}
    return {file: folder / place for file, place in places.items() if "/" not in file}


def weight_files(files: Mapping[str, Path]) -> tuple[str, ...]:
    """The names of the files that the weights are read from: one, those of the index, or else every one there is.

    Raises:
        DamagedWeights: the index cannot be read.
    """
    if WEIGHTS in files:
        return (WEIGHTS,)
    if INDEX not in files:
        return tuple(name for name in files if name.endswith(".safetensors") and not name.startswith("adapter_"))
    where = read_object(files[INDEX]).get("weight_map")
    if not isinstance(where, dict):
        raise DamagedWeights("no index: it has no `weight_map`")
    return tuple(sorted({str(name) for name in where.values()}))


def read_header(file: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file by name.

    Raises:
        DamagedWeights: the file is cut short, or is no safetensors file.
    """
    try:
        found = file.stat().st_size
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if MAX_HEADER < length <= found:
                raise DamagedWeights(f"no safetensors file: its header would be {length} bytes long")
            header = json.loads(stream.read(length)) if length <= found else None
        if header is None:
            raise DamagedWeights(f"cut short: {found} bytes, of which a header of {length} bytes")
        entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
        tensors = {name: _tensor(entry) for name, entry in entries.items()}
        end = 8 + length + max((entry["data_offsets"][1] for entry in entries.values()), default=0)
    except DamagedWeights:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        raise DamagedWeights("no readable safetensors file") from None
    if found != end:
        raise DamagedWeights(f"cut short or damaged: {found} bytes, and its header says {end}")
    return tensors


def read_object(file: Path) -> dict[str, JsonValue]:
    """A JSON file with an object in it.

    Raises:
        DamagedWeights: it cannot be read, or holds something else.
    """
    try:
        value = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise DamagedWeights("not a JSON object")
    return value


def _tensor(entry: Mapping[str, list[int]]) -> Tensor:
    begin, end = entry["data_offsets"]
    shape = entry["shape"]
    if not all(isinstance(size, int) for size in (begin, end, *shape)):
        raise TypeError("sizes must be whole numbers")
    return Tensor(str(entry["dtype"]), tuple(shape), end - begin)


def _usual_dtype(tensors: Iterable[Tensor]) -> str:
    """The dtype of most numbers."""
    numbers: Counter[str] = Counter()
    for tensor in tensors:
        numbers[tensor.dtype] += math.prod(tensor.shape)
    return numbers.most_common(1)[0][0]
