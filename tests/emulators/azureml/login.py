"""The login service: tokens for service principals and for the identity of a compute."""

from __future__ import annotations

import secrets
import time
from urllib.parse import parse_qs

import jwt

from tests.emulators.azureml.wire import Json, Refused, Request, Response, answer

HOST = "login.microsoftonline.com"
TENANT = "33333333-3333-3333-3333-333333333333"
CLIENT = "44444444-4444-4444-4444-444444444444"
CLAIMS = "eyJhY2Nlc3NfdG9rZW4iOnsibmJmIjp7ImVzc2VudGlhbCI6dHJ1ZSwidmFsdWUiOiIxIn19fQ"
"""The claims that a service asks for when it no longer accepts a token: one issued after a time, in base64."""


class Tokens:
    """Issues tokens and knows which are good."""

    def __init__(self, life_s: int = 3600) -> None:
        self.life_s = life_s
        self._key = secrets.token_hex(32)
        self._revoked: set[str] = set()

    def issue(self, audience: str, subject: str) -> str:
        """A token for one audience, good for `life_s` seconds."""
        now = int(time.time())
        content: Json = {"aud": audience, "sub": subject, "oid": subject, "tid": TENANT, "jti": secrets.token_hex(8)}
        content |= {"iss": f"https://sts.windows.net/{TENANT}/", "iat": now, "nbf": now, "exp": now + self.life_s}
        return jwt.encode(content, self._key, algorithm="HS256")

    def revoke(self, token: str) -> None:
        """Accept this token no longer."""
        self._revoked.add(token)

    def check(self, token: str, audiences: tuple[str, ...]) -> str:
        """Who holds a token.

        Raises:
            Refused: It is none of ours, for another audience, expired or revoked; 401 in each case.
        """
        if not token:
            raise _unauthorized("AuthenticationFailed", "Authentication failed. The Authorization header is missing.")
        try:
            content = jwt.decode(token, self._key, algorithms=["HS256"], audience=audiences)
        except jwt.ExpiredSignatureError as error:
            raise _unauthorized("ExpiredAuthenticationToken", "The access token has expired.") from error
        except jwt.PyJWTError as error:
            raise _unauthorized("InvalidAuthenticationToken", f"The access token is not valid: {error}.") from error
        if token in self._revoked:
            raise _unauthorized("ExpiredAuthenticationToken", "The access token is no longer accepted.")
        return str(content["sub"])


class Login:
    """Answers what azure-identity asks for a service principal."""

    def __init__(self, tokens: Tokens) -> None:
        self.client_secret = secrets.token_urlsafe(24)
        self._tokens = tokens

    def handle(self, request: Request) -> Response:
        """Discovery, or a token for the client's secret."""
        if request.method == "GET" and request.segments[-1:] == ("openid-configuration",):
            return answer(_configuration(request.segments[0]))
        if request.method == "GET" and request.path == "/common/discovery/instance":
            aliases = {"preferred_network": HOST, "preferred_cache": HOST, "aliases": [HOST]}
            endpoint = f"https://{HOST}/{TENANT}/v2.0/.well-known/openid-configuration"
            return answer({"tenant_discovery_endpoint": endpoint, "api-version": "1.1", "metadata": [aliases]})
        if request.method == "POST" and request.path.endswith("/oauth2/v2.0/token"):
            return self._token(request)
        raise Refused(404, "NotFound", f"The login service has no {request.path}.")

    def _token(self, request: Request) -> Response:
        form = {name: values[-1] for name, values in parse_qs(request.body.decode()).items()}
        asked = form.get("grant_type"), form.get("client_id"), form.get("client_secret")
        if asked != ("client_credentials", CLIENT, self.client_secret):
            told = "AADSTS7000215: Invalid client secret provided."
            return answer({"error": "invalid_client", "error_description": told, "error_codes": [7000215]}, 401)
        audience = audience_of(form.get("scope", ""))
        token = self._tokens.issue(audience, CLIENT)
        return answer({"token_type": "Bearer", "expires_in": self._tokens.life_s, "access_token": token})


def audience_of(scope: str) -> str:
    """The audience of a scope or a resource, without a slash at the end."""
    return scope.removesuffix("/.default").rstrip("/")


def _unauthorized(code: str, message: str) -> Refused:
    challenge = f'Bearer realm="", error="insufficient_claims", claims="{CLAIMS}"'
    return Refused(401, code, message, WWW_Authenticate=challenge)


def _configuration(tenant: str) -> Json:
    here = f"https://{HOST}/{tenant}"
    return {
        "issuer": f"{here}/v2.0",
        "authorization_endpoint": f"{here}/oauth2/v2.0/authorize",
        "token_endpoint": f"{here}/oauth2/v2.0/token",
        "device_authorization_endpoint": f"{here}/oauth2/v2.0/devicecode",
        "jwks_uri": f"{here}/discovery/v2.0/keys",
        "tenant_region_scope": None,
        "cloud_instance_name": "microsoftonline.com",
    }
