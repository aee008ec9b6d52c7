# ruff: noqa: TID253 - heavy module, imported lazily by olive_systems.azure_ml.system
"""A job folder as a command job: its inputs in the datastore, the engine's wheel as its snapshot."""

from __future__ import annotations

import hashlib
import tempfile
import warnings
from collections.abc import Mapping
from inspect import signature
from pathlib import Path
from threading import Lock

from azure.core.exceptions import ResourceExistsError

from olive_engine.contracts import Job
from olive_engine.errors import SystemUnavailable
from olive_engine.models import Tree
from olive_engine.own_wheel import build_wheel
from olive_systems.azure_ml import blobs
from olive_systems.azure_ml.assets import input_type
from olive_systems.azure_ml.environments import JobEnvironment, for_job
from olive_systems.azure_ml.in_job import VAULT, place_under, placed
from olive_systems.azure_ml.locations import (
    ROOT,
    Place,
    RegistryModel,
    described_place,
    registry_model,
    result_place,
    tree_place,
)
from olive_systems.azure_ml.options import AzureMLConfig
from olive_systems.azure_ml.uploads import Upload
from olive_systems.azure_ml.workspace import Workspace

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the SDK's dependencies warn of each other
    from azure.ai.ml import Input, Output, command
    from azure.ai.ml.entities import Command, JobResourceConfiguration

RESULT = "result"
"""The name of the one output."""
START = (
    "python -m zipfile -e *.whl lib && "
    'PYTHONPATH="$PWD/lib" python -P -m olive_systems.azure_ml.in_job '
    "--job ${{inputs.job}} --out ${{outputs." + RESULT + "}}"
)
NOT_TOLD = dict.fromkeys(("mlflow.source.git.repoURL", "mlflow.source.git.commit"), "not told")
"""Where these are given, the SDK adds nothing of the Git repository that the engine was started in."""


def job_name(folder: Path) -> str:
    """The name of a folder's job: the same for the same folder, and another for every other in the workspace."""
    described = hashlib.sha256((folder / "job.json").read_bytes()).hexdigest()
    return f"olive-{folder.name.lower()}-{described[:12]}"


class Submitter:
    """Submits job folders; knows what it has uploaded and registered already."""

    def __init__(
        self, workspace: Workspace, options: AzureMLConfig, environment: JobEnvironment, there: dict[str, Place]
    ) -> None:
        """Make one for a system.

        Args:
            workspace: where jobs go.
            options: the system's.
            environment: what they run in.
            there: where whole trees lie already, by their digests; those that are uploaded here are added.
        """
        self._workspace = workspace
        self._options = options
        self._environment = environment
        self._resources = _resources(options)
        self._registered: tuple[str, str] | None = None
        """Code and environment as the service calls them, once a job has brought them there."""
        self._there = there
        self._lock = Lock()
        self._on_their_way: dict[str, Lock] = {}
        """By digests of trees: whoever brings one has its lock."""

    def submit(self, folder: Path, upload: Upload) -> None:
        """Upload what the workspace lacks, and put the job. Several threads may do so at once.

        Raises:
            SystemUnavailable: Azure refuses, or is away for longer than the retries.
            Stopped: the upload was ended before the job was put.
        """
        name = job_name(folder)
        job = Job.model_validate_json((folder / "job.json").read_bytes())
        described = described_place(self._options.datastores, name)
        trees = {place: self._located(folder, place, tree, upload) for place, tree in placed(job).items()}
        upload.look()
        blobs.put_bytes(self._workspace, (folder / "job.json").read_bytes(), described)
        inputs = {f"tree{number}": where for number, where in enumerate(dict.fromkeys(trees.values()))}
        names = {where: each for each, where in inputs.items()}
        words = [START, *(f"--input {place} ${{{{inputs.{names[where]}}}}}" for place, where in trees.items())]
        if self._options.hf_token is True:
            words.append(f"--hf-token {self._workspace.cloud.vaults}")
        given = {"job": Input(type="uri_file", path=described.uri)}
        given |= {each: self._input(where) for each, where in inputs.items()}
        steps = ", ".join(item.step for item in job.items)
        with upload.holding(self._lock):  # the first brings code and environment, which the others only name
            self._put(name, " ".join(words), given, steps)

    def _input(self, where: Place | RegistryModel) -> Input:
        if isinstance(where, Place):
            return Input(type="uri_folder", path=where.uri)
        return Input(type=input_type(self._workspace, where), path=where.url)

    def _located(self, folder: Path, place: str, tree: Tree, upload: Upload) -> Place | RegistryModel:
        """Where a tree is in the workspace or a registry, brought to the workspace if need be."""
        if registered := registry_model(tree.location):
            return registered
        if held := self._workspace.name.place(tree.location):
            return held
        with upload.holding(self._on_their_way.setdefault(tree.digest, Lock())):
            if tree.digest not in self._there:
                where = tree_place(self._options.datastores, tree.digest)
                source = place_under(folder, place)
                blobs.upload_tree(self._workspace, Tree(files=tree.files), source, where, upload)
                self._there[tree.digest] = where
            return self._there[tree.digest]

    def _put(self, name: str, line: str, inputs: Mapping[str, Input], steps: str) -> None:
        with tempfile.TemporaryDirectory() as root:
            snapshot = str(Path(root) / "engine")
            if self._registered is None:
                build_wheel(Path(snapshot))
            code, environment = self._registered or (snapshot, for_job(self._environment))
            job = self._described(name, line, inputs, steps)
            job.code, job.environment = code, environment
            try:
                made = self._workspace.submit(job)
            except SystemUnavailable as error:
                if not isinstance(error.__cause__, ResourceExistsError):
                    raise
                raise SystemUnavailable(f"there is another job of the name {name} in the workspace") from error
        if self._registered is None and made.code and made.environment:  # type: ignore[attr-defined]  # a Command has
            self._registered = str(made.code), str(made.environment)  # type: ignore[attr-defined]  # the same

    def _described(self, name: str, line: str, inputs: Mapping[str, Input], steps: str) -> Command:
        options = self._options
        result = result_place(options.datastores, name)
        variables = dict(options.environment_variables)
        if options.hf_token is True and options.azureml_client and options.azureml_client.keyvault_name:
            variables[VAULT] = options.azureml_client.keyvault_name
        made: Command = command(
            name=name,
            display_name=steps,
            experiment_name=ROOT,
            command=line,
            inputs=dict(inputs),
            outputs={RESULT: Output(type="uri_folder", path=result.uri, mode="upload")},
            environment_variables=variables,
            compute=options.aml_compute,
            tags=dict(options.tags),
            properties=dict(NOT_TOLD),
        )
        made.resources = self._resources
        return made


def _resources(options: AzureMLConfig) -> JobResourceConfiguration:
    """What a job asks of its compute.

    Raises:
        SystemUnavailable: the option `resources` has one that jobs do not know.
    """
    known = signature(JobResourceConfiguration).parameters
    if unknown := [name for name in options.resources if name not in known]:
        names = ", ".join(name for name in known if name != "kwargs")
        raise SystemUnavailable(f"resources: jobs of Azure ML have no {unknown[0]}; they have {names}")
    given = {"instance_count": options.instance_count, **options.resources}
    return JobResourceConfiguration(**given)  # type: ignore[arg-type]  # the service judges the values
