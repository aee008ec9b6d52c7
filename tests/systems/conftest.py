"""Real second environments, made once and kept between test runs, for the tests that jobs run in them."""

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from olive_engine.environments import HOME, RESOLVED, Environments, interpreter_of

KEPT_FOR = 3600.0
"""Seconds: every change of the engine's code gives another environment."""


@pytest.fixture(scope="session")
def shared_home(request: pytest.FixtureRequest) -> Path:
    """A folder of environments that outlives the test run, so that most runs make none."""
    home = request.config.cache.mkdir("olive-environments")
    kept = Environments(home)
    for made in kept.all():
        if kept.used(made) < time.time() - KEPT_FOR:
            resolved = kept.noted(RESOLVED, made.request)
            kept.remove(made)
            kept.note(RESOLVED, made.request, resolved or "[]")
    return home


@pytest.fixture
def home(shared_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, in use; without uv, so that it is pip that makes what is missing."""
    monkeypatch.setenv(HOME, str(shared_home))
    monkeypatch.setattr("olive_systems.python_environment.installers.uv_command", lambda: None)
    return shared_home


@pytest.fixture
def fresh_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of environments with nothing in it."""
    monkeypatch.setenv(HOME, str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(scope="session")
def uv(request: pytest.FixtureRequest) -> Iterator[Path]:
    """The command uv: that of this machine, else one that is installed for the tests."""
    if found := shutil.which("uv"):
        yield Path(found)
        return
    folder = request.config.cache.mkdir("olive-uv") / "environment"
    command = interpreter_of(folder).with_name("uv")
    if not command.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True, capture_output=True)
        pip = [interpreter_of(folder), "-m", "pip", "install", "--quiet", "uv"]
        done = subprocess.run(pip, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"uv can be installed from no index here: {done.stdout[-200:]}")
    yield command
