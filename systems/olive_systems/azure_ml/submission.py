"""A job folder as a command job: its inputs in the datastore, the engine's wheel as its snapshot."""

from __future__ import annotations

import hashlib
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock

from olive_engine.contracts import Job
from olive_engine.errors import SystemUnavailable, Unreachable
from olive_engine.models import Tree
from olive_engine.own_wheel import build_wheel
from olive_systems.azure_ml import blobs
from olive_systems.azure_ml.assets import input_type
from olive_systems.azure_ml.environments import JobEnvironment, for_job
from olive_systems.azure_ml.failures import is_passing
from olive_systems.azure_ml.identities import identity_of
from olive_systems.azure_ml.in_job import VAULT
from olive_systems.azure_ml.jobs import Found
from olive_systems.azure_ml.layout import as_sent, place_under, placed
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
from olive_systems.azure_ml.results import Results
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
LONGEST_NAME, LONGEST_TAG = 100, 250
"""Letters of what a job is called for people, and of a tag's value, for which Azure has 256."""
SHORT_KEY = 12
"""Digits of a step's key that tell it from all others, as `olive why` shows them."""
SECOND_LOOK = 5.0
"""Seconds after which a job is looked for once more whose answer was lost."""
NOT_TOLD = dict.fromkeys(("mlflow.source.git.repoURL", "mlflow.source.git.commit"), "not told")
"""Where these are given, the SDK adds nothing of the Git repository that the engine was started in."""


def job_name(folder: Path) -> str:
    """The name of a folder's job: the same for the same folder, and another for every other in the workspace."""
    described = hashlib.sha256((folder / "job.json").read_bytes()).hexdigest()
    return f"olive-{folder.name.lower()}-{described[:12]}"


def _cut(words: Sequence[str], length: int) -> str:
    """As many of some words as there is room for, and how many more there are."""
    whole = ", ".join(words)
    if len(whole) <= length:
        return whole
    for count in range(len(words) - 1, 0, -1):
        text = f"{', '.join(words[:count])} and {len(words) - count} more"
        if len(text) <= length:
            return text
    return whole[: length - 1] + "…"


def _tags(job: Job) -> dict[str, str]:
    """What a person finds a step's job by."""
    steps, keys = [item.step for item in job.items], [item.key[:SHORT_KEY] for item in job.items]
    return {"olive-step": _cut(steps, LONGEST_TAG), "olive-key": _cut(keys, LONGEST_TAG)}


