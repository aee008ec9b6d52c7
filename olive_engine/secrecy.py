"""Secrets in environment variables: which variables hold one, and text without their values."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO
from urllib.parse import quote

from pydantic import JsonValue

MASK = "****"
LISTED = "OLIVE_ENGINE_SECRETS"
"""The variable in which a system tells its workers which of their variables hold secrets, whatever their names are."""
SHORTEST = 8
"""Characters: the value of a secret that is shorter may be a word of any message, and stays."""
KNOWN_FORMS = re.compile(
    r"\bhf_[A-Za-z0-9]{16,}"
    r"|(?<=://)(?!(?:\$\{(?:env:)?\w+\}:?)+@)"  # references alone are no secret
    r"(?:[^/\s:@'\"]*:[^/\s@'\"]*"
    r"|(?<!abfs://)(?<!abfss://)(?<!wasb://)(?<!wasbs://)(?<!ssh://)(?<!sftp://)[^/\s@'\"]+)(?=@)"
)
"""Tokens of the model hub, and what stands before the host in a URL: a name and password, or a token alone.

A name alone says nothing where it is a container of Azure's, or the user of an SSH server."""
REFERENCE = re.compile(r"\$\{env:([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
"""``${env:NAME}`` and ``${env:NAME:-default}``: a variable of the machine that runs the engine."""

_NAME = re.compile(
    r"(?:token|secret|secrets|passw(?:or)?d|passphrase|credentials?|connection_?string|api_?key|(?:^|_)(?:key|sas|pat))"
    r"(?![a-z])",
    re.IGNORECASE,
)


def looks_secret(name: str) -> bool:
    """Whether a variable of that name holds a secret, by the names that are in use: HF_TOKEN, AZURE_CLIENT_SECRET."""
    return name != LISTED and _NAME.search(name) is not None


def shown(variables: Mapping[str, str]) -> dict[str, JsonValue]:
    """Environment variables as they are set in a file, as they may be seen: references stand, secrets do not."""
    return {
        name: references_of(text) if looks_secret(name) else KNOWN_FORMS.sub(MASK, text)
        for name, text in variables.items()
    }


def references_of(secret: str) -> str:
    """A secret as it is set in a file, as it may be seen: its references, and of nothing else a character."""
    parts: list[str] = []
    end = 0
    for match in REFERENCE.finditer(secret):
        default = f":-{MASK}" if match[2] else ""
        parts += [MASK if match.start() > end else "", f"${{env:{match[1]}{default}}}"]
        end = match.end()
    return "".join([*parts, MASK if secret[end:] else ""])


def counted(variables: Mapping[str, str], own: Mapping[str, str] = os.environ) -> dict[str, JsonValue]:
    """Environment variables as they are set in a file, as they count in keys.

    What a reference leads to counts, unless a name says that it is a secret: then the reference does. One to a
    variable that is not set counts as it is written. Only a digest of this may be kept, for a secret that is written
    into the file counts as it is.

    Args:
        variables: as they are set.
        own: this process's, which references lead to.
    """

    def value(match: re.Match[str]) -> str:
        text, name, default = match[0], match[1], match[2]
        if looks_secret(name):
            return text
        return own.get(name) or default if default is not None else own.get(name, text)

    return {name: text if looks_secret(name) else REFERENCE.sub(value, text) for name, text in variables.items()}


@dataclass(frozen=True, slots=True)
class Secrets:
    """The values of the secrets that a process has."""

    found: re.Pattern[str] | None = None
    """Any of them, as it may stand in a text; none: there is no secret."""

    @classmethod
    def among(cls, variables: Mapping[str, str]) -> Secrets:
        """Those of a process with these environment variables.

        A path of this machine is none, though `LISTED` or its name says so: messages are about paths.
        """
        listed = variables.get(LISTED, "").split(",")
        values = [value for name, value in variables.items() if name in listed or looks_secret(name)]
        texts = {text for value in values if not _is_path(value) for text in _written(value) if len(text) >= SHORTEST}
        longest_first = sorted(texts, key=len, reverse=True)
        return cls(re.compile("|".join(map(re.escape, longest_first))) if texts else None)

    def masked(self, text: str) -> str:
        """A text without them, and without what is a secret by its look."""
        text = self.found.sub(MASK, text) if self.found else text
        return KNOWN_FORMS.sub(MASK, text)


class MaskedStream:
    """A text stream that lets no secret through; one that is written in pieces is not known for one."""

    def __init__(self, stream: TextIO, secrets: Secrets) -> None:
        self._stream = stream
        self._secrets = secrets

    def write(self, text: str) -> int:
        """Write the text without them."""
        self._stream.write(self._secrets.masked(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write each."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> object:
        """Everything else is the stream's own."""
        return getattr(self._stream, name)


def _is_path(value: str) -> bool:
    return value.startswith("/") and "\n" not in value and len(value) < _LONGEST_PATH and Path(value).exists()


_LONGEST_PATH = 1024


def _written(value: str) -> Iterator[str]:
    """How a value may stand in a text: as it is, line by line, quoted by Python or JSON, in a URL."""
    yield value
    yield from (line.strip() for line in value.splitlines())
    yield repr(value)[1:-1]
    yield json.dumps(value)[1:-1]
    yield quote(value, safe="")
