"""The action cache: step key -> record of what the step gave, and what for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from olive_engine.contracts import Environment, Resources
from olive_engine.digests import digest
from olive_engine.models import Manifest, Tree
from olive_engine.store.files import write_atomic


class Provenance(BaseModel):
    """How a result came about; nothing of this is in the key."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings", defer_build=True)

    started: float
    """Seconds since the epoch."""
    seconds: float
    system: str
    resources: Resources
    environment: Environment | None = None
    packed: bool = False
    peak_memory: int = 0
    job: str = ""
    """What the system called the job, where it has a name there."""
    source: str = ""
    """The URL of the shared cache that the result was taken from; empty: it was computed for this cache."""


class Record(BaseModel):
    """What a step gave."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings", defer_build=True)

    key: str
    step: str
    kind: str
    type: str
    ingredients: dict[str, JsonValue]
    """All that the key is the digest of, so that a later run can say what has changed."""
    inputs: dict[str, str]
    """Manifest digests of what was really read, by role. A recomputed input with other bytes is a reason to rerun."""
    output: Manifest | None
    made: tuple[str, ...] = ()
    """The parts of the output that the step wrote; the others are its inputs', and only referred to."""
    metrics: dict[str, float]
    provenance: Provenance

    @property
    def trees(self) -> tuple[Tree, ...]:
        """What the step wrote."""
        return tuple(self.output.parts[name] for name in self.made) if self.output else ()

    @property
    def size(self) -> int:
        """The bytes that the step wrote."""
        return sum(tree.size for tree in self.trees)


class Records:
    """The records of a store; each file carries its own digest, so a damaged one reads as none."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def load(self, key: str) -> Record | None:
        """The record of that key; none if there is no intact one."""
        return _read(self._path(key))

    def save(self, record: Record) -> None:
        """Write a record, and remember it as the step's last."""
        content = json.loads(record.model_dump_json())  # not a number and infinity as the wire writes them
        _write(self._path(record.key), content)
        self.mark_last(record.kind, record.type, record.step, record.key)

    def forget(self, key: str) -> None:
        """Remove the record of that key."""
        self._path(key).unlink(missing_ok=True)

    def mark_last(self, kind: str, type_: str, step: str, key: str) -> None:
        """Remember which key the step of that name had when it was last used."""
        write_atomic(self._last(kind, type_, step), key)

    def last(self, kind: str, type_: str, step: str) -> Record | None:
        """The record that the step of that name used last, whatever its key."""
        try:
            return self.load(self._last(kind, type_, step).read_text())
        except (OSError, ValueError):  # none, or damaged: it is only a memory
            return None

    def each(self) -> Iterator[tuple[Path, Record | None]]:
        """Every record file with its record; none where it is damaged."""
        for path in sorted(self._root.glob("by_key/*/*.json")):
            yield path, _read(path)

    def _path(self, key: str) -> Path:
        return self._root / "by_key" / key[:2] / f"{key}.json"

    def _last(self, kind: str, type_: str, step: str) -> Path:
        return self._root / "last" / digest([kind, type_, step])[:32]


def _write(path: Path, content: dict[str, JsonValue]) -> None:
    write_atomic(path, json.dumps({"sha256": digest(content), "record": content}))


def _read(path: Path) -> Record | None:
    try:
        raw = json.loads(path.read_bytes())
        if raw["sha256"] != digest(raw["record"]):
            return None
        return Record.model_validate(raw["record"])
    except OSError:
        return None
    except (ValueError, KeyError, TypeError, ValidationError):  # torn, edited, or of another version: as good as none
        return None
