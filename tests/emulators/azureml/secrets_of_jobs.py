"""What a job asks for with its compute's identity: tokens, and the secrets of a key vault."""

from __future__ import annotations

import hmac
import time
from collections.abc import Mapping

from tests.emulators.azureml.login import TENANT, Tokens, audience_of
from tests.emulators.azureml.wire import Refused, Request, Response, answer

VAULT_SUFFIX = ".vault.azure.net"
VAULT_AUDIENCE = "https://vault.azure.net"
IDENTITY = "55555555-5555-5555-5555-555555555555"
"""The identity of every compute."""


class Identity:
    """The endpoint on a node that gives tokens to what runs there (MSI_ENDPOINT)."""

    PATH = "/MSI/auth"

    def __init__(self, tokens: Tokens, secret: str) -> None:
        self._tokens, self._secret = tokens, secret

    def handle(self, request: Request) -> Response:
        """A token for a resource."""
        if request.path != self.PATH:
            raise Refused(404, "NotFound", f"The node has no {request.path}.")
        if not hmac.compare_digest(request.headers.get("secret") or "", self._secret):
            raise Refused(401, "Unauthorized", "The header 'secret' is missing or wrong.")
        audience = audience_of(request.query.get("resource", ""))
        expires = str(int(time.time()) + self._tokens.life_s)
        token = self._tokens.issue(audience, IDENTITY)
        return answer({"access_token": token, "expires_on": expires, "resource": audience, "token_type": "Bearer"})


class Vault:
    """One key vault; its secrets are for the identity of computes alone.

    Attributes:
        secrets: Value by name.
    """

    def __init__(self, name: str, secrets: Mapping[str, str], tokens: Tokens) -> None:
        self._name, self._secrets, self._tokens = name, secrets, tokens

    def handle(self, request: Request) -> Response:
        """The value of a secret."""
        try:
            holder = self._tokens.check(request.bearer, (VAULT_AUDIENCE,))
        except Refused as refused:
            challenge = (
                f'Bearer authorization="https://login.microsoftonline.com/{TENANT}", resource="{VAULT_AUDIENCE}"'
            )
            raise Refused(refused.status, refused.code, refused.message, WWW_Authenticate=challenge) from refused
        if holder != IDENTITY:
            raise Refused(403, "Forbidden", f"{holder} does not have secrets get permission on key vault {self._name}.")
        match request.segments:
            case ("secrets", name, *_) if name in self._secrets:
                at = f"https://{self._name}{VAULT_SUFFIX}/secrets/{name}/{'0' * 32}"
                return answer({"id": at, "value": self._secrets[name], "attributes": {"enabled": True}})
            case ("secrets", name, *_):
                raise Refused(404, "SecretNotFound", f"A secret with the name {name} was not found in this key vault.")
            case _:
                raise Refused(404, "NotFound", f"The emulator's key vault has no {request.path}.")
