"""Azurite, the blob emulator that Microsoft publishes to npm, installed once per user and started per test session."""

from __future__ import annotations

import base64
import os
import re
import secrets
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import IO

import pytest
from filelock import FileLock

VERSION = "3.35.0"
START_S, INSTALL_S = 60, 300


@dataclass(frozen=True, slots=True)
class Azurite:
    """A running Azurite on the loopback, over plain http."""

    port: int
    account: str
    key: str

    @property
    def account_url(self) -> str:
        """The account, addressed by path: host names of the cloud lead elsewhere."""
        return f"http://127.0.0.1:{self.port}/{self.account}"

    @property
    def connection_string(self) -> str:
        """What every Azure storage client takes."""
        return (
            f"DefaultEndpointsProtocol=http;AccountName={self.account};AccountKey={self.key};"
            f"BlobEndpoint={self.account_url};"
        )


@pytest.fixture(scope="session")
def azurite() -> Iterator[Azurite]:
    """Azurite for the session; containers are the caller's to make. Skips where node or npm is missing."""
    script = installed()
    with running(script) as server:
        yield server


def installed() -> Path:
    """The script of Azurite's blob service, in the user's cache; npm fetches it the first time.

    Raises:
        pytest.skip.Exception: node or npm is missing, or npm could not fetch the package.
    """
    missing = [program for program in ("node", "npm") if shutil.which(program) is None]
    if missing:
        pytest.skip(f"Azurite needs {' and '.join(missing)}, which this machine lacks; install Node.js 18 or later")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "olive-engine-tests"
    folder = cache / f"azurite-{VERSION}"
    script = folder / "node_modules/azurite/dist/src/blob/main.js"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / f"azurite-{VERSION}.lock"):
        if not (folder / "complete").exists():
            _install(folder)
            (folder / "complete").touch()
    return script


@contextmanager
def running(script: Path) -> Iterator[Azurite]:
    """Run Azurite in memory on a free port, with an account and a key of its own.

    Raises:
        RuntimeError: It did not say within START_S seconds where it listens.
    """
    account, key = "olivetests", base64.b64encode(secrets.token_bytes(32)).decode()
    command = ["node", str(script), "--blobHost", "127.0.0.1", "--blobPort", "0", "--inMemoryPersistence"]
    command += ["--skipApiVersionCheck", "--disableTelemetry", "--silent"]
    with subprocess.Popen(
        command,
        env={**os.environ, "AZURITE_ACCOUNTS": f"{account}:{key}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        said: SimpleQueue[str] = SimpleQueue()
        reader = Thread(target=_read, args=(process.stdout, said), daemon=True)
        reader.start()
        try:
            yield Azurite(_port(said), account, key)
        finally:
            process.send_signal(signal.SIGKILL)  # it holds nothing but memory
            process.wait()
            reader.join()


def _install(folder: Path) -> None:
    command = ["npm", "install", "--prefix", str(folder), "--no-audit", "--no-fund", "--loglevel=error"]
    try:
        subprocess.run(
            [*command, f"azurite@{VERSION}"], cwd=folder, check=True, capture_output=True, text=True, timeout=INSTALL_S
        )
    except subprocess.SubprocessError as error:
        shutil.rmtree(folder / "node_modules", ignore_errors=True)
        said = getattr(error, "stderr", "") or str(error)
        pytest.skip(f"npm could not install azurite {VERSION}: {str(said).strip()[-300:]}")


def _read(stream: IO[str], said: SimpleQueue[str]) -> None:
    for line in stream:
        said.put(line)
    said.put("")


def _port(said: SimpleQueue[str]) -> int:
    lines = []
    try:
        while line := said.get(timeout=START_S):
            lines.append(line)
            if found := re.search(r"successfully listens? on http://127\.0\.0\.1:(\d+)", line):
                return int(found[1])
    except Empty:
        pass  # told below, with what it did say
    raise RuntimeError(f"Azurite did not start; it said: {''.join(lines).strip() or 'nothing'}")
