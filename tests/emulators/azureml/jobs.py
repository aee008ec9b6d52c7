"""Command jobs: submitted once per name, followed by their status, canceled."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Event, RLock

from tests.emulators.azureml.assets import Assets, resource
from tests.emulators.azureml.computes import Compute
from tests.emulators.azureml.wire import Json, Refused

TERMINAL = ("Completed", "Failed", "Canceled")
CHANGEABLE = ("displayName", "description", "tags", "properties", "isArchived")
"""What may differ when a job of the same name is put again; the rest makes it another job."""
TAKEN = "A job with this name already exists."
"""What the service answers who puts a job of a name that there is, as its users report it."""
NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_-]{0,254}$")


@dataclass(slots=True)
class Job:
    """A job that was submitted.

    Attributes:
        properties: As submitted.
        statuses: Every status that it had, in order.
        error: Code and message, of a job that failed.
        unmet: Requirements of its environment that the emulator could not give it.
    """

    name: str
    properties: Json
    statuses: list[str] = field(default_factory=lambda: ["Queued"])
    error: tuple[str, str] | None = None
    exit_code: int | None = None
    unmet: tuple[str, ...] = ()
    canceled: Event = field(default_factory=Event)
    ended: Event = field(default_factory=Event)
    vanished: Event = field(default_factory=Event)

    @property
    def status(self) -> str:
        """The latest status."""
        return self.statuses[-1]

    @property
    def artifacts(self) -> str:
        """Where logs and the folder ``outputs`` lie in the artifact store."""
        return f"ExperimentRun/dcid.{self.name}"

    @property
    def nodes(self) -> int:
        """The nodes that it asks for."""
        return int((self.properties.get("resources") or {}).get("instanceCount") or 1)

    def output_uri(self, output: str) -> str:
        """The datastore URI of one of its outputs."""
        stated = (self.properties.get("outputs") or {}).get(output)
        if stated is None:
            raise Refused(404, "UserError", f"Job {self.name} has no output {output}.")
        uri = stated.get("uri") or f"azureml://datastores/workspaceblobstore/paths/azureml/{self.name}/{output}/"
        return str(uri).replace("${{name}}", self.name).replace("${{output_name}}", output)


class Jobs:
    """The jobs of a workspace.

    Args:
        start: Begins to run a job that was accepted.
    """

    def __init__(
        self, workspace_id: str, assets: Assets, computes: Mapping[str, Compute], start: Callable[[Job], None]
    ) -> None:
        self._workspace_id, self._assets, self._computes, self._start = workspace_id, assets, computes, start
        self.refuses_again = False
        """Whether a job that is put again is refused even if it is the same, as the service does it at times."""
        self.refuses_late = False
        """Whether to cancel a job that has ended is refused."""
        self._jobs: dict[str, Job] = {}
        self._lock = RLock()

    def __getitem__(self, name: str) -> Job:
        """A job.

        Raises:
            Refused: There is none of this name, or it has vanished; 404.
        """
        job = self._jobs.get(name)
        if job is None or job.vanished.is_set():
            raise Refused(404, "UserError", f"Job {name} not found.")
        return job

    def all(self) -> list[Job]:
        """The jobs, the latest first."""
        return [job for job in reversed(self._jobs.values()) if not job.vanished.is_set()]

    def put(self, name: str, properties: Json) -> tuple[Json, bool]:
        """Submit a job; the same again is the job that there is. The resource, and whether it is new.

        Raises:
            Refused: It cannot be run as it is described (400), or another job has its name (409).
        """
        with self._lock:
            before = self._jobs.get(name)
            before = None if before and before.vanished.is_set() else before
            job = before or Job(name, properties)
            if before is None:
                self._check(name, properties)
                self._jobs[name] = job
            elif self.refuses_again:
                raise Refused(400, "UserError", TAKEN)
            elif _definition(before.properties) == _definition(properties):
                before.properties |= {key: properties[key] for key in CHANGEABLE if key in properties}
            else:
                differs = [k for k, v in _definition(properties).items() if _definition(before.properties).get(k) != v]
                told = f"A job with the name {name} exists and differs in {', '.join(differs) or 'what is left out'}."
                raise Refused(409, "UserError", told)
        if before is None:
            self._start(job)
        return self.resource(job), before is None

    def cancel(self, name: str) -> None:
        """Ask a job to end; one that has ended stays what it is."""
        job = self[name]
        with self._lock:
            if self.refuses_late and job.status in TERMINAL:
                raise Refused(400, "UserError", f"The run {name} is in a terminal state already.")
            if job.status not in TERMINAL and not job.canceled.is_set():
                job.statuses.append("CancelRequested")
                job.canceled.set()

    def move(self, job: Job, status: str) -> None:
        """Give a job its next status; a job that is being canceled only ends."""
        with self._lock:
            if status in TERMINAL or not job.canceled.is_set():
                job.statuses.append(status)

    def output_uri(self, job: str, output: str) -> str:
        """The datastore URI of a job's output; ``artifacts`` is what it left in the artifact store."""
        if output == "artifacts":
            return f"azureml://datastores/workspaceartifactstore/paths/{self[job].artifacts}/"
        return self[job].output_uri(output)

    def resource(self, job: Job) -> Json:
        """A job as the service describes it."""
        studio = f"https://ml.azure.com/runs/{job.name}?wsid={self._workspace_id}"
        services = {
            "Tracking": {"endpoint": "azureml://eastus.api.azureml.ms/mlflow", "jobServiceType": "Tracking"},
            "Studio": {"endpoint": studio, "jobServiceType": "Studio"},
        }
        content = {"properties": {}, "tags": {}, "outputs": {}, "isArchived": False, **job.properties}
        content |= {"status": job.status, "services": services}
        return resource(f"{self._workspace_id}/jobs/{job.name}", content, "jobs")

    def _check(self, name: str, properties: Json) -> None:
        if not NAME.match(name):
            raise Refused(400, "UserError", f"{name} is no name of a job: letters, digits, hyphens and underscores.")
        if properties.get("jobType") != "Command":
            raise Refused(400, "UserError", f"The emulator runs command jobs, not {properties.get('jobType')}.")
        command = properties.get("command") or ""
        if not command.strip():
            raise Refused(400, "UserError", "The job has no command.")
        for kind in ("inputs", "outputs"):
            given = properties.get(kind) or {}
            for used in re.findall(rf"\$\{{\{{{kind}\.([^}}]+)\}}\}}", command):
                if used not in given:
                    raise Refused(400, "UserError", f"The command uses ${{{{{kind}.{used}}}}}, which the job lacks.")
        environment = re.search(r"/environments/([^/]+)/versions/([^/]+)$", properties.get("environmentId") or "")
        if environment is None:
            raise Refused(400, "UserError", "The job names no environment.")
        self._assets.get("environments", environment[1], environment[2])
        compute = str(properties.get("computeId") or "").rsplit("/", 1)[-1]
        if compute not in self._computes:
            raise Refused(400, "UserError", f"The compute target {compute} does not exist in the workspace.")


def _definition(properties: Json) -> Json:
    return {key: value for key, value in properties.items() if key not in CHANGEABLE}
