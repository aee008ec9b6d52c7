"""What flows between steps: frozen descriptions of files on disk, and the manifests that stand for them elsewhere.

An *artifact* (a model, a prepared data set, a training state) is a few attributes and a few *parts*, each a folder of
files. On the disk where a step runs it is an `Artifact` with real paths; in the store, in a job and in a record it is a
`Manifest`: the same attributes, each part a `Tree` of digests. No torch here: nothing is opened.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, ConfigDict, JsonValue, field_validator

from olive_engine.digests import digest


class FileEntry(BaseModel):
    """One file of a tree: its sha256 and its size in bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    sha256: str
    size: int


class Tree(BaseModel):
    """A folder's files by relative posix path, and where their bytes are.

    `location` is empty for bytes in the local store, else a URL: ``file:///…`` for a folder of the user's, or one with
    the scheme of the system that keeps it. Where a folder of the user's is laid out in another way than the model that
    is read from it, `places` says where under `location` each file lies.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    files: dict[str, FileEntry]
    location: str = ""
    places: dict[str, str] = {}

    @field_validator("files", "places")
    @classmethod
    def _in_their_folder(cls, names: dict[str, Any]) -> dict[str, Any]:
        """What is read from elsewhere must not name a file outside the folder that it is fetched into."""
        for path in (*names, *(place for place in names.values() if isinstance(place, str))):
            if "\0" in path or not {"", ".", ".."}.isdisjoint(path.split("/")):
                raise ValueError(f"{path!r} is not the name of a file in a folder")
        return names

    def place_of(self, name: str) -> str:
        """Where a file lies under `location`."""
        return self.places.get(name, name)

    @property
    def digest(self) -> str:
        """The sha256 of names and contents; where the bytes are does not matter."""
        return digest({path: entry.sha256 for path, entry in self.files.items()})

    @property
    def size(self) -> int:
        """The sum of the file sizes in bytes."""
        return sum(entry.size for entry in self.files.values())


def is_local(location: str) -> bool:
    """Whether a tree's location is a folder of the user's on this machine."""
    return location.startswith("file://")


def local_folder(location: str) -> Path:
    """The folder that a ``file://`` location names."""
    return Path(unquote(urlsplit(location).path))


class Manifest(BaseModel):
    """An artifact that may be anywhere: its kind, its attributes, and a tree for each part."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    kind: str
    attributes: dict[str, JsonValue] = {}
    parts: dict[str, Tree] = {}

    @property
    def digest(self) -> str:
        """The sha256 of kind, attributes and part contents."""
        return digest(
            {
                "kind": self.kind,
                "attributes": self.attributes,
                "parts": {name: tree.digest for name, tree in self.parts.items()},
            }
        )

    @property
    def size(self) -> int:
        """The bytes of all parts."""
        return sum(tree.size for tree in self.parts.values())


class Part:
    """Marks a path field of an artifact as a folder that belongs to it."""


Folder = Annotated[Path, Part()]


class Artifact(BaseModel):
    """A description of files on this disk. Subclasses name their parts with `Folder` fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    kinds: ClassVar[dict[str, type[Artifact]]] = {}

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)  # type: ignore[arg-type]  # pydantic's own keyword arguments
        Artifact.kinds[cls.__name__] = cls

    @classmethod
    def part_names(cls) -> tuple[str, ...]:
        """The fields that are folders, in order of definition."""
        return tuple(
            name for name, info in cls.model_fields.items() if any(isinstance(mark, Part) for mark in info.metadata)
        )

    def to_manifest(self, tree_of: Callable[[Path], Tree]) -> Manifest:
        """Describe this artifact by content; `tree_of` digests one part's folder."""
        parts = self.part_names()
        attributes = self.model_dump(mode="json", exclude=set(parts))
        return Manifest(
            kind=type(self).__name__,
            attributes=attributes,
            parts={name: tree_of(getattr(self, name)) for name in parts},
        )

    @staticmethod
    def from_manifest(manifest: Manifest, folders: Mapping[str, Path]) -> Artifact:
        """Rebuild the artifact whose parts lie in `folders`.

        Raises:
            ValueError: the kind is not one that this installation knows.
        """
        if manifest.kind not in Artifact.kinds:
            raise ValueError(f"unknown kind of artifact {manifest.kind!r}; known: {', '.join(sorted(Artifact.kinds))}")
        return Artifact.kinds[manifest.kind](**manifest.attributes, **folders)


class Model(Artifact):
    """Any model that a pass can take or give."""


ModelClass = type[Model]
"""For classes that have an attribute `type` of their own."""


class HfModel(Model):
    """A causal language model in Hugging Face layout: config.json, safetensors weights, tokenizer."""

    model_path: Folder
    task: str = "text-generation"
    load_kwargs: dict[str, JsonValue] = {}


class HfAdapterModel(Model):
    """A base model and a PEFT adapter for it. The base is referred to, never copied."""

    model_path: Folder
    adapter_path: Folder
    task: str = "text-generation"
    load_kwargs: dict[str, JsonValue] = {}

    @property
    def base(self) -> HfModel:
        """The model that the adapter was trained on."""
        return HfModel(model_path=self.model_path, task=self.task, load_kwargs=self.load_kwargs)


class OnnxModel(Model):
    """An ONNX model in a folder; with ``genai_config.json`` beside it, one that onnxruntime-genai can run."""

    model_path: Folder
    onnx_file_name: str = "model.onnx"


class PreparedData(Artifact):
    """A tokenized data set; the files are described in `olive_engine.data.tokens`."""

    data_path: Folder


class SourceFiles(Artifact):
    """Files of the user's that a step reads: the raw rows of a data set."""

    files_path: Folder


class TrialState(Artifact):
    """A training that was stopped between two segments and can go on anywhere."""

    state_path: Folder


class Predictions(Artifact):
    """What a model answered, one JSON object a line in ``predictions.jsonl``."""

    predictions_path: Folder


TOKENIZER_FILES = (
    "token",
    "vocab",
    "merges",
    "special_tokens",
    "added_tokens",
    "chat_template",
    "spiece",
    "config.json",
)


def tokenizer_part(tree: Tree) -> Tree:
    """The files of a model folder that decide how text becomes tokens (no weights)."""
    names = {
        path: entry
        for path, entry in tree.files.items()
        if "/" not in path and (path.startswith(TOKENIZER_FILES) or path.endswith((".tiktoken", ".model")))
    }
    return tree.model_copy(update={"files": names})


class Checkpoint(BaseModel):
    """What the files of a Hugging Face model tell without being loaded: its configuration, and its tensors' shapes."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    config: dict[str, JsonValue]
    """``config.json``."""
    tensors: dict[str, tuple[int, ...]]
    """Name -> shape, from the headers of the safetensors files."""
    dtype: str = ""
    """What most of the weights are stored as, in safetensors' terms: F32, BF16, …"""
    size: int = 0
    """Bytes of all weights."""

    @property
    def positions(self) -> int | None:
        """The longest text in tokens that the model was made for; none where it does not say."""
        found = (self.config.get(name) for name in ("max_position_embeddings", "n_positions", "n_ctx"))
        return next((value for value in found if isinstance(value, int)), None)
