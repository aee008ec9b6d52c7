"""The way into the loopback cloud: a CONNECT proxy that ends TLS itself, records, injects faults and dispatches.

Whoever is told of it (HTTPS_PROXY, and the authority to trust) reaches the emulated hosts under their own names, and
no host besides.
"""

from __future__ import annotations

import base64
import json
import os
import socket
import ssl
import struct
import time
from collections.abc import Callable
from dataclasses import replace
from email.message import Message
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from threading import Thread
from typing import Protocol
from urllib.parse import urlsplit

from tests.emulators.azureml.faults import Corrupt, ExpireToken, Fault, Faults, Refuse, Reset, Slow, Status
from tests.emulators.azureml.login import Tokens
from tests.emulators.azureml.recording import REFUSED, Recorder
from tests.emulators.azureml.wire import Refused, Request, Response

IDLE_S = 120
CHUNK = 65_536


class Service(Protocol):
    """What stands behind one host or several."""

    def handle(self, request: Request) -> Response:
        """Answer a request, or raise `Refused`."""


class Gateway:
    """A proxy on a free port of the loopback.

    Args:
        route: The service behind a host, or None to refuse the host.
        local: Answers what is asked of the proxy itself, over plain http.
    """

    def __init__(
        self,
        tls: ssl.SSLContext,
        route: Callable[[str], Service | None],
        local: Service,
        recorder: Recorder,
        faults: Faults,
        tokens: Tokens,
    ) -> None:
        self.tls, self.route, self.local = tls, route, local
        self.recorder, self.faults, self.tokens = recorder, faults, tokens
        gateway = self

        class Handler(_Proxy):
            owner = gateway

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._thread = Thread(target=self._server.serve_forever, args=(0.05,), daemon=True, name="gateway")

    def start(self) -> None:
        """Serve until `stop`."""
        self._thread.start()

    def stop(self) -> None:
        """Take no more connections."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def port(self) -> int:
        """The port of the proxy."""
        return int(self._server.server_address[1])

    def variables(self, caller: str, bundle: os.PathLike[str]) -> dict[str, str]:
        """Environment variables that lead a process here; its exchanges are recorded under ``caller``."""
        proxy = f"http://{caller.replace(':', '%3A')}:x@127.0.0.1:{self.port}"
        proxies = dict.fromkeys(("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"), proxy)
        loopback = dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost")
        trusted = {name: os.fspath(bundle) for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE")}
        return proxies | loopback | trusted


class _Server(ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False


class _Handler(BaseHTTPRequestHandler):
    """Reads requests; what comes after is the subclass's."""

    protocol_version = "HTTP/1.1"
    timeout = IDLE_S
    disable_nagle_algorithm = True  # a response is two writes, and its second is not to wait for the client

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Say nothing: the recorder knows."""

    def handle(self) -> None:
        """Serve until the client goes."""
        try:
            super().handle()
        except (ConnectionError, TimeoutError, ssl.SSLError):
            self.close_connection = True  # clients close connections whenever they like

    def send(self, response: Response) -> None:
        """Write a response; one to HEAD has the length of a body and none."""
        self.send_response_only(response.status)
        has_length = any(name.lower() == "content-length" for name in response.headers)
        for name, value in response.headers.items():
            self.send_header(name, value)
        if not has_length and response.status != 204:
            self.send_header("Content-Length", str(len(response.body)))
        self.end_headers()
        self.wfile.write(response.body)


class _Proxy(_Handler):
    owner: Gateway

    def do_CONNECT(self) -> None:
        host = self.path.partition(":")[0].lower()
        service, caller = self.owner.route(host), _caller(self.headers)
        if service is None:
            self._refuse(caller, host)
            return
        self.send(Response(200, headers={"Content-Length": "0"}))
        self.close_connection = True
        tunnel = self.connection
        try:
            secured = self.owner.tls.wrap_socket(tunnel, server_side=True)
        except (OSError, ssl.SSLError):
            return  # it went away, or does not trust the authority; both are for it to tell
        with secured:
            _Tunnel(secured, self.client_address, self.server, self.owner, service, caller, host)

    def do_GET(self) -> None:
        """A request to the proxy itself, or one for another host without TLS, which is refused."""
        where = urlsplit(self.path)
        if where.netloc:
            self._refuse(_caller(self.headers), where.hostname or where.netloc)
            return
        request = Request("local", "GET", "127.0.0.1", self.path, self.headers)
        try:
            self.send(self.owner.local.handle(request))
        except Refused as refused:
            self.send(refused.response)

    do_POST = do_PUT = do_HEAD = do_GET

    def _refuse(self, caller: str, host: str) -> None:
        refusal = Response(403, f"{host} is not emulated.\n".encode())
        self.owner.recorder.add(Request(caller, self.command, host, "", Message()), Response(REFUSED))
        self.close_connection = True
        self.send(refusal)


class _Tunnel(_Handler):
    """The inside of a tunnel: requests to one host."""

    def __init__(
        self,
        connection: ssl.SSLSocket,
        client: tuple[str, int],
        server: object,
        owner: Gateway,
        service: Service,
        caller: str,
        host: str,
    ) -> None:
        self._owner, self._service, self._caller, self._host = owner, service, caller, host
        super().__init__(connection, client, server)  # type: ignore[arg-type]  # it only keeps the server

    def _serve(self) -> None:
        path = urlsplit(self.path).path
        fault = self._owner.faults.find(self.command, self._host + path)
        if isinstance(fault, Reset) and not fault.done:
            self._record_cut(b"")
            return
        body = self._read(fault.bytes_per_s if isinstance(fault, Slow) else None)
        request = Request(self._caller, self.command, self._host, self.path, self.headers, body)
        try:
            response = self._answer(request, fault)
        except Refused as refused:
            response = refused.response
        if isinstance(fault, Reset):
            self._record_cut(body, response)
            return
        self._owner.recorder.add(request, response)
        self.send(response)

    do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = do_HEAD = _serve

    def _answer(self, request: Request, fault: Fault | None) -> Response:
        if isinstance(fault, Refuse):
            after = {} if fault.retry_after_s is None else {"Retry_After": str(fault.retry_after_s)}
            raise Refused(fault.status, fault.code, fault.message, **after)
        if isinstance(fault, ExpireToken):
            self._owner.tokens.revoke(request.bearer)
        response = self._service.handle(request)
        if isinstance(fault, Status):
            return replace(response, body=json.dumps({**json.loads(response.body), "status": fault.status}).encode())
        return replace(response, body=_other_bytes(response.body)) if isinstance(fault, Corrupt) else response

    def _read(self, bytes_per_s: int | None) -> bytes:
        length = int(self.headers.get("Content-Length") or 0)
        if bytes_per_s is None:
            return self.rfile.read(length)
        parts, step = [], max(1, min(CHUNK, bytes_per_s // 10))
        while length > 0:
            parts.append(self.rfile.read(min(step, length)))
            length -= step
            time.sleep(step / bytes_per_s)
        return b"".join(parts)

    def _record_cut(self, body: bytes, lost: Response | None = None) -> None:
        request = Request(self._caller, self.command, self._host, self.path, self.headers, body)
        self._owner.recorder.add(request, None, lost)
        # Lingering for zero seconds makes the system send a reset rather than an orderly end.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()


def _caller(headers: Message) -> str:
    _, _, encoded = (headers.get("Proxy-Authorization") or "").partition(" ")
    name = base64.b64decode(encoded).decode().partition(":x")[0]
    return name.replace("%3A", ":") or "unknown"


def _other_bytes(body: bytes) -> bytes:
    return bytes(byte ^ 0x55 for byte in body)
