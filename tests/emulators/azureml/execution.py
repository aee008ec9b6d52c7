"""Runs jobs for real: waits for nodes, runs the command on what was laid out, keeps its log as it is written."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import IO

from tests.emulators.azureml.assets import Assets
from tests.emulators.azureml.computes import Compute
from tests.emulators.azureml.environment_documents import read_conda, unmet, wrong_python
from tests.emulators.azureml.faults import RUN, Faults, JobFails, JobVanishes, Requeue
from tests.emulators.azureml.jobs import Job, Jobs
from tests.emulators.azureml.locations import Locations
from tests.emulators.azureml.node import Node
from tests.emulators.azureml.sandbox import Sandbox
from tests.emulators.azureml.storage import Storage
from tests.emulators.azureml.wire import Refused

LOG = "user_logs/std_log.txt"
BUILD_LOG = "azureml-logs/20_image_build_log.txt"
LAST_LINES = 5
STOP_S = 5


class Requeued(Exception):
    """A job has lost its node."""


class JobEnded(Exception):
    """A job ended otherwise than well: its status, and the code and message of an error."""

    def __init__(self, status: str, code: str = "", message: str = "") -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


@dataclass(slots=True)
class Runner:
    """Runs the jobs of one workspace, a thread for each.

    Attributes:
        artifacts: The container of the artifact store.
        variables: Environment variables of a job, by its name: network, identity and workspace.
        settle_s: How long a job whose command has ended stays in Finalizing.
        requeue_s: How long one that has lost its node waits for another.
    """

    folder: Path
    storage: Storage
    sandbox: Sandbox
    faults: Faults
    assets: Assets
    locations: Locations
    computes: Mapping[str, Compute]
    jobs: Jobs
    artifacts: str
    variables: Callable[[str], Mapping[str, str]]
    settle_s: float = 0.0
    requeue_s: float = 0.5
    _threads: list[Thread] = field(default_factory=list)

    def start(self, job: Job) -> None:
        """Begin to run a job."""
        thread = Thread(target=self._run, args=(job,), daemon=True, name=f"job {job.name}")
        self._threads.append(thread)
        thread.start()

    def stop(self) -> None:
        """Cancel what runs, and wait for its end."""
        for job in self.jobs.all():
            job.canceled.set()
        for thread in self._threads:
            thread.join(STOP_S * 2)

    def _run(self, job: Job) -> None:
        compute = self.computes[str(job.properties["computeId"]).rsplit("/", 1)[-1]]
        node = Node(self.folder / job.name, job, self.storage, self.locations, self.assets)
        status, taken = "Completed", False
        try:
            while not taken:
                taken = compute.take(job.nodes, job.canceled)
                if not taken:
                    raise JobEnded("Canceled")
                self.jobs.move(job, "Starting")
                try:
                    self._prepare_and_run(job, node)
                except Requeued:
                    node.remove()
                    compute.give_back(job.nodes)
                    taken = False
                    self.jobs.move(job, "Queued")
                    job.canceled.wait(self.requeue_s)
        except JobEnded as ended:
            status = ended.status
            job.error = (ended.code, ended.message) if status == "Failed" else None
        except Refused as refused:  # data, code or an environment that is not there
            status, job.error = "Failed", (refused.code, refused.message)
        except Exception as error:  # noqa: BLE001 - a fault of the emulator's own must end the job visibly
            status, job.error = "Failed", ("EmulatorError", "".join(traceback.format_exception(error)))
        finally:
            if taken:
                compute.give_back(job.nodes)
            node.remove()
            self.jobs.move(job, status)
            job.ended.set()

    def _prepare_and_run(self, job: Job, node: Node) -> None:
        self.jobs.move(job, "Preparing")
        self._check_environment(job)
        values = node.lay_out()
        before = node.inputs_state()
        environment = self._environment(job, node, values)
        self.storage.begin_log(self.artifacts, f"{job.artifacts}/{LOG}")
        self.jobs.move(job, "Running")
        ended: JobEnded | None = None
        try:
            self._command(job, _filled(job.properties["command"], values), node.work, environment)
        except JobEnded as failure:
            ended = failure
        self.jobs.move(job, "Finalizing")
        node.keep_outputs(self.artifacts, failed=ended is not None)
        job.canceled.wait(self.settle_s)
        if ended is not None:
            raise ended
        if changed := sorted(before ^ node.inputs_state()):
            told = f"Read-only file system: an input was changed: {Path(changed[0][0]).relative_to(node.root)}"
            raise JobEnded("Failed", "UserError", told)

    def _check_environment(self, job: Job) -> None:
        _, name, _, version = str(job.properties["environmentId"]).rsplit("/", 3)
        text = self.assets.get("environments", name, version)["properties"].get("condaFile")
        if text:
            conda = read_conda(text)
            if wrong := wrong_python(conda):
                self.storage.write(self.artifacts, f"{job.artifacts}/{BUILD_LOG}", f"Solving\n{wrong}\n".encode())
                raise JobEnded("Failed", "ImageBuildFailure", wrong)
            job.unmet = unmet(conda, self.sandbox.site)

    def _environment(self, job: Job, node: Node, values: Mapping[str, str]) -> dict[str, str]:
        binaries = self.sandbox.make(node.root / "env")
        data: dict[str, str] = {}
        for name, value in values.items():
            kind, _, own = name.partition(".")
            data |= {f"AZURE_ML_{kind[:-1].upper()}_{own}": value, f"AZUREML_DATAREFERENCE_{own}": value}
        own_variables = {k: str(v) for k, v in (job.properties.get("environmentVariables") or {}).items()}
        return {**self.sandbox.variables(binaries, node.home), **self.variables(job.name), **data, **own_variables}

    def _command(self, job: Job, command: str, work: Path, environment: Mapping[str, str]) -> None:
        fault = self.faults.find(RUN, job.name)
        process = subprocess.Popen(
            ["/bin/bash", "-c", command],
            cwd=work,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            bufsize=0,
        )
        assert process.stdout is not None
        over = Event()
        watch = Thread(target=_stop_when_canceled, args=(process, job.canceled, over), daemon=True)
        watch.start()
        end = self._keep_log(process, process.stdout, job, stop_early=fault is not None)
        job.exit_code = process.wait()
        process.stdout.close()
        over.set()
        watch.join()
        if isinstance(fault, Requeue):
            raise Requeued
        if isinstance(fault, JobVanishes):
            job.vanished.set()
            raise JobEnded("Failed", "Vanished")
        if job.canceled.is_set():
            raise JobEnded("Canceled")
        if isinstance(fault, JobFails):
            raise JobEnded("Failed", fault.code, fault.message)
        if job.exit_code:
            told = f"The command ended with code {job.exit_code}; see {LOG}. Its last lines: {end}"
            raise JobEnded("Failed", "UserError", told)

    def _keep_log(self, process: subprocess.Popen[bytes], stream: IO[bytes], job: Job, *, stop_early: bool) -> str:
        """Write what the command says as it says it; its last lines. With a fault it gets to say one thing."""
        last = b""
        while chunk := os.read(stream.fileno(), 65_536):
            self.storage.append(self.artifacts, f"{job.artifacts}/{LOG}", chunk)
            last = (last + chunk)[-65_536:]
            if stop_early:
                _signal(process, signal.SIGKILL)
        return b"\n".join(last.splitlines()[-LAST_LINES:]).decode(errors="replace")


def _filled(command: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        command = command.replace("${{" + name + "}}", shlex.quote(value) if re.search(r"\s", value) else value)
    return command


def _stop_when_canceled(process: subprocess.Popen[bytes], canceled: Event, over: Event) -> None:
    while not over.is_set():
        if canceled.wait(0.05):
            _signal(process, signal.SIGTERM)
            if not over.wait(STOP_S):
                _signal(process, signal.SIGKILL)
            return


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    if process.poll() is None:
        os.killpg(process.pid, number)
