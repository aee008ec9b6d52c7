"""What a shared cache's protocol needs to be installed, told without importing it and without the network."""

from __future__ import annotations

from importlib.util import find_spec

_EXTRAS = {"abfs": "azure", "abfss": "azure", "az": "azure", "s3": "s3", "s3a": "s3"}


def library_fault(url: str) -> str:
    """Why a URL cannot be opened here, in a sentence; empty: nothing is known against it."""
    protocol = url.partition("://")[0].rpartition("::")[2]
    if find_spec("fsspec") is None:
        return missing_library(protocol, "fsspec is not installed")
    from fsspec.registry import known_implementations, registry

    if protocol in registry:
        return ""
    if protocol not in known_implementations:
        return f"the protocol {protocol}:// is not known to fsspec; name a folder, or abfs://, s3://, …"
    package = str(known_implementations[protocol]["class"]).partition(".")[0]
    return missing_library(protocol, f"{package} is not installed") if find_spec(package) is None else ""


def missing_library(protocol: str, what: str) -> str:
    """The sentence about a library that a protocol needs and that is not here."""
    extra = _EXTRAS.get(protocol, "shared-cache")
    return f"a library for {protocol}:// is missing ({what}): pip install 'olive-engine[{extra}]'"
