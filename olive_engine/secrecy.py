"""Secrets in environment variables: which variables hold one, and text without their values."""

from __future__ import annotations

import json
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
KNOWN_FORMS = re.compile(r"\bhf_[A-Za-z0-9]{16,}|(?<=://)[^/\s:@'\"]*:[^/\s@'\"]+(?=@)")
"""Tokens of the model hub, and a user's name and password in a URL."""

_REFERENCE = re.compile(r"\$\{env:\w+\}")
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
        name: MASK if looks_secret(name) and not _REFERENCE.search(text) else KNOWN_FORMS.sub(MASK, text)
        for name, text in variables.items()
    }


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
