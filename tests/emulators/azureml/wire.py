"""What goes over the wire: requests and responses as values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import Message
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

Json = dict[str, Any]
"""A JSON object; its shape is the cloud's."""


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request, whole.

    Attributes:
        caller: ``client``, or ``job:NAME`` for what a job of the emulator asks.
        target: Path and query as they were sent, percent-encoded.
    """

    caller: str
    method: str
    host: str
    target: str
    headers: Message
    body: bytes = b""

    @property
    def path(self) -> str:
        """The path without the query, still percent-encoded."""
        return urlsplit(self.target).path

    @property
    def segments(self) -> tuple[str, ...]:
        """The parts of the path, decoded."""
        return tuple(unquote(part) for part in self.path.split("/") if part)

    @property
    def query(self) -> Mapping[str, str]:
        """The query's values; the last of each name."""
        return {name: values[-1] for name, values in parse_qs(urlsplit(self.target).query).items()}

    @property
    def bearer(self) -> str:
        """The bearer token, or nothing."""
        kind, _, token = (self.headers.get("Authorization") or "").partition(" ")
        return token if kind.lower() == "bearer" else ""

    def json(self) -> Json:
        """The body as a JSON object; an empty body is an empty object.

        Raises:
            Refused: It is not one.
        """
        try:
            read = json.loads(self.body or b"{}")
        except ValueError as error:
            raise Refused(400, "BadRequest", f"The body is not JSON: {error}") from error
        if not isinstance(read, dict):
            raise Refused(400, "BadRequest", "The body is not a JSON object.")
        return read


@dataclass(frozen=True, slots=True)
class Response:
    """One HTTP response, whole."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class Refused(Exception):
    """A request that the service refuses, in the cloud's form of errors."""

    def __init__(self, status: int, code: str, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    @property
    def response(self) -> Response:
        """What the client gets."""
        return answer({"error": {"code": self.code, "message": self.message}}, self.status, **self.headers)


def answer(content: object, status: int = 200, **headers: str) -> Response:
    """A JSON response; underscores in header names stand for hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status, json.dumps(content).encode(), {"Content-Type": "application/json", **named})
