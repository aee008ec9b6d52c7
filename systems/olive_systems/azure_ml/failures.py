# ruff: noqa: TID253 - heavy module, imported lazily by olive_systems.azure_ml.workspace
"""What Azure refuses, in one sentence that says what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ServiceRequestError,
    ServiceResponseError,
)

from olive_engine.errors import SystemUnavailable

_FORBIDDEN, _NOT_FOUND, _THROTTLED, _SERVER = 403, 404, 429, 500
LOGIN = (
    "nobody is logged in to Azure here; run `az login`, or set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET"
)


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
        raise SystemUnavailable(_sentence(error, doing, missing)) from error
    except MlException as error:
        raise SystemUnavailable(f"{doing}: {_first_line(str(error))}") from error


def is_passing(error: SystemUnavailable) -> bool:
    """Whether it may go by itself: the service is away or busy, and said neither yes nor no."""
    cause = error.__cause__
    if isinstance(cause, HttpResponseError):
        status = cause.status_code or 0
        return status == _THROTTLED or status >= _SERVER
    return isinstance(cause, ServiceRequestError | ServiceResponseError)


def is_missing(error: SystemUnavailable) -> bool:
    """Whether the service knows nothing of that name."""
    return isinstance(error.__cause__, HttpResponseError) and error.__cause__.status_code == _NOT_FOUND


def _sentence(error: AzureError, doing: str, missing: str) -> str:
    if isinstance(error, HttpResponseError) and error.status_code is not None:
        return _refusal(error, error.status_code, doing, missing)
    if isinstance(error, ClientAuthenticationError):
        return f"{LOGIN} ({_first_line(error.message)})"
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
