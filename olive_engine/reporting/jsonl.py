"""Events as JSON lines: ``{"event": "step_finished", "step": "lora", …}``, one object a line, nothing between them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from olive_engine.reporting.events import RunEvent
from olive_engine.reporting.reporter import Reporter

if TYPE_CHECKING:
    from pydantic import JsonValue  # a name for type checkers: `--json` needs no pydantic


class JsonLines(Reporter):
    """Writes each event to a stream as soon as it is heard."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def on_event(self, event: RunEvent) -> None:
        """Write one line and flush it."""
        self._stream.write(json.dumps(event_to_json(event), ensure_ascii=False) + "\n")
        self._stream.flush()


def event_to_json(event: RunEvent) -> dict[str, JsonValue]:
    """The event's fields beside its name: ``StepFinished`` is called ``step_finished``."""
    return {"event": _snake_case(type(event).__name__), **fields_to_json(event)}


def fields_to_json(value: object) -> dict[str, JsonValue]:
    """The fields of a dataclass as a JSON object."""
    if not is_dataclass(value) or isinstance(value, type):
        raise TypeError(f"cannot write {value!r} of type {type(value).__name__} as JSON")
    return {field.name: to_json(getattr(value, field.name)) for field in fields(value)}


def to_json(value: object) -> JsonValue:
    """A value of dataclasses, mappings, sequences, paths and scalars as plain JSON.

    NaN and infinities, which JSON has no word for, become the strings ``"NaN"``, ``"Infinity"`` and ``"-Infinity"``, as
    in the wire format.
    """
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else _NOT_FINITE.get(value, "NaN")
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(name): to_json(item) for name, item in value.items()}
    if isinstance(value, Iterable):
        return [to_json(item) for item in value]
    return fields_to_json(value)


_NOT_FINITE = {math.inf: "Infinity", -math.inf: "-Infinity"}


def _snake_case(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
