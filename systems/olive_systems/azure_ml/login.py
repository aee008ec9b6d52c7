# ruff: noqa: TID253 - heavy module, imported lazily by olive_systems.azure_ml.failures
"""Why Azure gives no token, in one sentence: nobody is logged in, the login is refused, or it is not reached."""

from __future__ import annotations

import os
import re

from azure.core.exceptions import ClientAuthenticationError, ServiceRequestError, ServiceResponseError

NOBODY = (
    "nobody is logged in to Azure here; run `az login`, or set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET"
)
_ATTEMPT = re.compile(r"^\t(\w+): (.+)$", re.MULTILINE)
"""A line of what a chain of credentials says of one of them."""
_UNREACHED = re.compile(r"connect|resol|timed? ?out|unreachable|getaddrinfo|proxy|SSL", re.IGNORECASE)
_TRIED = "Authentication failed: "
_VERDICT = "AADSTS"
"""What the login service's own words begin with."""


def is_unreached(error: ClientAuthenticationError) -> bool:
    """Whether the login service has said neither yes nor no."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ServiceRequestError | ServiceResponseError):
            return True
        cause = cause.__cause__ or cause.__context__
    if getattr(error, "response", None) is not None:
        return False
    _, reason = _reason(error)
    return _VERDICT not in reason and bool(_UNREACHED.search(reason))


def why_no_token(error: ClientAuthenticationError) -> str:
    """What to do about it."""
    credential, reason = _reason(error)
    if not reason:
        return NOBODY
    if is_unreached(error):
        return f"Azure's login cannot be reached ({reason}); try again later"
    own = credential == "EnvironmentCredential" or (not credential and bool(os.environ.get("AZURE_CLIENT_SECRET")))
    mend = "correct AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET" if own else "log in again: az login"
    return f"Azure's login refuses who asks ({reason}); {mend}"


def _reason(error: ClientAuthenticationError) -> tuple[str, str]:
    """The credential that had something to log in with, and its words; both empty: there was none."""
    text = str(error.message)
    attempts = _ATTEMPT.findall(text)
    if not attempts:
        return "", _brief(text)
    tried = [(name, _brief(said)) for name, said in attempts if said.startswith(_TRIED) or _VERDICT in said]
    return tried[-1] if tried else ("", "")


def _brief(text: str) -> str:
    """The first sentence or two, without the frames of the libraries between."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    line = line.removeprefix(_TRIED).partition(" Trace ID:")[0]
    inner = re.search(r"(?:Failed to [^)\"']+|\[Errno [^)\"']+)", line)
    return (inner[0] if inner and _VERDICT not in line else line).rstrip(". ")
