# ruff: noqa: TID253 - heavy module, imported lazily by olive_systems.azure_ml.workspace
"""The jobs of a workspace: put, looked up, cancelled, and what the service says of them."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from threading import Lock
from typing import TYPE_CHECKING

from azure.core import PipelineClient
from azure.core.exceptions import HttpResponseError
from azure.core.rest import HttpRequest, HttpResponse
from pydantic import BaseModel

from olive_engine.errors import SystemUnavailable
from olive_systems.azure_ml.failures import in_words, is_missing, is_refused, repeated
from olive_systems.azure_ml.options import AzureMLClient
from olive_systems.azure_ml.quiet import quiet

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the SDK's dependencies warn of each other
    from azure.ai.ml import MLClient

if TYPE_CHECKING:
    from azure.ai.ml.entities import Command, Job

ATTEMPTS = 3
"""How often a job is put that the service itself fails, as it does when it takes the node back."""
LOG_PIECE = 4 << 20
"""Bytes of a job's log that are read at once."""
ENDS = ("Completed", "Failed", "Canceled")
"""What a job ends with; all other statuses may be followed by any."""
VANISHED = "Vanished"
"""Stands for the status of a job that the service does not know."""
WAITING = ("NotStarted", "Queued", "Provisioning", "Preparing", "Starting", "Scheduled")
"""What it has before its command runs: it says nothing then."""
_LOGS = (r"user_logs/std_log[\D]*0*(?:_ps)?\.txt", r"azureml-logs/\d+_driver_log[^/]*\.txt")
"""What the service calls the log of a job's command, the newer runtime's first."""
_BUILD_LOG = r"azureml-logs/\d+_image_build_log\.txt"
_NOTHING_THERE = 416
"""Of a range behind the end."""
_OF_THE_SERVICE = ("SystemError", "ServiceError", "NodeFailure", "PreemptionError")
"""Codes of failures that are no fault of the job's."""
_NODE_LOST = re.compile(r"AzureMLCompute job failed\W+(?:PreemptionError|NodeFailure|JobNodePreempted)")
"""How the service begins to tell that a node has gone, which it files under the user's errors."""


@dataclass(frozen=True, slots=True)
class JobState:
    """What is known of a job."""

    status: str
    code: str = ""
    """Of its failure."""
    message: str = ""
    """Why it failed, in the service's words."""
    logs: Mapping[str, str] = field(default_factory=dict)
    """The signed address of each log by its name."""

    @property
    def log(self) -> str:
        """The name of the log of its command; empty: it has said nothing."""
        return next((name for pattern in _LOGS for name in sorted(self.logs) if re.fullmatch(pattern, name)), "")

    @property
    def build_log(self) -> str:
        """The name of the log of its image's build; empty: none was built."""
        return next((name for name in sorted(self.logs) if re.fullmatch(_BUILD_LOG, name)), "")

    @property
    def has_ended(self) -> bool:
        """Whether nothing follows."""
        return self.status in (*ENDS, VANISHED)

    @property
    def is_services_own(self) -> bool:
        """Whether the service failed it for reasons of its own, so that it may do better with the next."""
        of_service = self.code in _OF_THE_SERVICE or bool(_NODE_LOST.match(self.message))
        return self.status == "Failed" and of_service and not self.build_log


@dataclass(frozen=True, slots=True)
class Found:
    """A job that is there."""

    status: str
    url: str
    """Where a person sees it; empty: not told."""
    outputs: Mapping[str, str] = field(default_factory=dict)
    """Where each of its outputs goes."""


def attempt_name(name: str, attempt: int) -> str:
    """What the service calls an attempt, counted from 1, of the job of a name."""
    return name if attempt == 1 else f"{name}-{attempt}"


def text_of(value: object) -> str:
    """A word of the service, for which the SDK has an enumeration or has none."""
    return str(value.value if isinstance(value, Enum) else value or "")


