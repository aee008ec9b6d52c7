"""A docker command on the PATH that needs no daemon, and systems that use it."""

import json
import os
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from olive_systems.docker import Docker
from olive_systems.docker.options import DockerSystemConfig

IMAGE = "registry.example/olive-engine:cpu"
REAL_DOCKER = shutil.which("docker")
FAKE = Path(__file__).parent / "fake_docker.py"


@dataclass(frozen=True)
class Fake:
    """The fake's folder, and what tests ask of it."""

    root: Path

    def image(self, name, *, python=sys.executable, id_="sha256:11", pullable=False):
        """Say that an image is here, or can be pulled."""
        path = self.root / ("registry.json" if pullable else "images.json")
        path.write_text(json.dumps({**json.loads(path.read_text()), name: {"id": id_, "python": python}}))

    def daemon(self, **info):
        """Say what `docker info` tells."""
        (self.root / "info.json").write_text(json.dumps({"Name": "this-machine", "SecurityOptions": [], **info}))

    def calls(self, command=""):
        """The argument lists of the calls so far."""
        path = self.root / "calls.jsonl"
        lines = path.read_text().splitlines() if path.exists() else ()
        return [argv for line in lines if (argv := json.loads(line)["argv"])[0] == command or not command]

    def flags(self):
        """The flags of the last `docker run`, as name -> values; and what follows them."""
        argv = self.calls("run")[-1][1:]
        flags = {}
        while argv[0].startswith("-"):
            name, given, value = argv.pop(0).removeprefix("--").partition("=")
            value = value if given else argv.pop(0) if name == "name" else ""
            flags.setdefault(name, []).append(value)
        return flags, argv

    def containers(self):
        """The names of the containers that there are."""
        folder = self.root / "containers"
        return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


@pytest.fixture
def fake(tmp_path_factory, monkeypatch):
    """The fake docker command, with one image."""
    root = tmp_path_factory.mktemp("docker")
    (root / "bin").mkdir()
    command = root / "bin" / "docker"
    command.write_text(f'#!/bin/sh\nexec {shlex.join([sys.executable, "-I", "-S", str(FAKE), str(root)])} "$@"\n')
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{command.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    for file in ("images.json", "registry.json"):
        (root / file).write_text("{}")
    fake = Fake(root)
    fake.daemon()
    fake.image(IMAGE)
    return fake


@pytest.fixture
def docker(fake):
    """Make a Docker system over the fake; it is closed at the end."""
    made = []

    def docker(**options):
        made.append(Docker("box", DockerSystemConfig(**{"image_name": IMAGE, "threads": 1, **options})))
        return made[-1]

    yield docker
    for system in made:
        system.close()
