"""Blobs: the datastores' containers in Azurite, for the emulator itself and for clients that come by the gateway."""

from __future__ import annotations

import http.client
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from email.message import Message
from pathlib import Path

from azure.storage.blob import (
    BlobSasPermissions,
    BlobServiceClient,
    ContainerSasPermissions,
    generate_blob_sas,
    generate_container_sas,
)

from tests.emulators.azureml.wire import Request, Response
from tests.emulators.azurite import Azurite

SAS_LIFE = timedelta(hours=2)
FORBIDDEN = 403
CODES = "AuthorizationFailure", "AuthenticationFailed"
"""What Azurite says of a signature that is not good, and what Azure does."""
HOP_HEADERS = ("connection", "keep-alive", "transfer-encoding", "server", "date")


class Storage:
    """One storage account."""

    def __init__(self, azurite: Azurite) -> None:
        self._azurite = azurite
        self._service = BlobServiceClient.from_connection_string(azurite.connection_string)
        self._made: list[str] = []
        self.sas_life = SAS_LIFE
        """How long the signatures are good that are given from now on."""

    @property
    def host(self) -> str:
        """The account's name in the cloud."""
        return f"{self._azurite.account}.blob.core.windows.net"

    @property
    def account(self) -> str:
        """The account's name."""
        return self._azurite.account

    @property
    def account_key(self) -> str:
        """The account's key."""
        return self._azurite.key

    def new_container(self, prefix: str) -> str:
        """Make a container with a name of its own."""
        name = f"{prefix}-{uuid.uuid4().hex[:12]}"
        self._service.create_container(name)
        self._made.append(name)
        return name

    def close(self) -> None:
        """Delete the containers that were made here."""
        for name in self._made:
            self._service.delete_container(name)
        self._service.close()

    def url(self, container: str, path: str = "") -> str:
        """The address of a container, or of what lies in it."""
        return f"https://{self.host}/{container}" + (f"/{path}" if path else "")

    def sas(self, container: str) -> str:
        """A token to read and write in a container."""
        may = ContainerSasPermissions(read=True, write=True, list=True, add=True, create=True, delete=True)
        return generate_container_sas(
            self.account,
            container,
            account_key=self.account_key,
            permission=may,
            expiry=datetime.now(UTC) + self.sas_life,
        )

    def readable_url(self, container: str, path: str) -> str:
        """The address of a blob, with a token to read it."""
        token = generate_blob_sas(
            self.account,
            container,
            path,
            account_key=self.account_key,
            permission=BlobSasPermissions(read=True),
            expiry=datetime.now(UTC) + self.sas_life,
        )
        return f"{self.url(container, path)}?{token}"

    def paths(self, container: str, prefix: str = "") -> list[str]:
        """The paths of a container's blobs that begin so."""
        return [blob.name for blob in self._service.get_container_client(container).list_blobs(prefix or None)]

    def read(self, container: str, path: str) -> bytes:
        """A blob's content."""
        return self._service.get_blob_client(container, path).download_blob().readall()

    def write(self, container: str, path: str, content: bytes, metadata: dict[str, str] | None = None) -> None:
        """Write a blob, or write it anew."""
        self._service.get_blob_client(container, path).upload_blob(content, overwrite=True, metadata=metadata)

    def mark_folder(self, container: str, path: str) -> None:
        """Write what stands for a folder in an account that has folders: a blob of its name, which is empty."""
        self._service.get_blob_client(container, path).upload_blob(b"", metadata={"hdi_isfolder": "true"})

    def metadata(self, container: str, path: str) -> dict[str, str]:
        """What is noted of a blob."""
        return dict(self._service.get_blob_client(container, path).get_blob_properties().metadata or {})

    def delete(self, container: str, path: str) -> None:
        """Delete a blob."""
        self._service.get_blob_client(container, path).delete_blob()

    def begin_log(self, container: str, path: str) -> None:
        """Make an empty blob that can be appended to."""
        self._service.get_blob_client(container, path).create_append_blob()

    def append(self, container: str, path: str, content: bytes) -> None:
        """Append to a blob that `begin_log` made."""
        self._service.get_blob_client(container, path).append_block(content)

    def download(self, container: str, prefix: str, folder: Path) -> int:
        """Lay out what is under a prefix in a folder, or the blob of that very name; how many files it was."""
        found: Iterable[str] = self.paths(container, prefix)
        stem, count = prefix.rstrip("/"), 0
        for path in found:
            if path == stem:
                relative = stem.rsplit("/", 1)[-1]
            elif not stem or path.startswith(stem + "/"):
                relative = path[len(stem) :].lstrip("/")
            else:
                continue  # a neighbour whose name begins alike
            target = folder / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(self.read(container, path))
            count += 1
        return count

    def upload(self, folder: Path, container: str, prefix: str) -> int:
        """Write a folder's files under a prefix; how many it was."""
        files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
        for file in files:
            self.write(container, f"{prefix.rstrip('/')}/{file.relative_to(folder).as_posix()}", file.read_bytes())
        return len(files)

    def handle(self, request: Request) -> Response:
        """Pass a client's request on to Azurite, which checks its signature."""
        connection = http.client.HTTPConnection("127.0.0.1", self._azurite.port)
        try:
            connection.putrequest(request.method, request.target, skip_host=True, skip_accept_encoding=True)
            for name, value in _passed_on(request.headers):
                connection.putheader(name, value)
            connection.endheaders(request.body)
            got = connection.getresponse()
            kept = {name: value for name, value in got.getheaders() if name.lower() not in HOP_HEADERS}
            body = got.read()
        finally:
            connection.close()
        if request.method != "HEAD":
            kept = {name: value for name, value in kept.items() if name.lower() != "content-length"}
        if got.status == FORBIDDEN:  # Azurite calls a signature that has ended a lack of rights
            kept = {name: value.replace(*CODES) for name, value in kept.items()}
            body = body.replace(*(code.encode() for code in CODES))
            kept |= {"content-length": str(len(body))} if "content-length" in kept else {}
        return Response(got.status, body, kept)


def _passed_on(headers: Message) -> Iterable[tuple[str, str]]:
    return ((n, v) for n, v in headers.items() if n.lower() not in ("connection", "keep-alive"))
