# ruff: noqa: TID253 - heavy module, imported lazily by olive_systems.azure_ml.workspace
"""What Azure refuses, in one sentence that says what to do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    DecodeError,
    HttpResponseError,
    ServiceRequestError,
    ServiceResponseError,
)

from olive_engine.errors import SystemUnavailable
from olive_systems.azure_ml.login import is_unreached, why_no_token

_REFUSED, _FORBIDDEN, _NOT_FOUND, _TIMED_OUT, _THROTTLED, _SERVER = 400, 403, 404, 408, 429, 500
T = TypeVar("T")


@contextmanager
def in_words(doing: str, *, missing: str = "") -> Iterator[None]:
    """Turn what the SDK raises into `SystemUnavailable`.

    Args:
        doing: what is being done, to say what could not be: "the compute cpu-cluster cannot be looked up".
        missing: the whole sentence for an answer that it is not there.
    """
    from azure.ai.ml.exceptions import MlException

    try:
        yield
    except AzureError as error:
        root = _root(error)
        raise SystemUnavailable(_sentence(root, doing, missing)) from root
    except MlException as error:
        raise SystemUnavailable(f"{doing}: {_first_line(str(error))}") from error
    except ValueError as error:  # a body that is not what it should be, or an option that a client does not take
        raise SystemUnavailable(f"{doing}: {_first_line(str(error))}") from error


def is_passing(error: SystemUnavailable) -> bool:
    """Whether it may go by itself: the service is away, busy or garbled, and said neither yes nor no."""
    cause = error.__cause__
    if isinstance(cause, DecodeError | ValueError):
        return True
    if isinstance(cause, ClientAuthenticationError) and is_unreached(cause):
        return True
    if isinstance(cause, HttpResponseError) and cause.status_code is not None:
        return cause.status_code in (_TIMED_OUT, _THROTTLED) or cause.status_code >= _SERVER
    return isinstance(cause, ServiceRequestError | ServiceResponseError)


def is_missing(error: SystemUnavailable) -> bool:
    """Whether the service knows nothing of that name."""
    return isinstance(error.__cause__, HttpResponseError) and error.__cause__.status_code == _NOT_FOUND


def is_refused(error: SystemUnavailable) -> bool:
    """Whether the service has understood, and does not do it."""
    cause = error.__cause__
    status = (cause.status_code or 0) if isinstance(cause, HttpResponseError) else 0
    return _REFUSED <= status < _SERVER and not is_passing(error)


def repeated(action: Callable[[], T], retries: int, interval: float, rest: Callable[[float], object] = time.sleep) -> T:
    """Do something that may be done twice until it is done; the SDK repeats no POST whose answer was lost.

    Args:
        action: raises `SystemUnavailable`.
        retries: how often more.
        interval: seconds before the second repetition, then doubled; the first comes at once.
        rest: waits.
    """
    for each in range(retries):
        try:
            return action()
        except SystemUnavailable as error:
            if not is_passing(error):
                raise
        if each:
            rest(interval * 2 ** (each - 1))
    return action()


def _root(error: AzureError) -> AzureError:
    """What the wire has said; the SDK wraps some of it into errors of its own, which tell less."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(
            cause, HttpResponseError | ServiceRequestError | ServiceResponseError | ClientAuthenticationError
        ):
            return cause
        cause = cause.__cause__ or cause.__context__
    return error


def _sentence(error: AzureError, doing: str, missing: str) -> str:
    if isinstance(error, DecodeError):
        return f"{doing}, for Azure's answer cannot be read ({_first_line(error.message)}); try again later"
    if isinstance(error, HttpResponseError) and error.status_code is not None:
        return _refusal(error, error.status_code, doing, missing)
    if isinstance(error, ClientAuthenticationError):
        return why_no_token(error)
    if isinstance(error, ServiceRequestError | ServiceResponseError):
        return f"{doing}, for Azure cannot be reached ({_first_line(error.message)}); try again later"
    return f"{doing}: {_first_line(error.message)}"


def _refusal(error: HttpResponseError, status: int, doing: str, missing: str) -> str:
    said = _said(error)
    if status == _NOT_FOUND and missing:
        return missing
    if isinstance(error, ClientAuthenticationError) and status != _FORBIDDEN:
        return f"{doing}, for Azure does not accept who asks ({said}); log in again: az login"
    if status == _FORBIDDEN:
        return f"{doing}: {said}; ask the workspace's owner for the role that this needs"
    if "quota" in said.lower():
        return f"{doing}: {said}; ask for more quota, or use another compute"
    if status == _THROTTLED:
        return f"{doing}, for Azure is throttling requests; try again later, or raise `max_operation_retries`"
    if status >= _SERVER:
        return f"{doing}, for Azure answered {status} ({said}) however often it was asked; try again later"
    return f"{doing}: {said}"


def _said(error: HttpResponseError) -> str:
    """The service's own words, without the SDK's frame."""
    inner = getattr(error.error, "message", None) if error.error else None
    return _first_line(str(inner or error.message)).rstrip(".")


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "no reason given").rstrip(".")