class Jobs:
    """The jobs of one workspace; several threads may ask, and none waits for another."""

    def __init__(self, client: MLClient, runs: Callable[[str], object], options: AzureMLClient) -> None:
        """Make them for a workspace.

        Args:
            client: of the SDK.
            runs: asks the run history for something, once.
            options: how patient to be.
        """
        self._client = client
        self._runs = runs
        self._options = options
        self._logs: PipelineClient[HttpRequest, HttpResponse] | None = None
        self._lock = Lock()

    def close(self) -> None:
        """Let connections go."""
        with self._lock:
            if self._logs is not None:
                self._logs.close()

    def submit(self, job: Command) -> Job:
        """Put a job.

        Raises:
            SystemUnavailable: it was refused, or nobody knows: `find` tells.
        """
        with in_words(f"the job {job.name} was not taken"), quiet():
            made: Job = self._client.jobs.create_or_update(job, skip_validation=True)
            return made

    def find(self, name: str) -> Found | None:
        """A job by its name; none: there is none."""
        try:
            with in_words(f"the job {name} cannot be looked up"):
                found = self._client.jobs.get(name)
        except SystemUnavailable as error:
            if is_missing(error):
                return None
            raise
        outputs = {each: str(output.path or "") for each, output in (getattr(found, "outputs", None) or {}).items()}
        return Found(text_of(found.status), found.studio_url or "", outputs)

    def latest(self, name: str) -> tuple[int, Found] | None:
        """The latest attempt of a job, by its number; none: there is none."""
        attempt, found = 1, self.find(name)
        while found is not None and found.status == "Failed" and attempt < ATTEMPTS:
            after = self.find(attempt_name(name, attempt + 1))
            if after is None:
                break
            attempt, found = attempt + 1, after
        return None if found is None else (attempt, found)

    def cancel(self, name: str) -> None:
        """Ask that a job ends; one that has ended, or is not there, need not be asked.

        Raises:
            SystemUnavailable: it may run on.
        """

        def ask() -> None:
            with in_words(f"the job {name} cannot be cancelled"):
                self._client.jobs.begin_cancel(name, polling=False)

        try:
            repeated(ask, self._options.max_operation_retries, self._options.operation_retry_interval)
        except SystemUnavailable as error:
            if not is_refused(error):
                raise
            found = self.find(name)
            if found is not None and found.status not in ENDS:
                raise

    def state(self, name: str) -> JobState | None:
        """What has become of a job; none: the run history does not know it. Asks once."""
        try:
            with in_words(f"the job {name} cannot be followed"):
                found = _Details.model_validate(self._runs(f"runs/{name}/details"))
        except SystemUnavailable as error:
            if is_missing(error):
                return None
            raise
        why = found.error.error if found.error and found.error.error else _ServiceError()
        return JobState(found.status, why.code or "", why.message or "", found.logFiles or {})

    def read_log(self, address: str, start: int) -> bytes:
        """What a job has said from a byte on. Asks once."""
        with in_words("the job's log cannot be read"):
            with self._lock:
                if self._logs is None:  # without the login, for the address is signed
                    self._logs = PipelineClient(address, policies=[], read_timeout=self._options.read_timeout)
                logs = self._logs
            asked = f"bytes={start}-{start + LOG_PIECE - 1}"
            response = logs.send_request(HttpRequest("GET", address, headers={"Range": asked}))
            if response.status_code == _NOTHING_THERE:
                return b""
            try:
                response.raise_for_status()
            except HttpResponseError as error:  # its own words have the address in them, with the signature
                raise HttpResponseError(message=f"the answer was {response.status_code}", response=response) from error
            return response.content


class _ServiceError(BaseModel):
    code: str | None = None
    message: str | None = None


class _RunError(BaseModel):
    error: _ServiceError | None = None


class _Details(BaseModel):
    status: str
    logFiles: dict[str, str] | None = None  # noqa: N815 - the service's name
    error: _RunError | None = None
