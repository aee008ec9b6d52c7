"""The system itself; what talks to Azure is imported when it is needed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from olive_engine.contracts import Capabilities, Environment, Listing, Objection, Resources, System
from olive_engine.digests import digest
from olive_engine.errors import SystemUnavailable, Unreachable, WorkflowError
from olive_engine.job_folder import read_job
from olive_engine.models import Tree
from olive_engine.options import Options
from olive_engine.own_wheel import wheel_digest
from olive_systems.azure_ml.connection import Connection
from olive_systems.azure_ml.environments import JobEnvironment, described, remedy, resolved
from olive_systems.azure_ml.locations import inside, registry_model
from olive_systems.azure_ml.objections import objections, refusal
from olive_systems.azure_ml.options import AzureMLConfig
from olive_systems.azure_ml.results import Results
from olive_systems.azure_ml.urls import objection

if TYPE_CHECKING:
    from olive_systems.azure_ml.handle import AzureMLHandle
    from olive_systems.azure_ml.layout import Spoilt
    from olive_systems.azure_ml.submission import Submitter
    from olive_systems.azure_ml.uploads import Upload

DEFAULT_PARALLEL = 4
"""Jobs at once, until the size of the cluster is known."""
NOT_OF_THE_PLACE = {"instance_count", "max_instance_count", "locations"}
"""What may be asked of a compute and changes nothing of where a job runs; a type of machine does."""
PATIENCE = 3.0
"""Seconds that closing waits for what is under way to end by itself."""


class AzureML(System):
    """Runs each job as a command job on a compute of an Azure ML workspace, where its outputs stay."""

    type = "AzureML"
    schemes = ("azureml",)
    extra = "azureml"
    config_type = AzureMLConfig

    def __init__(self, name: str, config: Options) -> None:
        super().__init__(name, config)
        self._options = AzureMLConfig.model_validate(config.model_dump())
        self._connection = Connection(self._options.azureml_client)
        self._submitter: Submitter | None = None
        self._prepared: JobEnvironment | None = None
        self._nodes = 0
        self._results = Results()
        self._handles: list[AzureMLHandle] = []

    @classmethod
    def objections(cls, config: Options) -> Iterable[Objection]:
        """What the options and the files that they name, such as the conda file, have against them."""
        return objections(config) if isinstance(config, AzureMLConfig) else ()

    @classmethod
    def objects_to(cls, url: str, config: Options) -> Objection | None:
        """What its text has against a URL, and that it is of another workspace."""
        return objection(url, config.azureml_client) if isinstance(config, AzureMLConfig) else None

    @classmethod
    def to_install(cls, packages: str, config: Options, environment: Environment) -> str:
        """A node goes when its job is over: packages belong into what the environment is made of."""
        if isinstance(config, AzureMLConfig):
            return remedy(packages, config)
        return super().to_install(packages, config, environment)

    @property
    def capabilities(self) -> Capabilities:
        """Jobs elsewhere that leave their outputs there, tell what they do, and go on without the engine."""
        return Capabilities(
            shared_filesystem=False,
            max_parallel=self._options.max_parallel or self._nodes or DEFAULT_PARALLEL,
            accelerators=(self.resources.device,),
            keeps_state=False,
            keeps_outputs=True,
            outlives_engine=True,
        )

    @property
    def resources(self) -> Resources:
        """Threads, and the device that the options name."""
        first = next(iter(self._options.accelerators), None)
        if first is None:
            return Resources(threads=self._options.threads)
        return Resources(
            threads=self._options.threads, device=first.device, execution_providers=first.execution_providers
        )

    def environment(self, packages: Sequence[str]) -> Environment | None:  # noqa: ARG002 - it takes a probe
        """Only a job there can tell."""
        return None

    @property
    def environment_id(self) -> str:
        """Of image, packages, compute, what it is asked for, the engine's code; empty: a label has to be looked up."""
        try:
            identity = (self._prepared or described(self._options)).identity
            workspace = self._connection.name
        except SystemUnavailable:  # `prepare` says why
            return ""
        place = [workspace.resource_id.lower(), self._options.aml_compute.lower(), self.resources.device]
        asked = self._options.resources.model_dump(exclude=NOT_OF_THE_PLACE, exclude_defaults=True)
        return digest([identity, *place, asked, self.variables, wheel_digest()]) if identity else ""

    def notes(self) -> tuple[str, ...]:
        """The environment of its jobs, and how it differs from what is written."""
        return described(self._options).notes

    def prepare(self, say: Callable[[str], None]) -> None:
        """See, before anything is uploaded, that workspace, compute, datastore and environment are there."""
        with self._named():
            if why := refusal(self._options):
                raise SystemUnavailable(why)
            environment = described(self._options)
            if self._submitter is not None:
                return
            say(f"looking up the compute {self._options.aml_compute} in the workspace")
            workspace = self._connection.workspace()
            workspace.check()
            self._nodes = workspace.nodes(self._options.aml_compute)
            workspace.datastores.container(self._options.datastores)
            from olive_systems.azure_ml.submission import Submitter

            self._prepared = resolved(environment, workspace.client)
            self._submitter = Submitter(workspace, self._options, self._prepared, self._results)

    def submit(self, job: Path) -> AzureMLHandle:
        """Begin to upload what the workspace lacks of the job's inputs, and to put the job: that needs nobody here.

        Raises:
            SystemUnavailable: workspace, compute, datastore or environment is not there.
            StoreCorrupt: a result that the job reads is no longer in the datastore; it is held no longer.
        """
        with self._named():
            if self._submitter is None:
                self.prepare(lambda _: None)
            workspace = self._connection.workspace()
            from olive_systems.azure_ml.layout import placed
            from olive_systems.azure_ml.submission import job_name

            self._results.see(workspace, placed(read_job(job)).values())
            return self._handle(job_name(job), job, self._options.datastores)

    def attach(self, job: Path) -> AzureMLHandle | None:
        """The job of a folder, if it was taken: running, or over. One that was cancelled or lost its node is none.

        Raises:
            Unreachable: the workspace cannot be asked.
        """
        with self._named(unreachable=True):
            jobs = self._connection.workspace().jobs
            from olive_systems.azure_ml.jobs import attempt_name
            from olive_systems.azure_ml.submission import RESULT, job_name

            name = job_name(job)
            found = jobs.latest(name)
            if found is None or found[1].status == "Canceled":
                return None
            attempt, there = found
            state = jobs.state(attempt_name(name, attempt)) if there.status == "Failed" else None
            if state is not None and state.is_services_own:
                return None
            kept = self._connection.name.place(there.outputs.get(RESULT, ""))
            datastore = kept.datastore if kept else self._options.datastores  # the option may be another one now
            return self._handle(name, job, datastore, there=attempt, url=there.url)

    def holds(self, tree: Tree) -> bool:
        """Whether the tree lies in the workspace, or is a model of a registry, which jobs anywhere can read."""
        if registry_model(tree.location):
            return True
        if self._results.is_gone(tree) or not tree.location.startswith("azureml://"):
            return False
        try:
            return inside(tree.location, self._connection.name) is not None
        except SystemUnavailable:  # `prepare` says why
            return False

    def listing(self, url: str) -> Listing:
        """What a path of a datastore, a model, or a job's output has now."""
        with self._named():
            workspace = self._connection.workspace()
            from olive_systems.azure_ml.assets import listing

            return listing(workspace, url)

    def fetch(self, tree: Tree, into: Path) -> None:
        """Bring a tree's files from where they are, each compared with its digest."""
        with self._named():
            workspace, place = self._connection.workspace(), self._connection.place(tree)
            if registry_model(tree.location):
                from olive_systems.azure_ml.assets import download

                download(workspace, tree, into)
            elif place is not None:
                self._results.bring(workspace, tree, place, into)
            else:
                raise SystemUnavailable(f"{tree.location} is not in a datastore of its workspace")

    def close(self) -> None:
        """Follow no job any longer, and let connections go; jobs that were submitted and not stopped run on."""
        for handle in self._handles:
            handle.let_go()
        patience = time.monotonic() + PATIENCE
        for handle in self._handles:
            handle.join(max(0.0, patience - time.monotonic()))
        self._handles = []
        self._connection.close()
        self._submitter = self._prepared = None

    # --- helpers --------------------------------------------------------------------------------------------------

    def _handle(self, name: str, job: Path, datastore: str, *, there: int = 0, url: str = "") -> AzureMLHandle:
        from olive_systems.azure_ml.handle import AzureMLHandle

        handle = AzureMLHandle(
            self._connection.workspace(),
            name,
            job,
            datastore,
            self._submit,
            there=there,
            url=url,
            compute=self._options.aml_compute,
            made=self._results.made,
            spoilt=lambda fault: self._spoilt(job, fault),
        )
        self._handles = [each for each in self._handles if each.is_busy] + [handle]
        return handle

    def _submit(self, name: str, folder: Path, upload: Upload) -> str:
        """What a handle's thread puts an attempt with."""
        upload.look()
        if self._submitter is None:
            self.prepare(lambda _: None)
        if (submitter := self._submitter) is None:
            raise SystemUnavailable(f"{self.name}: it was closed")
        return submitter.submit(name, folder, upload)

    def _spoilt(self, job: Path, fault: Spoilt) -> WorkflowError | None:
        from olive_systems.azure_ml.layout import placed

        tree = placed(read_job(job)).get(fault.place)
        return self._results.spoilt(self._connection.name, tree, fault) if tree is not None else None

    @contextmanager
    def _named(self, *, unreachable: bool = False) -> Iterator[None]:
        """Say in errors, once, which system they are about; with `unreachable`, that nothing is known of a job."""
        try:
            yield
        except SystemUnavailable as error:
            text = str(error).removeprefix(f"{self.name}: ")
            kind = Unreachable if unreachable else error.__class__
            raise kind(f"{self.name}: {text}") from error.__cause__
