"""A system that shares nothing with the engine: what Azure ML or a cluster is like, on this machine.

Its jobs run in a folder of its own, in a fresh process each; it streams no events, cannot stop a job, keeps no state
between attempts, and leaves outputs where they were made. Only a probe job tells what is installed there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

from pydantic import Field

from olive_engine.contracts import Capabilities, Environment, Job, Resources, Result, System, Update
from olive_engine.errors import SystemUnavailable
from olive_engine.job_folder import input_folder
from olive_engine.models import Manifest, Tree
from olive_engine.options import Options

SCHEME = "detached"


_CHILDREN: list[subprocess.Popen[bytes]] = []
"""Held for as long as they run, for a job may be left: a process object that is dropped earlier gives a warning."""


class DetachedConfig(Options):
    """Options of a DetachedSystem."""

    root: Path = Field(description="The folder that stands for the other place.")
    threads: int = Field(default=1, ge=1, description="CPU threads of each job.")
    max_parallel: int = Field(default=2, ge=1, description="Jobs at once.")


class DetachedSystem(System):
    """Carries job folders to another folder and leaves what they make there."""

    type = "DetachedSystem"
    config_type = DetachedConfig

    def __init__(self, name: str, config: Options) -> None:
        super().__init__(name, config)
        self._options = DetachedConfig.model_validate(config.model_dump())
        self._root = self._options.root.absolute()

    @property
    def capabilities(self) -> Capabilities:
        """As little as a system may have."""
        return Capabilities(
            shared_filesystem=False,
            max_parallel=self._options.max_parallel,
            streams_events=False,
            can_stop=False,
            keeps_state=False,
            keeps_outputs=True,
            outlives_engine=True,
        )

    @property
    def resources(self) -> Resources:
        """Threads of each job."""
        return Resources(threads=self._options.threads)

    @property
    def environment_id(self) -> str:
        """The interpreter: what is installed there is what is installed here."""
        return sys.executable

    def environment(self, packages: Sequence[str]) -> Environment | None:  # noqa: ARG002 - it takes a probe
        """Nothing is known without a probe job."""
        return None

    def submit(self, job: Path) -> DetachedHandle:
        """Carry the folder over, lay what is already there beside it, and start a worker."""
        there = self._root / "jobs" / job.name
        shutil.copytree(job, there, symlinks=False)
        described = Job.model_validate_json((job / "job.json").read_bytes())
        for index, manifest in enumerate(described.models):
            self._lay(there, "models", index, manifest)
        for index, item in enumerate(described.items):
            for option, manifest in item.data.items():
                self._lay(there, f"items/{index}/{option}", 0, manifest)
            if item.state:
                self._lay(there, f"items/{index}/initial_state", 0, item.state)
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "olive_engine.worker", str(there)],
            cwd=self._root,
            env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        (there / "pid").write_text(str(process.pid))
        _CHILDREN[:] = [*(child for child in _CHILDREN if child.poll() is None), process]
        return DetachedHandle(there, job, process)

    def attach(self, job: Path) -> DetachedHandle | None:
        """The job as it is there, if it is."""
        there = self._root / "jobs" / job.name
        return DetachedHandle(there, job) if (there / "pid").exists() else None

    def holds(self, tree: Tree) -> bool:
        """Whether the tree was made here and is still there."""
        return tree.location.startswith(f"{SCHEME}://{self._root}/") and _folder(tree.location).is_dir()

    def fetch(self, tree: Tree, into: Path) -> None:
        """Copy a tree's files back."""
        for name in tree.files:
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(_folder(tree.location) / name, into / name)

    def _lay(self, there: Path, slot: str, index: int, manifest: Manifest) -> None:
        for part, tree in manifest.parts.items():
            if self.holds(tree):
                target = input_folder(there, slot, index, part)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.symlink_to(_folder(tree.location))


class DetachedHandle:
    """A process in another folder."""

    def __init__(self, there: Path, job: Path, process: subprocess.Popen[bytes] | None = None) -> None:
        self._there = there
        self._job = job
        self._process = process
        """None: it is another engine's child."""

    def poll(self) -> Update:
        """Running, or over; nothing is heard in between."""
        if self._process is not None:
            code = self._process.poll()
            state: Literal["running", "done", "lost"] = "running" if code is None else "done" if code == 0 else "lost"
            return Update(state, detail=f"its worker ended with {code}" if state == "lost" else "")
        if self._is_done():
            return Update("done")
        if _is_alive(int((self._there / "pid").read_text())):
            return Update("running")
        return Update("done") if self._is_done() else Update("lost", detail="its worker has gone")

    def _is_done(self) -> bool:
        """Whether the result of every item is written. A worker that ended may stay a zombie for ever."""
        result = self._there / "result.json"
        if not result.exists():
            return False
        job = Job.model_validate_json((self._there / "job.json").read_bytes())
        return len(Result.model_validate_json(result.read_bytes()).items) == len(job.items)

    def stop(self) -> None:
        """It cannot be stopped; what it makes is never collected."""

    def collect(self, *, fetch: bool) -> Result:
        """The result with outputs left where they are; with `fetch` copied to the job folder too."""
        try:
            result = Result.model_validate_json((self._there / "result.json").read_bytes())
        except (OSError, ValueError) as error:
            raise SystemUnavailable(f"no readable result in {self._there}: {error}") from None
        items = []
        for item in result.items:
            output = item.output
            if output and not fetch:
                parts = {name: self._left(tree) for name, tree in output.parts.items()}
                output = output.model_copy(update={"parts": parts})
            items.append(item.model_copy(update={"output": output}))
        if fetch:
            shutil.copytree(self._there / "outputs", self._job / "outputs", dirs_exist_ok=True)
        return result.model_copy(update={"items": tuple(items)})

    def _left(self, tree: Tree) -> Tree:
        if not tree.location.startswith("job:"):
            return tree
        path = self._there / tree.location.removeprefix("job:")
        return Tree(files=tree.files, location=f"{SCHEME}://{path}")


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _folder(location: str) -> Path:
    return Path(unquote(urlsplit(location).path))


SYSTEMS: tuple[type[System], ...] = (DetachedSystem,)
