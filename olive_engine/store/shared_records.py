"""What a shared cache's record may say, coming from a machine that nobody here knows, and what it says to others."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from pydantic import JsonValue, ValidationError

from olive_engine.digests import digest
from olive_engine.models import Artifact, FileEntry, Manifest, Tree
from olive_engine.store.records import Record

_SHA256 = re.compile(r"[0-9a-f]{64}")


def record_name(key: str) -> str:
    """Where the record of a key is."""
    return f"records/{key[:2]}/{key}.json"


def blob_name(sha256: str) -> str:
    """Where the blob of a digest is."""
    return f"blobs/{sha256[:2]}/{sha256}"


def read_record(content: bytes, key: str) -> Record | None:
    """The record in a file of a shared cache; none if it is torn, edited, another step's, or names what it must not.

    Where it says that bytes are counts for nothing: its trees have no location.
    """
    try:
        raw = json.loads(content)
        if raw["sha256"] != digest(raw["record"]):
            return None
        record = _without_places(Record.model_validate(raw["record"]))
        return record if record.key == key == digest(dict(record.ingredients)) and is_sound(record) else None
    except (ValueError, KeyError, TypeError, ValidationError, RecursionError):
        return None


def unsound_names(tree: Tree) -> str:
    """A file of a tree that must not be written: it would lie outside its folder, or where another has to be a folder.

    Empty: there is none.
    """
    folders = {str(parent) for name in tree.files for parent in PurePosixPath(name).parents}
    for name in tree.files:
        parts = name.split("/")
        odd = "\\" in name or ":" in name or "\0" in name or any(part in ("", ".", "..") for part in parts)
        if odd or name in folders:
            return name or "''"
    return ""


def is_sound(record: Record) -> bool:
    """Whether a record says nothing that could do harm, or that means nothing, on another machine."""
    output = record.output
    if output is None:
        return not record.made
    if not set(record.made) <= set(output.parts) or not _is_artifact(output):
        return False
    trees = output.parts.values()
    named = all(not unsound_names(tree) for tree in trees)
    digests = all(
        _SHA256.fullmatch(entry.sha256) and entry.size >= 0 for tree in trees for entry in tree.files.values()
    )
    entries = {(entry.sha256, entry.size) for tree in trees for entry in tree.files.values()}
    one_size_each = len(entries) == len({sha256 for sha256, _ in entries})
    return named and digests and one_size_each and not _reaches_out(output.attributes)


def for_others(record: Record) -> Record:
    """The record as it is put there: where bytes are here, and what Python they were made by, is nobody's business."""
    provenance = record.provenance.model_copy(update={"source": ""})
    if provenance.environment is not None:
        environment = provenance.environment.model_copy(update={"executable": ""})
        provenance = provenance.model_copy(update={"environment": environment})
    return _without_places(record).model_copy(update={"provenance": provenance})


def made_entries(record: Record) -> Iterator[FileEntry]:
    """The files that the step wrote."""
    for tree in record.trees:
        yield from tree.files.values()


def _without_places(record: Record) -> Record:
    """The record without a word of where bytes are: one from elsewhere could name any folder of this machine."""
    output = record.output
    if output is None:
        return record
    parts = {name: Tree(files=tree.files) for name, tree in output.parts.items()}
    return record.model_copy(update={"output": output.model_copy(update={"parts": parts})})


def _is_artifact(output: Manifest) -> bool:
    """Whether it is of a kind that is known here, with exactly the parts of that kind and attributes that it takes.

    Parts are names of folders wherever they are written.
    """
    cls = Artifact.kinds.get(output.kind)
    if cls is None or set(output.parts) != set(cls.part_names()) or set(output.attributes) & set(output.parts):
        return False
    try:
        Artifact.from_manifest(output, {name: Path(name) for name in output.parts})
    except ValidationError:
        return False
    return True


def _reaches_out(value: JsonValue, name: str = "") -> bool:
    """Whether an attribute allows foreign code, or names a place outside the artifact's own folders."""
    if isinstance(value, Mapping):
        return any(_reaches_out(each, key) for key, each in value.items())
    if isinstance(value, list):
        return any(_reaches_out(each, name) for each in value)
    if isinstance(value, str):
        return value.startswith(("/", "~", "\\", "file:")) or ".." in re.split(r"[/\\]", value) or value[1:3] == ":\\"
    return name == "trust_remote_code" and bool(value)
