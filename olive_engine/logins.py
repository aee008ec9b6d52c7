"""Whether this user is logged in to the model hub and to Azure. No network is asked, and no token is read."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_TRUE = {"1", "on", "yes", "true"}
_HUB_TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
_HUB_OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE")
_AZURE_VARIABLES = (
    "AZURE_TENANT_ID",
    "AZURE_CLIENT_ID",
    "AZURE_CLIENT_SECRET",
    "AZURE_CLIENT_CERTIFICATE_PATH",
    "AZURE_FEDERATED_TOKEN_FILE",
    "AZURE_USERNAME",
    "IDENTITY_ENDPOINT",
    "MSI_ENDPOINT",
)


@dataclass(frozen=True, slots=True)
class HubLogin:
    """The model hub: where a token is found, and what keeps libraries from asking the hub."""

    token: str
    """The variable or the file that holds one; empty: there is none."""
    offline: tuple[str, ...]
    """The variables that say so."""
    cache: Path
    """Where downloads are kept."""


@dataclass(frozen=True, slots=True)
class AzureLogin:
    """Azure: what `DefaultAzureCredential` would find."""

    variables: tuple[str, ...]
    """The names of those that are set for it."""
    cli: bool
    """Whether somebody is logged in with the command `az`."""
    subscriptions: int


def hub_login(environ: Mapping[str, str] = os.environ) -> HubLogin:
    """The state of the log-in to the hub, as huggingface_hub would find it."""
    caches = Path(environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    home = Path(environ.get("HF_HOME") or caches / "huggingface").expanduser()
    file = Path(environ.get("HF_TOKEN_PATH") or home / "token").expanduser()
    variable = next((name for name in _HUB_TOKENS if environ.get(name)), "")
    return HubLogin(
        token=variable or (str(file) if _has_content(file) else ""),
        offline=tuple(name for name in _HUB_OFFLINE if environ.get(name, "").lower() in _TRUE),
        cache=Path(environ.get("HF_HUB_CACHE") or home / "hub").expanduser(),
    )


def azure_login(environ: Mapping[str, str] = os.environ) -> AzureLogin:
    """The state of the log-in to Azure."""
    folder = Path(environ.get("AZURE_CONFIG_DIR") or "~/.azure").expanduser()
    subscriptions = _subscriptions(folder / "azureProfile.json")
    tokens = any(_has_content(folder / f"msal_token_cache.{end}") for end in ("json", "bin"))
    return AzureLogin(
        variables=tuple(name for name in _AZURE_VARIABLES if environ.get(name)),
        cli=tokens and subscriptions > 0,
        subscriptions=subscriptions,
    )


def _has_content(file: Path) -> bool:
    try:
        return file.stat().st_size > 0
    except OSError:
        return False


def _subscriptions(profile: Path) -> int:
    """How many subscriptions the command `az` knows; it writes its profile with a byte order mark."""
    try:
        content = json.loads(profile.read_text(encoding="utf-8-sig"))
        return len(content["subscriptions"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0
