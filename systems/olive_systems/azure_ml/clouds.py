"""Which of Azure's clouds it is: the public one, or one that is kept apart."""

from __future__ import annotations

import os
from dataclasses import dataclass

from olive_engine.errors import SystemUnavailable

VARIABLE = "AZUREML_CURRENT_CLOUD"
"""Where Azure ML's SDK looks, too."""


@dataclass(frozen=True, slots=True)
class Cloud:
    """The hosts of a cloud."""

    management: str
    """Manages resources; tokens for Azure ML are of it."""
    login: str
    vaults: str
    """The domain of key vaults."""
    registries: str
    """Says where each registry is."""


CLOUDS = {
    "AzureCloud": Cloud(
        "management.azure.com", "login.microsoftonline.com", "vault.azure.net", "eastus.api.azureml.ms"
    ),
    "AzureChinaCloud": Cloud(
        "management.chinacloudapi.cn", "login.chinacloudapi.cn", "vault.azure.cn", "chinaeast2.api.ml.azure.cn"
    ),
    "AzureUSGovernment": Cloud(
        "management.usgovcloudapi.net",
        "login.microsoftonline.us",
        "vault.usgovcloudapi.net",
        "usgovarizona.api.ml.azure.us",
    ),
}


def current() -> Cloud:
    """The cloud that the environment names; the public one if it names none.

    Raises:
        SystemUnavailable: it names another.
    """
    name = os.environ.get(VARIABLE) or "AzureCloud"
    if name not in CLOUDS:
        raise SystemUnavailable(f"the variable {VARIABLE} names the cloud {name}; known are {', '.join(CLOUDS)}")
    return CLOUDS[name]
