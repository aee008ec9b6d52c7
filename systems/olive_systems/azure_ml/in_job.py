"""What a job on a compute runs: lays the job folder out, runs a worker on it, puts results where they are kept.

    python -P -m olive_systems.azure_ml.in_job --job JOB.JSON --out FOLDER [--input PLACE FOLDER]... [--hf-token DOMAIN]

The engine comes with the job as a wheel that is unpacked on PYTHONPATH; everything else is the environment's. Standard
output, which is the job's log, carries the worker's event lines and whatever is printed, line by line.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import Request, urlopen

from olive_engine.digests import files_under
from olive_engine.errors import SystemUnavailable
from olive_engine.secrecy import LISTED, Secrets
from olive_systems.azure_ml.layout import InputSpoilt, lay_out
from olive_systems.processes import KEPT_FROM_WORKERS, LOG_LINES, death_of, worker_settings

LOST_PREFIX = "@lost "
"""The line that says in one sentence why there is no result."""
SPOILT_PREFIX = "@spoilt "
"""The line that says, as the JSON of `layout.Spoilt`, which file of an input is not what it should be."""
VAULT = "KEYVAULT_NAME"
SECRET = "hf-token"  # noqa: S105 - the name of the secret, not the secret
_VAULT_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{1,22}[A-Za-z0-9]")
_NOT_FOUND, _REFUSED = 404, (401, 403)
KEPT = ("outputs", "events.jsonl", "result.json")
"""What is kept of a job folder; the service copies it in an order of its own, and then says that the job completed."""


def hub_token(domain: str) -> str:
    """The token of the model hub, from the key vault, by the identity of the compute.

    Args:
        domain: of the cloud's key vaults.

    Raises:
        SystemUnavailable: the vault does not give it.
    """
    vault = os.environ.get(VAULT, "")
    if not _VAULT_NAME.fullmatch(vault):  # it becomes a host, and whoever has that is sent a token
        raise SystemUnavailable(f"{vault!r} is not the name of a key vault; correct keyvault_name")
    try:
        from azure.identity import DefaultAzureCredential
    except ImportError:
        raise SystemUnavailable(
            "the environment has no azure-identity, which reads the hub's token from the key vault; add it to the "
            "conda file"
        ) from None
    from azure.core.exceptions import ClientAuthenticationError

    cannot = f"the secret {SECRET} of the key vault {vault} cannot be read"
    try:
        token = DefaultAzureCredential().get_token(f"https://{domain}/.default").token
        address = f"https://{quote(vault)}.{domain}/secrets/{SECRET}?api-version=7.4"
        with urlopen(Request(address, headers={"Authorization": f"Bearer {token}"}), timeout=60) as answer:
            return str(json.load(answer)["value"])
    except HTTPError as error:
        if error.code == _NOT_FOUND:
            raise SystemUnavailable(
                f"the key vault {vault} has no secret {SECRET}; put the token there: "
                f"az keyvault secret set --vault-name {vault} --name {SECRET} --value YOUR_TOKEN"
            ) from None
        may = "; give the compute's identity the right to get secrets there" if error.code in _REFUSED else ""
        raise SystemUnavailable(f"{cannot} ({error}){may}") from None
    except ClientAuthenticationError as error:
        said = str(error).splitlines()[0]
        raise SystemUnavailable(f"{cannot}, for the compute has no identity that may log in ({said})") from None
    except URLError as error:
        raise SystemUnavailable(
            f"{cannot} ({error.reason}); see that keyvault_name is right, and that the compute reaches the vault"
        ) from None
    except (OSError, ValueError, KeyError) as error:
        raise SystemUnavailable(f"{cannot} ({type(error).__name__}: {error})") from None


def worker_environment(threads: int, token: str) -> dict[str, str]:
    """The worker's environment variables: the job's own, threads as declared, our wheel alone on PYTHONPATH."""
    kept = {name: value for name, value in os.environ.items() if name not in KEPT_FROM_WORKERS}
    own = {"HF_TOKEN": token, LISTED: "HF_TOKEN"} if token else {}
    return {**kept, **worker_settings(threads), "PYTHONPATH": os.environ.get("PYTHONPATH", ""), **own}


def run(folder: Path, environment: Mapping[str, str]) -> int:
    """Run the worker, and say what it says, line by line; gives its exit code and says why it is lost."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "olive_engine.worker", str(folder)],
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,  # a signal reaches it once, and by us
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: process.terminate())
    secrets, last, lock = Secrets.among(environment), deque[str](maxlen=LOG_LINES), threading.Lock()

    def pass_on(stream: IO[bytes] | None, kept: deque[str] | None) -> None:
        for line in stream or ():
            text = secrets.masked(line.decode("utf-8", "replace").rstrip("\r\n"))
            if kept is not None:
                kept.append(text)
            with lock:
                _say(text)

    streams: tuple[tuple[IO[bytes] | None, deque[str] | None], ...] = ((process.stdout, None), (process.stderr, last))
    readers = [threading.Thread(target=pass_on, args=each, daemon=True) for each in streams]
    for reader in readers:
        reader.start()
    code = process.wait()
    for reader in readers:
        reader.join(5.0)  # what the worker has started may hold the pipes open
    if code != 0:
        _say(LOST_PREFIX + death_of(code, tuple(last)))
    return code


def keep(folder: Path, out: Path) -> None:
    """Move what is to be kept to where it is kept."""
    out.mkdir(parents=True, exist_ok=True)
    for name in KEPT:
        source = folder / name
        for file in files_under(source) if source.is_dir() else ():
            (out / name / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.move(source / file, out / name / file)
        if source.is_file():
            shutil.move(source, out / name)


def _working_folder(out: Path) -> Path:
    """A folder to work in: beside what is kept, for there it is the same disk, and large files need no copy."""
    out.mkdir(parents=True, exist_ok=True)
    try:
        beside = Path(tempfile.mkdtemp(prefix="olive-", dir=out.parent))
    except OSError:  # only the output itself can be written to
        return Path(tempfile.mkdtemp(prefix="olive-"))
    if beside.stat().st_dev == out.stat().st_dev:
        return beside
    beside.rmdir()
    return Path(tempfile.mkdtemp(prefix="olive-"))


def main(arguments: Sequence[str]) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="in_job")
    parser.add_argument("--job", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--input", nargs=2, action="append", default=[])
    parser.add_argument("--hf-token", default="")
    given = parser.parse_args(arguments)
    folder = _working_folder(given.out)
    try:
        job = lay_out(folder, given.job, {place: Path(path) for place, path in given.input})
        token = hub_token(given.hf_token) if given.hf_token else ""
        code = run(folder, worker_environment(job.resources.threads, token))
        if code == 0:
            keep(folder, given.out)
    except InputSpoilt as error:
        _say(SPOILT_PREFIX + error.spoilt.model_dump_json())
        _say(LOST_PREFIX + str(error))
        return 1
    except (SystemUnavailable, OSError, ValueError) as error:
        _say(LOST_PREFIX + " ".join(str(error).split()))
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 1 if code else 0


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
