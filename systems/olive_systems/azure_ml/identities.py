"""Who a job is to Azure, as the SDK has it."""

from __future__ import annotations

import warnings
from typing import Literal

from olive_systems.azure_ml.options import ManagedIdentity

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the SDK's dependencies warn of each other
    from azure.ai.ml.entities import ManagedIdentityConfiguration, UserIdentityConfiguration


def identity_of(
    option: Literal["user", "managed"] | ManagedIdentity | None,
) -> UserIdentityConfiguration | ManagedIdentityConfiguration | None:
    """The option `identity` for a job; none: the service decides."""
    if option is None:
        return None
    if option == "user":
        return UserIdentityConfiguration()
    named = ManagedIdentity.model_construct() if option == "managed" else option
    return ManagedIdentityConfiguration(
        client_id=named.client_id, object_id=named.object_id, resource_id=named.resource_id
    )
