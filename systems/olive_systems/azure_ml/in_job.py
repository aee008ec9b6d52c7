"""What a job on a compute runs: lays the job folder out, runs a worker on it, puts results where they are kept.

    python -P -m olive_systems.azure_ml.in_job --job JOB.JSON --out FOLDER [--input PLACE FOLDER]... [--hf-token DOMAIN]

The engine comes with the job as a wheel that is unpacked on PYTHONPATH; everything else is the environment's. Standard
output, which is the job's log, carries the worker's event lines and whatever is printed, line by line.
"""

from __future__ import annotations

import argparse
import json
import os
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
from urllib.request import Request, urlopen

from olive_engine.contracts import Job
from olive_engine.digests import files_under
from olive_engine.errors import SystemUnavailable
from olive_engine.job_folder import input_folder
from olive_engine.models import Manifest, Tree
from olive_engine.secrecy import LISTED, Secrets
from olive_systems.processes import KEPT_FROM_WORKERS, LOG_LINES, death_of, worker_settings

LOST_PREFIX = "@lost "
"""The line that says in one sentence why there is no result."""
VAULT = "KEYVAULT_NAME"
SECRET = "hf-token"  # noqa: S105 - the name of the secret, not the secret
KEPT = ("outputs", "events.jsonl", "result.json")
"""What is kept of a job folder; the result comes last, so that where it is, everything is."""


def placed(job: Job) -> dict[str, Tree]:
    """Each place under ``inputs/`` of a job folder, as ``slot/index/part``, and the tree that belongs there."""
    found: dict[str, Tree] = {}

    def add(slot: str, index: int, manifest: Manifest) -> None:
        for part, tree in manifest.parts.items():
            if tree.files or not is_here(tree):
                found[f"{slot}/{index}/{part}"] = tree

    for index, manifest in enumerate(job.models):
        add("models", index, manifest)
    for index, item in enumerate(job.items):
        for option, manifest in item.data.items():
            add(f"items/{index}/{option}", 0, manifest)
        if item.state:
            add(f"items/{index}/initial_state", 0, item.state)
    return found


def is_here(tree: Tree) -> bool:
    """Whether a tree's bytes are in the job folder that was staged here, rather than somewhere that a job can read."""
    return not tree.location.startswith("azureml:")


def place_under(folder: Path, place: str) -> Path:
    """Where a place of `placed` is in a job folder."""
    slot, index, part = place.rsplit("/", 2)
    return input_folder(folder, slot, int(index), part)


def lay_out(folder: Path, described: Path, inputs: Mapping[str, Path]) -> Job:
    """Make the job folder: its description, and links to the inputs.

    Raises:
        SystemUnavailable: an input lacks a file, or has one of another size.
    """
    text = described.read_bytes()
    (folder / "job.json").write_bytes(text)
    job = Job.model_validate_json(text)
    for place, tree in placed(job).items():
        if place not in inputs:
            raise SystemUnavailable(f"the job was submitted without its input {place}")
        _link(place_under(folder, place), tree, inputs[place])
    return job


def _link(target: Path, tree: Tree, source: Path) -> None:
    """A link to the folder where it is the tree, else one to each of the tree's files."""
    for name, entry in tree.files.items():
        path = source / tree.place_of(name)
        if not path.is_file() or path.stat().st_size != entry.size:
            found = f"has {path.stat().st_size} bytes" if path.is_file() else "is missing"
            raise SystemUnavailable(f"{name} of the input {tree.location or target.name} {found}, not {entry.size}")
    target.parent.mkdir(parents=True, exist_ok=True)
    if not tree.files or (not tree.places and set(files_under(source)) == set(tree.files)):
        target.symlink_to(source)
        return
    for name in tree.files:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).symlink_to(source / tree.place_of(name))


def hub_token(domain: str) -> str:
    """The token of the model hub, from the key vault, by the identity of the compute.

    Args:
        domain: of the cloud's key vaults.

    Raises:
        SystemUnavailable: the vault does not give it.
    """
    vault = os.environ.get(VAULT, "")
    try:
        from azure.identity import DefaultAzureCredential
    except ImportError:
        raise SystemUnavailable(
            "the environment has no azure-identity, which reads the hub's token from the key vault; add it to the "
            "conda file"
        ) from None
    from azure.core.exceptions import ClientAuthenticationError

    try:
        token = DefaultAzureCredential().get_token(f"https://{domain}/.default").token
        address = f"https://{vault}.{domain}/secrets/{SECRET}?api-version=7.4"
        with urlopen(Request(address, headers={"Authorization": f"Bearer {token}"}), timeout=60) as answer:
            return str(json.load(answer)["value"])
    except (ClientAuthenticationError, OSError, ValueError, KeyError) as error:
        said = str(error).splitlines()[0]
        raise SystemUnavailable(
            f"the secret {SECRET} of the key vault {vault} cannot be read ({said}); give the compute's identity the "
            "right to get secrets there"
        ) from None


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


def main(arguments: Sequence[str]) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="in_job")
    parser.add_argument("--job", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--input", nargs=2, action="append", default=[])
    parser.add_argument("--hf-token", default="")
    given = parser.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="olive-"))
    try:
        job = lay_out(folder, given.job, {place: Path(path) for place, path in given.input})
        token = hub_token(given.hf_token) if given.hf_token else ""
        code = run(folder, worker_environment(job.resources.threads, token))
        if code == 0:
            keep(folder, given.out)
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
