"""Files and texts -> `Source`: the raw tree of one workflow file, with positions."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import Literal

from olive_engine.config.json_text import scan
from olive_engine.config.tree import Fault, Source, Text
from olive_engine.config.yaml_text import compose
from olive_engine.errors import InvalidWorkflow, Position, Problem

MAX_BYTES = 32 << 20
"""Size of a workflow file: far beyond any, and small enough to read at once."""

Format = Literal["json", "yaml"]

_FORMATS: dict[str, Format] = {".json": "json", ".yaml": "yaml", ".yml": "yaml"}


def load(path: Path) -> Source:
    """Read a workflow file, JSON or YAML by its suffix; any other suffix: by its first character.

    Raises:
        InvalidWorkflow: it cannot be read, or is not JSON or YAML.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise _invalid(str(path), "no such file", "is the working directory the right one?") from None
    except IsADirectoryError:
        raise _invalid(str(path), "a folder, not a workflow file") from None
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise _invalid(str(path), f"cannot be read: {reason}") from None
    return loads(data, str(path), _FORMATS.get(path.suffix.lower()))


def loads(data: bytes, name: str, kind: Format | None = None) -> Source:
    """Read a workflow from bytes; `name` stands for the file in messages.

    Raises:
        InvalidWorkflow: it is not UTF-8, or not JSON or YAML.
    """
    if len(data) > MAX_BYTES:
        raise _invalid(name, f"larger than {MAX_BYTES >> 20} MiB", "data belong in files of their own")
    text = Text(name, _decode(data, name))
    if kind is None:
        kind = "json" if (text.content or "").lstrip().startswith("{") else "yaml"
    try:
        return Source(text, scan(text) if kind == "json" else compose(text))
    except Fault as fault:
        raise InvalidWorkflow((Problem((), fault.what, fault.hint, text.position(fault.offset)),)) from None


def _decode(data: bytes, name: str) -> str:
    # JSON and YAML begin with an ASCII character: in these encodings it comes with zeros.
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)) or b"\0" in data[:2]:
        raise _invalid(name, "encoded as UTF-16 or UTF-32", "save it as UTF-8")
    data = data.removeprefix(codecs.BOM_UTF8)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        good = data[: error.start].decode("utf-8")
        position = Text(name, good + "?").position(len(good))
        what = f"not UTF-8: the byte 0x{data[error.start]:02x}"
        raise InvalidWorkflow((Problem((), what, "save the file as UTF-8", position),)) from None


def _invalid(name: str, what: str, hint: str = "") -> InvalidWorkflow:
    return InvalidWorkflow((Problem((), what, hint, Position(name, 0, 0)),))
