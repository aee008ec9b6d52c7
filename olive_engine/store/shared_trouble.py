"""What goes wrong with a shared cache, told in one sentence that holds no secret."""

from __future__ import annotations

import re
from collections.abc import Iterable

from olive_engine.errors import SystemUnavailable
from olive_engine.secrecy import MASK

LONG = 8
"""From this length on a piece of a secret (the key in a connection string) is taken out of messages, too."""

_NO_CONTAINER = ("ContainerNotFound", "NoSuchBucket", "No such container", "bucket does not exist")


def told(error: BaseException, secrets: Iterable[str] = ()) -> str:
    """What went wrong in one sentence, without the value of any secret."""
    container = missing_container(error)
    text = str(error).strip().splitlines()[0] if str(error).strip() else ""
    if container:
        text = f"there is no such container or bucket ({container})"
    elif isinstance(error, TimeoutError):
        text = text or "it does not answer"
    elif not isinstance(error, SystemUnavailable):
        text = f"{text[:300]} ({type(error).__name__})" if text else type(error).__name__
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return text


def missing_container(error: BaseException) -> str:
    """What the storage calls the fault that the whole container or bucket is missing; empty: it is another."""
    seen: BaseException | None = error
    while seen is not None:
        text = f"{getattr(seen, 'error_code', '')} {seen}"
        for code in _NO_CONTAINER:
            if code in text:
                return code
        seen = seen.__cause__ or seen.__context__
    return ""


def secret_pieces(values: Iterable[str]) -> frozenset[str]:
    """What must not be told of the values of secrets: each as a whole, and what a connection string is made of."""
    pieces = {piece for value in values for piece in (value, *re.split(r"[;&?]|(?<=\w)=", value))}
    return frozenset(piece for piece in pieces if len(piece) >= LONG)
