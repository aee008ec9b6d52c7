"""The docker command line: what is asked of it, and what its complaints mean to a user."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from pydantic import BaseModel, ConfigDict

from olive_engine.errors import SystemUnavailable

PATIENCE = 60.0
"""Seconds that the daemon may take to do something; images are pulled without a limit."""
QUICK = 15.0
"""Seconds that it may take to say what it is and has: a plan waits for that."""
LOG_TAIL = 1000
"""Lines of a container's output that are read for the last of its standard error: events are among them."""


@dataclass(frozen=True, slots=True)
class Daemon:
    """What a job's command line depends on."""

    machine: str
    """The name of the machine that containers run on."""
    runs_as_user: bool
    """It has no root's rights: root in a container is the user who started the daemon."""
    remaps_users: bool
    """User ids in containers are others outside, unless a container asks for the host's."""
    labels: bool
    """SELinux keeps containers from files that are not labelled for them."""


class ContainerState(BaseModel):
    """How a container is, in Docker's own names."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    Status: str
    ExitCode: int = 0
    OOMKilled: bool = False
    Error: str = ""

    @property
    def is_running(self) -> bool:
        """Whether it has not ended; a paused one has not."""
        return self.Status in ("running", "paused", "restarting")


class DockerClient:
    """Runs the docker command line; it finds the daemon as it always does (context, DOCKER_HOST)."""

    @cached_property
    def daemon(self) -> Daemon:
        """The daemon's machine and rights, asked once.

        Raises:
            SystemUnavailable: there is no docker command, or no daemon answers.
        """
        info = json.loads(self._call("info", "--format", "{{json .}}", patience=QUICK))
        if host := info.get("host"):  # podman under docker's name
            security = host.get("security", {})
            rootless, labels = bool(security.get("rootless")), bool(security.get("selinuxEnabled"))
            return Daemon(str(host.get("hostname", "")), rootless, remaps_users=False, labels=labels)
        options = [str(option) for option in info.get("SecurityOptions") or ()]
        has = {name: any(f"name={name}" in option.split(",") for option in options) for name in _SECURITY}
        return Daemon(str(info.get("Name", "")), has["rootless"], has["userns"], has["selinux"])

    def image_id(self, image: str) -> str:
        """The id of an image that is here; empty: it is not.

        Raises:
            SystemUnavailable: the daemon cannot be asked, or this is no name of an image.
        """
        try:
            return self._call("image", "inspect", "--format", "{{.Id}}", image, patience=QUICK).strip()
        except _Complaint as complaint:
            if _says(complaint.text, "no such image", "image not known", "failed to find image"):
                return ""
            raise

    def pull(self, image: str) -> None:
        """Bring an image here.

        Raises:
            SystemUnavailable: it cannot be had; the sentence says what to do.
        """
        try:
            self._call("pull", "--quiet", image, patience=None)
        except _Complaint as complaint:
            raise SystemUnavailable(
                f"the image {image} is not here and cannot be pulled ({_last(complaint.text)}); check `image_name`, "
                f"build it with `docker build -t {image} …`, or log in with `docker login`"
            ) from None

    def run(self, name: str, arguments: Sequence[str], variables: Mapping[str, str]) -> None:
        """Start a container in the background; one that cannot be started is removed.

        Args:
            name: what it is called.
            arguments: of ``docker run --detach``; they may name `variables`.
            variables: for the command's own environment, so that no value is seen in the list of processes.

        Raises:
            SystemUnavailable: it cannot be started.
        """
        try:
            self._call("run", "--detach", "--name", name, *arguments, variables=variables)
        except BaseException as error:
            taken = isinstance(error, _Complaint) and _says(error.text, "is already in use")
            if not taken:
                self._remove_quietly(name)
            raise

    def wait(self, name: str) -> subprocess.Popen[str]:
        """A process that ends with the container, and then has printed its exit code."""
        return subprocess.Popen(
            [self._command(), "wait", name],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,  # Ctrl-C goes to the engine alone
        )

    def state(self, name: str) -> ContainerState | None:
        """How a container is; none: there is none of that name.

        Raises:
            SystemUnavailable: the daemon cannot be asked.
        """
        try:
            return ContainerState.model_validate_json(
                self._call("container", "inspect", "--format", "{{json .State}}", name)
            )
        except _Complaint as complaint:
            if _says(complaint.text, "no such container"):
                return None
            raise

    def log(self, name: str) -> tuple[str, ...]:
        """The last lines of a container's standard error; none where its logs are kept where docker cannot read."""
        try:
            done = self._answer(("logs", "--tail", str(LOG_TAIL), name), {}, PATIENCE)
        except SystemUnavailable:
            return ()
        return tuple(done.stderr.splitlines()) if done.returncode == 0 else ()

    def kill(self, name: str) -> None:
        """End a container at once; one that has ended is left alone.

        Raises:
            SystemUnavailable: the daemon cannot be asked.
        """
        try:
            self._call("kill", name)
        except _Complaint as complaint:
            if not _says(complaint.text, "is not running", "no such container", "can only kill running"):
                raise

    def remove(self, name: str) -> None:
        """End a container and delete it, if there is one of that name.

        Raises:
            SystemUnavailable: the daemon cannot be asked, or cannot do it.
        """
        try:
            self._call("rm", "--force", name)
        except _Complaint as complaint:
            if not _says(complaint.text, "no such container", "is already in progress"):
                raise

    def _remove_quietly(self, name: str) -> None:
        try:
            self.remove(name)
        except SystemUnavailable:
            return  # what went wrong before is the better news

    # --- one call -------------------------------------------------------------------------------------------------

    def _call(
        self, *arguments: str, variables: Mapping[str, str] | None = None, patience: float | None = PATIENCE
    ) -> str:
        done = self._answer(arguments, variables or {}, patience)
        if done.returncode == 0:
            return done.stdout
        raise _complaint(done.stderr.strip() or f"docker {arguments[0]} ended with exit code {done.returncode}")

    def _answer(
        self, arguments: Sequence[str], variables: Mapping[str, str], patience: float | None
    ) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                [self._command(), *arguments],
                check=False,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                encoding="utf-8",
                errors="replace",
                env={**os.environ, **variables},
                timeout=patience,
                start_new_session=True,
            )
        except subprocess.TimeoutExpired:
            raise SystemUnavailable(
                f"the Docker daemon{_address()} did not answer `docker {arguments[0]}` within {patience:g} seconds"
            ) from None

    @staticmethod
    def _command() -> str:
        found = shutil.which("docker")
        if found is None:
            raise SystemUnavailable(
                "there is no `docker` command on the PATH; install Docker (https://docs.docker.com/engine/install)"
            )
        return found