class Submitter:
    """Submits job folders; knows what it has uploaded and registered already."""

    def __init__(
        self, workspace: Workspace, options: AzureMLConfig, environment: JobEnvironment, results: Results
    ) -> None:
        """Make one for a system.

        Args:
            workspace: where jobs go.
            options: the system's.
            environment: what they run in.
            results: knows where whole trees lie already, and hears of those that are uploaded here.
        """
        self._workspace = workspace
        self._options = options
        self._environment = environment
        self._registered: tuple[str, str] | None = None
        """Code and environment as the service calls them, once a job has brought them there."""
        self._results = results
        self._lock = Lock()
        self._on_their_way: dict[str, Lock] = {}
        """By digests of trees: whoever brings one has its lock."""

    def submit(self, name: str, folder: Path, upload: Upload) -> str:
        """Upload what the workspace lacks, and put the job. Several threads may do so at once.

        Args:
            name: what the job is called there; one that is there already is this one, for no other folder has it.
            folder: the job's.
            upload: hears how far it is, and may end it.

        Returns:
            Where a person sees the job; empty: the service does not say.

        Raises:
            Unreachable: whether the service has taken the job cannot be told now.
            SystemUnavailable: Azure refuses, or is away for longer than the retries.
            Stopped: the upload was ended before the job was put.
        """
        job = Job.model_validate_json((folder / "job.json").read_bytes())
        described = described_place(self._options.datastores, name)
        trees = {place: self._located(folder, place, tree, upload) for place, tree in placed(job).items()}
        upload.look()
        blobs.put_bytes(self._workspace, as_sent(job).model_dump_json().encode(), described)
        inputs = {f"tree{number}": where for number, where in enumerate(dict.fromkeys(trees.values()))}
        names = {where: each for each, where in inputs.items()}
        words = [START, *(f"--input {place} ${{{{inputs.{names[where]}}}}}" for place, where in trees.items())]
        if self._options.hf_token is True:
            words.append(f"--hf-token {self._workspace.cloud.vaults}")
        given = {"job": Input(type="uri_file", path=described.uri)}
        given |= {each: self._input(where) for each, where in inputs.items()}
        made = self._described(name, " ".join(words), given, job)
        if self._registered is not None:
            return self._put(made, upload)
        with upload.holding(self._lock):  # the first brings code and environment, which the others only name
            return self._put(made, upload)

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
            if tree.digest not in self._results.there:
                where = tree_place(self._options.datastores, tree.digest)
                source = place_under(folder, place)
                wrong = self._results.wrong.get(tree.digest, ())
                blobs.upload_tree(self._workspace, Tree(files=tree.files), source, where, upload, wrong=wrong)
                self._results.wrong.pop(tree.digest, None)
                self._results.there[tree.digest] = where
            return self._results.there[tree.digest]

    def _put(self, job: Command, upload: Upload) -> str:
        with tempfile.TemporaryDirectory() as root:
            snapshot = str(Path(root) / "engine")
            if self._registered is None:
                build_wheel(Path(snapshot))
            job.code, job.environment = self._registered or (snapshot, for_job(self._environment))
            upload.end()
            seen = self._made(job, upload)
            return (self._made(job, upload, last=True) or "") if seen is None else seen

    def _made(self, job: Command, upload: Upload, *, last: bool = False) -> str | None:
        """Put the job; where it is seen, or none: it is not there, for a passing reason.

        The SDK repeats no POST, and sends some before it puts a job: so all of it is done twice.
        """
        try:
            made = self._workspace.jobs.submit(job)
        except SystemUnavailable as error:
            if found := self._taken(str(job.name), error, upload):
                return found.url
            if last or not is_passing(error):
                raise
            return None
        if self._registered is None and made.code and made.environment:  # type: ignore[attr-defined]  # a Command has
            self._registered = str(made.code), str(made.environment)  # type: ignore[attr-defined]  # the same
        return made.studio_url or ""

    def _taken(self, name: str, error: SystemUnavailable, upload: Upload) -> Found | None:
        """The job, if the service has it in spite of its answer, or though that was lost.

        Raises:
            Unreachable: it cannot be asked.
        """
        try:
            found = self._workspace.jobs.find(name)
            if found is None and is_passing(error):  # it may be about to take it
                upload.rest(SECOND_LOOK)
                found = self._workspace.jobs.find(name)
        except SystemUnavailable as away:
            raise Unreachable(f"{error}; and whether it was taken nevertheless cannot be told: {away}") from error
        return found

    def _described(self, name: str, line: str, inputs: Mapping[str, Input], job: Job) -> Command:
        options = self._options
        result = result_place(options.datastores, name)
        variables = dict(options.environment_variables)
        if options.hf_token is True and options.azureml_client and options.azureml_client.keyvault_name:
            variables[VAULT] = options.azureml_client.keyvault_name
        made: Command = command(
            name=name,
            display_name=_cut([item.step for item in job.items], LONGEST_NAME),
            experiment_name=ROOT,
            command=line,
            inputs=dict(inputs),
            outputs={RESULT: Output(type="uri_folder", path=result.uri, mode="upload")},
            environment_variables=variables,
            compute=options.aml_compute,
            identity=identity_of(options.identity),
            tags={**_tags(job), **options.tags},
            properties=dict(NOT_TOLD),
        )
        made.resources = JobResourceConfiguration(
            **{"instance_count": options.instance_count, **options.resources.given()}  # type: ignore[arg-type]  # as JSON
        )
        return made
