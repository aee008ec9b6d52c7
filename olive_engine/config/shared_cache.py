"""The options of a shared cache: where it is, whether results are written to it, how its storage is opened."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any
from urllib.parse import parse_qsl, urlsplit

from pydantic import AfterValidator, Field, JsonValue

from olive_engine.config.variables import REFERENCE
from olive_engine.errors import SystemUnavailable
from olive_engine.options import Options, Secret
from olive_engine.secrecy import looks_secret

OPTIONS_KEY = "storage_options"
"""The option whose references stay as they are written until the storage is opened."""

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")  # a letter alone is a drive of Windows
_WORDS = {"", "anon", "cloud", "browser", "cache", "google_default"}
"""What gcsfs and others take in the place of a secret."""
_SIGNED = {"sig", "se", "sv", "token", "signature", "x-amz-signature", "x-goog-signature"}


def _plain_url(url: str) -> str:
    parts = urlsplit(url)
    if _SCHEME.match(url) and "://" not in url:
        raise ValueError(f"after `{parts.scheme}:` come two slashes: {parts.scheme}://…")
    if parts.scheme == "file" and parts.netloc:
        raise ValueError("a folder's URL begins with file:///; or write its path")
    if parts.password is not None or {name.lower() for name, _ in parse_qsl(parts.query)} & _SIGNED:
        raise ValueError(f"it holds a secret; put that into `{OPTIONS_KEY}`, as ${{env:NAME}}")
    return url


def _only_references(options: dict[str, JsonValue]) -> dict[str, JsonValue]:
    for name, value in _texts(options):
        if not looks_secret(name) or value in _WORDS:
            continue
        reference = REFERENCE.fullmatch(value)
        if reference is None:
            raise ValueError(f"`{name}` is a secret, which is never written into a file: write ${{env:NAME}}")
        if reference[2] is not None:
            what = "is a secret, and a default of it would be written into the file"
            raise ValueError(f"`{name}` {what}: write ${{env:{reference[1]}}} alone")
    return options


class SharedCacheConfig(Options):
    """A cache that machines share: results that are in it need not be computed again. A URL alone is enough."""

    url: Annotated[str, AfterValidator(_plain_url)] = Field(
        min_length=1,
        description="A folder, or any URL that fsspec opens: abfs://CONTAINER/PREFIX, s3://BUCKET/PREFIX, …",
        examples=["/mnt/team/olive-cache", "abfs://olive-cache/phi"],
    )
    write: bool = Field(
        default=False, description="Whether results that are computed here are put there; else it is only read."
    )
    storage_options: Annotated[dict[str, JsonValue], Secret(), AfterValidator(_only_references)] = Field(
        default={},
        description="Passed on to fsspec: account_name, endpoint_url, …; each secret among them as ${env:NAME}.",
        examples=[{"account_name": "myteam", "account_key": "${env:AZURE_STORAGE_KEY}"}],
    )


def from_url(value: object) -> object:
    """What may be written for a shared cache: its URL stands for one that is only read."""
    return {"url": value} if isinstance(value, str) else value


def opened_options(config: SharedCacheConfig) -> tuple[dict[str, Any], frozenset[str]]:
    """The storage options with the values of their variables, and these values: nobody may be told them.

    Raises:
        SystemUnavailable: a variable is not set.
    """
    values: set[str] = set()

    def filled(value: JsonValue) -> Any:
        if isinstance(value, str):
            return REFERENCE.sub(_value, value)
        if isinstance(value, Mapping):
            return {name: filled(each) for name, each in value.items()}
        return [filled(each) for each in value] if isinstance(value, list) else value

    def _value(match: re.Match[str]) -> str:
        found = os.environ.get(match[1]) or match[2]
        if not found:
            raise SystemUnavailable(f"the environment variable {match[1]} is not set, which `{OPTIONS_KEY}` names")
        values.add(found)
        return found

    return {name: filled(value) for name, value in config.storage_options.items()}, frozenset(values)


def _texts(value: JsonValue, name: str = "") -> Iterator[tuple[str, str]]:
    """Every text with the name that it, or the list that it is in, stands under."""
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from _texts(each, key)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each, name)