class _Complaint(SystemUnavailable):
    """What docker said, as a sentence for a user; `text` as it said it."""

    def __init__(self, sentence: str, text: str) -> None:
        super().__init__(sentence)
        self.text = text


_SECURITY = ("rootless", "userns", "selinux")
_GPU = "install the NVIDIA Container Toolkit on the daemon's machine, or leave `gpus` out"
_UNSEEN = "jobs are mounted into containers, so the daemon must run on this machine and be allowed to read them"
_SENTENCES = (
    (("could not select device driver", "gpu vendor", "nvidia-container-cli"), f"the daemon offers no GPU; {_GPU}"),
    (("bind source path does not exist", "mounts denied", "is not shared from the host"), _UNSEEN),
    (("docker-init", "catatonit"), "the daemon lacks the small program behind `docker run --init`; install it there"),
    (("permission denied while trying to connect",), "add yourself to the group `docker`, or use rootless Docker"),
    (("cannot connect to the docker daemon", "error during connect"), "start it, or set DOCKER_HOST to one that runs"),
)
"""Words of docker's -> what to do."""


def _complaint(text: str) -> _Complaint:
    """The last thing that docker said, and what to do where that is known."""
    advice = next((advice for words, advice in _SENTENCES if _says(text, *words)), "")
    said = f"docker says: {_last(text)}"
    if _says(text, "daemon at", "error during connect"):
        said += _address()
    return _Complaint(f"{said}; {advice}" if advice else said, text)


def _says(text: str, *words: str) -> bool:
    return any(word in text.lower() for word in words)


def _last(text: str) -> str:
    """The complaint without its frame: who says it, and where to find help."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    said = [line for line in lines if not line.startswith(("Run 'docker", "See 'docker", "Usage:"))]
    last = said[-1] if said else text
    for frame in ("docker: ", "Error response from daemon: ", "Error: "):
        last = last.removeprefix(frame)
    return last.removesuffix("Is the docker daemon running?").rstrip(" .")


def _address() -> str:
    return f" (DOCKER_HOST={host})" if (host := os.environ.get("DOCKER_HOST")) else ""
