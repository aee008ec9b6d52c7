"""Every exchange that went through the gateway, and questions about them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from threading import Lock

from tests.emulators.azureml.wire import Request, Response

SECRET_HEADERS = ("authorization", "proxy-authorization", "secret")
LOGIN = "login.microsoftonline.com"
REFUSED, CUT = 0, -1
"""Statuses of exchanges that had no response: a host that was refused, a connection that was cut."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and what became of it; the Authorization header and signatures of URLs are left out.

    Attributes:
        label: What the test was doing (`Recorder.label`).
        caller: ``client`` or ``job:NAME``.
        up, down: Bytes of the request's and the response's body.
        answered: The status that the service gave, also where its answer was lost.
    """

    label: str
    caller: str
    method: str
    host: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    sha256: str
    status: int
    up: int
    down: int
    answered: int


@dataclass(frozen=True, slots=True)
class Traffic:
    """How much went over the wire."""

    requests: int
    up: int
    down: int


class Recorder:
    """Keeps exchanges in the order in which they ended."""

    def __init__(self) -> None:
        self._exchanges: list[Exchange] = []
        self._label = ""
        self._lock = Lock()

    @contextmanager
    def label(self, name: str) -> Iterator[None]:
        """Give what is asked meanwhile a label."""
        before, self._label = self._label, name
        try:
            yield
        finally:
            self._label = before

    def add(self, request: Request, response: Response | None, lost: Response | None = None) -> None:
        """Record an exchange; None is a connection that was cut, before the service had `lost` its answer or after."""
        query = request.target.partition("?")[2]
        headers = tuple((n, v) for n, v in request.headers.items() if n.lower() not in SECRET_HEADERS)
        status, down = (CUT, 0) if response is None else (response.status, len(response.body))
        exchange = Exchange(
            label=self._label,
            caller=request.caller,
            method=request.method,
            host=request.host,
            path=request.path,
            query=re.sub(r"(?<=\bsig=)[^&]*", "…", query),
            headers=headers,
            body=request.body,
            sha256=hashlib.sha256(request.body).hexdigest(),
            status=status,
            up=len(request.body),
            down=down,
            answered=lost.status if lost else status,
        )
        with self._lock:
            self._exchanges.append(exchange)

    def exchanges(
        self, method: str = "*", path: str = "*", *, label: str = "*", caller: str = "*"
    ) -> Sequence[Exchange]:
        """The exchanges that fit these shell patterns; ``path`` is of ``host/path``."""
        with self._lock:
            return [
                e
                for e in self._exchanges
                if fnmatchcase(e.method, method)
                and fnmatchcase(e.host + e.path, path)
                and fnmatchcase(e.label, label)
                and fnmatchcase(e.caller, caller)
            ]

    def traffic(self, method: str = "*", path: str = "*", *, label: str = "*", caller: str = "client") -> Traffic:
        """How much the client sent and got, of the exchanges that fit."""
        fit = [e for e in self.exchanges(method, path, label=label, caller=caller) if e.status != REFUSED]
        return Traffic(len(fit), sum(e.up for e in fit), sum(e.down for e in fit))

    def labels(self) -> dict[str, Traffic]:
        """How much the client sent and got under each label, in the order of their first exchange."""
        names = dict.fromkeys(e.label for e in self.exchanges(caller="client"))
        return {name: self.traffic(label=name.replace("[", "[[]")) for name in names}

    def bodies(self, path: str = "*", *, caller: str = "client") -> Iterator[tuple[Exchange, bytes]]:
        """What was sent, other than to the login service, whose purpose it is to be sent a secret."""
        for exchange in self.exchanges(path=path, caller=caller):
            if exchange.host != LOGIN and exchange.body:
                yield exchange, exchange.body

    def submitted(self) -> Sequence[str]:
        """The names of the jobs that came into being, in order, also those whose client never heard of it."""
        created = [e for e in self.exchanges("PUT", "*/jobs/*") if e.answered == 201]
        return [e.path.rsplit("/", 1)[1] for e in created]

    @property
    def refused_hosts(self) -> Sequence[str]:
        """The hosts that were asked for and are not emulated, in order."""
        return [e.host for e in self.exchanges() if e.status == REFUSED]
